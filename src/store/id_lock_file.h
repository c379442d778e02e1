// SPDX-License-Identifier: Apache-2.0
// The lock file of an id, and what /proc reports about a lock on it. Used by id_lock*.cc.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
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
// Returns the id whose lock file or gate has this name; empty for other names.
std::string_view id_of_lock_name(std::string_view name);

// O_NONBLOCK: if a FIFO has the name, opening it must not block.
inline constexpr int kLockFileFlags = O_RDONLY | O_NONBLOCK;

// Returns whether `path` names the file that is open as `fd`. Callers check this after flock(2),
// because forget_lock removes files that other processes have open and wait for.
bool names_file(const std::string& path, int fd);

// Returns whether a process that locked the file found that no other process held the directory in
// its place (see IdLock). The mark is the sticky bit, which has no meaning for files and which no
// umask sets.
bool is_checked(const struct stat& file);
void mark_checked(int fd, const std::string& path);

// Records the time in a locked descriptor. The record is the file position: no program reads a lock
// file, and the position belongs to the open file description, as the lock does. Every process that
// has inherited the lock shows the position in its fdinfo, even after the process that took the
// lock has ended, and the record ends with the lock. Nothing is written to disk. If the filesystem
// does not allow such a position, there is no record.
//
// A process that takes the lock for another one, `owner`, records that process as well. The kernel
// reports the process that called flock(2), which has ended by then. ext4 has no position that
// large; there the time has a resolution of 32 s.
void note_time(int fd, pid_t owner = 0);

struct HeldLock {
  LockMode mode = LockMode::shared;
  pid_t taker = 0;                  // the process that took the lock, or for which a helper took
                                    // it (see note_time); 0 if not known
  std::optional<int64_t> since_ms;  // milliseconds since 1970
};
// Returns the flock that fdinfo (proc(5)) shows ("lock:\t1: FLOCK  ADVISORY  WRITE 4711 ...");
// nothing if there is none. The kernel lists the locks that are held through this open file
// description, not those that it waits for.
std::optional<HeldLock> lock_in_fdinfo(std::string_view text);

// Returns whether a file could not be created because the disk or the user's quota is full.
bool is_no_space(const std::system_error& error);

}  // namespace store
