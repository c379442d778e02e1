// SPDX-License-Identifier: Apache-2.0
// Looks up paths of a state in snapfork.disks, and plain file names in the guest's directory.
#include "meta/guest/guest_paths.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/file_status.h"
#include "base/utf8.h"
#include "meta/guest/snapshot_record.h"
#include "store/vmm_names.h"

namespace meta {
namespace {

constexpr std::string_view kVsockKey = "VsockSocket";

// The components of an absolute path. Empty if it is not one, or if a component is empty, "." or
// "..", or has control characters.
std::vector<std::string_view> plain_components(std::string_view path) {
  std::vector<std::string_view> components;
  if (!path.starts_with('/') || !base::is_printable(path)) {
    return {};
  }
  while (!path.empty()) {
    path.remove_prefix(1);
    const std::string_view component = path.substr(0, path.find('/'));
    if (component.empty() || component == "." || component == "..") {
      return {};
    }
    components.push_back(component);
    path.remove_prefix(component.size());
  }
  return components;
}

bool may_be_disk(std::string_view component) {
  return !is_reserved_name(component) && !base::is_temporary_name(component) &&
         !store::is_socket_name(component) && !store::is_half_compressed_name(component);
}

// FILE or DIR/FILE in ".../guests/ID/FILE".
std::optional<std::string> name_in_guest_dir(std::string_view path) {
  const std::vector<std::string_view> components = plain_components(path);
  for (const size_t depth : {1U, 2U}) {
    const size_t tail = depth + 2;
    if (components.size() < tail) {
      break;
    }
    const auto from = components.end() - static_cast<ptrdiff_t>(tail);
    if (from[0] == "guests" && store::is_valid_id(from[1]) &&
        std::all_of(from + 2, components.end(), may_be_disk)) {
      return depth == 1 ? std::string(from[2]) : std::string(from[2]).append("/").append(from[3]);
    }
  }
  return std::nullopt;
}

// Whether the guest's directory has this regular file. Throws base::BadData for a symbolic link.
bool has_file(const store::Store& store, const std::string& dir, const std::string& file) {
  const std::string path = dir + "/" + file;
  const std::optional<base::Fd> fd = store.try_open_below(path, O_PATH);
  return fd && S_ISREG(base::stat_fd(fd->get(), path).st_mode);
}

// "the drive '/path'"
std::string name_of(const vmstate::EmbeddedText& path) {
  return std::string("the ") + vmstate::role_name(path.role) + " " + base::quoted(path.text);
}

std::string path_in_vsock_dir(const GuestPlace& place) {
  return place.vsock_dir.empty() ? "" : place.vsock_dir + "/" + place.session + ".sock";
}

}  // namespace

std::string vsock_path_of(const GuestPlace& place, const std::string& what) {
  std::string near = place.dir + "/" + kVsockName;
  std::string far = path_in_vsock_dir(place);
  if (near.size() <= kMaxVsockPath) {
    return near;
  }
  if (!far.empty() && far.size() <= kMaxVsockPath) {
    return far;
  }
  const std::string& shorter = far.empty() || near.size() < far.size() ? near : far;
  throw base::Refused(what + ": the path of its vsock socket, " + base::quoted(shorter) + ", has " +
                      std::to_string(shorter.size()) + " bytes, and " +
                      std::to_string(kMaxVsockPath) +
                      " are the most; use a shorter id, or set SNAPFORK_PAGER to a shorter path");
}

void throw_unknown_paths(const vmstate::VmState& state, const std::string& what) {
  throw base::Unsupported(
      what + ": " + state.paths_problem +
      ", so loading it may open disks of another guest; if it has none, import it again with "
      "--assume-no-paths");
}

bool uses_vsock_dir(const GuestPlace& place, const std::vector<std::string>& paths) {
  const std::string path = path_in_vsock_dir(place);
  return !path.empty() && std::ranges::find(paths, path) != paths.end();
}

GuestPaths::GuestPaths(const Metadata& metadata)
    : disks_(disks_of(metadata)),
      shared_files_(shared_files(metadata)),
      assumes_no_paths_(meta::assumes_no_paths(metadata)) {}

std::optional<std::string> GuestPaths::file_for(std::string_view path) const {
  const auto disk = std::ranges::find(disks_, path, &Disk::embedded_path);
  return disk != disks_.end() ? disk->file : name_in_guest_dir(path);
}

bool GuestPaths::is_shared(std::string_view path) const {
  return std::ranges::find(shared_files_, path) != shared_files_.end();
}

std::optional<std::vector<std::string>> GuestPaths::own_paths(const store::Store& store,
                                                              const vmstate::VmState& state,
                                                              const GuestPlace& place,
                                                              const std::string& what) const {
  if (!state.paths_problem.empty()) {
    if (assumes_no_paths_) {
      return std::nullopt;
    }
    throw_unknown_paths(state, what);
  }
  std::vector<std::string> paths;
  for (const vmstate::EmbeddedText& path : state.paths) {
    std::string own = path.role == vmstate::Role::vsock ? vsock_path_of(place, what)
                                                        : own_file(store, path, place, what);
    const auto twin = std::ranges::find(paths, own);
    if (twin != paths.end()) {
      const vmstate::EmbeddedText& other = state.paths[static_cast<size_t>(twin - paths.begin())];
      if (other.text != path.text) {
        throw base::Refused(what + ": its state names " + name_of(path) + " and " + name_of(other) +
                            ", and both would become " + base::quoted(own));
      }
    }
    paths.push_back(std::move(own));
  }
  return paths;
}

// The path that a drive or pmem device must have.
std::string GuestPaths::own_file(const store::Store& store, const vmstate::EmbeddedText& path,
                                 const GuestPlace& place, const std::string& what) const {
  if (path.role != vmstate::Role::drive && path.role != vmstate::Role::pmem) {
    throw base::Unsupported(what + ": Firecracker cannot restore its device, " + name_of(path));
  }
  if (is_shared(path.text)) {
    if (!path.is_read_only) {
      throw base::Refused(what + ": its state opens " + name_of(path) +
                          " for writing, so it cannot be shared (snapfork.shared_files); import "
                          "the snapshot with --disk FILE=PATH");
    }
    return path.text;
  }
  const std::optional<std::string> file = file_for(path.text);
  if (!file || !has_file(store, place.files_dir, *file)) {
    throw base::Refused(
        what + ": its state names " + name_of(path) + ", and " +
        (file ? "its file " + base::quoted(*file) + " does not exist" : "it has no file for that") +
        "; import the snapshot with --disk FILE=PATH or --shared-file PATH");
  }
  return place.dir + "/" + *file;
}

bool record_own_paths(Metadata& metadata, const vmstate::VmState& state,
                      const std::vector<std::string>& paths, const std::string& dir) {
  bool changed = false;
  std::vector<Disk> disks = disks_of(metadata);
  for (Disk& disk : disks) {
    const std::string path = dir + "/" + disk.file;
    if (disk.embedded_path != path && std::ranges::find(paths, path) != paths.end()) {
      disk.embedded_path = path;
      changed = true;
    }
  }
  if (changed) {
    set_disks(metadata, disks);
  }
  for (size_t i = 0; i < paths.size(); ++i) {
    const std::string socket = metadata.text(kVsockKey);
    if (state.paths[i].role == vmstate::Role::vsock && !socket.empty() && socket != paths[i]) {
      metadata.set_text(kVsockKey, paths[i]);
      changed = true;
    }
  }
  return changed;
}

}  // namespace meta
