// SPDX-License-Identifier: Apache-2.0
// The page server: the table of its sessions, waiting and connected.
#pragma once

#include <sys/types.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/deadline.h"
#include "base/fd.h"
#include "base/log_limit.h"
#include "pager/keep/keeper_link.h"
#include "pager/kernel/closer.h"
#include "pager/protocol/handshake.h"
#include "pager/serve/endpoints.h"
#include "pager/serve/prepared.h"
#include "pager/serve/recover.h"
#include "pager/serve/refused_peer.h"
#include "pager/serve/session.h"
#include "pager/serve/shared_state.h"
#include "pager/serve/vmm_records.h"

namespace pager {

class RunDir;

// A snapshot of one session.
struct SessionInfo {
  std::string id;
  std::string instance_id;
  std::string cache_key;
  std::string socket_path;
  std::string memory_path;
  uint64_t memory_device = 0;
  uint64_t memory_inode = 0;
  const char* state = "waiting";  // or "serving"; "closing": closed, its VMM still lives
  pid_t vmm_pid = 0;
  uint64_t vmm_start_time = 0;  // base::process_start_time; 0: not known
  Window window = Window::automatic();
  std::vector<hot::Region> regions;
  Totals totals;
  uint64_t p50_ns = 0;
  uint64_t p99_ns = 0;
  base::Log2Histogram latency{};
  std::string hot_list_path;      // empty: none
  uint64_t hot_list_entries = 0;  // entries of the list
  std::string trace_path;         // empty: none

  // A list that is refused or empty has nothing to compare.
  bool compares_list() const {
    return hot_list_entries > 0 && totals[Count::hot_list_refused] == 0;
  }
  // The pages outside of the list that the guest needed, in percent of all that it is known to
  // need: those and the pages of the list.
  uint64_t drift_percent() const {
    const uint64_t unlisted = compares_list() ? totals[Count::faults_unlisted] : 0;
    constexpr uint64_t kPercent = 100;
    return unlisted == 0 ? 0 : unlisted * kPercent / (hot_list_entries + unlisted);
  }
  std::shared_ptr<const Completion> completion{};  // the last one; may be null
  std::optional<Refusals::Last> refused{};         // VMMs that were not served here
};

// A snapshot of all sessions together.
struct ServerInfo {
  bool draining = false;
  size_t waiting = 0;
  size_t serving = 0;
  size_t closing = 0;
  uint64_t most_drift_percent = 0;     // of the connected sessions
  uint64_t recovered = 0;              // sessions whose server and keeper were killed together
  const KeeperPage* keeper = nullptr;  // null: none
  Totals totals;                       // since the start; gauges: only sessions that have not ended
  base::Log2Histogram latency{};
};

// Thrown by Pager::open while the server accepts no new sessions.
class Draining : public base::Refused {
 public:
  using base::Refused::Refused;
};

// Thrown by Pager::open if the id is in use by a different session.
class Occupied : public base::Refused {
 public:
  using base::Refused::Refused;
};

// One thread, the caller of run(), handles all sockets of sessions that wait, so a session needs a
// thread of its own only once its VMM is connected (Session). All other functions are thread-safe
// and may be called whether run() runs or not.
//
// Rule: nothing that can block runs on the thread of run() or under mutex_, on which that thread
// waits. That thread never opens, reads, writes or closes a file that a peer or a request names:
// the thread of the request opens memory files and hot lists, other threads write traces and the
// log, and closer_ closes what a peer has sent. Only calls in the server's own run directory
// (sockets, records) remain.
class Pager {
 public:
  // When run() returns, in addition to: at the second terminating signal, and when the server is
  // drained and has no sessions.
  enum class End {
    when_told,
    when_idle,          // the last session has ended, or none was created within `idle_start`
    after_last_client,  // at least one VMM connected, and all have ended
  };

  struct Settings {
    End end = End::when_told;
    std::chrono::milliseconds handshake_timeout{5000};
    // An endpoint for one VMM is closed if no VMM connects within this time; 0: never.
    std::chrono::milliseconds connect_timeout{0};
    std::chrono::milliseconds idle_start{10'000};
    std::string record_dir{};      // of VmmRecords, and of the states of sessions; empty: none
    KeeperLink* keeper = nullptr;  // borrowed; null: no keeper
    std::vector<std::string> options{};  // of this server, for the next keeper
    // Borrowed descriptors of Kept::service, after the state.
    std::vector<int> service{};
    RunDir* run_dir = nullptr;            // borrowed; null: none
    std::function<void()> on_restored{};  // the control socket is another one
    // A borrowed signalfd. The first signal drains the server, the second ends it at once. -1:
    // none.
    int signals = -1;
  };

