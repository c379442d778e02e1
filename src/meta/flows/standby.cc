// SPDX-License-Identifier: Apache-2.0
// Makes the directory of a new snapshot, checks what the VMM wrote, and publishes it by one rename.
#include "meta/flows/standby.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <string_view>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/file_status.h"
#include "base/process.h"
#include "file/directory.h"
#include "meta/flows/diff_base.h"
#include "meta/flows/leftovers.h"
#include "meta/flows/written_snapshot.h"
#include "meta/guest/disks.h"
#include "meta/guest/guest_state.h"
#include "meta/guest/host_record.h"
#include "meta/guest/metadata.h"
#include "meta/guest/metadata_update.h"
#include "meta/guest/recorded_vmm.h"
#include "meta/guest/snapshot_change.h"
#include "meta/guest/snapshot_record.h"
#include "meta/guest/vmm_socket.h"
#include "store/files.h"
#include "store/vmm_names.h"

namespace meta {
namespace {

constexpr const char* kState = "state";
constexpr const char* kMemory = "memory";
// The state of a snapshot has some 15 KiB; a guest with many devices has more.
constexpr uint64_t kStateBytes = uint64_t{1} << 20U;

std::string new_dir(const store::Store& store, const std::string& id) {
  return store::path_in(store.tmp_dir(), "standby." + id);
}

// The new directory until the exchange, and the old one after it. So publish_standby never takes
// the old snapshot, which an interrupted call left, for a new one.
std::string exchanged_dir(const store::Store& store, const std::string& id) {
  return store::path_in(store.tmp_dir(), "standby-old." + id);
}

std::string latest_dir(const store::Store& store, const std::string& id) {
  return store.guest_dir(id) + "/snapshots/snapshot-latest";
}

std::string what(const std::string& id) {
  return "cannot write a snapshot of " + base::quoted(id) + ": ";
}

void refuse_template(const Metadata& metadata, const std::string& id) {
  if (metadata.is_template()) {
    throw base::Refused(what(id) + "it is a template, which is never written");
  }
}

uint64_t memory_bytes_of(const GuestState& state, const Metadata& metadata) {
  const int64_t bytes = state.snapshot.expected_bytes.value_or(metadata.number("Size").value_or(0));
  return static_cast<uint64_t>(std::max<int64_t>(bytes, 0));
}

[[noreturn]] void fail_for_space(const store::Store& store, const std::string& id, uint64_t needed,
                                 uint64_t free) {
  constexpr unsigned kMib = 20;
  const auto mib = [](uint64_t bytes) {
    return std::to_string((bytes + (1U << kMib) - 1) >> kMib);
  };
  base::throw_error_number(ENOSPC, what(id) + "it needs " + mib(needed) + " MiB in " +
                                       base::quoted(store.root()) + ", " +
                                       std::to_string(free >> kMib) + " MiB are free, " +
                                       mib(needed - std::min(free, needed)) + " MiB are missing");
}

uint64_t free_bytes(const store::Store& store) {
  struct statvfs fs {};
  if (::statvfs(store.root().c_str(), &fs) != 0) {
    base::throw_errno("cannot read the free space of " + base::quoted(store.root()));
  }
  return uint64_t{fs.f_frsize} * (::geteuid() == 0 ? fs.f_bfree : fs.f_bavail);
}

// Firecracker writes into a file of the right length in place, so the reserved blocks are used.
void reserve(const store::Store& store, const std::string& id, const std::string& path,
             uint64_t bytes) {
  const base::Fd memory = store.open_below(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
  if (bytes == 0 || ::fallocate(memory.get(), 0, 0, static_cast<off_t>(bytes)) == 0 ||
      errno == EOPNOTSUPP) {
    return;
  }
  if (errno == ENOSPC || errno == EDQUOT) {
    fail_for_space(store, id, bytes + kStateBytes, free_bytes(store));
  }
  base::throw_errno("cannot reserve " + std::to_string(bytes) + " bytes for " + base::quoted(path));
}

void flush_disks(const store::Store& store, const std::string& id, const Metadata& metadata) {
  for (const Disk& disk : disks_of(metadata)) {
    const std::string path = store::path_in(store.guest_dir(id), disk.file);
    if (const std::optional<base::Fd> file = store.try_open_below(path, O_RDONLY | O_NONBLOCK)) {
      base::sync_fd(file->get(), path);
    }
  }
}

bool is_of_old_memory(const std::string& name) {
  constexpr std::array<std::string_view, 4> kNames{"state", "memory", "memory.zst", "memory.lz4"};
  return std::ranges::find(kNames, name) != kNames.end() || base::is_temporary_name(name) ||
         store::is_half_compressed_name(name) || store::is_socket_name(name);
}

// Links the files of the old snapshot's directory that other programs put there, such as the
// config.json of a manager. A publish that was interrupted may have linked some already.
void keep_other_files(const store::Store& store, const std::string& id, int target) {
  const std::optional<base::Fd> old =
      store.try_open_below(latest_dir(store, id), O_RDONLY | O_DIRECTORY);
  if (!old) {
    return;
  }
  for (const file::Entry& entry : file::list_directory(old->get(), latest_dir(store, id))) {
    if (entry.type == S_IFREG && !is_of_old_memory(entry.name) &&
        ::linkat(old->get(), entry.name.c_str(), target, entry.name.c_str(), 0) != 0 &&
        errno != EEXIST) {
      base::throw_errno("cannot keep " + base::quoted(entry.name) + " of the old snapshot of " +
                        base::quoted(id));
    }
  }
  const struct stat st = base::stat_fd(old->get(), latest_dir(store, id));
  if (::fchmod(target, st.st_mode & 07777U) != 0 ||
      (::geteuid() == 0 && ::fchown(target, st.st_uid, st.st_gid) != 0)) {
    base::throw_errno("cannot change the mode of the new snapshot of " + base::quoted(id));
  }
}

void make_parent(const store::Store& store, const std::string& id) {
  const std::string parent = store.guest_dir(id) + "/snapshots";
  if (!store::path_exists(parent)) {
    store::make_dirs(parent, 0755);
    store::sync_dir(store.guest_dir(id));
  }
}

// Exchanges the new directory with the old one; if there is none, renames it.
void exchange(const store::Store& store, const std::string& id) {
  const std::string from = exchanged_dir(store, id);
  if (!store::rename_new(store, new_dir(store, id), from)) {
    throw base::Refused(what(id) + base::quoted(from) + " exists; start with standby-begin");
  }
  if (store::rename_new(store, from, latest_dir(store, id))) {
    return;
  }
  const base::Fd tmp = store.open_below(store.tmp_dir(), O_PATH | O_DIRECTORY);
  const base::Fd snapshots =
      store.open_below(store.guest_dir(id) + "/snapshots", O_PATH | O_DIRECTORY);
  if (::renameat2(tmp.get(), ("standby-old." + id).c_str(), snapshots.get(), "snapshot-latest",
                  RENAME_EXCHANGE) != 0) {
    base::throw_errno("cannot exchange " + base::quoted(from) + " with " +
                      base::quoted(latest_dir(store, id)));
  }
}

// The metadata once the new snapshot is the guest's.
Metadata after_publish(const store::Store& store, const std::string& id, const Metadata& before,
                       const std::string& vmm_version) {
  Metadata after = before;
  record_disks(after, store.guest_dir(id));
  if (!vmm_version.empty()) {
    set_snapshot_vmm(after, vmm_version, "standby");
  } else if (!snapshot_vmm(after).empty()) {
    static_cast<void>(after.json().set_path("snapfork.vmm", "null"));
  }
  record_host(after, this_host());
  clear_snapshot_begun(after);
  after.clear("FirecrackerSnapshotCacheKey");
  after.clear("FirecrackerUFFDSessionID");
  after.clear("FirecrackerUFFDPagerVersion");
  after.set_flag("FirecrackerUseUFFDOnNextRestore", false);
  return after;
}

// The keys that after_publish may change.
constexpr std::array<std::string_view, 7> kChangedKeys{"snapfork.disks",
                                                       "snapfork.host",
                                                       "snapfork.vmm",
                                                       "FirecrackerSnapshotCacheKey",
                                                       "FirecrackerUFFDSessionID",
                                                       "FirecrackerUFFDPagerVersion",
                                                       "FirecrackerUseUFFDOnNextRestore"};

// Removes what an earlier standby left. The caller holds the guest's lock.
bool remove_rest(const store::Store& store, const std::string& id, base::Effect effect) {
  bool found = settle_metadata(store, id, effect);
  for (const std::string& dir : {new_dir(store, id), exchanged_dir(store, id)}) {
    found = found || store::path_exists(dir);
    if (effect == base::Effect::real) {
      remove_leftover(store, dir);
    }
  }
  return found;
}

}  // namespace

StandbyFiles begin_standby(const store::Store& store, const std::string& id,
                           const BeginStandby& request, base::Effect effect) {
  require_guest(store, id);
  std::optional<store::GuestLocks> lock;
  if (effect == base::Effect::real) {
    lock.emplace(store, id);
  } else {
    store::require_free(store, id);
  }
  Metadata metadata = Metadata::of_guest(store, id);
  const GuestState state = derive_state(store, id, metadata);
  refuse_template(metadata, id);
  std::optional<pid_t> vmm;
  if (state.state != State::running) {
    throw base::Refused(what(id) + "its state is " + state_name(state.state) + ", not Running");
  }
  if (!request.api_socket.empty()) {
    vmm = require_own_vmm(store, id, metadata, request.api_socket);
  }
  if (request.type == SnapshotType::diff) {
    require_diff_base(store, id, metadata, state);
  }
  remove_rest(store, id, effect);
  const uint64_t bytes = memory_bytes_of(state, metadata);
  if (const uint64_t free = free_bytes(store); free < bytes + kStateBytes) {
    fail_for_space(store, id, bytes + kStateBytes, free);
  }
  const std::string dir = new_dir(store, id);
  StandbyFiles files{.state_path = store::path_in(dir, kState),
                     .memory_path = store::path_in(dir, kMemory)};
  if (base::is_dry_run(effect)) {
    return files;
  }
  store.create_layout();
  const base::Fd tmp = store.open_below(store.tmp_dir(), O_RDONLY | O_DIRECTORY);
  if (::mkdirat(tmp.get(), ("standby." + id).c_str(), 0700) != 0) {
    base::throw_errno("cannot create " + base::quoted(dir));
  }
  try {
    if (request.type == SnapshotType::full) {
      reserve(store, id, files.memory_path, bytes);
    }
    flush_disks(store, id, metadata);
    if (vmm) {  // so that stop_vmm can end it
      record_vmm(metadata, base::identify_process(*vmm), store::absolute_path(request.api_socket));
    }
    record_snapshot_begun(store, id, metadata);
  } catch (...) {
    store::remove_tree(store, dir);
    throw;
  }
  return files;
}

void publish_standby(const store::Store& store, const std::string& id,
                     const PublishStandby& request, base::Effect effect) {
  require_guest(store, id);
  std::optional<store::GuestLocks> lock;
  std::optional<MetadataUpdate> update;
  if (effect == base::Effect::real) {
    lock.emplace(store, id);
    update.emplace(store, id);
  } else {
    store::require_free(store, id);
  }
  Metadata metadata = Metadata::of_guest(store, id);
  refuse_template(metadata, id);
  const std::string dir = new_dir(store, id);
  if (!store::path_exists(dir)) {
    throw base::Refused(what(id) + base::quoted(dir) + " does not exist; start with standby-begin");
  }
  check_written_snapshot(store, id, dir);
  if (base::is_dry_run(effect)) {
    return;
  }
  const base::Fd target = store.open_below(dir, O_RDONLY | O_DIRECTORY);
  keep_other_files(store, id, target.get());
  if (request.flushes) {
    file::sync_tree(target.get(), dir);
    flush_disks(store, id, metadata);
  }
  make_parent(store, id);
  const std::string path = store.metadata_path(id);
  const Metadata after = after_publish(store, id, metadata, request.vmm_version);
  record_snapshot_change(metadata, after, kChangedKeys, base::stat_fd(target.get(), dir).st_ino);
  metadata.write(path, base::Durable::yes);
  exchange(store, id);
  store::sync_dir(store.guest_dir(id) + "/snapshots");
  store::sync_dir(store.tmp_dir());
  after.write(path, base::Durable::yes);
  store::remove_tree(store, exchanged_dir(store, id));
}

bool end_standby(const store::Store& store, const std::string& id, base::Effect effect) {
  require_guest(store, id);
  std::optional<store::GuestLocks> lock;
  if (effect == base::Effect::real) {
    lock.emplace(store, id);
  }
  return remove_rest(store, id, effect);
}

}  // namespace meta
