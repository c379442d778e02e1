// SPDX-License-Identifier: Apache-2.0
// The parent directory and name of a destination, and the temporary name beside it.
#pragma once

#include <string>

#include "base/fd.h"

namespace cloning {

// Attempts to claim the temporary name. Losing this often means a live competitor, not a leftover.
inline constexpr int kAttempts = 16;

// An open parent directory and a name in it.
class Destination {
 public:
  // Splits `path`, without trailing slashes. Throws UsageError if the path cannot name a new
  // entry (an empty one, "/", "x/.."), std::system_error if the parent cannot be opened.
  explicit Destination(const std::string& path);
  // `name` in an open directory; `path` is for messages. Throws std::system_error.
  Destination(int parent, std::string name, std::string path);

  const std::string& path() const { return path_; }
  const std::string& name() const { return name_; }
  // Returns base::temporary_name of the name.
  const std::string& temporary() const { return temporary_; }
  int parent() const { return parent_.get(); }

  // Throws Refused "... already exists" if an entry has the name, even a dangling symlink.
  void require_free() const;
  // Returns whether an entry has the name. Throws std::system_error.
  bool is_taken() const;
  // Returns whether the destination is below the directory that `dir` is open on, at any depth.
  bool is_inside(int dir) const;
  // Removes the leftover of a killed run under the temporary name. Throws Refused if a running
  // process uses it: the temporary belongs to the process that holds its flock.
  void remove_leftover() const;
  // Removes the file that an exchange has moved to the temporary name. It is not an error if
  // another run removes it, or if the removal fails: the next run repeats it.
  void remove_replaced() const;
  // Calls fsync(2) for the parent. Throws std::system_error.
  void sync_parent() const;

  // Takes the lock of the temporary, which lasts as long as `fd` is open. Returns false if
  // another process has it.
  bool try_lock(int fd) const;
  // Returns whether the temporary name still refers to the file of `fd`. Callers check this after
  // try_lock, because the owner may have published or removed the file before.
  bool still_named(int fd) const;
  [[noreturn]] void throw_busy() const;    // throws Refused: another run creates it
  [[noreturn]] void throw_exists() const;  // throws Refused

 private:
  std::string path_;
  std::string name_;
  std::string temporary_;
  base::Fd parent_;
};

}  // namespace cloning
