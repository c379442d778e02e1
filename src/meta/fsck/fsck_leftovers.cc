// SPDX-License-Identifier: Apache-2.0
// Finds what killed programs left in .snapfork/tmp, .snapfork/trash and guests/.
#include <fcntl.h>
#include <sys/stat.h>

#include <exception>
#include <optional>
#include <string>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/file_status.h"
#include "file/directory.h"
#include "meta/flows/leftovers.h"
#include "meta/fsck/fsck_candidate.h"
#include "store/files.h"
#include "store/jail_undo.h"

namespace meta {
namespace {

std::string removed(const FsckRun& run, const std::string& path) {
  remove_leftover(run.store(), path);
  return "removed";
}

// No process holds the lock of the id, so the directory of a live jail is neither a leftover nor
// busy.
bool is_of_live_jail(const std::string& name, const std::string& path) {
  return name.starts_with("jail.") && store::is_live_jail(path);
}

void check_tmp(const FsckRun& run) {
  const std::string dir = run.store().tmp_dir();
  for (const std::string& name :
       store::list_names(run.store(), dir).value_or(std::vector<std::string>())) {
    const std::string path = store::path_in(dir, name);
    const std::optional<std::string> id = owner_in_tmp(name);
    if (!id) {
      run.leave("unknown_file", "", path,
                "it is not known whose this is; remove it if it is not used");
      continue;
    }
    run.resolve(
        {.problem = "leftover",
         .id = *id,
         .path = path,
         .text = "left by a killed command",
         .locks = exclusively(*id),
         .is_present = [&] { return store::path_exists(path) && !is_of_live_jail(name, path); },
         .repair = [&] { return removed(run, path); }});
  }
}

void check_trash(const FsckRun& run) {
  const std::string dir = run.store().trash_dir();
  for (const std::string& id :
       store::list_names(run.store(), dir).value_or(std::vector<std::string>())) {
    const std::string path = store::path_in(dir, id);
    if (!store::is_valid_id(id)) {
      run.leave("unknown_file", "", path,
                "it is not known whose this is; remove it if it is not used");
      continue;
    }
    run.resolve({.problem = "trash",
                 .id = id,
                 .path = path,
                 .text = "a guest whose deletion was interrupted",
                 .locks = exclusively(id),
                 .is_present = [&] { return store::path_exists(path); },
                 .repair =
                     [&] {
                       finish_delete(run.store(), id);
                       return "deleted";
                     }});
  }
}

// Returns the paths of all temporary names below `path`, a directory of the store.
std::vector<std::string> find_temporaries(const store::Store& store, const std::string& path) {
  std::vector<std::string> found;
  const std::optional<base::Fd> dir = store.try_open_below(path, O_RDONLY | O_DIRECTORY);
  if (dir) {
    file::walk_tree(dir->get(), path, [&](int, const file::Entry& entry, const std::string& at) {
      const bool is_temporary = base::is_temporary_name(entry.name);
      if (is_temporary) {
        found.push_back(at);
      }
      return !is_temporary;
    });
  }
  return found;
}

void check_guest_dirs(const FsckRun& run) {
  const store::Store& store = run.store();
  const auto resolve = [&](const std::string& id, const std::string& path) {
    run.resolve({.problem = "leftover",
                 .id = id,
                 .path = path,
                 .text = "left by a killed command",
                 .locks = exclusively(id),
                 .is_present = [&] { return store::path_exists(path); },
                 .repair = [&] { return removed(run, path); }});
  };
  for (const std::string& name :
       store::list_names(store, store.guests_dir()).value_or(std::vector<std::string>())) {
    const std::string path = store::path_in(store.guests_dir(), name);
    const std::string id(bare_name(name));
    if (!store::is_valid_id(id)) {
      continue;  // such as lost+found
    }
    if (name != id) {
      resolve(id, path);
      continue;
    }
    if (const auto st = base::try_lstat_path(path); !st || !S_ISDIR(st->st_mode)) {
      run.leave(
          "not_a_guest", id, path,
          "it is not a directory, so it is not a guest; remove it, or put the guest's directory in "
          "its place");
      continue;
    }
    std::vector<std::string> found;
    try {
      found = find_temporaries(store, path);
    } catch (const std::exception& error) {
      run.leave("unreadable", id, path, error.what());
    }
    for (const std::string& temporary : found) {
      resolve(id, temporary);
    }
  }
}

}  // namespace

void check_leftovers(const FsckRun& run) {
  check_tmp(run);
  check_trash(run);
  check_guest_dirs(run);
}

}  // namespace meta
