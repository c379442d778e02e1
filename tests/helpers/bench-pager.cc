// SPDX-License-Identifier: Apache-2.0
// The reference measurements of bench/bench-pager.sh: a raw COPY loop, and touches of pages.
#include <poll.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "base/json_line.h"
#include "base/number.h"
#include "base/options.h"
#include "base/output.h"
#include "base/process.h"
#include "base/program.h"
#include "base/unix_socket.h"
#include "pager/faults/fault_loop.h"
#include "pager/kernel/clock.h"
#include "pager/protocol/handshake.h"
#include "tests/helpers/bench_memory.h"

namespace {

using hot::kSmallPage;
using hot::Region;

// Returns the ns of one COPY of `piece` bytes at each offset, from the mapped file.
uint64_t raw_copies_ns(const pager::Image& image, uint64_t page_size,
                       const std::vector<uint64_t>& offsets, uint64_t piece) {
  const Memory memory(image.size(), page_size);
  void* mapped = ::mmap(nullptr, image.size(), PROT_READ, MAP_SHARED | MAP_POPULATE, image.fd(), 0);
  if (mapped == MAP_FAILED) {
    base::throw_errno("cannot map the memory file");
  }
  const uint64_t start = pager::monotonic_ns();
  for (const uint64_t at : offsets) {
    const pager::RangeResult result =
        pager::uffd_copy(memory.uffd(), memory.region().base + at,
                         static_cast<const std::byte*>(mapped) + at, piece);
    SNAPFORK_CHECK(result.error == 0);
  }
  const uint64_t took = pager::monotonic_ns() - start;
  ::munmap(mapped, image.size());
  return took;
}

// The first `bytes` bytes, by one COPY for each `piece`.
uint64_t raw_copy_ns(const pager::Image& image, uint64_t bytes, uint64_t piece,
                     uint64_t page_size) {
  std::vector<uint64_t> offsets;
  for (uint64_t at = 0; at < bytes; at += piece) {
    offsets.push_back(at);
  }
  return raw_copies_ns(image, page_size, offsets, piece);
}

// Each page of a list, in its order or in that of the addresses.
uint64_t raw_pages_ns(const pager::Image& image, const hot::HotList& list, bool sorted) {
  std::vector<uint64_t> offsets;
  for (const hot::HotPage& page : hot::expand(list.runs, list.page_size)) {
    offsets.push_back(page.offset);
  }
  if (sorted) {
    std::ranges::sort(offsets);
  }
  return raw_copies_ns(image, list.page_size, offsets, list.page_size);
}

// Returns the ns until a fault loop has installed a hot list, without faults.
uint64_t hot_list_ns(const pager::Image& image, std::shared_ptr<const pager::HotFile> list,
                     uint64_t page_size) {
  const Memory memory(image.size(), page_size);
  const std::vector<Region> regions{memory.region()};
  pager::StateMapping mapping(regions, image.identity());
  const pager::Vmm vmm;
  pager::Counters counters;
  const pager::SessionLog log("bench", 0, memory.uffd());
  pager::FaultLoop loop({.uffd = memory.uffd(),
                         .state = mapping.state(),
                         .image = image,
                         .vmm = vmm,
                         .counters = counters,
                         .log = log,
                         .trace = nullptr},
                        pager::Window::automatic(0));
  const uint64_t listed = list->pages;
  loop.prefetch(std::move(list));
  const uint64_t start = pager::monotonic_ns();
  while (loop.wait_ns()) {
    loop.step();
  }
  const uint64_t took = pager::monotonic_ns() - start;
  SNAPFORK_CHECK(counters.get(pager::Count::pages_prefetched) == listed);
  return took;
}

// `pages` pages in runs of `run`, distributed over the image in random order.
std::shared_ptr<const pager::HotFile> list_of_runs(uint64_t image_pages, uint64_t page_size,
                                                   uint64_t pages, uint64_t run) {
  const uint64_t runs = pages / run;
  std::vector<uint64_t> starts(runs);
  for (uint64_t i = 0; i < runs; ++i) {
    starts[i] = i * (image_pages / runs);
  }
  std::ranges::shuffle(starts, std::mt19937_64(1));
  hot::HotList list{.page_size = page_size};
  for (const uint64_t first : starts) {
    list.runs.push_back(
        {.region = 0, .count = static_cast<uint32_t>(run), .offset = first * page_size});
  }
  return std::make_shared<pager::HotFile>("list", std::move(list));
}

struct Installing {
  uint64_t pages;
  uint64_t run;
  uint64_t page_size;
  int rounds;
};

// Medians. The rounds of both kinds alternate, so that a slow moment affects both.
void compare_installs(const std::string& memory, const Installing& what) {
  constexpr uint64_t kPiece = 64 << 10;
  const std::shared_ptr<const pager::Image> image = pager::Image::open(memory);
  const auto list =
      list_of_runs(image->size() / what.page_size, what.page_size, what.pages, what.run);
  const uint64_t bytes = list->pages * what.page_size;
  std::vector<uint64_t> raw;
  std::vector<uint64_t> pages;
  std::vector<uint64_t> sorted_pages;
  std::vector<uint64_t> hot;
  for (int round = 0; round <= what.rounds; ++round) {
    const uint64_t raw_ns =
        raw_copy_ns(*image, bytes, std::max(kPiece, what.page_size), what.page_size);
    const uint64_t pages_ns = raw_pages_ns(*image, list->list, false);
    const uint64_t sorted_ns = raw_pages_ns(*image, list->list, true);
    const uint64_t hot_ns = hot_list_ns(*image, list, what.page_size);
    if (round > 0) {  // the first includes allocation by the host
      raw.push_back(raw_ns);
      pages.push_back(pages_ns);
      sorted_pages.push_back(sorted_ns);
      hot.push_back(hot_ns);
    }
  }
  std::ranges::sort(raw);
  std::ranges::sort(pages);
  std::ranges::sort(sorted_pages);
  std::ranges::sort(hot);
  const uint64_t raw_ns = raw[raw.size() / 2];
  const uint64_t pages_ns = pages[pages.size() / 2];
  const uint64_t hot_ns = hot[hot.size() / 2];
  base::write_line_out(
      base::JsonLine("install")
          .number("pages", static_cast<int64_t>(list->pages))
          .number("run", static_cast<int64_t>(what.run))
          .number("raw_ns", static_cast<int64_t>(raw_ns))
          .number("raw_pages_ns", static_cast<int64_t>(pages_ns))
          .number("raw_sorted_ns", static_cast<int64_t>(sorted_pages[sorted_pages.size() / 2]))
          .number("hot_list_ns", static_cast<int64_t>(hot_ns))
          .number("percent_of_raw", static_cast<int64_t>(raw_ns * 100 / hot_ns))
          .str());
}

// Decodes a list of `runs` isolated pages, again and again.
void decode(uint64_t runs, int rounds) {
  constexpr uint64_t kStep = 5;
  const uint64_t memory = runs * kStep * kSmallPage;
  hot::HotList list{.format = hot::ListFormat::hpl2,
                    .regions = {{.base = 0, .size = memory, .offset = 0}},
                    .memory_bytes = memory};
  for (uint64_t i = 0; i < runs; ++i) {
    list.runs.push_back({.region = 0, .offset = i * 7919 % runs * kStep * kSmallPage});
  }
  for (const hot::ListFormat format : {hot::ListFormat::hpl1, hot::ListFormat::hpl2}) {
    const std::string data = hot::encode_hot_list(list, format);
    std::vector<uint64_t> took;
    for (int round = 0; round < rounds; ++round) {
      const uint64_t start = pager::monotonic_ns();
      const hot::HotList found = hot::parse_hot_list(data, "list");
      took.push_back(pager::monotonic_ns() - start);
      SNAPFORK_CHECK(hot::count_pages(found.runs) == runs);
    }
    std::ranges::sort(took);
    const uint64_t ns = took[took.size() / 2];
    base::write_line_out(base::JsonLine("decode")
                             .text("format", format == hot::ListFormat::hpl1 ? "hpl1" : "hpl2")
                             .number("pages", static_cast<int64_t>(runs))
                             .number("bytes", static_cast<int64_t>(data.size()))
                             .number("ns", static_cast<int64_t>(ns))
                             .str());
  }
}

// Returns the ns for each page of a hole that a list contains.
uint64_t zero_run_ns_per_page(const pager::Image& image) {
  const uint64_t pages = image.size() / kSmallPage;
  return hot_list_ns(image, list_of_runs(pages, kSmallPage, pages, pages), kSmallPage) / pages;
}

// Memory of this process that no file backs, in KiB: what a guest costs beyond the page cache.
int64_t private_kib() {
  const std::string status = base::read_file("/proc/self/status", size_t{1} << 16U);
  constexpr std::string_view kKey = "\nRssAnon:";
  std::string_view rest = std::string_view(status).substr(status.find(kKey) + kKey.size());
  rest.remove_prefix(rest.find_first_not_of(" \t"));
  return base::take_number<int64_t>(rest).value_or(0);
}

struct Touching {
  uint64_t pages = 0;
  uint64_t step = 1;   // touch every step-th page
  uint64_t first = 0;  // the first page
  bool in_order = false;
};

// Touches pages once each without verifying them: of a VMM that a server serves, or, without a
// socket, of a private mapping of the file, as in Firecracker's File backend.
void touch(const std::string& memory, const std::string& socket_path, const Touching& touching) {
  const base::Fd file = base::open_file(memory, O_RDONLY);
  const auto size = static_cast<uint64_t>(std::filesystem::file_size(memory));
  std::optional<Memory> guest;
  std::optional<base::Fd> socket;
  uint64_t base = 0;
  if (socket_path.empty()) {
    void* mapped =
        ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, file.get(), 0);
    if (mapped == MAP_FAILED) {
      base::throw_errno("cannot map the memory file");
    }
    base = reinterpret_cast<uint64_t>(mapped);
  } else {
    guest.emplace(size);
    base = guest->region().base;
    socket = base::connect_unix(socket_path, base::Deadline::after(std::chrono::seconds(10)));
    if (!socket) {
      throw base::Refused("no server listens at " + base::quoted(socket_path));
    }
    const std::vector<Region> regions{guest->region()};
    const std::array fds{guest->uffd()};
    base::send_with_fds(socket->get(), pager::compose_handshake(regions), fds);
  }
  std::vector<uint64_t> order;
  for (uint64_t page = touching.first; page < size / kSmallPage; page += touching.step) {
    order.push_back(page);
  }
  if (!touching.in_order) {
    std::ranges::shuffle(order, std::mt19937_64(1));
  }
  order.resize(std::min<uint64_t>(order.size(), touching.pages));
  std::vector<uint64_t> took;
  took.reserve(order.size());
  const int64_t private_before = private_kib();
  const uint64_t start = pager::monotonic_ns();
  uint64_t before = start;
  for (const uint64_t page : order) {
    static_cast<void>(*reinterpret_cast<const volatile std::byte*>(base + page * kSmallPage));
    const uint64_t now = pager::monotonic_ns();
    took.push_back(now - before);
    before = now;
  }
  const int64_t private_after = private_kib();
  std::ranges::sort(took);
  // A present page only costs the clock. Percentiles use the pages that were waited for.
  constexpr uint64_t kWaited = 2000;
  const auto waited = std::ranges::lower_bound(took, kWaited);
  const auto share = [&](uint64_t percent) {
    const auto count = static_cast<uint64_t>(took.end() - waited);
    return count == 0 ? 0
                      : waited[static_cast<int64_t>(std::min(count - 1, count * percent / 100))];
  };
  base::write_line_out(base::JsonLine("touch")
                           .number("pages", static_cast<int64_t>(order.size()))
                           .number("waited", took.end() - waited)
                           .number("total_ns", static_cast<int64_t>(before - start))
                           .number("p50_ns", static_cast<int64_t>(share(50)))
                           .number("p99_ns", static_cast<int64_t>(share(99)))
                           .number("private_kib", private_after - private_before)
                           .str());
}

