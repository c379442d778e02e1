// SPDX-License-Identifier: Apache-2.0
// The lock file of an id, and what /proc tells of a lock on it. For id_lock*.cc.
#pragma once

#include <fcntl.h>
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include "store/id_lock.h"
#include "store/store.h"

namespace store {

inline constexpr std::string_view kLockSuffix = ".lock";
inline constexpr std::string_view kGateSuffix = ".gate";

std::string lock_path(const Store& store, std::string_view id);
std::string gate_path(const Store& store, std::string_view id);
// The id whose lock file or gate has this name; empty for other names.
std::string_view id_of_lock_name(std::string_view name);

// O_NONBLOCK: opening a fifo in its place must not block.
inline constexpr int kLockFileFlags = O_RDONLY | O_NONBLOCK;

// Whether `path` names the file that is open as `fd`. Asked after a flock, because forget_lock
// removes files that other processes have open and wait for.
bool names_file(const std::string& path, int fd);

// Notes in a locked descriptor when that was. The note is its file position: nobody reads a lock
// file, and the position belongs to the open file description, as the lock does. So every process
// that has inherited it shows it in fdinfo, however the one that took it has ended, and it ends
// with the lock. Nothing is written, and where the filesystem allows no such position there is no
// note.
void note_time(int fd);

struct HeldLock {
  LockMode mode = LockMode::shared;
  pid_t taker = 0;                  // who locked it; 0 when that is not known
  std::optional<int64_t> since_ms;  // after 1970
};
// The flock that fdinfo (proc(5)) shows ("lock:\t1: FLOCK  ADVISORY  WRITE 4711 ..."); nothing for
// none. The kernel lists there what is held through this open file description, not what is waited
// for.
std::optional<HeldLock> lock_in_fdinfo(std::string_view text);

// Whether a file could not be made because the disk, or the user's share of it, is full.
bool is_no_space(const std::system_error& error);

}  // namespace store
