// SPDX-License-Identifier: Apache-2.0
// One chunk as a zstd frame (libzstd).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "oci/format.h"

namespace oci {

// The longest frame of a chunk: ZSTD_compressBound(kChunkBytes).
inline constexpr uint64_t kMostFrameBytes = kChunkBytes + (kChunkBytes >> 8U);

// Compresses chunks. The frames of one libzstd are always the same; those of another version may
// differ. An object belongs to one thread.
class FrameWriter {
 public:
  FrameWriter();
  // The result is valid until the next call.
  std::span<const std::byte> compress(std::span<const std::byte> chunk);

 private:
  struct Free {
    void operator()(void* context) const;
  };
  std::unique_ptr<void, Free> context_;
  std::vector<std::byte> frame_;
};

class FrameReader {
 public:
  FrameReader();
  // Returns whether `frame` is one zstd frame of exactly chunk.size() bytes, which then are in
  // `chunk`. No frame can write more than that.
  [[nodiscard]] bool decompress(std::span<const std::byte> frame, std::span<std::byte> chunk);

 private:
  struct Free {
    void operator()(void* context) const;
  };
  std::unique_ptr<void, Free> context_;
};

}  // namespace oci
