// SPDX-License-Identifier: Apache-2.0
// Compares the fork indexes with ForkOfTemplate in each fork, which is authoritative.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/file_status.h"
#include "meta/flows/verify_files.h"
#include "meta/forks/fork_index.h"
#include "meta/fsck/fsck_candidate.h"
#include "meta/guest/fork_relation.h"
#include "meta/guest/guest.h"
#include "meta/guest/metadata.h"
#include "meta/image/image_record.h"
#include "store/files.h"

namespace meta {
namespace {

using Guests = std::map<std::string, ForkRelation, std::less<>>;

// The guests whose metadata can be read. check_metadata reports the others.
Guests read_guests(const store::Store& store) {
  Guests guests;
  for (const std::string& id : list_guests(store)) {
    try {
      if (std::optional<ForkRelation> keys = read_fork_relation(store, id)) {
        guests.emplace(id, *std::move(keys));
      }
    } catch (const std::exception&) {
      continue;
    }
  }
  return guests;
}

// The current keys of `id`. Returns nothing if the guest cannot be read or does not exist.
std::optional<ForkRelation> keys_now(const store::Store& store, const std::string& id) {
  try {
    return read_fork_relation(store, id);
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

// Whether `id` is recorded as a fork of `parent`, and `parent` does not exist or is readably not a
// template.
bool is_orphan(const store::Store& store, const std::string& id, const std::string& parent) {
  const std::optional<ForkRelation> keys = keys_now(store, id);
  if (!keys || keys->fork_of_template != parent) {
    return false;
  }
  if (!store::is_valid_id(parent) || !guest_exists(store, parent)) {
    return true;
  }
  const std::optional<ForkRelation> parent_keys = keys_now(store, parent);
  return parent_keys && !parent_keys->is_template;
}

void check_orphan(const FsckRun& run, const std::string& id, const std::string& parent) {
  const store::Store& store = run.store();
  if (!is_orphan(store, id, parent)) {
    return;
  }
  run.resolve({.problem = "orphan_fork",
               .id = id,
               .path = store.metadata_path(id),
               .text = "it is a fork of " + base::quoted(parent) + ", which is not a template",
               .locks = fork_and_template(id, parent),
               .is_present = [&] { return is_orphan(store, id, parent); },
               .repair =
                   [&] {
                     Metadata metadata = Metadata::of_guest(store, id);
                     metadata.set_text("ForkOfTemplate", "");
                     metadata.write(store.metadata_path(id), base::Durable::yes);
                     return "cleared ForkOfTemplate";
                   }});
}

bool is_uncounted(const store::Store& store, const std::string& id, const std::string& parent) {
  const std::optional<ForkRelation> keys = keys_now(store, id);
  const std::optional<ForkRelation> parent_keys = keys_now(store, parent);
  return keys && keys->fork_of_template == parent && parent_keys && parent_keys->is_template &&
         has_fork_index(store, parent) && !has_fork_index_entry(store, parent, id);
}

void check_uncounted(const FsckRun& run, const std::string& id, const std::string& parent) {
  const store::Store& store = run.store();
  if (!store::is_valid_id(parent) || !is_uncounted(store, id, parent)) {
    return;
  }
  run.resolve({.problem = "uncounted_fork",
               .id = id,
               .path = store.fork_index_dir(parent) + "/" + id,
               .text = "the index of template " + base::quoted(parent) + " does not have this fork",
               .locks = fork_and_template(id, parent),
               .is_present = [&] { return is_uncounted(store, id, parent); },
               .repair =
                   [&] {
                     add_fork_index_entries(store, parent, std::vector<std::string>{id});
                     sync_fork_index(store, parent);
                     return "added";
                   }});
}

bool is_stale(const store::Store& store, const std::string& template_id, const std::string& id) {
  const ForkState state = inspect_fork(store, template_id, id).state;
  return (state == ForkState::absent || state == ForkState::foreign) &&
         has_fork_index_entry(store, template_id, id);
}

// The fork's lock is sufficient, because fork-begin, fork-publish and fork-end hold it.
void check_entries(const FsckRun& run, const std::string& template_id) {
  const store::Store& store = run.store();
  for (const std::string& id : store::list_ids(store, store.fork_index_dir(template_id))) {
    if (!is_stale(store, template_id, id)) {
      continue;
    }
    run.resolve({.problem = "stale_entry",
                 .id = id,
                 .path = store.fork_index_dir(template_id) + "/" + id,
                 .text = "template " + base::quoted(template_id) +
                         " has an entry for a fork that does not exist",
                 .locks = exclusively(id),
                 .is_present = [&] { return is_stale(store, template_id, id); },
                 .repair =
                     [&] {
                       drop_fork_index_entries(store, template_id, std::vector<std::string>{id});
                       return "removed";
                     }});
  }
}

// Whether IsTemplate is not set, but the guest has files that promote writes before it sets the
// flag and demote removes after it clears the flag.
bool is_half_promoted(const store::Store& store, const std::string& id) {
  const std::optional<ForkRelation> keys = keys_now(store, id);
  return keys && !keys->is_template &&
         (has_fork_index(store, id) || store::path_exists(image_record_path(store, id)));
}

std::string undo_promote(const store::Store& store, const std::string& id) {
  if (!store::list_ids(store, store.fork_index_dir(id)).empty()) {
    throw base::Refused("its index has entries of forks");
  }
  store::remove_tree(store, image_record_path(store, id));
  store::remove_tree(store, store.fork_index_dir(id));
  ::rmdir(store.template_dir(id).c_str());  // fails if it has a hot list, which a user made
  return "removed";
}

void check_half_promoted(const FsckRun& run, const std::string& id) {
  const store::Store& store = run.store();
  if (!is_half_promoted(store, id)) {
    return;
  }
  run.resolve({.problem = "half_promoted",
               .id = id,
               .path = store.template_dir(id),
               .text = "has template/ records, but IsTemplate is not set",
               .locks = exclusively(id),
               .is_present = [&] { return is_half_promoted(store, id); },
               .repair = [&] { return undo_promote(store, id); }});
}

bool another_name_has(const store::Store& store, const std::string& id, const struct stat& memory) {
  const auto names = store::list_names(store.guests_dir()).value_or(std::vector<std::string>());
  return std::ranges::any_of(names, [&](const std::string& name) {
    struct stat other {};
    return name != id && ::lstat(store.memory_path(name).c_str(), &other) == 0 &&
           base::is_same_file(other, memory);
  });
}

// Why a guest that is neither the template nor a fork of it shares the inode of the memory. Empty
// if none does. A link outside of guests/ is not a problem here: an interrupted `init` leaves its
// source as one, and `promote` refuses it.
std::string shared_memory_problem(const store::Store& store, const std::string& id) {
  struct stat memory {};
  if (::lstat(store.memory_path(id).c_str(), &memory) != 0 || memory.st_nlink < 2 ||
      !another_name_has(store, id, memory)) {
    return "";
  }
  const std::vector<std::string> problems =
      memory_link_problems(store, id, Metadata::of_guest(store, id));
  return problems.empty() ? "" : problems.front();
}

// For example, a template was copied with a hard link to its memory. No index counts that copy.
void check_shared_memory(const FsckRun& run, const std::string& id) {
  const store::Store& store = run.store();
  const std::string problem = shared_memory_problem(store, id);
  if (problem.empty()) {
    return;
  }
  run.resolve({.problem = "shared_memory",
               .id = id,
               .path = store.memory_path(id),
               .text = problem,
               .locks = exclusively(id),
               .is_present = [&] { return !shared_memory_problem(store, id).empty(); },
               .repair = nullptr});
}

// Calls `check` for each guest, and reports a failure as a finding. template/ may be a file of any
// kind.
void for_each(const FsckRun& run, const Guests& guests,
              const std::function<void(const std::string& id, const ForkRelation&)>& check) {
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
  // read_guests omits other names of a guest. An index reached through another name would seem to
  // be full of forks of another template.
  const Guests guests = read_guests(run.store());
  for_each(run, guests, [&](const std::string& id, const ForkRelation& keys) {
    if (!keys.fork_of_template.empty()) {
      check_orphan(run, id, keys.fork_of_template);
      check_uncounted(run, id, keys.fork_of_template);
    }
    check_entries(run, id);
    check_half_promoted(run, id);
  });
  // This check is last, because a fork that is counted by now explains a link.
  for_each(run, guests,
           [&](const std::string& id, const ForkRelation&) { check_shared_memory(run, id); });
}

}  // namespace meta
