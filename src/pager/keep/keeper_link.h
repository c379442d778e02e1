// SPDX-License-Identifier: Apache-2.0
// A page server's side of the keeper's socket.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/fd.h"
#include "pager/keep/keeper_page.h"
#include "pager/keep/message.h"

namespace pager {

// What the keeper holds for one key.
struct HeldThing {
  Kept kind = Kept::none;
  uint64_t parent = 0;
  std::vector<base::Fd> fds;
};
using HeldThings = std::map<uint64_t, HeldThing>;

// hold(), drop() and accept() are thread-safe, and return when the keeper has answered, after some
// microseconds. If the keeper ends or does not answer within kTimeout, the link is lost: then they
// do nothing, and the server serves on without a keeper until it has started another one.
class KeeperLink {
 public:
  static constexpr int kTimeoutMs = 2000;

  // Takes the socket. Throws std::system_error.
  explicit KeeperLink(base::Fd socket);

  // Waits until this server has to serve, and returns everything that its predecessors left.
  // `prepare` is called for each thing that arrives, before the end of the predecessor, and
  // `discard` for what is dropped again; closing it may block. Returns nothing if the keeper has
  // ended.
  struct Preparation {
    std::function<void(uint64_t key, const HeldThing& thing)> prepare;
    std::function<void(uint64_t key, HeldThing thing)> discard;
    // Returns how many of the things that have arrived this server cannot serve.
    std::function<uint64_t()> problems;
  };
  std::optional<HeldThings> wait_to_serve(const Preparation& preparation);
  // 1: this is the first server.
  uint64_t generation() const { return generation_; }
  KeeperPage& page() { return *page_; }
  // All that was kept is served.
  void ready(uint64_t replayed);

  // Returns false, and logs it once, if the keeper does not hold it: the link is lost, or the
  // keeper has no descriptor left.
  bool hold(Kept kind, uint64_t key, uint64_t parent, std::span<const int> fds);
  void drop(uint64_t key);
  struct Accepted {
    int error = 0;  // EAGAIN: no connection waits
    base::Fd socket;
  };
  // Nothing if the link is lost: the caller then accepts itself.
  std::optional<Accepted> accept(uint64_t endpoint, uint64_t key);

  // Orders the keeper to start the program as the next server. Returns 0 or an errno; EBUSY: an
  // upgrade runs.
  int upgrade(int program);

  // The following functions are for one thread. The socket gets a hang-up when the link is lost,
  // and becomes readable when a new keeper runs.
  int fd() const { return socket_.get(); }
  enum class Health {
    linked,
    starts,  // the new keeper has not said hello
    runs,    // it has: give it everything. Reported once
    lost,
  };
  Health check();
  // Starts another keeper, for a server with these options. Returns false if the old one has not
  // ended yet; it is killed. Throws std::system_error.
  bool start_keeper(const std::vector<std::string>& options);
  // The new keeper has everything, and may start a successor.
  void given();
  // This server ends by itself, so the keeper does, too.
  void say_goodbye(uint64_t service_key);

 private:
  void identify_keeper();
  bool keeper_has_ended();
  std::optional<ReceivedMessage> call(const KeepMessage& message, std::span<const int> fds,
                                      bool* descriptors_lost = nullptr);
  void lose(const char* why);

  base::Fd socket_;
  base::Fd page_fd_;
  KeeperPage* page_ = nullptr;
  base::Fd keeper_;          // its pidfd
  base::Fd keeper_program_;  // that was executed, wherever its file is now
  uint64_t generation_ = 0;
  mutable std::mutex mutex_;
  bool lost_ = false;
  bool starts_ = false;  // socket_ is that of a keeper that has not said hello
  bool refusal_logged_ = false;
};

}  // namespace pager
