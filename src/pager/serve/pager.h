// SPDX-License-Identifier: Apache-2.0
// The page server: places where VMMs may connect, and the sessions of those that did.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/deadline.h"
#include "base/fd.h"
#include "base/unix_listener.h"
#include "base/unix_socket.h"
#include "pager/protocol/handshake.h"
#include "pager/serve/closer.h"
#include "pager/serve/refused_peer.h"
#include "pager/serve/session.h"
#include "pager/serve/vmm_records.h"

namespace pager {

// A socket, and what a VMM that connects there is served with.
struct Place {
  std::string id;
  std::string instance_id;  // labels, shown and not used
  std::string cache_key;
  std::string socket_path;
  base::SocketClaim claim = base::SocketClaim::directory_is_ours;
  std::optional<uid_t>
      peer_uid;  // may connect, beside root and our own user; the socket is given to it
  bool many =
      false;  // any number of VMMs, sessions "1", "2", ...; else one, and the socket is gone then

  std::shared_ptr<const Image> image;
  std::shared_ptr<const HotFile> hot;  // may be null
  bool hot_refused = false;            // one was asked for and cannot be used
  std::string trace_path;              // may be empty; further sessions of one place: PATH.SESSION
  bool traced = false;                 // the first session has trace_path
  OnFailure on_failure = OnFailure::poison;
  OnRefusal on_refusal = OnRefusal::kill;
  uint32_t read_attempts = kReadAttempts;
  std::optional<Window> window;  // not given: automatic, and for a traced session each page alone
};

// What is known of a session, at one moment.
struct SessionInfo {
  std::string id;
  std::string instance_id;
  std::string cache_key;
  std::string socket_path;
  std::string memory_path;
  uint64_t memory_device = 0;
  uint64_t memory_inode = 0;
  const char* state = "waiting";  // "waiting" for its VMM, "serving", "closing": closed, VMM lives
  pid_t vmm_pid = 0;
  uint64_t vmm_start_time = 0;  // base::process_start_time; 0 when not known
  std::vector<hot::Region> regions;
  Totals totals;
  uint64_t p50_ns = 0;
  uint64_t p99_ns = 0;
  Octaves latency{};
  std::string hot_list_path;                       // empty: none
  uint64_t hot_list_entries = 0;                   // as they stand in the list
  std::shared_ptr<const Completion> completion{};  // the last one; may be null
  std::optional<Refusals::Last> refused{};         // VMMs that were not served here
};

// Of all sessions together, at one moment.
struct ServerInfo {
  bool draining = false;
  size_t waiting = 0;
  size_t serving = 0;
  size_t closing = 0;
  Totals totals;  // since the start; gauges are of the sessions that have not ended
  Octaves latency{};
};

// Thrown by Pager::open when the server takes no new sessions.
class Draining : public base::Refused {
 public:
  using base::Refused::Refused;
};

// Thrown by Pager::open when the id is in use for something else.
class Occupied : public base::Refused {
 public:
  using base::Refused::Refused;
};

// One thread, the caller of run(), owns all sockets that wait for somebody, so that sessions which
// are not connected cost no thread; each connected VMM has a thread of its own (Session). The other
// functions may be called from any thread, while run() runs or not.
//
// Rule: nothing that can block runs on the thread of run(), or under mutex_, on which it waits. No
// file that a peer or a request names is opened, read, written or closed there: memory files and
// hot lists are opened by the thread of the request, traces and the log are written by threads of
// their own, and what a peer has sent is closed by closer_. What remains are calls in the server's
// own run directory (sockets, records).
class Pager {
 public:
  // When run() returns, besides at the second terminating signal, and when drained and without
  // sessions.
  enum class End {
    when_told,
    when_idle,          // the last session has ended, or none came within `idle_start`
    after_last_client,  // somebody came, and all have left
  };

  struct Settings {
    End end = End::when_told;
    std::chrono::milliseconds handshake_timeout{5000};
    // A place for one VMM is closed when nobody has come within this time; 0: never.
    std::chrono::milliseconds connect_timeout{0};
    std::chrono::milliseconds idle_start{10'000};
    std::string record_dir{};  // of VmmRecords; empty: none
    // A signalfd, borrowed: the first signal drains, the second ends at once. -1: none.
    int signals = -1;
  };

  explicit Pager(Settings settings);
  // Ends the sessions that are left; their guests hang, the log names them.
  ~Pager();
  Pager(const Pager&) = delete;
  Pager(Pager&&) = delete;
  Pager& operator=(const Pager&) = delete;
  Pager& operator=(Pager&&) = delete;

  void run();

