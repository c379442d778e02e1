// A VMM that touches, writes, gives back, unmaps and forks at random, and knows of each page what
// must be in it: the model that a page server is checked against. The seed decides what each thread
// does. SPDX-License-Identifier: Apache-2.0
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/deadline.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json_line.h"
#include "base/options.h"
#include "base/output.h"
#include "base/program.h"
#include "base/unix_socket.h"
#include "pager/handshake.h"
#include "pager/probe_memory.h"
#include "pager/probe_random.h"
#include "pager/uffd.h"

namespace {

using pager::kSmallPage;
using pager::PageNumber;

struct Config {
  std::string socket;
  std::string memory;
  uint64_t page_size = kSmallPage;
  uint64_t seed = 1;
  std::chrono::seconds duration{2};
  size_t threads = 3;
  size_t regions = 3;
};

// What must be in a page: the image or zeros, and one word that was written.
struct Truth {
  bool zero = false;
  uint64_t written = 0;  // 0: nothing
};

// The image, read and not mapped: the page cache must not be what is compared with itself.
std::vector<std::byte> read_image(const pager::MemoryFile& file) {
  std::vector<std::byte> bytes(file.bytes());
  file.read(0, bytes);
  return bytes;
}

class Model {
 public:
  explicit Model(const Config& config)
      : config_(config),
        file_(config.memory, config.page_size),
        image_(read_image(file_)),
        memory_(file_.bytes(), config.page_size, config.regions),
        truth_(file_.pages()),
        progress_(config.threads) {}

  // Returns whether every page was as it had to be, always.
  bool run() {
    const base::Fd uffd = pager::uffd_create();
    for (const pager::Region& region : memory_.regions()) {
      pager::uffd_register_missing(uffd.get(), region.base, region.size);
    }
    std::optional<base::Fd> socket =
        base::connect_unix(config_.socket, base::Deadline::after(std::chrono::seconds(10)));
    if (!socket) {
      throw base::Refused("nobody listens at " + base::quoted(config_.socket));
    }
    const std::array fds{uffd.get()};
    base::send_with_fds(socket->get(), pager::compose_handshake(memory_.regions()), fds);
    std::jthread watchdog([this] { watch(); });
    {
      std::jthread noise([this](const std::stop_token& stop) { disturb(stop); });
      std::vector<std::jthread> threads;
      for (size_t i = 0; i < config_.threads; ++i) {
        threads.emplace_back([this, i] { work(i); });
      }
    }
    for (PageNumber page = 0; page < file_.pages(); ++page) {
      verify(page, page);
      ++progress_[0];
    }
    done_ = true;
    base::write_line_out(base::JsonLine("model")
                             .number("seed", static_cast<int64_t>(config_.seed))
                             .number("steps", static_cast<int64_t>(steps_))
                             .number("wrong", static_cast<int64_t>(wrong_))
                             .str());
    return wrong_ == 0;
  }

 private:
  // Neighbours that one thread has for itself, so that what it knows of them is true.
  PageNumber block_pages() const { return config_.page_size == kSmallPage ? 16 : 1; }

  void work(size_t index) {
    pager::Random random(config_.seed * 1000 + index);
    const auto end = std::chrono::steady_clock::now() + config_.duration;
    const uint64_t blocks = (file_.pages() + block_pages() - 1) / block_pages();
    const uint64_t own = (blocks + config_.threads - 1 - index) / config_.threads;
    // Some places are visited often, as guests do.
    while (own > 0 && std::chrono::steady_clock::now() < end && wrong_ == 0) {
      const uint64_t wide = random.below(4) == 0 ? own : std::max<uint64_t>(1, own / 8);
      const uint64_t block = random.below(wide) * config_.threads + index;
      const auto first = static_cast<PageNumber>(block * block_pages());
      const auto last = static_cast<PageNumber>(
          std::min<uint64_t>(uint64_t{first} + block_pages(), file_.pages()));
      act(random, first, last);
      ++progress_[index];
      ++steps_;
    }
    progress_[index] = kEnded;
  }

  // Touches, without a look at it, what is given back at that moment: a fault beside its removal.
  void disturb(const std::stop_token& stop) {
    pager::Random random(config_.seed);
    while (!stop.stop_requested()) {
      const uint64_t removing = removing_.load(std::memory_order_relaxed);
      const auto page = static_cast<PageNumber>((removing + random.below(2)) % file_.pages());
      static_cast<void>(*const_cast<const volatile uint64_t*>(word_at(page, 0)));
    }
  }

  void act(pager::Random& random, PageNumber first, PageNumber last) {
    const auto page = static_cast<PageNumber>(first + random.below(last - first));
    const uint64_t dice = random.below(100);
    if (dice < 50) {
      verify(page, random.below(1U << 20U));
    } else if (dice < 65) {
      write(page, random.below(~uint64_t{0} - 1) + 1);
    } else if (dice < 75) {
      for (PageNumber each = first; each < last; ++each) {
        verify(each, each);
      }
    } else if (dice < 95) {
      const auto count = static_cast<PageNumber>(1 + random.below(last - page));
      remove(page, count);
    } else if (dice < 98) {
      replace(page);
    } else if (config_.page_size == kSmallPage) {
      fork_and_look(page);  // private 2 MiB pages do not outlive a fork and a write
    }
  }

  uint64_t* word_at(PageNumber page, uint64_t word) const {
    return reinterpret_cast<uint64_t*>(memory_.address(page)) + word;
  }
  uint64_t words() const { return config_.page_size / sizeof(uint64_t); }
  uint64_t written_word(PageNumber page) const { return pager::mix(page) % words(); }

