// SPDX-License-Identifier: Apache-2.0
// Finds what killed programs left in .snapfork/tmp, .snapfork/trash and guests/.
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>

#include "base/atomic_file.h"
#include "base/error.h"
#include "meta/flows/leftovers.h"
#include "meta/fsck/fsck_candidate.h"
#include "store/files.h"

namespace meta {
namespace {

std::string removed(const FsckRun& run, const std::string& path) {
  remove_leftover(run.store(), path);
  return "removed";
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
    run.resolve({.problem = "leftover",
                 .id = *id,
                 .path = path,
                 .text = "left by a killed command",
                 .locks = exclusively(*id),
                 .is_present = [&] { return store::path_exists(path); },
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

// Adds all temporary names below `dir`. Symbolic links are not followed.
void find_temporaries(const std::string& dir, std::vector<std::string>& found) {
  std::error_code error;
  for (std::filesystem::directory_iterator at(dir, error), end; !error && at != end;
       at.increment(error)) {
    const std::string path = at->path().string();
    std::error_code ignored;  // another process may have removed it
    if (base::is_temporary_name(at->path().filename().string())) {
      found.push_back(path);
    } else if (at->symlink_status(ignored).type() == std::filesystem::file_type::directory) {
      find_temporaries(path, found);
    }
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    base::throw_error_number(error.value(), "cannot read " + base::quoted(dir));
  }
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
    if (std::filesystem::symlink_status(path).type() != std::filesystem::file_type::directory) {
      run.leave(
          "not_a_guest", id, path,
          "it is not a directory, so it is not a guest; remove it, or put the guest's directory in "
          "its place");
      continue;
    }
    std::vector<std::string> found;
    try {
      find_temporaries(path, found);
    } catch (const std::system_error& error) {
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