  // Listens at a place. A session of the same id that waits with the same contents of the same
  // memory file is that place already (`waits`: nothing changes); one that waits with older
  // contents of that file is replaced. Any other session of the same id is Occupied, or with
  // Existing::replace closed: a VMM that it serves is served on under the id "ID.old-N". Throws
  // Draining, or what binding a socket throws; then the table is as before.
  enum class Existing { keep, replace };
  enum class Opened { made, waits };
  Opened open(Place place, Existing existing = Existing::keep);
  // No VMM can connect from now on; one that is connected is served until it ends. False: unknown
  // id.
  bool close(std::string_view id);
  // What became of an order to a session.
  enum class Ordered { yes, unknown, not_connected, under_way };
  struct CompletionOrder {
    Ordered ordered = Ordered::unknown;
    std::shared_ptr<Completion> completion{};  // when it is `yes`
  };
  CompletionOrder complete(std::string_view id, uint64_t bytes_per_second, bool wait);
  // Null: goes on with the list that was paused.
  Ordered prefetch(std::string_view id, std::shared_ptr<const HotFile> list);
  Ordered pause_prefetch(std::string_view id);
  // The image that a session serves; null for an unknown id.
  std::shared_ptr<const Image> image_of(std::string_view id) const;
  // No new sessions from now on; what is there goes on, and run() returns when the last one has
  // ended.
  void drain();

  bool draining() const;
  size_t active() const;  // sessions, waiting ones too
  std::vector<SessionInfo> sessions() const;
  std::optional<SessionInfo> session(std::string_view id) const;
  // Of all sessions since the start.
  Totals totals() const;
  ServerInfo info() const;

 private:
  using Key = uint64_t;
  struct Waiting {
    Place place;
    base::UnixListener listener;
    base::Deadline deadline;
    std::shared_ptr<Refusals> refusals = std::make_shared<Refusals>();
    bool emptied = false;  // all that connected before it was shut are accepted
    bool taken = false;    // by the one VMM that it is for
    bool paused = false;   // not watched: too much of its peers is being closed
  };
  // A connection whose handshake is not whole.
  struct Greeting {
    Key place = 0;
    base::Fd socket;
    Vmm vmm;
    HandshakeReader reader;
    base::Deadline deadline = base::Deadline::never();
  };
  struct Connected {
    std::string id;
    std::string instance_id;
    std::string cache_key;
    std::string socket_path;
    bool closing = false;
    std::shared_ptr<Refusals> refusals;
    std::unique_ptr<Session> session;
  };

  void handle(Key key);
  Waiting* place_of(Key key);
  void accept_from(Key key);
  void accept_without_descriptors(Waiting& waiting);
  void admit(Key place, base::Fd socket);
  void limit_greetings(Key place);
  void read_greeting(Key key);
  void connect(Key key, Greeting& greeting, HandshakeReader::Result& handshake);
  static ServingPlan plan_for(Place& place, const std::string& session_id);
  void read_greetings_of(Key place);
  std::vector<Key> greetings_of(Key place) const;
  void refuse(Greeting greeting, const std::string& reason, base::Fd uffd = {});
  void drop(Key place, RefusedPeer peer, const std::string& reason);
  void refuse_all(const std::vector<Key>& greetings, const std::string& reason);
  void refuse_late_greetings();
  void close_late_places();
  void shut(Key place);
  void shut_all();
  void forget_if_done(Key place);
  void resume_paused();
  std::string free_old_id(const std::string& id, Key key) const;
  void record(Key key, const std::string& id, VmmRecords::Record vmm);
  void record_again();
  void terminate();
  void reap();
  bool finished();
  bool end_is_reached() const;
  int timeout_ms() const;
  void watch(int fd, Key key) const;
  static base::Fd open_spare();
  static bool descriptors_are_scarce(int fd);
  static void refuse_when_scarce(int fd);
  bool waits_already(const Place& place, Existing existing);
  void supersede(const std::string& id);
  Ordered find_connected(std::string_view id, Session*& session) const;
  static SessionInfo info_of(const Waiting& waiting);
  static SessionInfo info_of(const Connected& connected);

  Settings settings_;
  VmmRecords records_;
  base::Fd epoll_;
  base::Fd notify_;  // eventfd: a session has ended, or something for run() to look at
  base::Fd spare_;   // given up for a moment where no descriptor is left, to turn a peer away
  base::Deadline idle_start_;

  mutable std::mutex mutex_;  // all below
  // Events carry a key, never a descriptor or a pointer: one that is late finds nothing. Keys are
  // not used twice.
  Key next_key_ = 2;
  std::map<Key, Waiting> waiting_;
  // Places where no VMM can connect any longer. Each peer that has connected is served or refused;
  // then the place is removed.
  std::map<Key, Waiting> leaving_;
  std::map<Key, Greeting> greetings_;
  std::map<Key, Connected> connected_;
  std::map<std::string, Key, std::less<>> ids_;  // of what waits, or is connected
  std::set<Key> unrecorded_;  // connected, and without a file that names them yet
  base::Deadline record_again_ = base::Deadline::never();
  base::Deadline resume_at_ = base::Deadline::never();  // places that are paused
  uint64_t many_count_ = 0;
  Totals ended_totals_;
  Octaves ended_latency_{};
  bool draining_ = false;
  bool stop_ = false;
  bool had_session_ = false;

  Closer closer_;  // which has a lock of its own
};

}  // namespace pager
