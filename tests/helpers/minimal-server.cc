// SPDX-License-Identifier: Apache-2.0
// A minimal correct page server, and faulty variants that uffd-probe must detect.
//
// Also the loop that bench/ compares uffd-serve with. It has one thread for each connection, and
// prints "ready" when it listens.
#include <poll.h>

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <list>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/message.h"
#include "base/options.h"
#include "base/output.h"
#include "base/program.h"
#include "base/unix_listener.h"
#include "base/unix_socket.h"
#include "pager/kernel/uffd.h"
#include "pager/probe/memory.h"
#include "pager/protocol/handshake.h"

namespace {

using hot::Region;

enum class Wrong {
  nothing,
  byte,           // a bit of every hundredth page is flipped
  ignore_remove,  // removed pages are served from the file
  late_remove,    // faults of a batch are answered before its removals
  hang,           // no fault is answered from the hundredth on
  no_wake,        // no waiter is woken from the hundredth fault on
  eexist,         // the waiters of a present page (EEXIST) are not woken
  close,          // the connection is closed at the hundredth fault
  poison,         // the hundredth fault is answered with UFFDIO_POISON
  accept_all,     // no handshake is refused
};

constexpr std::array kWrongs{
    std::pair{"nothing", Wrong::nothing},
    std::pair{"byte", Wrong::byte},
    std::pair{"ignore-remove", Wrong::ignore_remove},
    std::pair{"late-remove", Wrong::late_remove},
    std::pair{"hang", Wrong::hang},
    std::pair{"no-wake", Wrong::no_wake},
    std::pair{"eexist", Wrong::eexist},
    std::pair{"close", Wrong::close},
    std::pair{"poison", Wrong::poison},
    std::pair{"accept-all", Wrong::accept_all},
};

constexpr auto kHandshakeTime = std::chrono::seconds(1);
constexpr uint64_t kGoodFaults = 100;

// Answers the faults of one VMM until it ends.
class Session {
 public:
  Session(const pager::MemoryFile& file, Wrong wrong, base::Fd socket)
      : file_(file), wrong_(wrong), socket_(std::move(socket)) {}

  void run() {
    if (!shake_hands()) {
      return;
    }
    std::array<struct pollfd, 2> fds{{{.fd = uffd_.get(), .events = POLLIN, .revents = 0},
                                      {.fd = socket_.get(), .events = 0, .revents = 0}}};
    for (;;) {
      constexpr int kRetryMs = 1;
      ::poll(fds.data(), fds.size(), pending_.empty() ? -1 : kRetryMs);
      if (fds[1].revents != 0 || (wrong_ == Wrong::close && faults_ >= kGoodFaults)) {
        return;
      }
      read_messages();
      pending_.remove_if([this](const Fault& fault) { return answer(fault); });
    }
  }

 private:
  struct Fault {
    uint64_t address;
    bool from_file;
    bool poisoned;
  };

  // Returns false if the handshake was refused. The connection is then closed.
  bool shake_hands() {
    pager::HandshakeReader reader;
    const base::Deadline deadline = base::Deadline::after(kHandshakeTime);
    try {
      std::optional<pager::HandshakeReader::Result> result;
      while (!result) {
        if (!base::wait_for(socket_.get(), POLLIN, deadline)) {
          throw base::BadData("no handshake was sent");
        }
        result = reader.read_from(socket_.get());
      }
      if (const auto problem = hot::layout_problem(result->regions, file_.bytes())) {
        throw base::BadData(*problem);
      }
      regions_ = result->regions;
      uffd_ = std::move(result->uffd);
      return true;
    } catch (const std::exception& error) {
      base::say_detail(error.what());
      if (wrong_ == Wrong::accept_all) {
        base::wait_for(socket_.get(), 0, base::Deadline::never());
      }
      return false;
    }
  }

  void read_messages() {
    std::array<uffd_msg, 64> batch{};
    const std::span messages(batch.data(), pager::uffd_read(uffd_.get(), batch));
    if (wrong_ != Wrong::late_remove) {
      for (const uffd_msg& message : messages) {
        note_removal(message);
      }
    }
    for (const uffd_msg& message : messages) {
      if (wrong_ == Wrong::late_remove) {
        note_removal(message);
      }
      if (message.event == UFFD_EVENT_PAGEFAULT) {
        note_fault(message.arg.pagefault.address);
      }
    }
  }