bool holds_userfaultfd(int64_t server) {
  const std::filesystem::path descriptors = "/proc/" + std::to_string(server) + "/fd";
  for (const auto& entry : std::filesystem::directory_iterator(descriptors)) {
    std::error_code gone;
    if (std::filesystem::read_symlink(entry, gone) == "anon_inode:[userfaultfd]") {
      return true;
    }
  }
  return false;
}

// Kills a VMM. Returns the ns from its end until its server has closed the userfaultfd and removed
// the record.
uint64_t farewell_ns(int64_t vmm, int64_t server, const std::string& record) {
  const std::optional<base::Fd> pidfd = base::open_pidfd(static_cast<pid_t>(vmm));
  if (!pidfd || ::kill(static_cast<pid_t>(vmm), SIGKILL) != 0) {
    throw base::Refused("no such process: " + std::to_string(vmm));
  }
  base::wait_for(pidfd->get(), POLLIN, base::Deadline::never());
  const uint64_t ended = pager::monotonic_ns();
  while (holds_userfaultfd(server) || std::filesystem::exists(record)) {
  }
  return pager::monotonic_ns() - ended;
}

int run(int argc, char** argv) {
  base::Options definition("bench-pager", "install|decode|zero|touch|farewell ...",
                           "The references of bench/bench-pager.sh.");
  definition.value("mem", "FILE", "the memory")
      .value("socket", "PATH", "touch: the server's, or none")
      .value("step", "N", "touch: every Nth page")
      .value("first", "N", "touch: from page N on")
      .flag("in-order", "touch: in ascending order")
      .value("pages", "N", "install, decode, touch: number of pages")
      .value("run", "N", "install: in runs of N pages")
      .flag("huge", "install: pages of 2 MiB")
      .value("rounds", "N", "install: median of N rounds")
      .value("vmm", "PID", "farewell: the VMM to kill")
      .value("server", "PID", "farewell: its server")
      .value("record", "FILE", "farewell: its record");
  const std::optional<base::ParsedOptions> options = definition.parse(argc, argv);
  if (!options) {
    return 0;
  }
  options->require_operands(1, 1, "install, decode, zero, touch or farewell");
  const std::string memory = options->value_or("mem", "");
  constexpr int64_t kMany = 1 << 24;
  if (options->operands()[0] == "zero") {
    base::write_line_out(base::JsonLine("zero")
                             .number("ns_per_page", static_cast<int64_t>(zero_run_ns_per_page(
                                                        *pager::Image::open(memory))))
                             .str());
    return 0;
  }
  if (options->operands()[0] == "decode") {
    decode(static_cast<uint64_t>(options->number("pages", 1, kMany, 20000)),
           static_cast<int>(options->number("rounds", 1, 1000, 5)));
    return 0;
  }
  if (options->operands()[0] == "farewell") {
    const uint64_t ns =
        farewell_ns(options->number("vmm", 1, kMany, 0), options->number("server", 1, kMany, 0),
                    options->value_or("record", ""));
    base::write_line_out(base::JsonLine("farewell").number("ns", static_cast<int64_t>(ns)).str());
    return 0;
  }
  if (options->operands()[0] == "touch") {
    touch(memory, options->value_or("socket", ""),
          {.pages = static_cast<uint64_t>(options->number("pages", 1, kMany, kMany)),
           .step = static_cast<uint64_t>(options->number("step", 1, kMany, 1)),
           .first = static_cast<uint64_t>(options->number("first", 0, kMany, 0)),
           .in_order = options->has("in-order")});
    return 0;
  }
  compare_installs(memory,
                   {.pages = static_cast<uint64_t>(options->number("pages", 1, kMany, 20000)),
                    .run = static_cast<uint64_t>(options->number("run", 1, kMany, 16)),
                    .page_size = options->has("huge") ? hot::kHugePage : kSmallPage,
                    .rounds = static_cast<int>(options->number("rounds", 1, 1000, 5))});
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return base::run_program("bench-pager", argc, argv, run);
}
