// SPDX-License-Identifier: Apache-2.0
// The keeper: holds the descriptors of all guests while page servers come and go.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/deadline.h"
#include "base/fd.h"
#include "pager/keep/fd_store.h"
#include "pager/keep/hang_watch.h"
#include "pager/keep/keeper_page.h"
#include "pager/keep/kept_server.h"
#include "pager/keep/quarantine.h"
#include "pager/keep/upgrade.h"
#include "pager/kernel/closer.h"

namespace pager {

// One thread, and those of a Closer: close(2) blocks if the filesystem of an image does not answer.
// It understands no byte that a client or a VMM has sent, touches no guest memory, and does nothing
// while no server asks for something:
//
//| a server asks                 hold or close descriptors, or accept at a listening socket
//| the server that serves hangs  it is killed
//| the server that serves ends   its successor, which has started and waits, gets the order to
//|                               serve; then the next successor is started
//| the successor ends            the next one is started
//| the server ends by itself     so does the keeper
//| a server gets an upgrade      one of the other program is started and checked, the old one is
//|                               asked to leave, and the program of the servers is replaced when
//|                               the new one serves
//
// A successor gets the order to serve only when the process before it has ended completely
// (waitid): two servers on one userfaultfd would install stale pages.
class Keeper {
 public:
  // `signals` is a signalfd of the signals that the server that serves gets.
  struct Settings {
    std::chrono::milliseconds hang_timeout{2000};
    OnPoisonous on_poisonous = OnPoisonous::kill;
  };
  // `stored`: what an earlier keeper has left at the service manager.
  Keeper(ServerProgram program, int signals, const Settings& settings, FdStore::Stored stored = {});
  // Takes the place of a keeper that has ended: the server that serves has started this process,
  // and gives it everything. `page` is that of the keeper before, with its settings.
  Keeper(ServerProgram program, int signals, base::Fd page, KeptServer serving);
  // Ends the servers that wait.
  ~Keeper();
  Keeper(const Keeper&) = delete;
  Keeper(Keeper&&) = delete;
  Keeper& operator=(const Keeper&) = delete;
  Keeper& operator=(Keeper&&) = delete;

  // Starts the first server; the next one, if an earlier keeper has left something. Returns the
  // exit status of the last.
  int run();

 private:
  void wait();
  void start_first();
  void start_successor();
  void receive(KeptServer& server);
  void handle(KeptServer& server, ReceivedMessage& received, bool lost);
  void hold(uint64_t key, HeldThing thing);
  void drop(uint64_t key);
  void accept(KeptServer& server, const KeepMessage& request);
  void reply(KeptServer& server, int error, int fd = -1);
  bool handle_ends();
  bool ends_with(const KeptServer::End& end);
  void note_active_end(const KeptServer::End& end);
  void note_end(const KeptServer& server);
  void promote();
  bool holds_session() const;
  void end_hung_server();
  void kill_active();
  void queue(uint64_t key);
  int begin_upgrade(ReceivedMessage& request, bool lost);
  void end_upgrade();
  void handle_upgrade();

  ServerProgram program_;
  int signals_;
  FdStore store_;
  base::Fd page_fd_;
  KeeperPage& page_;
  Closer closer_;  // closes what the keeper has dropped
  HeldThings held_;
  std::optional<KeptServer> active_;
  std::optional<KeptServer> successor_;
  Upgrade upgrade_;
  unsigned failures_ = 0;  // servers that have ended before they could serve, in a row
  base::Deadline start_at_ = base::Deadline::never();  // of the next server
  HangWatch hangs_;
  Quarantine quarantine_;
  std::vector<HeldThing> abandoned_;  // of a server that ended before it had given everything
  uint64_t hung_session_ = 0;         // its key, if it was the reason; 0: none
  base::Deadline killed_until_ = base::Deadline::never();  // a hung server must have ended then
  bool hung_ = false;  // the server that serves was killed because it hangs
  int status_ = 0;
};

}  // namespace pager
