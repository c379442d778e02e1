// SPDX-License-Identifier: Apache-2.0
// SHA-256 digests, and the names of blobs in an OCI image layout.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace oci {

struct Digest {
  std::array<unsigned char, 32> bytes{};

  // clang-tidy 14 takes the operator for a zero. NOLINTNEXTLINE(modernize-use-nullptr)
  auto operator<=>(const Digest&) const = default;
  std::string hex() const;  // 64 lower-case digits: the name of the blob
  std::string text() const { return "sha256:" + hex(); }
};

// Reads "sha256:" and 64 lower-case hexadecimal digits. Returns nothing for every other string, so
// a digest never has a "/" or a "..", and becomes the name of a file without further checks.
std::optional<Digest> parse_digest(std::string_view text);

// Computes a digest in parts (libcrypto).
class Sha256 {
 public:
  Sha256();
  void add(std::span<const std::byte> bytes);
  // Returns the digest of all added bytes. The object then starts a new digest.
  Digest finish();

 private:
  struct Free {
    void operator()(void* context) const;
  };
  std::unique_ptr<void, Free> context_;
};

Digest sha256(std::span<const std::byte> bytes);
Digest sha256(std::string_view text);

}  // namespace oci
