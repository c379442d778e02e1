// SPDX-License-Identifier: Apache-2.0
// The part of fsck that compares the fork indexes with the truth, which is in the forks.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "base/error.h"
#include "meta/flows/verify_files.h"
#include "meta/forks/fork_index.h"
#include "meta/fsck/fsck_suspect.h"
#include "meta/guest/fork_relation.h"
#include "meta/guest/guest.h"
#include "meta/guest/metadata.h"
#include "meta/image/image_record.h"
#include "store/files.h"

namespace meta {
namespace {

using Guests = std::map<std::string, GuestKeys, std::less<>>;

// Those that can be read: check_metadata has told of the others.
Guests read_guests(const store::Store& store) {
  Guests guests;
  for (const std::string& id : list_guests(store)) {
    try {
      if (std::optional<GuestKeys> keys = read_guest_keys(store, id)) {
        guests.emplace(id, *std::move(keys));
      }
    } catch (const std::exception&) {
      continue;
    }
  }
  return guests;
}

// What `id` is now; nothing when it cannot be read or is gone.
std::optional<GuestKeys> keys_now(const store::Store& store, const std::string& id) {
  try {
    return read_guest_keys(store, id);
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

std::vector<store::GuestLocks::Wanted> fork_and_template(const std::string& fork,
                                                         const std::string& parent) {
  std::vector<store::GuestLocks::Wanted> locks = exclusively(fork);
  if (store::is_valid_id(parent)) {
    locks.push_back({.id = parent, .mode = store::LockMode::shared});
  }
  return locks;
}

// Whether `id` says that it is a fork of `parent`, which is there, can be read, and is no template;
// or is not there at all.
bool is_orphan(const store::Store& store, const std::string& id, const std::string& parent) {
  const std::optional<GuestKeys> keys = keys_now(store, id);
  if (!keys || keys->fork_of_template != parent) {
    return false;
  }
  if (!store::is_valid_id(parent) || !guest_exists(store, parent)) {
    return true;
  }
  const std::optional<GuestKeys> parent_keys = keys_now(store, parent);
  return parent_keys && !parent_keys->is_template;
}

void check_orphan(const FsckRun& run, const std::string& id, const std::string& parent) {
  const store::Store& store = run.store();
  if (!is_orphan(store, id, parent)) {
    return;
  }
  run.settle({.problem = "orphan_fork",
              .id = id,
              .path = store.metadata_path(id),
              .text = "it is counted for " + base::quoted(parent) + ", which is no template",
              .locks = fork_and_template(id, parent),
              .is_there = [&] { return is_orphan(store, id, parent); },
              .mend =
                  [&] {
                    Metadata metadata = Metadata::of_guest(store, id);
                    metadata.set_text("ForkOfTemplate", "");
                    metadata.write(store.metadata_path(id), base::Durable::yes);
                    return "ForkOfTemplate is empty now";
                  }});
}

bool is_uncounted(const store::Store& store, const std::string& id, const std::string& parent) {
  const std::optional<GuestKeys> keys = keys_now(store, id);
  const std::optional<GuestKeys> parent_keys = keys_now(store, parent);
  return keys && keys->fork_of_template == parent && parent_keys && parent_keys->is_template &&
         has_fork_index(store, parent) && !has_fork_index_entry(store, parent, id);
}

void check_uncounted(const FsckRun& run, const std::string& id, const std::string& parent) {
  const store::Store& store = run.store();
  if (!store::is_valid_id(parent) || !is_uncounted(store, id, parent)) {
    return;
  }
  run.settle({.problem = "uncounted_fork",
              .id = id,
              .path = store.fork_index_dir(parent) + "/" + id,
              .text = "the index of template " + base::quoted(parent) + " lacks this fork",
              .locks = fork_and_template(id, parent),
              .is_there = [&] { return is_uncounted(store, id, parent); },
              .mend =
                  [&] {
                    add_fork_index_entries(store, parent, std::vector<std::string>{id});
                    sync_fork_index(store, parent);
                    return "entered";
                  }});
}

bool is_stale(const store::Store& store, const std::string& template_id, const std::string& id) {
  const ForkState state = look_at_fork(store, template_id, id).state;
  return (state == ForkState::absent || state == ForkState::foreign) &&
         has_fork_index_entry(store, template_id, id);
}

// The fork's lock is enough: begin, publish and end of a fork hold it.
void check_entries(const FsckRun& run, const std::string& template_id) {
  const store::Store& store = run.store();
  for (const std::string& id : store::list_ids(store, store.fork_index_dir(template_id))) {
    if (!is_stale(store, template_id, id)) {
      continue;
    }
    run.settle({.problem = "stale_entry",
                .id = id,
                .path = store.fork_index_dir(template_id) + "/" + id,
                .text = "template " + base::quoted(template_id) +
                        " has an entry for a fork that does not exist",
                .locks = exclusively(id),
                .is_there = [&] { return is_stale(store, template_id, id); },
                .mend =
                    [&] {
                      drop_fork_index_entries(store, template_id, std::vector<std::string>{id});
                      return "removed";
                    }});
  }
}

// What promote writes before, and demote removes after, the flag that makes a template.
bool is_half_promoted(const store::Store& store, const std::string& id) {
  const std::optional<GuestKeys> keys = keys_now(store, id);
  return keys && !keys->is_template &&
         (has_fork_index(store, id) || store::path_exists(image_record_path(store, id)));
}

std::string undo_promote(const store::Store& store, const std::string& id) {
  if (!store::list_ids(store, store.fork_index_dir(id)).empty()) {
    throw base::Refused("there are entries of forks");
  }
  store::remove_tree(store, image_record_path(store, id));
  store::remove_tree(store, store.fork_index_dir(id));
  ::rmdir(store.template_dir(id).c_str());  // unless a hot list is there, which somebody made
  return "removed";
}

void check_half_promoted(const FsckRun& run, const std::string& id) {
  const store::Store& store = run.store();
  if (!is_half_promoted(store, id)) {
    return;
  }
  run.settle({.problem = "half_promoted",
              .id = id,
              .path = store.template_dir(id),
              .text = "the record of a template, which this guest is not",
              .locks = exclusively(id),
              .is_there = [&] { return is_half_promoted(store, id); },
              .mend = [&] { return undo_promote(store, id); }});
}

bool another_name_has(const store::Store& store, const std::string& id, const struct stat& memory) {
  const auto names = store::list_names(store.guests_dir()).value_or(std::vector<std::string>());
  return std::ranges::any_of(names, [&](const std::string& name) {
    struct stat other {};
    return name != id && ::lstat(store.memory_path(name).c_str(), &other) == 0 &&
           other.st_ino == memory.st_ino && other.st_dev == memory.st_dev;
  });
}

// Why the inode of the memory is not the guest's alone, or its template's and forks'; empty when it
// is. A link outside of guests/ is not a problem here: an `init` that was cut short leaves its
// source as one, and `promote` refuses it.
std::string shared_memory_problem(const store::Store& store, const std::string& id) {
  struct stat memory {};
  if (::lstat(store.memory_path(id).c_str(), &memory) != 0 || memory.st_nlink < 2 ||
      !another_name_has(store, id, memory)) {
    return "";
  }
  const std::vector<std::string> problems =
      check_memory_links(store, id, Metadata::of_guest(store, id));
  return problems.empty() ? "" : problems.front();
}

// Such as a template that was copied with its memory linked: nothing counts the copy.
void check_shared_memory(const FsckRun& run, const std::string& id) {
  const store::Store& store = run.store();
  const std::string problem = shared_memory_problem(store, id);
  if (problem.empty()) {
    return;
  }
  run.settle({.problem = "shared_memory",
              .id = id,
              .path = store.memory_path(id),
              .text = problem,
              .locks = exclusively(id),
              .is_there = [&] { return !shared_memory_problem(store, id).empty(); },
              .mend = nullptr});
}

// Of each guest; what is in the place of template/ may be anything.
void for_each(const FsckRun& run, const Guests& guests,
              const std::function<void(const std::string& id, const GuestKeys&)>& check) {
  for (const auto& [id, keys] : guests) {
    try {
      check(id, keys);
    } catch (const std::exception& error) {
      run.leave("unreadable", id, run.store().guest_dir(id), error.what());
    }
  }
}

}  // namespace

void check_forks(const FsckRun& run) {
  // Only under their right names: an index that is seen through another one seems to be full of
  // forks of another template.
  const Guests guests = read_guests(run.store());
  for_each(run, guests, [&](const std::string& id, const GuestKeys& keys) {
    if (!keys.fork_of_template.empty()) {
      check_orphan(run, id, keys.fork_of_template);
      check_uncounted(run, id, keys.fork_of_template);
    }
    check_entries(run, id);
    check_half_promoted(run, id);
  });
  // Last, because a fork that is counted by now explains a link.
  for_each(run, guests,
           [&](const std::string& id, const GuestKeys&) { check_shared_memory(run, id); });
}

}  // namespace meta
