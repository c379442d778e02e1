// SPDX-License-Identifier: Apache-2.0
// The VMMs of a kill test, and the oracle of their memory.
#include "pager/killtest/scratch_guest.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <functional>
#include <numeric>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "base/unix_socket.h"
#include "pager/kernel/clock.h"
#include "pager/kernel/uffd.h"
#include "pager/killtest/scratch_image.h"
#include "pager/probe/child.h"
#include "pager/probe/memory.h"
#include "pager/probe/random.h"
#include "pager/protocol/handshake.h"

namespace pager {
namespace {

// The longest wait since the last kill.
class Waits {
 public:
  Waits(const KillRecord& kills, GuestRecord& record) : kills_(kills), record_(record) {}
  ~Waits() { finish_kill(); }
  Waits(const Waits&) = delete;
  Waits(Waits&&) = delete;
  Waits& operator=(const Waits&) = delete;
  Waits& operator=(Waits&&) = delete;

  // Measures `action`, which may wait for the page.
  template <typename Action>
  void measure(uint64_t page, const Action& action) {
    const uint64_t since = monotonic_ns();
    record_.page = page;
    record_.since_ns = since;
    action();
    const uint64_t now = monotonic_ns();
    record_.since_ns = 0;
    if (const uint64_t kill = kills_.kills; kill != kill_) {
      finish_kill();
      kill_ = kill;
    }
    if (kill_ != 0 && since < kills_.killed_at_ns + kMillisecond) {
      longest_ns_ = std::max(longest_ns_, now - since);
    }
  }

 private:
  void finish_kill() {
    if (longest_ns_ != 0) {  // else this guest waited for nothing at that time
      record_.waits.record(longest_ns_);
    }
    longest_ns_ = 0;
  }

  const KillRecord& kills_;
  GuestRecord& record_;
  uint64_t kill_ = 0;  // the number of the last kill
  uint64_t longest_ns_ = 0;
};

class ScratchVmm {
 public:
  ScratchVmm(const std::string& socket, Waits& waits, GuestRecord& record)
      : waits_(waits),
        record_(record),
        memory_(ScratchImage::kBytes, hot::kSmallPage, kRegions),
        uffd_(uffd_create()),
        is_removed_(ScratchImage::kPages),
        written_(ScratchImage::kPages) {
    for (const hot::Region& region : memory_.regions()) {
      uffd_register_missing(uffd_.get(), region.base, region.size);
    }
    std::optional<base::Fd> connection =
        base::connect_unix(socket, base::Deadline::after(std::chrono::seconds(20)));
    if (!connection) {
      throw base::Refused("cannot connect to " + base::quoted(socket));
    }
    connection_ = std::move(*connection);
    base::send_with_fds(connection_.get(), compose_handshake(memory_.regions()),
                        std::array{uffd_.get()});
  }

  // Returns false at the first wrong word.
  bool run(Random random) {
    std::vector<uint64_t> order(ScratchImage::kPages);
    std::iota(order.begin(), order.end(), 0U);
    for (uint64_t i = order.size(); i > 1; --i) {
      std::swap(order[i - 1], order[random.below(i)]);
    }
    for (const uint64_t page : order) {
      constexpr uint64_t kKinds = 8;
      const uint64_t kind = random.below(kKinds);
      if (kind == 0) {
        remove(random.below(ScratchImage::kPages), 1 + random.below(ScratchImage::kRun));
      } else if (kind <= 2) {
        write(page, random.next());
      }
      if (!verify(page)) {
        return false;
      }
    }
    return verify_all();
  }

 private:
  static constexpr size_t kRegions = 2;

  // Reads and writes that the compiler may not omit or combine.
  volatile uint64_t* words(uint64_t page) const {
    return reinterpret_cast<volatile uint64_t*>(memory_.address(static_cast<PageNumber>(page)));
  }
  static uint64_t written_word(uint64_t page) { return page % ScratchImage::kWords; }

  void write(uint64_t page, uint64_t value) {
    written_[page] = value | 1U;
    waits_.measure(page, [&] { words(page)[written_word(page)] = written_[page]; });
  }

  // Not across a region.
  void remove(uint64_t page, uint64_t count) {
    count = std::min(count, memory_.region_end(static_cast<PageNumber>(page)) - page);
    waits_.measure(page, [&] {
      if (::madvise(memory_.address(static_cast<PageNumber>(page)), count * hot::kSmallPage,
                    MADV_DONTNEED) != 0) {
        base::throw_errno("cannot remove pages");
      }
    });
    std::fill_n(is_removed_.begin() + static_cast<std::ptrdiff_t>(page), count, true);
    std::fill_n(written_.begin() + static_cast<std::ptrdiff_t>(page), count, 0);
  }

  uint64_t expected(uint64_t page, uint64_t word) const {
    if (word == written_word(page) && written_[page] != 0) {
      return written_[page];
    }
    return is_removed_[page] ? 0 : ScratchImage::word(page, word);
  }

  // Most pages are present now. The pauses leave the processor to guests whose waits are measured.
  bool verify_all() {
    constexpr uint64_t kPart = 64;
    constexpr useconds_t kPauseUs = 500;
    for (uint64_t page = 0; page < ScratchImage::kPages; ++page) {
      if (!verify(page)) {
        return false;
      }
      if (page % kPart == kPart - 1) {
        ::usleep(kPauseUs);
      }
    }
    return true;
  }

  bool verify(uint64_t page) {
    waits_.measure(page, [&] { static_cast<void>(words(page)[0]); });
    for (uint64_t word = 0; word < ScratchImage::kWords; ++word) {
      const uint64_t found = words(page)[word];
      if (found != expected(page, word)) {
        record_.wrong = {
            .page = page, .word = word, .expected = expected(page, word), .found = found};
        record_.is_wrong = true;
        return false;
      }
    }
    ++record_.verified_pages;
    return true;
  }

  Waits& waits_;
  GuestRecord& record_;
  const GuestMemory memory_;
  const base::Fd uffd_;
  base::Fd connection_;
  std::vector<bool> is_removed_;
  std::vector<uint64_t> written_;  // the value of written_word(); 0: none
};

void run_vmm_process(const std::string& socket, const Random& random, const KillRecord& kills,
                     GuestRecord& record) {
  try {
    Waits waits(kills, record);
    static_cast<void>(ScratchVmm(socket, waits, record).run(random));
  } catch (const std::exception& error) {
    record.failure.set(error);
  }
}

}  // namespace

void run_scratch_guest(const std::string& socket, uint64_t seed, std::optional<int> cpu,
                       const KillRecord& kills, GuestRecord& record) {
  static_cast<void>(::signal(SIGBUS, SIG_DFL));
  try {
    if (cpu) {
      run_on_cpu(*cpu);
    }
    Random random(seed);
    while (!kills.stop) {
      // A session ends with the process of its VMM.
      Child vmm([&, vmm_seed = random.next()](const std::function<void()>&) {
        run_vmm_process(socket, Random(vmm_seed), kills, record);
      });
      const int status = vmm.reap();
      if (record.is_wrong || record.failure.get()) {
        return;
      }
      if (status != 0) {
        throw base::Refused("a VMM died, with the wait status " + std::to_string(status));
      }
      ++record.vmms;
    }
    record.finished = true;
  } catch (const std::exception& error) {
    record.failure.set(error);
  }
}

}  // namespace pager
