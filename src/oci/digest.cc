// SPDX-License-Identifier: Apache-2.0
// Calls libcrypto, and converts digests to text.
#include "oci/digest.h"

#include <openssl/evp.h>

#include <algorithm>
#include <new>

#include "base/error.h"

namespace oci {
namespace {

constexpr std::string_view kPrefix = "sha256:";
constexpr std::string_view kDigits = "0123456789abcdef";

EVP_MD_CTX* context_of(void* context) {
  return static_cast<EVP_MD_CTX*>(context);
}

void start(void* context) {
  SNAPFORK_CHECK(EVP_DigestInit_ex(context_of(context), EVP_sha256(), nullptr) == 1);
}

}  // namespace

std::string Digest::hex() const {
  std::string text;
  text.reserve(2 * bytes.size());
  for (const unsigned char byte : bytes) {
    text += kDigits[byte >> 4U];
    text += kDigits[byte & 0xfU];
  }
  return text;
}

std::optional<Digest> parse_digest(std::string_view text) {
  Digest digest;
  if (!text.starts_with(kPrefix) || text.size() != kPrefix.size() + 2 * digest.bytes.size()) {
    return std::nullopt;
  }
  text.remove_prefix(kPrefix.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const size_t digit = kDigits.find(text[i]);
    if (digit == std::string_view::npos) {
      return std::nullopt;
    }
    digest.bytes[i / 2] = static_cast<unsigned char>(digest.bytes[i / 2] << 4U | digit);
  }
  return digest;
}

void Sha256::Free::operator()(void* context) const {
  EVP_MD_CTX_free(context_of(context));
}

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  if (!context_) {
    throw std::bad_alloc();
  }
  start(context_.get());
}

void Sha256::add(std::span<const std::byte> bytes) {
  SNAPFORK_CHECK(EVP_DigestUpdate(context_of(context_.get()), bytes.data(), bytes.size()) == 1);
}

Digest Sha256::finish() {
  Digest digest;
  SNAPFORK_CHECK(EVP_DigestFinal_ex(context_of(context_.get()), digest.bytes.data(), nullptr) == 1);
  start(context_.get());
  return digest;
}

Digest sha256(std::span<const std::byte> bytes) {
  Sha256 hash;
  hash.add(bytes);
  return hash.finish();
}

Digest sha256(std::string_view text) {
  return sha256(std::as_bytes(std::span(text)));
}

}  // namespace oci
