// SPDX-License-Identifier: Apache-2.0
// The sockets where VMMs connect, and the connections whose handshake is incomplete.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/fd.h"
#include "base/unix_listener.h"
#include "base/unix_socket.h"
#include "pager/faults/hot_file.h"
#include "pager/faults/vmm.h"
#include "pager/image/image.h"
#include "pager/keep/keeper_link.h"
#include "pager/kernel/closer.h"
#include "pager/protocol/handshake.h"
#include "pager/serve/refused_peer.h"
#include "pager/serve/serving_options.h"
#include "pager/serve/shared_state.h"

namespace pager {

// A socket, and how a VMM that connects there is served.
struct Endpoint {
  std::string id;
  std::string instance_id;  // labels, shown and not used
  std::string cache_key;
  std::string socket_path;
  base::SocketClaim claim = base::SocketClaim::directory_is_ours;
  // True: any number of VMMs, as sessions "1", "2", ... False: one VMM; the server then closes the
  // socket.
  bool many = false;

  std::shared_ptr<const Image> image;
  std::shared_ptr<const HotFile> hot;  // may be null
  bool hot_refused = false;            // the requested list cannot be used
  ServingOptions serving;              // a second session and later ones use trace PATH.SESSION
  bool traced = false;                 // a session already uses the trace
};

// Accepts peers, reads their handshakes, and refuses them; knows no sessions. Its owner, Pager,
// calls it under its mutex. Nothing here may block: see Pager.
class Endpoints {
 public:
  // Events carry a key instead of a descriptor or a pointer, so a late event finds no entry. Keys
  // are never reused; 0 and 1 are free for the owner.
  using Key = uint64_t;
  struct Waiting {
    Endpoint endpoint;
    base::UnixListener listener;
    base::Deadline deadline;
    SharedMemory state{};  // EndpointState and its text; not mapped without a keeper
    base::Fd
        kept_image{};  // the image for the keeper, an open file of its own; -1: that of `endpoint`
    std::shared_ptr<Refusals> refusals = std::make_shared<Refusals>();
    bool emptied = false;  // all peers that connected before the shutdown are accepted
    bool taken = false;    // its one VMM is connected
    bool paused = false;   // not polled: too many of its connections are being closed
  };
  // A connection whose handshake is incomplete.
  struct PendingHandshake {
    Key key = 0;
    Key endpoint = 0;
    base::Fd socket;
    Vmm vmm;
    HandshakeReader reader;
    base::Deadline deadline = base::Deadline::never();
  };
  struct Events {
    // A handshake is complete: serve it, under the key `key`, or refuse it. If it throws, `pending`
    // and `handshake` must be unchanged; the peer is then refused.
    std::function<void(Key key, PendingHandshake& pending, HandshakeReader::Result& handshake)>
        connect;
    // The endpoint accepts no further VMM.
    std::function<void(Key key, const Endpoint& endpoint)> stopped;
  };

  // `epoll` is borrowed; its events must be passed to handle(). `keeper`, if not null, accepts the
  // connections and holds them until drop_from_keeper() or a session replaces them.
  Endpoints(int epoll, std::chrono::milliseconds handshake_timeout, Closer& closer, Events events,
            KeeperLink* keeper);

  Key new_key() { return next_key_++; }
  Key next_key() const { return next_key_; }
  void set_next_key(Key key) { next_key_ = key; }
  // Adds a descriptor to the epoll set.
  void watch(int fd, Key key) const;
  void unwatch(int fd) const;
  // The caller watches the listener.
  void add(Key key, Waiting waiting);
  void handle(Key key);
  // Continues a connection that the server before this one had accepted.
  void adopt_connection(Key key, Key endpoint, base::Fd socket);
  // Accepts all peers that have connected to an endpoint, and reads what they have sent.
  void accept_and_read(Key key);
  // Listens at another socket. The old one was removed, and its peers are accepted.
  void replace_listener(Key key, base::UnixListener listener);
  // Stops listening. VMMs that have connected are afterward pending or served.
  void shut(Key endpoint);
  void shut_all();

  // Refuses the peer. `pending` is no longer in the table. `uffd` is the userfaultfd of its
  // handshake, if that was complete.
  void refuse(PendingHandshake pending, const std::string& reason, base::Fd uffd = {});
  void drop(Key key, Key endpoint, RefusedPeer peer, const std::string& reason);
  // All pending handshakes.
  void refuse_pending(const std::string& reason);
  void refuse_pending_of(Key endpoint, const std::string& reason);

  // When expire_handshakes(), expired() or resume_paused() have work.
  base::Deadline next_deadline() const;
  void expire_handshakes();
  // The oldest endpoint at which no VMM has connected in time.
  std::optional<Key> expired() const;
  void resume_paused();

  // nullptr if no endpoint has the key.
  Waiting* find(Key key);
  const std::map<Key, Waiting>& waiting() const { return waiting_; }
  bool is_leaving(Key key) const { return leaving_.contains(key); }
  const std::map<Key, Waiting>& leaving() const { return leaving_; }
  const std::map<Key, PendingHandshake>& pending() const { return pending_; }
  bool has_pending() const { return !pending_.empty(); }
  // The keys of pending handshakes of one endpoint, the oldest first; of all for endpoint 0.
  std::vector<Key> pending_of(Key endpoint) const;

  // Throws std::system_error if `fd` is among the last descriptors that RLIMIT_NOFILE permits.
  static void refuse_when_scarce(int fd);

 private:
  static bool descriptors_are_scarce(int fd);
  void accept_pending(Key key);
  void accept_without_descriptors(Waiting& waiting);
  void watch_connection(PendingHandshake& pending) const;
  std::optional<base::Fd> accept(const Waiting& waiting, Key endpoint, Key key);
  void admit(Key key, Key endpoint, base::Fd socket);
  void drop_from_keeper(Key key);
  void limit_pending(Key endpoint);
  void read_handshake(Key key);
  void read_pending_of(Key endpoint);
  void refuse_all(const std::vector<Key>& handshakes, const std::string& reason);
  void forget_if_done(Key endpoint);

  int epoll_;
  std::chrono::milliseconds handshake_timeout_;
  Closer& closer_;
  Events events_;
  KeeperLink* keeper_;
  base::Fd spare_;  // closed briefly, when no descriptor is left, to reject a peer
  Key next_key_ = 2;
  std::map<Key, Waiting> waiting_;
  // Endpoints that accept no further VMM. After each peer that has connected is served or refused,
  // the endpoint is removed.
  std::map<Key, Waiting> leaving_;
  std::map<Key, PendingHandshake> pending_;
  base::Deadline resume_at_ = base::Deadline::never();  // paused endpoints
};

}  // namespace pager
