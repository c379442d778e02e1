// SPDX-License-Identifier: Apache-2.0
// Checks that the guest can be deleted, and renames it into .snapfork/trash.
#include "meta/flows/trash.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <optional>

#include "base/error.h"
#include "base/fd.h"
#include "base/file_status.h"
#include "base/message.h"
#include "meta/flows/leftovers.h"
#include "meta/forks/fork_guard.h"
#include "meta/guest/guest.h"
#include "meta/guest/guest_vmm.h"
#include "meta/guest/metadata.h"
#include "meta/guest/vsock_socket.h"
#include "store/files.h"
#include "store/run_dir.h"
#include "store/session_name.h"

namespace meta {
namespace {

// Returns nothing and warns if the metadata cannot be read.
std::optional<Metadata> try_read(const store::Store& store, const std::string& path) {
  try {
    const base::Fd fd = store.open_below(path, O_RDONLY | O_NONBLOCK);
    return Metadata::parse(base::read_regular(fd.get(), base::kMaxJsonBytes, path), path);
  } catch (const std::exception& error) {
    base::say_warning(std::string(error.what()) + "; it is not known whether the guest is a fork");
    return std::nullopt;
  }
}

// The template of the guest; empty if it is not a fork, or if the recorded template is not an id.
std::string parent_of(const std::optional<Metadata>& metadata) {
  const std::string parent = metadata ? metadata->fork_of_template() : "";
  return store::is_valid_id(parent) ? parent : "";
}

void refuse_running(const store::Store& store, const std::string& id,
                    const std::optional<Metadata>& metadata) {
  VmmFinder finder(store);
  const std::optional<LiveVmm> vmm =
      metadata ? finder.find(id, *metadata) : finder.find_without_metadata(id);
  if (!vmm) {
    return;
  }
  // stop_vmm ends only a process that is certainly the VMM.
  const bool can_stop = !finder.certain_processes(id, recorded_vmm_of_guest(store, id)).empty();
  throw base::Refused("cannot delete " + base::quoted(id) + ": it is Running: " + vmm->reason +
                      "; end that process first" +
                      (can_stop ? " ('snapfork delete --stop " + id + "')" : ""));
}

// Removes the vsock socket that a VMM left in the run directory. One in the guest's directory is
// removed with it.
void remove_vsock_socket(const store::Store& store, const std::string& id, base::Effect effect) {
  const std::string dir = store::find_vsock_dir();
  const std::string name = store::session_name(id, store.guest_dir(id)) + ".sock";
  const std::string path = store::path_in(dir, name);
  // The run directory may be a file, or lie below one.
  const std::optional<base::Fd> parent = base::try_open(dir, O_PATH | O_DIRECTORY);
  const auto st = parent ? base::try_lstat_at(parent->get(), name, path) : std::nullopt;
  if (st && S_ISSOCK(st->st_mode)) {
    clear_vsock_socket(path, "cannot delete " + base::quoted(id),
                       base::is_dry_run(effect) ? Leftover::keep : Leftover::remove);
  }
}

}  // namespace

Trashed trash_guest(const store::Store& store, const std::string& id, base::Effect effect) {
  Trashed result{.path = store.trash_dir() + "/" + id, .parent_template = ""};
  std::optional<store::GuestLocks> lock;
  if (effect == base::Effect::real &&
      (guest_exists(store, id) || store::path_exists(result.path))) {
    lock.emplace(store, id);
  }
  if (!guest_exists(store, id) && store::path_exists(result.path)) {
    result.parent_template = parent_of(try_read(store, result.path + "/metadata.json"));
    return result;
  }
  require_guest(store, id);
  refuse_mounts(store, store.guest_dir(id));
  if (base::is_dry_run(effect)) {
    store::require_free(store, id);
  }
  const GuardAnswer answer = guard(store, id, Intent::remove, true);
  if (!answer.allowed) {
    throw base::Refused(answer.reason);
  }
  const std::optional<Metadata> metadata = try_read(store, store.metadata_path(id));
  refuse_running(store, id, metadata);
  result.parent_template = parent_of(metadata);
  remove_vsock_socket(store, id, effect);
  if (base::is_dry_run(effect)) {
    return result;
  }
  finish_delete(store, id);  // removes an earlier guest with this id
  if (!store::rename_new(store, store.guest_dir(id), result.path)) {
    throw base::Refused("cannot delete " + base::quoted(id) + ": " + base::quoted(result.path) +
                        " already exists");
  }
  store::sync_dir(store.guests_dir());
  store::sync_dir(store.trash_dir());
  return result;
}

}  // namespace meta
