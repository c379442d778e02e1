// SPDX-License-Identifier: Apache-2.0
// Adds and drops index entries, and removes clones, under the locks of source and forks.
#include "meta/flows/fork_lifecycle.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/atomic_file.h"
#include "base/effect.h"
#include "base/error.h"
#include "base/file_status.h"
#include "base/message.h"
#include "meta/flows/source_state.h"
#include "meta/forks/fork_index.h"
#include "meta/guest/guest_state.h"
#include "meta/guest/metadata.h"
#include "store/files.h"
#include "store/run_dir.h"
#include "store/session_name.h"

namespace meta {
namespace {

// Throws base::Refused if the guest `fork_id` exists as a fork of the template. Without its index
// entry it would not be counted.
void require_ended(const store::Store& store, const std::string& template_id,
                   const std::string& fork_id) {
  if (guest_exists(store, fork_id) &&
      Metadata::of_guest(store, fork_id).fork_of_template() == template_id) {
    throw base::Refused("cannot end fork " + base::quoted(fork_id) + " of " +
                        base::quoted(template_id) + ": the guest still exists; trash it first");
  }
}

// Removes complete clones, and those that a killed reflink-clone left.
void remove_clones(const store::Store& store, const std::vector<std::string>& fork_ids) {
  for (const std::string& id : fork_ids) {
    store::remove_tree(store, clone_dir(store, id));
    store::remove_tree(store,
                       store::path_in(store.tmp_dir(), base::temporary_name(clone_name(id))));
  }
}

// Throws if the state of the source names files that the forks would not have. fork-publish checks
// that for every source. A clone of a template costs less than this, because it links the memory.
void require_own_paths(const store::Store& store, const std::string& source_id,
                       const Metadata& metadata, const std::vector<std::string>& fork_ids) {
  const vmstate::VmState state = read_source_state(store, source_id).vmstate;
  const GuestPaths paths(metadata);
  for (const std::string& id : fork_ids) {
    static_cast<void>(paths.own_paths(store, state,
                                      fork_place(store, id, store.guest_dir(source_id)),
                                      "cannot fork " + base::quoted(source_id)));
  }
}

}  // namespace

std::string clone_name(std::string_view fork_id) {
  return "fork." + std::string(fork_id);
}

std::string clone_dir(const store::Store& store, std::string_view fork_id) {
  return store.tmp_dir() + "/" + clone_name(fork_id);
}

GuestPlace fork_place(const store::Store& store, std::string_view id,
                      const std::string& files_dir) {
  const std::optional<struct stat> clone = base::try_lstat_path(clone_dir(store, id));
  return {.dir = store.guest_dir(id),
          .files_dir = files_dir,
          .vsock_dir = store::find_vsock_dir(),
          .session = store::session_name(id, clone.value_or((struct stat){}))};
}

store::GuestLocks lock_for_forks(const store::Store& store, const std::string& source_id,
                                 const std::vector<std::string>& fork_ids) {
  std::vector<store::GuestLocks::Wanted> wanted{{.id = source_id, .mode = store::LockMode::shared}};
  for (const std::string& id : fork_ids) {
    wanted.push_back({.id = id, .mode = store::LockMode::exclusive});
  }
  return {store, std::move(wanted)};
}

void require_new_forks(const store::Store& store, const std::string& source_id,
                       const std::vector<std::string>& fork_ids) {
  std::vector<std::string> sorted = fork_ids;
  sorted.push_back(source_id);
  std::ranges::sort(sorted);
  const auto twice = std::ranges::adjacent_find(sorted);
  if (twice != sorted.end()) {
    throw base::UsageError("the id " + base::quoted(*twice) + " is given twice");
  }
  for (const std::string& id : fork_ids) {
    if (guest_exists(store, id)) {
      throw base::Refused("cannot fork to " + base::quoted(id) + ": the guest already exists");
    }
  }
}

BegunForks begin_forks(const store::Store& store, const std::string& source_id,
                       const std::vector<std::string>& fork_ids, Force force, base::Effect effect) {
  require_guest(store, source_id);
  require_new_forks(store, source_id, fork_ids);
  std::optional<store::GuestLocks> locks;
  if (effect == base::Effect::real) {
    locks.emplace(lock_for_forks(store, source_id, fork_ids));
    require_new_forks(store, source_id, fork_ids);
  }
  const Metadata metadata = Metadata::of_guest(store, source_id);
  require_whole_snapshot(derive_state(store, source_id, metadata), source_id, "fork", force);
  const bool is_template = metadata.is_template();
  if (!is_template) {
    require_own_paths(store, source_id, metadata, fork_ids);
  }
  if (effect == base::Effect::real) {
    remove_clones(store, fork_ids);
    if (is_template) {
      base::say_detail("adding " + std::to_string(fork_ids.size()) + " forks to the index of " +
                       base::quoted(source_id));
      add_fork_index_entries(store, source_id, fork_ids);
    }
  }
  return {.links_memory = is_template};
}

void end_forks(const store::Store& store, const std::string& template_id,
               const std::vector<std::string>& fork_ids, base::Effect effect) {
  std::optional<store::GuestLocks> locks;
  if (effect == base::Effect::real) {
    std::vector<store::GuestLocks::Wanted> wanted;
    wanted.reserve(fork_ids.size());
    for (const std::string& id : fork_ids) {
      wanted.push_back({.id = id, .mode = store::LockMode::exclusive});
    }
    locks.emplace(store, std::move(wanted));
  }
  if (!template_id.empty()) {
    for (const std::string& id : fork_ids) {
      require_ended(store, template_id, id);
    }
  }
  if (base::is_dry_run(effect)) {
    return;
  }
  remove_clones(store, fork_ids);
  if (!template_id.empty()) {
    drop_fork_index_entries(store, template_id, fork_ids);
  }
}

}  // namespace meta
