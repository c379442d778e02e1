// SPDX-License-Identifier: Apache-2.0
// Decides which file or socket of a guest each path in its state stands for.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/unix_socket.h"
#include "meta/guest/disks.h"
#include "meta/guest/metadata.h"
#include "meta/vmstate/vmstate.h"
#include "store/store.h"

namespace meta {

// The most bytes in the path of a vsock socket: for connections that the guest makes, Firecracker
// appends "_PORT", at most 11 bytes.
inline constexpr size_t kMaxVsockPath = base::kMaxSocketPath - 11;

// The name of the vsock socket in a guest's directory.
inline constexpr const char* kVsockName = "vsock.sock";

struct GuestPlace {
  std::string dir;        // the guest's directory, absolute; its paths in the state start with it
  std::string files_dir;  // the directory that has its files now: `dir`, or the clone of a fork
  std::string vsock_dir;  // for a socket whose path below `dir` is too long; empty if not known
  std::string session;    // the session name, which becomes the name of the socket in `vsock_dir`
};

// Returns the path of the guest's vsock socket: vsock.sock in its directory; if that path has more
// than kMaxVsockPath bytes, SESSION.sock in `vsock_dir`. Throws base::Refused "WHAT: ..." with the
// length if neither is short enough.
std::string vsock_path_of(const GuestPlace& place, const std::string& what);

// Throws base::Unsupported: the devices of the state could not be read, so loading it may open
// files of another guest. `what` is the start of the message, such as "cannot run 'ID'".
[[noreturn]] void throw_unknown_paths(const vmstate::VmState& state, const std::string& what);

// Whether one of `paths`, which own_paths returned for `place`, lies in its `vsock_dir`.
bool uses_vsock_dir(const GuestPlace& place, const std::vector<std::string>& paths);

// A path in a state is data of whoever made the snapshot. It is compared with other paths, and only
// a plain file name from it is ever looked up in a guest's directory.
class GuestPaths {
 public:
  // Reads snapfork.disks, snapfork.shared_files and snapfork.assume_no_paths. Throws base::BadData
  // if one of them has another form.
  explicit GuestPaths(const Metadata& metadata);

  // The name, relative to the guest's directory, of the file that `path` stands for: the one that
  // snapfork.disks has for this path, else FILE or DIR/FILE of ".../guests/ID/FILE", the layout of
  // a guest's directory in any store. Returns nothing if neither applies. The file may not exist.
  std::optional<std::string> file_for(std::string_view path) const;
  // Whether all forks use the host's file of that path (snapfork.shared_files).
  bool is_shared(std::string_view path) const;

  // The paths that the state must have, in the order of `state.paths`, so that loading it opens
  // only files and sockets of the guest at `place`, and shared files. Returns nothing if the state
  // must stay as it is: its devices cannot be read, and snapfork.assume_no_paths is set. `what` is
  // the start of messages, such as "cannot fork 'base'".
  //
  // Throws base::Refused for a path without a file, for a file that several paths stand for, for a
  // shared file that the VMM opens for writing, and for a socket path that is too long;
  // base::Unsupported for devices that cannot be read or restored.
  std::optional<std::vector<std::string>> own_paths(const store::Store& store,
                                                    const vmstate::VmState& state,
                                                    const GuestPlace& place,
                                                    const std::string& what) const;

 private:
  std::string own_file(const store::Store& store, const vmstate::EmbeddedText& path,
                       const GuestPlace& place, const std::string& what) const;

  std::vector<Disk> disks_;
  std::vector<std::string> shared_files_;
  bool assumes_no_paths_ = false;
};

// Records paths that own_paths returned for `state` in the guest's metadata: `embedded_path` in
// snapfork.disks, and VsockSocket if the metadata has it. `dir` is the guest's directory. Returns
// whether the metadata changed.
bool record_own_paths(Metadata& metadata, const vmstate::VmState& state,
                      const std::vector<std::string>& paths, const std::string& dir);

}  // namespace meta
