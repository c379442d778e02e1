// The part of fsck that finds what killed programs have left.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/fd.h"
#include "meta/fork_index.h"
#include "meta/fsck_suspect.h"
#include "meta/guest_keys.h"
#include "meta/metadata.h"

namespace meta {
namespace {

// `name` without what base::temporary_name puts around it, where that is there.
std::string_view bare_name(std::string_view name) {
  if (base::is_temporary_name(name)) {
    name.remove_prefix(1);
    name.remove_suffix(base::kTemporarySuffix.size());
  }
  return name;
}

// The id in "fork.ID", "import.ID", ".fork.ID.snapfork-tmp": a word of letters, a dot, the id.
std::optional<std::string> owner_in_tmp(std::string_view name) {
  name = bare_name(name);
  const size_t dot = name.find_first_not_of("abcdefghijklmnopqrstuvwxyz-");
  if (dot == 0 || dot == std::string_view::npos || name[dot] != '.' ||
      !base::is_valid_id(name.substr(dot + 1))) {
    return std::nullopt;
  }
  return std::string(name.substr(dot + 1));
}

// Removes a leftover, unless its maker lives: reflink-clone keeps a flock on what it builds, also
// where nobody has taken the id's lock.
std::string remove_leftover(const std::string& path) {
  const base::Fd fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (fd && ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    throw base::Refused("a program is at work on it");
  }
  remove_tree(path);
  return "removed";
}

void check_tmp(const FsckRun& run) {
  const std::string dir = run.store().tmp_dir();
  for (const std::string& name : list_names(dir).value_or(std::vector<std::string>())) {
    const std::string path = path_in(dir, name);
    const std::optional<std::string> id = owner_in_tmp(name);
    if (!id) {
      run.leave("unknown_file", "", path,
                "it is not known whose this is; remove it if it is not used");
      continue;
    }
    run.settle({.problem = "leftover",
                .id = *id,
                .path = path,
                .text = "left by a command that was killed",
                .locks = exclusively(*id),
                .is_there = [&] { return path_exists(path); },
                .mend = [&] { return remove_leftover(path); }});
  }
}

// What was to be deleted: its files, its entry in its template's index, and its metadata, which
// names the template, last.
std::string finish_delete(const base::Store& store, const std::string& id,
                          const std::string& path) {
  std::string parent;
  try {
    parent = Metadata::read(path + "/metadata.json").fork_of_template();
  } catch (const std::exception&) {
    // Then nobody knows: the entry is found as one without a fork.
  }
  for (const std::string& name : list_names(path).value_or(std::vector<std::string>())) {
    if (name != "metadata.json") {
      remove_tree(path_in(path, name));
    }
  }
  if (base::is_valid_id(parent) && look_at_fork(store, parent, id).state == ForkState::absent) {
    drop_fork_index_entries(store, parent, std::vector<std::string>{id});
  }
  remove_tree(path);
  return "deleted";
}

void check_trash(const FsckRun& run) {
  const std::string dir = run.store().trash_dir();
  for (const std::string& id : list_names(dir).value_or(std::vector<std::string>())) {
    const std::string path = path_in(dir, id);
    if (!base::is_valid_id(id)) {
      run.leave("unknown_file", "", path,
                "it is not known whose this is; remove it if it is not used");
      continue;
    }
    run.settle({.problem = "trash",
                .id = id,
                .path = path,
                .text = "a guest whose deletion was cut short",
                .locks = exclusively(id),
                .is_there = [&] { return path_exists(path); },
                .mend = [&] { return finish_delete(run.store(), id, path); }});
  }
}

// Temporary names anywhere below `dir`; symlinks are not followed.
void find_temporaries(const std::string& dir, std::vector<std::string>& found) {
  std::error_code error;
  for (std::filesystem::directory_iterator at(dir, error), end; !error && at != end;
       at.increment(error)) {
    const std::string path = at->path().string();
    std::error_code ignored;  // it went away meanwhile
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
  const base::Store& store = run.store();
  const auto settle = [&](const std::string& id, const std::string& path) {
    run.settle({.problem = "leftover",
                .id = id,
                .path = path,
                .text = "left by a command that was killed",
                .locks = exclusively(id),
                .is_there = [&] { return path_exists(path); },
                .mend = [&] { return remove_leftover(path); }});
  };
  for (const std::string& name :
       list_names(store.guests_dir()).value_or(std::vector<std::string>())) {
    const std::string path = path_in(store.guests_dir(), name);
    const std::string id(bare_name(name));
    if (!base::is_valid_id(id)) {
      continue;  // such as lost+found
    }
    if (name != id) {
      settle(id, path);
      continue;
    }
    std::vector<std::string> found;
    try {
      find_temporaries(path, found);
    } catch (const std::system_error& error) {
      run.leave("unreadable", id, path, error.what());
    }
    for (const std::string& temporary : found) {
      settle(id, temporary);
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