  uint64_t expected(PageNumber page, uint64_t word) const {
    const Truth& truth = truth_[page];
    if (truth.written != 0 && word == written_word(page)) {
      return truth.written;
    }
    uint64_t value = 0;
    if (!truth.zero) {
      std::memcpy(&value, image_.data() + page * config_.page_size + word * sizeof value,
                  sizeof value);
    }
    return value;
  }

  void check(PageNumber page, uint64_t word) {
    const uint64_t found = *const_cast<const volatile uint64_t*>(word_at(page, word));
    const uint64_t wanted = expected(page, word);
    if (found != wanted && wrong_++ == 0) {
      static_cast<void>(std::fprintf(
          stderr, "model-vmm: seed %llu: page %u (%s), word %llu: %016llx, not %016llx\n",
          static_cast<unsigned long long>(config_.seed), page, truth_[page].zero ? "zero" : "image",
          static_cast<unsigned long long>(word), static_cast<unsigned long long>(found),
          static_cast<unsigned long long>(wanted)));
    }
  }
  void verify(PageNumber page, uint64_t random) {
    check(page, random % words());
    check(page, written_word(page));
    check(page, 0);
    check(page, words() - 1);
  }

  void write(PageNumber page, uint64_t value) {
    *const_cast<volatile uint64_t*>(word_at(page, written_word(page))) = value;
    truth_[page].written = value;
  }

  void remove(PageNumber page, PageNumber count) {
    // A removal never spans regions here: their addresses have gaps.
    count = static_cast<PageNumber>(std::min<uint64_t>(count, memory_.region_end(page) - page));
    removing_.store(page, std::memory_order_relaxed);
    if (::madvise(memory_.address(page), count * config_.page_size, MADV_DONTNEED) != 0) {
      base::throw_errno("cannot give memory back");
    }
    for (PageNumber i = page; i < page + count; ++i) {
      truth_[i] = {.zero = true, .written = 0};
    }
  }

  // Other memory in its place, of which the server is told nothing.
  void replace(PageNumber page) {
    const int huge = config_.page_size == kSmallPage ? 0 : MAP_HUGETLB;
    if (::mmap(memory_.address(page), config_.page_size, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED | huge, -1,
               0) == MAP_FAILED) {
      base::throw_errno("cannot map over memory");
    }
    truth_[page] = {.zero = true, .written = 0};
  }

  // The child has what its parent had; what was missing is zero for it, and it looks at none of
  // that.
  void fork_and_look(PageNumber page) {
    write(page, 0x0123456789abcdef);
    const pid_t child = ::fork();
    if (child == 0) {
      ::_exit(*const_cast<const volatile uint64_t*>(word_at(page, written_word(page))) ==
                      truth_[page].written
                  ? 0
                  : 1);
    }
    int status = 0;
    if (child < 0 || ::waitpid(child, &status, 0) != child || status != 0) {
      ++wrong_;
    }
  }

  // A thread that is not answered hangs for ever.
  void watch() {
    constexpr auto kPatience = std::chrono::seconds(20);
    std::vector<uint64_t> before(progress_.size());
    auto moved = std::chrono::steady_clock::now();
    while (!done_) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      bool all_moved = true;
      for (size_t i = 0; i < progress_.size(); ++i) {
        const uint64_t now = progress_[i];
        all_moved = all_moved && (now != before[i] || now == kEnded);
      }
      if (all_moved) {
        for (size_t i = 0; i < progress_.size(); ++i) {
          before[i] = progress_[i];
        }
        moved = std::chrono::steady_clock::now();
      } else if (std::chrono::steady_clock::now() - moved > kPatience) {
        static_cast<void>(std::fprintf(stderr, "model-vmm: seed %llu: a thread hangs\n",
                                       static_cast<unsigned long long>(config_.seed)));
        ::_exit(1);
      }
    }
  }

  static constexpr uint64_t kEnded = ~uint64_t{0};

  Config config_;
  pager::MemoryFile file_;
  std::vector<std::byte> image_;
  pager::GuestMemory memory_;
  std::vector<Truth> truth_;
  std::vector<std::atomic<uint64_t>> progress_;
  std::atomic<uint64_t> steps_{0};
  std::atomic<uint64_t> wrong_{0};
  std::atomic<bool> done_{false};
  std::atomic<uint64_t> removing_{0};  // the page that somebody gives back now, or gave back last
};

int run(int argc, char** argv) {
  base::Options definition("model-vmm", "--socket PATH --mem FILE ...",
                           "A VMM at random that knows what it must find.");
  definition.value("socket", "PATH", "the server's")
      .value("mem", "FILE", "what it serves")
      .value("page-size", "SIZE", "4096 or 2M")
      .value("seed", "N", "what is done")
      .value("seconds", "S", "for so long")
      .value("threads", "N", "vCPUs");
  const std::optional<base::ParsedOptions> options = definition.parse(argc, argv);
  if (!options) {
    return 0;
  }
  options->require_operands(0, 0, "");
  Config config;
  config.socket = options->value_or("socket", "");
  config.memory = options->value_or("mem", "");
  config.page_size =
      options->choice("page-size", {"4096", "2M"}) == "2M" ? pager::kHugePage : kSmallPage;
  constexpr int64_t kMany = int64_t{1} << 40U;
  config.seed = static_cast<uint64_t>(options->number("seed", 0, kMany, 1));
  config.duration = std::chrono::seconds(options->number("seconds", 1, kMany, 2));
  config.threads = static_cast<size_t>(options->number("threads", 1, 64, 3));
  return Model(config).run() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  return base::run_program("model-vmm", argc, argv, run);
}
