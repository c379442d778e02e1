// SPDX-License-Identifier: Apache-2.0
// The definition of a sealed memory file.
#pragma once

#include <sys/stat.h>

#include <string>

namespace store {

// The permissions that a seal removes.
inline constexpr mode_t kWriteBits = S_IWUSR | S_IWGRP | S_IWOTH;

// Returns whether the file is sealed: its mode has no write permission for anybody. `template-lock
// seal` removes it after a lease has proved that no process writes to the file
// (lock/memory_seal.h).
inline bool is_sealed(const struct stat& file) {
  return (file.st_mode & kWriteBits) == 0;
}

// How many links a sealed file may have. Forks link the memory of a template.
enum class Links { one, many };
// Describes why the file is not sealed, or why it has too many links; empty if it is and has not.
std::string seal_problem(const struct stat& file, Links links);

}  // namespace store
