// SPDX-License-Identifier: Apache-2.0
// Finds leftovers by their names, and removes them in an order that survives interruption.
#include "meta/flows/leftovers.h"

#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <cerrno>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json_object.h"
#include "base/message.h"
#include "file/remove_tree.h"
#include "meta/forks/fork_index.h"
#include "meta/guest/fork_relation.h"
#include "meta/guest/guest.h"
#include "store/files.h"

namespace meta {
namespace {

constexpr const char* kMetadata = "metadata.json";

std::string trash_path(const store::Store& store, const std::string& id) {
  return store::path_in(store.trash_dir(), id);
}

// The template of a guest in the trash: "" if it is not a fork, nothing if that is not known.
std::optional<std::string> parent_of_trashed(const store::Store& store, const std::string& id) {
  const std::string path = store::path_in(trash_path(store, id), kMetadata);
  try {
    const base::Fd fd = store.open_below(path, O_RDONLY | O_NONBLOCK);
    return parse_fork_relation(base::read_regular(fd.get(), base::kMaxJsonBytes, path), path)
        .fork_of_template;
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

// Whether the index of `parent` has an entry `id` but no such fork exists.
bool has_stale_entry(const store::Store& store, const std::string& parent, const std::string& id) {
  if (!has_fork_index_entry(store, parent, id)) {
    return false;
  }
  const ForkState state = inspect_fork(store, parent, id).state;
  return state == ForkState::absent || state == ForkState::foreign;
}

void drop_stale_entry(const store::Store& store, const std::string& parent, const std::string& id) {
  if (store::is_valid_id(parent) && has_stale_entry(store, parent, id)) {
    drop_fork_index_entries(store, parent, std::vector<std::string>{id});
  }
}

}  // namespace

void refuse_mounts(const store::Store& store, const std::string& path) {
  const std::string dir = path.substr(0, path.rfind('/'));
  const std::optional<base::Fd> parent = store.try_open_below(dir, O_RDONLY | O_DIRECTORY);
  if (!parent) {
    return;
  }
  if (const auto mount = file::find_mount(parent->get(), path.substr(dir.size() + 1), path)) {
    file::refuse_mount(*mount);
  }
}

namespace {

// The names in the directory `path`. Returns nothing if it is a link or not a directory.
std::optional<std::vector<std::string>> names_of_tree(const store::Store& store,
                                                      const std::string& path) {
  try {
    return store::list_names(store, path);
  } catch (const base::BadData&) {
    return std::nullopt;
  } catch (const std::system_error& error) {
    if (error.code().value() == ENOTDIR) {
      return std::nullopt;
    }
    throw;
  }
}

}  // namespace

std::string_view bare_name(std::string_view name) {
  if (base::is_temporary_name(name)) {
    name.remove_prefix(1);
    name.remove_suffix(base::kTemporarySuffix.size());
  }
  return name;
}

std::optional<std::string> owner_in_tmp(std::string_view name) {
  name = bare_name(name);
  const size_t dot = name.find_first_not_of("abcdefghijklmnopqrstuvwxyz-");
  if (dot == 0 || dot == std::string_view::npos || name[dot] != '.' ||
      !store::is_valid_id(name.substr(dot + 1))) {
    return std::nullopt;
  }
  return std::string(name.substr(dot + 1));
}

void remove_leftover(const store::Store& store, const std::string& path) {
  const base::Fd fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (fd && ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    throw base::Refused("cannot remove " + base::quoted(path) +
                        ": another program is using it; wait for it to end");
  }
  refuse_mounts(store, path);
  store::remove_tree(store, path);
}

void finish_delete(const store::Store& store, const std::string& id) {
  const std::string path = trash_path(store, id);
  const std::string parent = parent_of_trashed(store, id).value_or("");
  refuse_mounts(store, path);
  const auto names = names_of_tree(store, path);
  for (const std::string& name : names.value_or(std::vector<std::string>())) {
    if (name != kMetadata) {
      store::remove_tree(store, store::path_in(path, name));
    }
  }
  drop_stale_entry(store, parent, id);
  store::remove_tree(store, path);
}

std::vector<std::string> Leftovers::paths(const store::Store& store, const std::string& id) const {
  std::vector<std::string> all = in_tmp;
  if (trash) {
    all.push_back(*trash);
  }
  std::ranges::transform(entries_of, std::back_inserter(all), [&](const std::string& parent) {
    return store::path_in(store.fork_index_dir(parent), id);
  });
  return all;
}

Leftovers find_leftovers(const store::Store& store, const std::string& id) {
  Leftovers found;
  for (const std::string& name :
       store::list_names(store, store.tmp_dir()).value_or(std::vector<std::string>())) {
    if (owner_in_tmp(name) == id) {
      found.in_tmp.push_back(store::path_in(store.tmp_dir(), name));
    }
  }
  bool knows_parent = guest_exists(store, id);
  if (store::path_exists(trash_path(store, id))) {
    found.trash = trash_path(store, id);
    knows_parent = knows_parent || parent_of_trashed(store, id).has_value();
  }
  if (!knows_parent) {
    for (const std::string& guest : list_guests(store)) {
      if (has_stale_entry(store, guest, id)) {
        found.entries_of.push_back(guest);
      }
    }
  }
  return found;
}

bool is_unused_id(const store::Store& store, const std::string& id) {
  const auto in_tmp =
      store::list_names(store, store.tmp_dir()).value_or(std::vector<std::string>());
  return !store::path_exists(store.guest_dir(id)) &&
         !store::path_exists(store::path_in(store.guests_dir(), base::temporary_name(id))) &&
         !store::path_exists(trash_path(store, id)) &&
         std::ranges::none_of(in_tmp, [&](const auto& name) { return owner_in_tmp(name) == id; });
}

Leftovers purge(const store::Store& store, const std::string& id, base::Effect effect) {
  Leftovers found = find_leftovers(store, id);
  if (base::is_dry_run(effect) || found.empty()) {
    return found;
  }
  const store::GuestLocks lock(store, id);
  found = find_leftovers(store, id);
  for (const std::string& path : found.in_tmp) {
    base::say_detail("removing " + base::quoted(path));
    remove_leftover(store, path);
  }
  if (found.trash) {
    base::say_detail("removing " + base::quoted(*found.trash));
    finish_delete(store, id);
  }
  for (const std::string& parent : found.entries_of) {
    base::say_detail("removing the entry in the index of template " + base::quoted(parent));
    drop_stale_entry(store, parent, id);
  }
  return found;
}

}  // namespace meta
