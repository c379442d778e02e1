// SPDX-License-Identifier: Apache-2.0
// The messages between the keeper and its page servers (docs/keeper.md).
#pragma once

#include <array>
#include <csignal>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/fd.h"

namespace pager {

// What the descriptors of a key belong to. The keeper reads only those that are marked.
enum class Kept : uint32_t {
  none,
  service,     // state; lock of the sessions' directory, control socket and its lock, if any
  endpoint,    // state, image, listening socket (the keeper accepts there); lock, if any
  connection,  // socket of a VMM whose handshake is not complete
  session,  // state, image, userfaultfd, socket, pidfd of the VMM (the keeper kills by it), if any
};
// The position of a descriptor.
namespace kept {
enum Service : size_t { kServiceState, kDirectoryLock, kControl, kControlLock };
enum Endpoint : size_t { kEndpointState, kEndpointImage, kListener, kListenerLock };
enum Session : size_t { kState, kImage, kUffd, kSocket, kPidfd };
// Of the first message to a keeper that a server has started; its value is the server's pid.
enum First : size_t { kPage, kServerPidfd, kServerBinary, kFirstFds };
}  // namespace kept

// One message is one packet of this size, with up to kMostFds descriptors. Both sides run on one
// machine and from one package or two releases of it, so the form has a version.
struct KeepMessage {
  enum class Type : uint32_t {
    // From a server. `hold`, `accept` and `drop` are answered by a `reply`.
    hello,   // the first message; the versions of SessionState that it reads: key the oldest,
             // value the newest
    hold,    // keep these descriptors for `key`, instead of earlier ones
    drop,    // close those of `key`
    accept,  // accept at the endpoint `value`, and keep the connection for `key`
    ready,   // all that was kept is served; value: number of removals that were replayed
    // From the keeper.
    reply,  // value: 0 or an errno; of `accept`: with the descriptor of the connection
    go,     // serve now; all descriptors were sent before. value: generation, 1 for the first
    // Of an upgrade. New types are added at the end: keeper and server may be of two releases.
    upgrade,  // from the server that serves: start the program of this descriptor; it is answered
    check,    // to the new server: report what of the things sent before it cannot serve
    checked,  // from it; value: number of these things
  };
  static constexpr uint32_t kVersion = 1;
  static constexpr size_t kMostFds = 5;

  uint32_t version = kVersion;
  Type type = Type::hello;
  Kept kind = Kept::none;
  uint32_t fd_count = 0;
  uint64_t key = 0;
  uint64_t parent = 0;  // of a connection or a session: the key of its endpoint
  uint64_t value = 0;
};
static_assert(sizeof(KeepMessage) == 40);

// The exit status of a server that leaves its guests to its successor. The keeper asks for that
// with kLeaveSignal.
inline constexpr int kLeftStatus = static_cast<int>(base::ExitCode::try_again);
inline constexpr int kLeaveSignal = SIGUSR1;

// Sends one message. Returns 0 or an errno: EAGAIN if the peer does not read fast enough, EPIPE if
// it has ended. Never blocks.
int send_message(int socket, KeepMessage message, std::span<const int> fds);

// The other side has closed its socket, as it does when it ends.
class PeerEnded : public base::BadData {
 public:
  PeerEnded() : BadData("the other side of the keeper's socket has ended") {}
};

struct ReceivedMessage {
  KeepMessage message;
  std::vector<base::Fd> fds;
};
// Receives one message without blocking; nothing if there is none. Throws PeerEnded, or
// base::BadData if the peer speaks another version. If descriptors were lost (RLIMIT_NOFILE), sets
// `lost`; without `lost` it throws base::BadData.
std::optional<ReceivedMessage> receive_message(int socket, bool* lost = nullptr);

}  // namespace pager
