// SPDX-License-Identifier: Apache-2.0
// Writes the state first and then the metadata, so that a killed call can be completed.
#include "meta/flows/own_paths.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/file_status.h"
#include "base/message.h"
#include "meta/guest/disks.h"
#include "meta/guest/guest_paths.h"
#include "meta/guest/guest_vmm.h"
#include "meta/guest/metadata.h"
#include "meta/guest/metadata_update.h"
#include "meta/guest/vsock_socket.h"
#include "store/files.h"
#include "store/session_name.h"

namespace meta {
namespace {

class Owner {
 public:
  Owner(const store::Store& store, const std::string& id, const std::string& vsock_dir,
        const std::vector<TapName>& taps)
      : store_(store),
        id_(id),
        what_("cannot set the paths of " + base::quoted(id)),
        place_{.dir = store.guest_dir(id),
               .files_dir = store.guest_dir(id),
               .vsock_dir = vsock_dir,
               .session = store::session_name(id, store.guest_dir(id))},
        metadata_(Metadata::of_guest(store, id)) {
    if (metadata_.is_template()) {
      throw base::Refused(what_ +
                          ": it is a template, whose state is never changed; each fork gets a "
                          "state of its own");
    }
    // No component of its path is a link that leads elsewhere.
    static_cast<void>(store.open_below(store.state_path(id), O_PATH));
    bytes_ = vmstate::read_vmstate_file(store.state_path(id));
    state_ = vmstate::parse_vmstate(bytes_, store.state_path(id));
    if (!state_.crc_ok) {
      throw base::BadData(what_ + ": the CRC of its state is wrong; it is truncated or damaged");
    }
    vmstate::read_devices(bytes_, state_);
    paths_ = GuestPaths(metadata_).own_paths(store, state_, place_, what_);
    taps_ = taps_in_state(chosen_taps(metadata_, taps), state_, what_);
  }

  OwnPaths run(base::Effect effect) {
    OwnPaths result{.paths = {}, .changes = {}, .state = state_};
    if (!paths_) {
      return result;  // the caller vouches for the state (snapfork.assume_no_paths)
    }
    for (size_t i = 0; i < paths_->size(); ++i) {
      result.paths.push_back({.role = state_.paths[i].role, .path = (*paths_)[i]});
    }
    const bool has_paths =
        std::ranges::equal(*paths_, state_.paths, {}, {}, &vmstate::EmbeddedText::text);
    const bool has_taps = taps_.empty() || std::ranges::equal(taps_, state_.taps, {}, {},
                                                              &vmstate::EmbeddedText::text);
    const bool is_right = has_paths && has_taps;
    if (!has_paths) {
      require_distinct();
    }
    const bool is_recorded = !record_own_paths(metadata_, state_, *paths_, place_.dir);
    if (!is_right || !is_recorded) {
      require_stopped();
    }
    if (!is_right) {
      result.changes = rewrite(effect);
    }
    if (!is_recorded && !base::is_dry_run(effect)) {
      metadata_.write(store_.metadata_path(id_), base::Durable::yes);
    }
    for (const OwnPaths::Path& path : result.paths) {
      if (path.role == vmstate::Role::vsock) {
        clear_vsock_socket(path.path, what_,
                           base::is_dry_run(effect) ? Leftover::keep : Leftover::remove);
      }
    }
    if (uses_vsock_dir(place_, *paths_) && !base::is_dry_run(effect)) {
      make_vsock_dir(place_.vsock_dir);
    }
    return result;
  }

 private:
  void require_stopped() const {
    if (const std::optional<LiveVmm> vmm = VmmFinder(store_).find(id_, metadata_)) {
      throw base::Refused(what_ + ": it is Running: " + vmm->reason);
    }
  }

  // If the state was written and the metadata was not, a path in the state is either the old path
  // of one disk or the new path of another. Both must not be the same string.
  void require_distinct() const {
    const std::vector<Disk> disks = disks_of(metadata_);
    for (const Disk& disk : disks) {
      for (const Disk& other : disks) {
        if (other.file != disk.file && disk.embedded_path == place_.dir + "/" + other.file) {
          throw base::Refused(what_ + ": its state has the name of its disk " +
                              base::quoted(other.file) + " for its disk " +
                              base::quoted(disk.file) +
                              "; import it with other names of the disks");
        }
      }
    }
  }

  std::vector<vmstate::ChangedPath> rewrite(base::Effect effect) const {
    const std::string path = store_.state_path(id_);
    vmstate::RewrittenState rewritten = vmstate::set_paths(bytes_, path, state_, *paths_, taps_);
    if (!base::is_dry_run(effect)) {
      base::say_detail("writing " + base::quoted(path));
      base::write_file_like(path, rewritten.bytes, path, base::Durable::yes);
    }
    return std::move(rewritten.changes);
  }

  const store::Store& store_;
  const std::string& id_;
  std::string what_;
  GuestPlace place_;
  Metadata metadata_;
  std::string bytes_;
  vmstate::VmState state_;
  std::optional<std::vector<std::string>> paths_;
  std::vector<std::string> taps_;  // empty if the state's stay
};

// Whether `path` is that of a file in a directory guests/ID of this id that is not `own_dir`.
bool is_in_another(std::string_view path, const std::string& id, const std::string& own_dir) {
  const size_t slash = path.rfind("/guests/" + id + "/");
  if (slash == std::string_view::npos || !path.starts_with('/')) {
    return false;
  }
  const std::string dir(path.substr(0, slash + std::string("/guests/").size() + id.size()));
  const std::optional<struct stat> other = base::try_stat_path(dir);
  return dir != own_dir && !(other && base::is_same_file(*other, base::lstat_path(own_dir)));
}

}  // namespace

OwnPaths own_paths(const store::Store& store, const std::string& id, const std::string& vsock_dir,
                   const std::vector<TapName>& taps, base::Effect effect) {
  require_guest(store, id);
  std::optional<store::GuestLocks> lock;
  std::optional<MetadataUpdate> update;
  if (!base::is_dry_run(effect)) {
    lock.emplace(store, id);
    update.emplace(store, id);
  }
  return own_paths_locked(store, id, vsock_dir, taps, effect);
}

OwnPaths own_paths_locked(const store::Store& store, const std::string& id,
                          const std::string& vsock_dir, const std::vector<TapName>& taps,
                          base::Effect effect) {
  return Owner(store, id, vsock_dir, taps).run(effect);
}

bool names_another_store(const store::Store& store, const std::string& id) {
  const Metadata metadata = Metadata::of_guest(store, id);
  const std::optional<vmstate::VmState> state = vmstate::try_read_vmstate(store.state_path(id));
  return !metadata.is_template() && state && state->crc_ok &&
         std::ranges::any_of(state->paths, [&](const vmstate::EmbeddedText& path) {
           return is_in_another(path.text, id, store.guest_dir(id));
         });
}

}  // namespace meta
