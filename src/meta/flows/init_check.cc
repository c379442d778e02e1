// SPDX-License-Identifier: Apache-2.0
// Checks the state, the memory, and that each drive of the state has a file.
#include "meta/flows/init_check.h"

#include <sys/stat.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/file_status.h"
#include "base/message.h"
#include "meta/vmstate/formats.h"
#include "store/files.h"
#include "store/store_path.h"
#include "store/vmm_names.h"

namespace meta {
namespace {

constexpr int64_t kMib = int64_t{1} << 20U;

std::string base_name(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

struct stat stat_regular(const std::string& path) {
  struct stat st {};
  if (::stat(path.c_str(), &st) != 0) {
    base::throw_errno("cannot import " + base::quoted(path));
  }
  if (!S_ISREG(st.st_mode)) {
    throw base::BadData("cannot import " + base::quoted(path) + ": it is not a regular file");
  }
  return st;
}

// Firecracker saves no state of these devices, and a fork would use the back end of its source.
void refuse_vhost_user(const InitRequest& request, const vmstate::VmState& state) {
  for (const vmstate::EmbeddedText& path : state.paths) {
    if (path.role == vmstate::Role::vhost_user_block) {
      throw base::Unsupported("cannot import " + base::quoted(request.state) +
                              ": it has a vhost-user device, " + base::quoted(path.text) +
                              ", which Firecracker cannot restore");
    }
  }
}

// Firecracker refuses to load a state of another release's snapshot version.
void check_firecracker(const InitRequest& request, const vmstate::VmState& state) {
  const std::optional<vmstate::ReleaseNumber> release = vmstate::parse_release(request.firecracker);
  const auto writes = release ? vmstate::versions_loaded_by(*release) : vmstate::VersionRange();
  if (!writes.includes(state.snapshot_version)) {
    throw base::BadData("cannot import " + base::quoted(request.state) + ": Firecracker " +
                        request.firecracker + " writes snapshot version " + writes.text() +
                        ", and this state has " + state.snapshot_version);
  }
}

// Checks the state and the size of the memory. Returns the state with its devices.
vmstate::VmState check_snapshot(const InitRequest& request) {
  stat_regular(request.state);
  const std::string bytes = vmstate::read_vmstate_file(request.state);
  vmstate::VmState state = vmstate::parse_vmstate(bytes, request.state);
  if (!state.crc_ok) {
    throw base::BadData("cannot import " + base::quoted(request.state) +
                        ": its CRC is wrong; it is truncated or damaged");
  }
  vmstate::read_devices(bytes, state);
  if (state.layout_is_assumed) {
    base::say_warning(base::quoted(request.state) + ": " + vmstate::assumed_layout_warning(state));
  }
  check_firecracker(request, state);
  refuse_vhost_user(request, state);
  const int64_t expected =
      static_cast<int64_t>(state.mem_size_mib) * kMib + static_cast<int64_t>(state.hotplug_bytes);
  const int64_t actual = stat_regular(request.memory).st_size;
  if (actual != expected) {
    throw base::BadData("cannot import " + base::quoted(request.memory) + ": it has " +
                        std::to_string(actual) + " bytes, but " + base::quoted(request.state) +
                        " requires " + std::to_string(expected));
  }
  return state;
}

// A device whose file the VMM opens. (Firecracker makes the socket of a vsock itself.)
bool is_drive(const vmstate::EmbeddedText& path) {
  return path.role == vmstate::Role::drive || path.role == vmstate::Role::pmem;
}

bool names_drive(const vmstate::VmState& state, const std::string& path) {
  return std::ranges::any_of(state.paths, [&](const vmstate::EmbeddedText& embedded) {
    return embedded.text == path && is_drive(embedded);
  });
}

// The drives that the state contains, as advice for --disk.
std::string drives_text(const vmstate::VmState& state) {
  std::string names;
  for (const auto& embedded : state.paths) {
    if (is_drive(embedded)) {
      names += (names.empty() ? "" : ", ") + base::quoted(embedded.text);
    }
  }
  if (!state.paths_problem.empty()) {
    return "'snapshot-meta vmstate' prints what can be read of its version";
  }
  return names.empty() ? "it has no drives" : "its drives are " + names;
}

std::vector<Disk> check_disks(const InitRequest& request, const vmstate::VmState& state) {
  std::vector<Disk> disks;
  for (const InitDisk& disk_request : request.disks) {
    const struct stat st = stat_regular(disk_request.file);
    Disk disk{.file = base_name(disk_request.file),
              .embedded_path = disk_request.embedded_path.value_or(
                  names_drive(state, disk_request.file) ? disk_request.file
                                                        : store::absolute_path(disk_request.file)),
              .bytes = st.st_size};
    const bool is_taken = is_reserved_name(disk.file) ||
                          std::ranges::find(disks, disk.file, &Disk::file) != disks.end();
    if (is_taken) {
      throw base::UsageError("the disk " + base::quoted(disk_request.file) +
                             " cannot keep its name " + base::quoted(disk.file) +
                             ": the name is already used");
    }
    if (base::is_temporary_name(disk.file) || store::is_socket_name(disk.file) ||
        store::is_half_compressed_name(disk.file)) {
      throw base::UsageError("the disk " + base::quoted(disk_request.file) +
                             " cannot keep its name " + base::quoted(disk.file) +
                             ": forks do not copy files with such names; rename it");
    }
    if (std::ranges::find(disks, disk.embedded_path, &Disk::embedded_path) != disks.end()) {
      throw base::UsageError("the path " + base::quoted(disk.embedded_path) +
                             " is given to two disks");
    }
    if (!names_drive(state, disk.embedded_path)) {
      throw base::BadData("cannot import " + base::quoted(disk_request.file) + ": " +
                          base::quoted(request.state) + " has no drive " +
                          base::quoted(disk.embedded_path) + "; " + drives_text(state));
    }
    disks.push_back(std::move(disk));
  }
  return disks;
}

// A file that all forks open must be one that none of them can write, and that no other command
// changes or removes.
void check_shared_file(const store::Store& store, const InitRequest& request,
                       const vmstate::VmState& state, const std::string& path) {
  const std::string what = "cannot share " + base::quoted(path) + ": ";
  if (!names_drive(state, path)) {
    throw base::BadData(what + base::quoted(request.state) + " has no such drive; " +
                        drives_text(state));
  }
  const bool is_writable =
      std::ranges::any_of(state.paths, [&](const vmstate::EmbeddedText& embedded) {
        return embedded.text == path && is_drive(embedded) && !embedded.is_read_only;
      });
  if (is_writable) {
    throw base::Refused(
        what + "the guest can write to this drive; give each fork a copy with --disk FILE=" + path);
  }
  if (!path.starts_with('/')) {
    throw base::Refused(what +
                        "it is not an absolute path, so each VMM may open another file; import it "
                        "with --disk FILE=" +
                        path);
  }
  const struct stat file = base::stat_path(path);
  if (!S_ISREG(file.st_mode) && !S_ISBLK(file.st_mode)) {
    throw base::BadData(what + "it is neither a regular file nor a block device");
  }
  if (const std::optional<std::string> id = store::guest_of_path(store, path)) {
    throw base::Refused(what + "it belongs to the guest " + base::quoted(*id) +
                        "; import it with --disk FILE=" + path);
  }
}

// A fork would open the host's file of a drive without a file of the guest.
void require_files_of_drives(const InitRequest& request, const vmstate::VmState& state,
                             const std::vector<Disk>& disks) {
  std::string missing;
  for (const vmstate::EmbeddedText& path : state.paths) {
    if (is_drive(path) &&
        std::ranges::find(disks, path.text, &Disk::embedded_path) == disks.end() &&
        std::ranges::find(request.shared_files, path.text) == request.shared_files.end()) {
      missing += (missing.empty() ? "" : ", ") + std::string(vmstate::role_name(path.role)) + " " +
                 base::quoted(path.text);
    }
  }
  if (!missing.empty()) {
    throw base::Refused(
        "cannot import " + base::quoted(request.state) + ": it names " + missing +
        ", and forks would open these files of the host; add --disk FILE=PATH for each, "
        "or --shared-file PATH if it is read-only");
  }
}

void warn_of_unknown_paths(const InitRequest& request, const vmstate::VmState& state) {
  if (state.paths_problem.empty()) {
    return;
  }
  base::say_warning(
      base::quoted(request.state) + ": " + state.paths_problem +
      (request.assumes_no_paths
           ? "; it is assumed that the guest has no drives. If it has one, all forks write to it"
           : "; it cannot be forked or run. If the guest has no drives, import it with "
             "--assume-no-paths"));
}

bool is_file(const std::string& path) {
  const std::optional<struct stat> st = base::try_stat_path(path);
  return st && !S_ISDIR(st->st_mode);
}

}  // namespace

InitDisk divide_disk(const std::string& text) {
  const auto cut_at = [&](size_t cut) -> InitDisk {
    return {.file = text.substr(0, cut), .embedded_path = text.substr(cut + 1)};
  };
  const size_t first = text.find('=');
  for (size_t cut = first; cut != std::string::npos; cut = text.find('=', cut + 1)) {
    if (is_file(text.substr(0, cut))) {
      return cut_at(cut);
    }
  }
  const bool is_whole = first == std::string::npos || is_file(text);
  return is_whole ? InitDisk{.file = text, .embedded_path = std::nullopt} : cut_at(first);
}

CheckedImport check_import(const store::Store& store, const InitRequest& request) {
  CheckedImport checked{.state = check_snapshot(request), .disks = {}};
  checked.disks = check_disks(request, checked.state);
  for (const std::string& path : request.shared_files) {
    if (std::ranges::find(checked.disks, path, &Disk::embedded_path) != checked.disks.end()) {
      throw base::UsageError("the path " + base::quoted(path) +
                             " is given to --disk and to --shared-file");
    }
    check_shared_file(store, request, checked.state, path);
  }
  require_files_of_drives(request, checked.state, checked.disks);
  warn_of_unknown_paths(request, checked.state);
  return checked;
}

}  // namespace meta
