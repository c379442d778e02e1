// SPDX-License-Identifier: Apache-2.0
// Reads a trace as it grows, or the data of a Diff memory file, or the page cache.
#include "hot/verbs/record_verb.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "base/file_status.h"
#include "base/input.h"
#include "base/residency_access.h"
#include "base/time_text.h"
#include "file/next_data.h"
#include "hot/readahead.h"
#include "hot/trace.h"
#include "hot/verbs/list_files.h"
#include "hot/verbs/record_end.h"

namespace hot {
namespace {

// Enough for a trace of a 256 GiB guest that touches every page: 2^26 lines of up to 9 digits.
constexpr uint64_t kMaxTraceBytes = uint64_t{1} << 30U;

// How often a file that a server still writes is read again.
constexpr std::chrono::milliseconds kFollowInterval{20};

base::Fd open_trace(const std::string& path) {
  if (path == "-") {
    return base::Fd(::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0));
  }
  base::Fd fd = base::open_file(path, O_RDONLY | O_NOCTTY);
  const struct stat st = base::stat_fd(fd.get(), path);
  if (!S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode)) {
    throw base::BadData("cannot read trace " + base::quoted(path) +
                        ": it is neither a regular file nor a pipe");
  }
  return fd;
}

class TraceRecorder {
 public:
  TraceRecorder(const std::string& path, const base::ParsedOptions& parsed, LiveTrace* live)
      : name_(base::input_name(path)),
        end_(parsed, RecordEnd::Clock::now()),  // first: opening a FIFO waits for its writer
        fd_(open_trace(path)),
        live_(live),
        reader_(name_) {}

  HotList run() {
    while (!end_.reached(reader_.trace(), RecordEnd::Clock::now())) {
      if (!wait_for_input()) {
        continue;  // the end may be reached now
      }
      if (!read_some()) {
        break;
      }
    }
    Trace trace = reader_.finish();
    end_.cut(trace);
    return hot_list_of(trace);
  }

 private:
  // Waits for input until the next check. A regular file is always readable.
  bool wait_for_input() {
    const auto next = end_.next_check();
    int timeout = -1;
    if (next) {
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(*next - RecordEnd::Clock::now());
      timeout = static_cast<int>(std::clamp<int64_t>(left.count(), 0, 1000));
    }
    pollfd wait{.fd = fd_.get(), .events = POLLIN, .revents = 0};
    const int ready = ::poll(&wait, 1, timeout);
    if (ready < 0 && errno != EINTR) {
      base::throw_errno("cannot wait for " + base::quoted(name_));
    }
    return ready > 0;
  }

  // Returns false at the end of the trace.
  bool read_some() {
    const bool had_ended = live_ != nullptr && live_->ended();
    const ssize_t got = ::read(fd_.get(), buffer_.data(), buffer_.size());
    if (got < 0 && errno != EINTR) {
      base::throw_errno("cannot read " + base::quoted(name_));
    }
    if (got > 0) {
      bytes_ += static_cast<uint64_t>(got);
      if (bytes_ > kMaxTraceBytes) {
        throw base::BadData("cannot use trace " + base::quoted(name_) + ": it has more than " +
                            std::to_string(kMaxTraceBytes) + " bytes");
      }
      reader_.add({buffer_.data(), static_cast<size_t>(got)});
    } else if (got == 0 && live_ != nullptr && !had_ended) {
      ::poll(nullptr, 0, static_cast<int>(kFollowInterval.count()));
    } else if (got == 0) {
      return false;
    }
    return true;
  }

  std::string name_;
  RecordEnd end_;
  base::Fd fd_;
  LiveTrace* live_;
  TraceReader reader_;
  uint64_t bytes_ = 0;
  std::array<char, 65536> buffer_{};
};

HotListLayout layout_for(const base::ParsedOptions& parsed, uint64_t file_size,
                         const std::string& path) {
  HotListLayout layout = layout_of(parsed);
  if (layout.regions.empty()) {
    layout.regions = usual_regions(file_size, layout.page_size);
  }
  if (const auto problem = file_layout_problem(layout.regions, file_size)) {
    throw base::BadData("cannot use memory file " + base::quoted(path) + ": " + *problem);
  }
  return layout;
}

// A list of the pages of a memory file for which is_hot(page) holds, in their order.
template <typename IsHot>
HotList list_pages(const HotListLayout& layout, uint64_t file_size, const IsHot& is_hot) {
  HotList list{.page_size = layout.page_size, .regions = layout.regions, .memory_bytes = file_size};
  for (uint32_t i = 0; i < layout.regions.size(); ++i) {
    const Region& region = layout.regions[i];
    for (uint64_t at = 0; at < region.size; at += layout.page_size) {
      if (is_hot((region.offset + at) / layout.page_size)) {
        append_page(list, {.region = i, .offset = at});
      }
    }
  }
  return list;
}

