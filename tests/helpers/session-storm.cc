// SPDX-License-Identifier: Apache-2.0
// Creates, serves, closes, replaces and kills sessions concurrently, and verifies every byte.
//
// Descriptor numbers are reused all the time. A server that uses a number after it was closed would
// answer another guest.
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <string>

#include "base/deadline.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json_line.h"
#include "base/options.h"
#include "base/output.h"
#include "base/program.h"
#include "base/unix_socket.h"
#include "http/client.h"
#include "pager/protocol/handshake.h"
#include "tests/unit/pager/test_guest.h"

namespace {

using namespace std::chrono_literals;

constexpr unsigned kHangSeconds = 20;
constexpr uint64_t kPages = 64;

base::Deadline soon() {
  return base::Deadline::after(30s);
}

// The event that a session meets while it is served.
enum class Fate { none, closed, replaced, killed, forgotten };

// The exit status of a VMM.
enum Status : int { kGood = 0, kWrong = 1, kBroken = 2 };

struct Tally {
  int64_t sessions = 0;
  int64_t wrong = 0;
  int64_t hung = 0;
  int64_t broken = 0;
};

class Client {
 public:
  Client(const std::string& control, std::string memory, uint64_t number)
      : memory_(std::move(memory)),
        id_("c" + std::to_string(number)),
        random_(number),
        http_(*http::Client::connect(control, soon())) {}

  Tally run(int64_t sessions) {
    for (tally_.sessions = 0; tally_.sessions < sessions; ++tally_.sessions) {
      one_session(static_cast<Fate>(random_() % 5));
    }
    post("/sessions/" + id_ + "/close");
    return tally_;
  }

 private:
  std::string post(const std::string& target, const std::string& body = "") {
    const http::Client::Reply reply = http_.request("POST", target, body, soon());
    if (reply.status != 200 && reply.status != 204) {
      throw base::Refused(target + ": " + std::to_string(reply.status) + " " + reply.body);
    }
    return reply.body;
  }
  std::string create() {
    const std::string body = base::JsonLine()
                                 .text("session_id", id_)
                                 .text("cache_key", "storm")
                                 .text("backing_memory_path", memory_)
                                 .boolean("replace", true)
                                 .str();
    return nlohmann::json::parse(post("/sessions", body)).at("uffd_socket_path");
  }

  void one_session(Fate fate) {
    const std::string socket = create();
    if (fate == Fate::forgotten) {
      post("/sessions/" + id_ + "/close");
      return;
    }
    // The VMM reports when it has done half of its work, and waits for the event.
    std::array<int, 2> half{};
    std::array<int, 2> go{};
    if (::pipe2(half.data(), O_CLOEXEC) != 0 || ::pipe2(go.data(), O_CLOEXEC) != 0) {
      base::throw_errno("cannot make a pipe");
    }
    base::Fd half_read(half[0]);
    base::Fd half_write(half[1]);
    const base::Fd go_read(go[0]);
    base::Fd go_write(go[1]);
    const uint64_t seed = random_();
    const pid_t vmm = ::fork();
    if (vmm < 0) {
      base::throw_errno("cannot fork");
    }
    if (vmm == 0) {
      ::alarm(kHangSeconds);
      go_write.reset();
      ::_exit(be_vmm(socket, seed, half_write.get(), go_read.get()));
    }
    half_write.reset();
    char byte = 0;
    if (::read(half_read.get(), &byte, 1) == 1) {
      meet(fate, vmm);
    }
    go_write.reset();  // the VMM waits for this
    count(vmm, fate);
  }

  void meet(Fate fate, pid_t vmm) {
    if (fate == Fate::closed) {
      post("/sessions/" + id_ + "/close");
    } else if (fate == Fate::replaced) {
      create();
    } else if (fate == Fate::killed) {
      ::kill(vmm, SIGKILL);
    }
  }

