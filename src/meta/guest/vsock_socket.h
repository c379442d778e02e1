// SPDX-License-Identifier: Apache-2.0
// The vsock socket of a guest: the directory for sockets with short paths, and leftover sockets.
#pragma once

#include <string>

namespace meta {

// Creates the directory of a guest's vsock socket in the run directory, and the run directory, with
// mode 0700, if they do not exist. Throws base::Refused if one of them belongs to another user, or
// if other users may write there.
void make_vsock_dir(const std::string& dir);

enum class Leftover { keep, remove };
// A VMM that was killed leaves its vsock socket, and the next load fails while it exists. Removes
// the socket at `path` unless a process listens on it; with Leftover::keep, only checks. An absent
// file is not an error. Throws base::Refused if a process listens there (`what` is the start of the
// message), and base::BadData if the file is not a socket.
void clear_vsock_socket(const std::string& path, const std::string& what, Leftover leftover);

}  // namespace meta
