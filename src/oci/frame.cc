// SPDX-License-Identifier: Apache-2.0
// Calls libzstd.
#include "oci/frame.h"

#include <zstd.h>

#include <new>

#include "base/error.h"

namespace oci {
namespace {

static_assert(kMostFrameBytes >= ZSTD_COMPRESSBOUND(kChunkBytes));

}  // namespace

void FrameWriter::Free::operator()(void* context) const {
  ZSTD_freeCCtx(static_cast<ZSTD_CCtx*>(context));
}

FrameWriter::FrameWriter() : context_(ZSTD_createCCtx()), frame_(kMostFrameBytes) {
  if (!context_) {
    throw std::bad_alloc();
  }
}

std::span<const std::byte> FrameWriter::compress(std::span<const std::byte> chunk) {
  const size_t length = ZSTD_compressCCtx(static_cast<ZSTD_CCtx*>(context_.get()), frame_.data(),
                                          frame_.size(), chunk.data(), chunk.size(), kZstdLevel);
  SNAPFORK_CHECK(ZSTD_isError(length) == 0);  // the buffer has the size of the bound
  return std::span(frame_).first(length);
}

void FrameReader::Free::operator()(void* context) const {
  ZSTD_freeDCtx(static_cast<ZSTD_DCtx*>(context));
}

FrameReader::FrameReader() : context_(ZSTD_createDCtx()) {
  if (!context_) {
    throw std::bad_alloc();
  }
}

bool FrameReader::decompress(std::span<const std::byte> frame, std::span<std::byte> chunk) {
  const size_t length = ZSTD_decompressDCtx(static_cast<ZSTD_DCtx*>(context_.get()), chunk.data(),
                                            chunk.size(), frame.data(), frame.size());
  return ZSTD_isError(length) == 0 && length == chunk.size();
}

}  // namespace oci