  void note_removal(const uffd_msg& message) {
    if (message.event == UFFD_EVENT_REMOVE && wrong_ != Wrong::ignore_remove) {
      for (uint64_t at = message.arg.remove.start; at < message.arg.remove.end;
           at += regions_.front().page_size) {
        removed_.insert(at);
      }
    }
  }

  void note_fault(uint64_t address) {
    address &= ~(regions_.front().page_size - 1);
    ++faults_;
    if (wrong_ == Wrong::hang && faults_ >= kGoodFaults) {
      return;
    }
    pending_.push_back({.address = address,
                        .from_file = !removed_.contains(address),
                        .poisoned = wrong_ == Wrong::poison && faults_ == kGoodFaults});
  }

  // Returns whether `fault` is handled.
  bool answer(const Fault& fault) {
    const Region* const region = hot::find_region(regions_, fault.address);
    if (region == nullptr) {
      return true;
    }
    if (fault.poisoned) {
      return pager::uffd_poison(uffd_.get(), fault.address, region->page_size).error != EAGAIN;
    }
    buffer_.assign(region->page_size, std::byte{0});
    // A correct server decides now, not when the fault was read.
    if (wrong_ == Wrong::late_remove ? fault.from_file : !removed_.contains(fault.address)) {
      file_.read(region->offset + (fault.address - region->base), buffer_);
    }
    if (wrong_ == Wrong::byte && faults_ % kGoodFaults == 0) {
      buffer_[buffer_.size() / 2] ^= std::byte{1};
    }
    if (wrong_ == Wrong::no_wake && faults_ >= kGoodFaults) {
      pager::uffd_copy(uffd_.get(), fault.address, buffer_.data(), buffer_.size(), pager::Wake::no);
    }
    const pager::RangeResult result =
        pager::uffd_copy(uffd_.get(), fault.address, buffer_.data(), buffer_.size());
    if (result.error == EEXIST && wrong_ != Wrong::no_wake && wrong_ != Wrong::eexist) {
      pager::uffd_wake(uffd_.get(), fault.address, buffer_.size());
    }
    return result.error != EAGAIN;
  }

  const pager::MemoryFile& file_;
  const Wrong wrong_;
  base::Fd socket_;
  base::Fd uffd_;
  std::vector<Region> regions_;
  std::unordered_set<uint64_t> removed_;  // addresses of pages
  std::list<Fault> pending_;
  std::vector<std::byte> buffer_;
  uint64_t faults_ = 0;
};

int serve(const std::string& path, const std::string& memory_path, Wrong wrong) {
  const pager::MemoryFile file(memory_path, hot::kSmallPage);
  const base::UnixListener listener(path, base::SocketClaim::directory_is_ours);
  base::write_line_out("ready");
  for (;;) {
    base::wait_for(listener.fd(), POLLIN, base::Deadline::never());
    if (std::optional<base::Fd> socket = listener.accept()) {
      std::thread([&file, wrong, socket = std::move(*socket)]() mutable {
        try {
          Session(file, wrong, std::move(socket)).run();
        } catch (const std::exception& error) {
          base::say_error(error.what());
        }
      }).detach();
    }
  }
}

Wrong parse_wrong(const std::string& name) {
  for (const auto& [known, wrong] : kWrongs) {
    if (name == known) {
      return wrong;
    }
  }
  throw base::UsageError("bad value " + base::quoted(name) + " for --wrong");
}

}  // namespace

int main(int argc, char** argv) {
  return base::run_program("minimal-server", argc, argv, [](int count, char** words) {
    base::Options options("minimal-server", "--socket PATH --mem FILE [--wrong HOW]",
                          "Serve memory with a minimal server, correct or faulty.");
    options.value("socket", "PATH", "listen there")
        .value("mem", "FILE", "the memory")
        .value("wrong", "HOW", "the fault of this server");
    const std::optional<base::ParsedOptions> parsed = options.parse(count, words);
    return parsed ? serve(parsed->value_or("socket", ""), parsed->value_or("mem", ""),
                          parse_wrong(parsed->value_or("wrong", "nothing")))
                  : 0;
  });
}
