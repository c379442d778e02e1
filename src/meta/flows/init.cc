// SPDX-License-Identifier: Apache-2.0
// Checks the state, memory and disks, links them into a new directory, and renames it into guests/.
#include "meta/flows/init.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <utility>

#include "base/error.h"
#include "base/message.h"
#include "file/cross_device.h"
#include "meta/flows/init_check.h"
#include "meta/guest/disks.h"
#include "meta/guest/host_record.h"
#include "meta/guest/snapshot_record.h"
#include "store/files.h"
#include "store/store_path.h"

namespace meta {
namespace {

constexpr int64_t kMib = int64_t{1} << 20U;

std::string real_path(const std::string& path) {
  std::error_code error;
  const std::filesystem::path real = std::filesystem::canonical(path, error);
  if (error) {
    base::throw_error_number(error.value(), "cannot import " + base::quoted(path));
  }
  return real.string();
}

[[noreturn]] void refuse_other_filesystem(const std::string& file, const std::string& dir) {
  throw base::Unsupported("cannot import " + base::quoted(file) + " into the store: " +
                          file::cross_device_reason(file, dir) + "; copy it there first");
}

// The device and the mount of a file. linkat(2) requires that both equal those of the directory.
std::pair<dev_t, uint64_t> mount_of(const std::string& path) {
  struct statx stx {};
  if (::statx(AT_FDCWD, path.c_str(), 0, STATX_INO | STATX_MNT_ID, &stx) != 0) {
    base::throw_errno("cannot stat " + base::quoted(path));
  }
  const bool known = (stx.stx_mask & STATX_MNT_ID) != 0;  // Linux 5.8
  return {makedev(stx.stx_dev_major, stx.stx_dev_minor), known ? stx.stx_mnt_id : 0};
}

// Refuses what link_into would refuse, as far as that is known without making a link.
void require_same_filesystem(const store::Store& store, const std::vector<std::string>& files) {
  for (const std::string& file : files) {
    if (mount_of(file) != mount_of(store.root())) {
      refuse_other_filesystem(file, store.root());
    }
  }
}

void link_into(const std::string& file, const std::string& target) {
  if (::linkat(AT_FDCWD, file.c_str(), AT_FDCWD, target.c_str(), AT_SYMLINK_FOLLOW) == 0) {
    return;
  }
  const std::string what = "cannot import " + base::quoted(file);
  if (errno == EXDEV) {
    refuse_other_filesystem(file, target.substr(0, target.rfind('/')));
  }
  if (errno == EOPNOTSUPP || (errno == EPERM && ::geteuid() == 0)) {
    throw base::Unsupported(what + ": it is immutable, or its filesystem has no hard links");
  }
  base::throw_errno(what);
}

// Records what later loads of the snapshot need to know about it.
void record_snapshot(Metadata& metadata, const InitRequest& request, const CheckedImport& checked) {
  if (!request.firecracker.empty()) {
    set_snapshot_vmm(metadata, request.firecracker, "import");
  }
  record_host(metadata, this_host());
  if (!request.shared_files.empty()) {
    set_shared_files(metadata, request.shared_files);
  }
  if (request.assumes_no_paths && !checked.state.paths_problem.empty()) {
    set_assumes_no_paths(metadata);
  }
}

// Builds the guest in `dir`, which is outside of guests/.
void build(const std::string& dir, const InitRequest& request, const std::vector<Disk>& disks,
           Metadata& metadata) {
  const std::string snapshot = dir + "/snapshots/snapshot-latest";
  store::make_dirs(snapshot, 0755);
  std::vector<std::pair<std::string, std::string>> links{{request.state, snapshot + "/state"},
                                                         {request.memory, snapshot + "/memory"}};
  for (size_t i = 0; i < disks.size(); ++i) {
    links.emplace_back(request.disks[i].file, dir + "/" + disks[i].file);
  }
  for (const auto& [file, target] : links) {
    base::say_detail("linking " + base::quoted(file) + " to " + base::quoted(target));
    link_into(file, target);
    store::sync_file(target);
  }
  record_disks(metadata, dir);
  metadata.write(dir + "/metadata.json", base::Durable::yes);
  store::sync_dir(snapshot);
  store::sync_dir(dir + "/snapshots");
  store::sync_dir(dir);
}

// Throws base::Refused if a file belongs to a guest, because init removes the source files.
void refuse_files_of_guests(const store::Store& store, const std::vector<std::string>& sources) {
  for (const std::string& source : sources) {
    if (const std::optional<std::string> id = store::guest_of_path(store, source)) {
      throw base::Refused("cannot import " + base::quoted(source) + ": it belongs to the guest " +
                          base::quoted(*id) + "; fork that, or use a copy (snapfork import)");
    }
  }
}

// Throws base::Refused if a file has another link, through which the guest's file could be written.
// The caller removes leftovers of a killed init first, because they are links too.
void refuse_links(const std::vector<std::string>& sources) {
  for (const std::string& source : sources) {
    struct stat st {};
    if (::stat(source.c_str(), &st) == 0 && st.st_nlink > 1) {
      throw base::Refused("cannot import " + base::quoted(source) + ": it has " +
                          std::to_string(st.st_nlink) +
                          " links, so it can be written through another name; use a copy (snapfork "
                          "import)");
    }
  }
}

void unlink_source(const std::string& file, const std::string& id) {
  if (::unlink(file.c_str()) != 0 && errno != ENOENT) {
    base::throw_errno("created guest " + base::quoted(id) + ", but cannot remove " +
                      base::quoted(file));
  }
}

}  // namespace

Metadata new_guest_metadata(std::string_view id, std::string_view name, int64_t memory_bytes) {
  Metadata metadata;
  metadata.set_text("Id", id);
  metadata.set_text("Name", name);
  metadata.set_text("CreatedAt", now_rfc3339());
  metadata.set_number("Size", memory_bytes);
  metadata.set_text("HypervisorType", "firecracker");
  metadata.set_flag("IsTemplate", false);
  metadata.set_text("ForkOfTemplate", "");
  metadata.set_text("HotPagesPath", "");
  metadata.set_text("FirecrackerSnapshotCacheKey", "");
  metadata.set_flag("FirecrackerUseUFFDOnNextRestore", false);
  return metadata;
}

std::vector<Disk> init_guest(const store::Store& store, const InitRequest& request,
                             base::Effect effect) {
  const auto refuse_existing = [&] {
    if (guest_exists(store, request.id)) {
      throw base::Refused("cannot create guest " + base::quoted(request.id) +
                          ": the guest already exists");
    }
  };
  refuse_existing();
  CheckedImport checked = check_import(store, request);
  // Symbolic links are resolved, because unlink_source must remove the second name of each inode.
  std::vector<std::string> sources{real_path(request.state), real_path(request.memory)};
  for (const InitDisk& disk : request.disks) {
    sources.push_back(real_path(disk.file));
  }
  const std::string dir = store.tmp_dir() + "/init." + request.id;
  if (!request.of_copies) {
    refuse_files_of_guests(store, sources);
  }
  if (base::is_dry_run(effect)) {
    store::require_free(store, request.id);
    if (!request.of_copies) {
      if (!store::path_exists(dir)) {
        refuse_links(sources);
      }
      require_same_filesystem(store, sources);
    }
    return std::move(checked.disks);
  }
  store.create_layout();
  const store::GuestLocks lock(store, request.id);
  refuse_existing();
  store::remove_tree(store, dir);
  refuse_links(sources);
  try {
    Metadata metadata =
        new_guest_metadata(request.id, request.name.empty() ? request.id : request.name,
                           static_cast<int64_t>(checked.state.mem_size_mib) * kMib);
    set_disks(metadata, checked.disks);
    record_snapshot(metadata, request, checked);
    build(dir, request, checked.disks, metadata);
    if (!store::rename_new(store, dir, store.guest_dir(request.id))) {
      throw base::Refused("cannot create guest " + base::quoted(request.id) +
                          ": the guest already exists");
    }
  } catch (...) {
    try {
      store::remove_tree(store, dir);
    } catch (const std::exception&) {
      // The first failure is reported. The next init of this id removes the directory.
    }
    throw;
  }
  store::sync_dir(store.guests_dir());
  store::sync_dir(store.tmp_dir());
  for (const std::string& source : sources) {
    unlink_source(source, request.id);
  }
  return std::move(checked.disks);
}

}  // namespace meta