  explicit Pager(Settings settings);
  // Ends the remaining sessions. Their guests hang, and the log names them.
  ~Pager();
  Pager(const Pager&) = delete;
  Pager(Pager&&) = delete;
  Pager& operator=(const Pager&) = delete;
  Pager& operator=(Pager&&) = delete;

  // Continues what earlier servers left. `prepared` has images that were opened before. Call it
  // before run().
  void adopt(HeldThings things, Prepared& prepared);
  // The same if the keeper was killed, too.
  void recover(Recovery recovery, Prepared& prepared);
  // Gives Settings::service to the keeper. `control`: the control socket.
  void hold_service(base::FileId control = {});
  // This server ends by itself: so does the keeper.
  void say_goodbye();
  void run();
  // Whether run() has returned because the keeper has a successor (kLeaveSignal).
  bool left() const { return left_; }
  // Then: completes what a successor cannot continue, and ends the process. Sessions are served
  // until its very end, but those that write a trace.
  [[noreturn]] void leave();

  // Creates an endpoint. If a session of the same id waits with the same contents of the same
  // memory file, nothing changes and the result is `waits`. If it waits with older contents of that
  // file, it is replaced. For any other session of the same id this throws Occupied, or with
  // Existing::replace closes that session; its VMM is still served, under the id "ID.old-N". Throws
  // Draining, or what binding a socket throws. After an exception the table is unchanged.
  enum class Existing { keep, replace };
  enum class Opened { made, waits };
  Opened open(Endpoint endpoint, Existing existing = Existing::keep);
  // Closes the endpoint. A connected VMM is served until it ends. Returns false if the id is
  // unknown.
  bool close(std::string_view id);
  // The result of an order to a session.
  enum class Ordered { yes, unknown, not_connected, already_running };
  struct CompletionOrder {
    Ordered ordered = Ordered::unknown;
    std::shared_ptr<Completion> completion{};  // set if `ordered` is `yes`
  };
  CompletionOrder complete(std::string_view id, uint64_t bytes_per_second, bool wait);
  // With null, continues the list that was paused.
  Ordered prefetch(std::string_view id, std::shared_ptr<const HotFile> list);
  Ordered pause_prefetch(std::string_view id);
  // Writes a mark into the trace of the session. already_running: it has no trace.
  Ordered mark(std::string_view id, std::string name);
  // Begins a trace in the file `path`, or ends it if `path` is empty. already_running: the session
  // has a trace, or none to end.
  Ordered trace(std::string_view id, std::string path);
  // The image that a session serves; null if the id is unknown.
  std::shared_ptr<const Image> image_of(std::string_view id) const;
  // Accepts no new sessions from now on. Existing sessions continue; run() returns when the last
  // has ended.
  void drain();

  // Orders the keeper to replace this server by one of the program. Returns 0 or an errno; EPIPE:
  // no keeper, EBUSY: an upgrade runs.
  int upgrade(int program) {
    return settings_.keeper != nullptr ? settings_.keeper->upgrade(program) : EPIPE;
  }
  // What the keeper reports; null without a keeper.
  const KeeperPage* keeper() const {
    return settings_.keeper != nullptr ? &settings_.keeper->page() : nullptr;
  }
  // Sessions that recover() has continued.
  uint64_t recovered() const;
  bool draining() const;
  size_t active() const;  // including waiting sessions
  std::vector<SessionInfo> sessions() const;
  std::optional<SessionInfo> session(std::string_view id) const;
  // The totals of all sessions since the start.
  Totals totals() const;
  ServerInfo info() const;

