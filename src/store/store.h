// SPDX-License-Identifier: Apache-2.0
// The paths below SNAPFORK_ROOT, and the ids that are valid there.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/fd.h"

namespace store {

// An id has 1 to 64 characters of [A-Za-z0-9._-] and starts with a letter or a digit. So it is one
// path component, is not an option or a hidden file, and leaves room for a socket path (107 bytes).
// Throws UsageError, with what is wrong with the id.
void check_id(std::string_view id);
bool is_valid_id(std::string_view id);

// The layout of a store, as snapfork(7) documents it. These functions only return paths; the
// functions that open or create something say so. The caller has checked each id with check_id.
class Store {
 public:
  // SNAPFORK_ROOT, or /var/lib/snapfork.
  static Store from_environment();
  explicit Store(std::string root);

  const std::string& root() const { return root_; }
  std::string guests_dir() const { return root_ + "/guests"; }
  std::string guest_dir(std::string_view id) const;
  std::string metadata_path(std::string_view id) const;
  std::string state_path(std::string_view id) const;   // snapshots/snapshot-latest/state
  std::string memory_path(std::string_view id) const;  // snapshots/snapshot-latest/memory
  std::string template_dir(std::string_view id) const;
  std::string fork_index_dir(std::string_view id) const;  // template/forks
  std::string locks_dir() const { return root_ + "/.snapfork/locks"; }
  std::string tmp_dir() const { return root_ + "/.snapfork/tmp"; }
  std::string trash_dir() const { return root_ + "/.snapfork/trash"; }

  // Throws std::system_error (ENOENT or ENOTDIR), with advice, if the root is not a directory;
  // UsageError if its path is not UTF-8.
  void require_root() const;
  // Creates guests/ and .snapfork/ with its directories (0700) under an existing root. Throws
  // BadData if one of them is a symbolic link; Unsupported if they are not on one filesystem,
  // because publishing is a rename between them.
  void create_layout() const;

  // Opens a path of this store, which must lie below root(). The root may be reached through
  // symbolic links; below it no link is followed (open_beneath.h lists the exceptions). Every
  // program that changes or removes something in the store opens its directory by one of these
  // functions.
  base::Fd open_below(const std::string& path, int flags, mode_t mode = 0) const;
  // The same; nothing if the file does not exist.
  std::optional<base::Fd> try_open_below(const std::string& path, int flags) const;

 private:
  base::Fd open_root() const;
  std::string below_root(const std::string& path) const;

  std::string root_;
};

// Calls mkdir(2) for each missing component of `path`. Throws std::system_error.
void make_dirs(const std::string& path, unsigned mode);

}  // namespace store
