// SPDX-License-Identifier: Apache-2.0
// Steps on files and directories of the store that several flows use.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/deadline.h"
#include "store/id_lock.h"
#include "store/store.h"

namespace store {

// Removes a file or a whole directory of the store (file/remove_tree.h). The directories that lead
// to it are opened without following links. An absent entry is not an error. Throws base::BadData
// if one of the directories is a link, base::Refused if the tree contains a mount point,
// std::system_error.
void remove_tree(const Store& store, const std::string& path);

// fsync(2) of a directory or of a file. Throws std::system_error.
void sync_dir(const std::string& path);
void sync_file(const std::string& path);

// rename(2) from one path of the store to another. It never replaces a file and follows no link.
// Returns false if `to` exists. Throws std::system_error; base::Unsupported if the two paths are on
// different filesystems or the filesystem lacks RENAME_NOREPLACE; base::BadData if a directory of
// either path is a link.
[[nodiscard]] bool rename_new(const Store& store, const std::string& from, const std::string& to);

// Returns DIR/NAME.
std::string path_in(const std::string& dir, const std::string& name);
bool path_exists(const std::string& path);

// Returns the names in a directory, sorted, without "." and ".."; nothing if the directory does not
// exist. Throws std::system_error if it cannot be read completely.
std::optional<std::vector<std::string>> list_names(const std::string& path);
// The same for a directory of the store, which is opened without following links.
std::optional<std::vector<std::string>> list_names(const Store& store, const std::string& path);
// The same, but only the names that are ids; empty if the directory does not exist.
std::vector<std::string> list_ids(const Store& store, const std::string& path);

// Returns the path itself if it is absolute, else the path below the working directory. Symlinks
// stay.
std::string absolute_path(const std::string& path);

// Opens SNAPFORK_ROOT with an absolute path, so that the paths in records are absolute. Throws if
// the root does not exist.
Store open_store();

// The locks on several ids, taken in the order of the ids so that two programs cannot wait for each
// other. All of them are awaited until one deadline, 10 s from the start. Throws base::Refused,
// with the names of the holders.
class GuestLocks {
 public:
  struct Wanted {
    std::string id;
    LockMode mode;
  };
  GuestLocks(const Store& store, std::vector<Wanted> wanted);
  // Locks one id exclusively.
  GuestLocks(const Store& store, const std::string& id);
  // Does not wait. Returns nothing if another process holds one of the locks now.
  static std::optional<GuestLocks> try_take(const Store& store, const std::vector<Wanted>& wanted);

 private:
  GuestLocks() = default;
  std::vector<std::optional<IdLock>> locks_;
};

// For programs that change nothing and therefore take no lock, which would create the lock file.
// is_free returns whether the exclusive lock on `id` is inherited or free. require_free throws
// base::Refused, with the names of the holders, unless it is.
bool is_free(const Store& store, const std::string& id);
void require_free(const Store& store, const std::string& id);

}  // namespace store