 private:
  using Key = Endpoints::Key;
  // Of epoll events that are not of an endpoint or a connection.
  static constexpr Key kNotifyKey = 0;
  static constexpr Key kSignalKey = 1;
  static constexpr Key kKeeperKey = ~Key{0};
  static constexpr Key kRunDirKey = kKeeperKey - 1;
  using Waiting = Endpoints::Waiting;
  using PendingHandshake = Endpoints::PendingHandshake;
  struct Connected {
    std::string id;
    std::string instance_id;
    std::string cache_key;
    std::string socket_path;
    bool closing = false;
    Key endpoint = 0;  // that its VMM connected to
    std::shared_ptr<Refusals> refusals;
    std::unique_ptr<Session> session;

    void set_closing() {
      closing = true;
      session->change_state([](SessionState& state) { state.closing = 1; });
    }
  };

  void adopt_service(HeldThings& things);
  enum class Holding { already, not_yet };  // by the keeper
  void adopt_session(Key key, HeldThing& thing, Prepared& prepared, Holding holding);
  bool adopt_endpoint(Key key, HeldThing& thing, Prepared& prepared, bool taken);
  void check_taken_over();
  void set_busy(bool busy) const;
  bool hold_session(Key key, Key endpoint, const Image& image, const Session::Handles& handles);
  void hold_endpoint(Key key, Waiting& waiting);
  void give_endpoint(Key key, const Waiting& waiting) const;
  void give_service() const;
  void give_everything();
  void check_keeper();
  void start_keeper();
  void watch_keeper() const;
  void note_run_dir_event();
  void check_run_dir();
  void restore_run_dir();
  void restore_endpoints();
  void restore_states();
  void let_go(Key key);
  ServiceState& service() const { return service_.as<ServiceState>(); }
  void handle(Key key);
  void handle_time();
  void expire_endpoints();
  void forget_endpoint(Key key, const Endpoint& endpoint);
  static std::optional<std::string> problem_of(const Waiting& waiting,
                                               std::span<const hot::Region> regions);
  std::string new_session_id(const Endpoint& endpoint, Key endpoint_key, Key key);
  void connect(Key key, PendingHandshake& pending, HandshakeReader::Result& handshake);
  bool start_session(Key key, const std::string& id, Waiting& waiting, PendingHandshake& pending,
                     HandshakeReader::Result& handshake);
  static ServingPlan plan_for(Waiting& waiting, const std::string& session_id);
  // What a VMM has sent. Its parts are moved from.
  struct Connecting {
    PendingHandshake& pending;
    HandshakeReader::Result& handshake;
  };
  Session::Handles handles_of(Key key, const std::string& id, const ServingPlan& plan,
                              const Endpoint& endpoint, const Connecting& from);
  std::string free_old_id(const std::string& id, Key key) const;
  void record(Key key, const std::string& id, VmmRecords::Record vmm);
  void record_again();
  void terminate();
  void reap();
  bool finished();
  bool end_is_reached() const;
  int timeout_ms() const;
  bool waits_already(const Endpoint& endpoint, Existing existing);
  void supersede(const std::string& id);
  Ordered find_connected(std::string_view id, Session*& session) const;
  static SessionInfo info_of(const Waiting& waiting);
  static SessionInfo info_of(const Connected& connected);

  Settings settings_;
  VmmRecords records_;
  base::Fd epoll_;
  base::Fd notify_;  // eventfd: a session has ended, or run() must check its deadlines
  base::Deadline idle_start_;

  mutable std::mutex mutex_;  // protects all members below, except closer_
  std::map<Key, Connected> connected_;
  std::map<std::string, Key, std::less<>> ids_;  // of waiting and connected sessions
  std::set<Key> unrecorded_;                     // connected, but their record is not written yet
  base::Deadline record_again_ = base::Deadline::never();
  SharedMemory service_;  // ServiceState
  StateFiles state_files_;
  std::set<Key> taking_over_;  // sessions of earlier servers that do not serve yet
  bool reported_ready_ = false;
  bool lock_warned_ = false;
  bool stop_ = false;
  // Only the thread of run() uses these.
  base::Deadline keeper_again_ = base::Deadline::never();  // when the next keeper is started
  unsigned keeper_failures_ = 0;                           // keepers that did not run, in a row
  base::Deadline check_run_dir_ = base::Deadline::never();
  base::LogLimit run_dir_failures_{1, std::chrono::minutes(1)};
  bool left_ = false;  // only the thread of run() uses it

  Closer closer_;  // has its own lock
  Endpoints endpoints_;
};

}  // namespace pager