// The data of a Diff memory file are the pages that the guest wrote.
HotList list_of_diff(const std::string& path, const base::ParsedOptions& parsed) {
  const base::Fd fd = base::open_file(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  const struct stat st = base::stat_fd(fd.get(), path);
  if (!S_ISREG(st.st_mode)) {
    throw base::BadData("cannot use Diff " + base::quoted(path) + ": it is not a regular file");
  }
  const auto size = static_cast<uint64_t>(st.st_size);
  const HotListLayout layout = layout_for(parsed, size, path);
  std::vector<bool> hot(size / layout.page_size + 1);
  for (const file::ByteRange& range : file::list_data(fd.get(), st.st_size, path)) {
    for (uint64_t page = static_cast<uint64_t>(range.begin) / layout.page_size;
         page * layout.page_size < static_cast<uint64_t>(range.end); ++page) {
      hot[page] = true;
    }
  }
  return list_pages(layout, size, [&](uint64_t page) { return hot[page]; });
}

// The pages of a memory file in the page cache. The kernel reads more than the guest touches.
HotList list_of_resident(const std::string& path, const base::ParsedOptions& parsed) {
  const base::Fd fd = base::open_file(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  const struct stat st = base::stat_fd(fd.get(), path);
  if (!S_ISREG(st.st_mode) || st.st_size == 0) {
    throw base::BadData("cannot use memory file " + base::quoted(path) +
                        ": it is not a regular file with data");
  }
  if (!base::may_use_mincore(fd.get())) {
    throw base::Refused("cannot record the residency of " + base::quoted(path) +
                        ": the kernel reports it only to the owner of the file and to users that "
                        "may write to it");
  }
  const auto size = static_cast<uint64_t>(st.st_size);
  const HotListLayout layout = layout_for(parsed, size, path);
  void* const mapped = ::mmap(nullptr, size, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd.get(), 0);
  if (mapped == MAP_FAILED) {
    base::throw_errno("cannot map " + base::quoted(path));
  }
  std::vector<unsigned char> resident((size + kSmallPage - 1) / kSmallPage);
  const int status = ::mincore(mapped, size, resident.data());
  const int error = errno;
  ::munmap(mapped, size);
  if (status != 0) {
    base::throw_error_number(error, "cannot read the residency of " + base::quoted(path));
  }
  const uint64_t small = layout.page_size / kSmallPage;
  HotList list = list_pages(layout, size, [&](uint64_t page) {
    const auto first = resident.begin() + static_cast<ptrdiff_t>(page * small);
    return std::any_of(first, first + static_cast<ptrdiff_t>(small),
                       [](unsigned char byte) { return (byte & 1U) != 0; });
  });
  list.exact = false;
  return list;
}

HotList list_of_source(const base::ParsedOptions& parsed, const OpenSession& open_session) {
  const int sources = (parsed.has("session") ? 1 : 0) + (parsed.has("diff") ? 1 : 0) +
                      (parsed.has("resident") ? 1 : 0) + (parsed.operands().empty() ? 0 : 1);
  if (sources > 1) {
    throw base::UsageError("--session, --diff, --resident and TRACE exclude each other");
  }
  if (const auto diff = parsed.value("diff")) {
    HotList list = list_of_diff(*diff, parsed);
    list.source = "diff";
    return list;
  }
  if (const auto memory = parsed.value("resident")) {
    HotList list = list_of_resident(*memory, parsed);
    list.source = "residency";
    return list;
  }
  const std::unique_ptr<LiveTrace> live =
      parsed.has("session") ? open_session(parsed) : std::unique_ptr<LiveTrace>();
  const std::string path = live                        ? live->path()
                           : parsed.operands().empty() ? "-"
                                                       : parsed.operands()[0];
  HotList list = TraceRecorder(path, parsed, live.get()).run();
  list.source = live ? "session" : "trace";
  return list;
}

}  // namespace

int record_verb(int argc, char** argv, const OpenSession& open_session) {
  base::Options options("hotpage-record record", "[options] [TRACE|-]",
                        "Make a hot list of a trace or another source: each page once, in order.");
  options.value("session", "ID", "a session of the page server")
      .value("control", "SOCK", "its control socket ($SNAPFORK_PAGER, run directory)")
      .value("diff", "FILE", "a Diff memory file: the pages that the guest wrote")
      .value("resident", "FILE", "pages of a memory file in the page cache (inexact)");
  add_end_options(options);
  add_output_options(options);
  options.value("digest", "DIGEST", "the digest of the memory, for an HPL2 list");
  add_layout_options(options);
  if (const std::optional<base::ParsedOptions> parsed = options.parse(argc, argv)) {
    parsed->require_operands(0, 1, "TRACE");
    const ListOutput output = output_of(*parsed);
    HotList list = list_of_source(*parsed, open_session);
    list.digest = parsed->value_or("digest", "");
    list.created = base::wall_clock().tv_sec;
    if (output.format == ListFormat::hpl2 && list.regions.empty()) {
      throw base::BadData(
          "cannot write an HPL2 list: the trace has no first line with the regions; use --format "
          "hpl1");
    }
    write_list(list, output);
  }
  return 0;
}

}  // namespace hot
