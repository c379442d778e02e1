// SPDX-License-Identifier: Apache-2.0
// Steps on files and directories that the flows of this room are made of.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/deadline.h"
#include "store/id_lock.h"
#include "store/store.h"

namespace store {

// Whether a flow does what it is asked for, or (--dry-run) only looks whether it could.
enum class Effect { real, dry_run };

// Removes a file or a whole directory of the store (file/remove_tree.h). The directories that lead
// to it are opened without following links; an absent one is no error. Throws base::BadData for a
// link among them, base::Refused for a mount point in the tree, std::system_error.
void remove_tree(const Store& store, const std::string& path);

// fsync of a directory, or of a file. Throw std::system_error.
void sync_dir(const std::string& path);
void sync_file(const std::string& path);

// rename(2) of a path of the store to another, that never replaces and follows no link. False when
// `to` exists. Throws std::system_error; base::Unsupported when the two are on different
// filesystems or the filesystem cannot do it; base::BadData for a link on the way.
[[nodiscard]] bool rename_new(const Store& store, const std::string& from, const std::string& to);

// DIR/NAME.
std::string path_in(const std::string& dir, const std::string& name);
bool path_exists(const std::string& path);

// The names in a directory, sorted, without "." and ".."; nothing when there is no such directory.
// Throws std::system_error when it cannot be read whole.
std::optional<std::vector<std::string>> list_names(const std::string& path);
// The same of a directory of the store, which is opened without following links.
std::optional<std::vector<std::string>> list_names(const Store& store, const std::string& path);
// Those of them that are ids; none when there is no such directory.
std::vector<std::string> list_ids(const Store& store, const std::string& path);

// The path itself when it is absolute, else below the working directory. Symlinks stay.
std::string absolute_path(const std::string& path);

// SNAPFORK_ROOT with an absolute path, so that paths in records do. Throws when the root is
// missing.
Store open_store();

// The locks on several ids, taken in the order of their names (so that two programs cannot wait for
// each other), each at most until one deadline of 10 s. Throws base::Refused naming the holders.
class GuestLocks {
 public:
  struct Wanted {
    std::string id;
    LockMode mode;
  };
  GuestLocks(const Store& store, std::vector<Wanted> wanted);
  // Of one id, exclusively.
  GuestLocks(const Store& store, const std::string& id);
  // Without waiting; nothing when one of them cannot be had now.
  static std::optional<GuestLocks> try_take(const Store& store, const std::vector<Wanted>& wanted);

 private:
  GuestLocks() = default;
  std::vector<std::optional<IdLock>> locks_;
};

// For what changes nothing, and so takes no lock, which would create its file: whether the
// exclusive lock on `id` is inherited or free. The other throws base::Refused, naming the holders,
// unless it is.
bool is_free(const Store& store, const std::string& id);
void require_free(const Store& store, const std::string& id);

}  // namespace store