  void count(pid_t vmm, Fate fate) {
    int status = 0;
    ::waitpid(vmm, &status, 0);
    const bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) {
      ++tally_.hung;
    } else if (killed ? fate != Fate::killed
                      : !WIFEXITED(status) || WEXITSTATUS(status) == kBroken) {
      ++tally_.broken;
    } else if (!killed && WEXITSTATUS(status) == kWrong) {
      ++tally_.wrong;
    }
  }

  // A guest that reads some of its pages in random order, before and after the event.
  static int be_vmm(const std::string& socket, uint64_t seed, int half, int go) {
    try {
      const pager::TestGuest guest(kPages);
      std::optional<base::Fd> connection = base::connect_unix(socket, soon());
      const std::array regions{guest.region()};
      const std::array fds{guest.uffd()};
      base::send_with_fds(connection.value().get(), pager::compose_handshake(regions), fds);
      std::mt19937_64 random(seed);
      bool right = true;
      const auto read_some = [&] {
        for (int i = 0; i < 24; ++i) {
          const uint64_t page = random() % kPages;
          right = right && guest.word(page) == pager::page_word(page);
        }
      };
      read_some();
      base::write_full(half, "h", "pipe");
      char byte = 0;
      if (::read(go, &byte, 1) != 0) {
        return kBroken;
      }
      read_some();
      return right ? kGood : kWrong;
    } catch (const std::exception& error) {
      static_cast<void>(std::fprintf(stderr, "session-storm: a VMM: %s\n", error.what()));
      return kBroken;
    }
  }

  std::string memory_;
  std::string id_;
  std::mt19937_64 random_;
  http::Client http_;
  Tally tally_;
};

int run(const base::ParsedOptions& options) {
  const std::string control = options.value_or("control", "");
  const std::string memory = options.value_or("make", "");
  static_cast<void>(std::signal(SIGPIPE, SIG_IGN));
  pager::write_memory_file(memory, kPages);
  const int64_t clients = options.number("clients", 1, 64, 4);
  const int64_t each = options.number("sessions", 1, 1 << 30, 100) / clients;
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) {
    base::throw_errno("cannot make a pipe");
  }
  const base::Fd read_end(pipe[0]);
  base::Fd write_end(pipe[1]);
  for (int64_t i = 0; i < clients; ++i) {
    if (::fork() == 0) {
      Tally tally;
      try {
        tally = Client(control, memory, static_cast<uint64_t>(i)).run(each);
      } catch (const std::exception& error) {
        static_cast<void>(std::fprintf(stderr, "session-storm: %s\n", error.what()));
        tally.broken = 1;
      }
      ::_exit(::write(write_end.get(), &tally, sizeof tally) == sizeof tally ? 0 : 1);
    }
  }
  write_end.reset();
  Tally sum;
  Tally one;
  while (::read(read_end.get(), &one, sizeof one) == sizeof one) {
    sum.sessions += one.sessions;
    sum.wrong += one.wrong;
    sum.hung += one.hung;
    sum.broken += one.broken;
  }
  while (::wait(nullptr) > 0) {
  }
  base::write_line_out(base::JsonLine("storm")
                           .number("sessions", sum.sessions)
                           .number("wrong", sum.wrong)
                           .number("hung", sum.hung)
                           .number("broken", sum.broken)
                           .str());
  return sum.sessions == each * clients && sum.wrong + sum.hung + sum.broken == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  return base::run_program("session-storm", argc, argv, [](int count, char** words) {
    base::Options options("session-storm",
                          "--control SOCK --make FILE [--clients N] [--sessions N]",
                          "Create and end sessions of a page server, and verify what they serve.");
    options.value("control", "SOCK", "control socket of the server")
        .value("make", "FILE", "memory file to write and to serve")
        .value("clients", "N", "concurrent client processes (4)")
        .value("sessions", "N", "total number of sessions (100)");
    const std::optional<base::ParsedOptions> parsed = options.parse(count, words);
    return parsed ? run(*parsed) : 0;
  });
}
