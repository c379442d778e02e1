// SPDX-License-Identifier: Apache-2.0
// Makes the session name from the id and the inode of the directory.
#include "store/session_name.h"

#include <cerrno>
#include <cstdint>

#include "base/error.h"
#include "base/file_status.h"
#include "base/hex.h"

namespace store {
namespace {

constexpr uint32_t kFnvOffset = 2166136261U;
constexpr uint32_t kFnvPrime = 16777619U;

// FNV-1a over the eight bytes of `number`, the lowest byte first.
uint32_t hash_in(uint32_t hash, uint64_t number) {
  for (unsigned byte = 0; byte < sizeof number; ++byte) {
    hash = (hash ^ static_cast<uint32_t>(number >> (8 * byte) & 0xffU)) * kFnvPrime;
  }
  return hash;
}

}  // namespace

std::string session_name(std::string_view id, const struct stat& guest_dir) {
  const uint32_t hash = hash_in(hash_in(kFnvOffset, guest_dir.st_dev), guest_dir.st_ino);
  return std::string(id) + "@" + base::hex_text(hash, 8);
}

std::string session_name(std::string_view id, const std::string& path) {
  const struct stat st = base::lstat_path(path);
  if (!S_ISDIR(st.st_mode)) {
    base::throw_error_number(ENOTDIR, "cannot use " + base::quoted(path));
  }
  return session_name(id, st);
}

}  // namespace store
