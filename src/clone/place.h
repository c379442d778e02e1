// SPDX-License-Identifier: Apache-2.0
// Where a destination is to stand, and the temporary name beside it.
#pragma once

#include <string>

#include "base/fd.h"

namespace cloning {

// How often a name is tried that other processes take and give: who loses this often has a live
// competitor, not a leftover.
inline constexpr int kAttempts = 16;

// An open parent directory and a name in it.
class Place {
 public:
  // Splits `path`, trailing slashes aside. Throws UsageError for a path that names no new entry (an
  // empty one, "/", "x/.."), std::system_error when the parent cannot be opened.
  explicit Place(const std::string& path);
  // `name` in an open directory; `path` is for messages. Throws std::system_error.
  Place(int parent, std::string name, std::string path);

  const std::string& path() const { return path_; }
  const std::string& name() const { return name_; }
  // base::temporary_name of the name.
  const std::string& temporary() const { return temporary_; }
  int parent() const { return parent_.get(); }

  // Throws Refused "... already exists" when something stands there, be it a dangling symlink.
  void require_free() const;
  // Whether something stands there. Throws std::system_error.
  bool is_taken() const;
  // Whether the place is in the directory that `dir` is open on, at any depth.
  bool is_inside(int dir) const;
  // Takes away what a killed run left under the temporary name. Throws Refused when a run that
  // lives is at work there: the temporary belongs to whoever holds its flock.
  void remove_leftover() const;
  // Takes away what an exchange has put under the temporary name. No error when another run is
  // doing that, or when it cannot be: the next run will.
  void remove_replaced() const;
  // fsync of the parent. Throws std::system_error.
  void sync_parent() const;

  // Takes the temporary's lock for as long as `fd` is open. False when another process has it.
  bool try_lock(int fd) const;
  // Whether the temporary name still stands for what `fd` is open on. Asked after locking: between
  // the two its owner may have published or removed it.
  bool still_named(int fd) const;
  [[noreturn]] void throw_busy() const;    // Refused: another run is making it
  [[noreturn]] void throw_exists() const;  // Refused

 private:
  std::string path_;
  std::string name_;
  std::string temporary_;
  base::Fd parent_;
};

}  // namespace cloning
