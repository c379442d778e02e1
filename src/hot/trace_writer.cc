// SPDX-License-Identifier: Apache-2.0
// Creates trace files atomically and feeds them through a background writer.
#include "hot/trace_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <climits>
#include <cstdio>
#include <utility>

#include "base/error.h"
#include "base/fd.h"
#include "base/file_status.h"
#include "base/message.h"
#include "hot/trace.h"

namespace hot {
namespace {

std::string subject(const std::string& path) {
  return path == "-" ? "trace on standard output" : "trace " + base::quoted(path);
}

// Splits a path into its directory, with the slash, and the name in it.
std::pair<std::string, std::string> split(const std::string& path) {
  const size_t name_at = path.rfind('/') + 1;  // 0 if the path has no slash
  return {name_at == 0 ? "./" : path.substr(0, name_at), path.substr(name_at)};
}

void check_target(const std::string& path) {
  struct stat st {};
  if (::lstat(path.c_str(), &st) == 0) {
    if (!S_ISREG(st.st_mode)) {
      throw base::BadData("cannot write " + subject(path) + ": " +
                          (S_ISLNK(st.st_mode) ? "is a symbolic link" : "is not a regular file"));
    }
  } else if (errno != ENOENT) {
    base::throw_errno("cannot write " + subject(path));
  }
}

// An existing file of this name is not touched; the rename replaces it in one step.
base::Fd make_file(const std::string& path) {
  if (path == "-") {
    base::Fd fd(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0));
    if (!fd) {
      base::throw_errno("cannot use standard output");
    }
    return fd;
  }
  static std::atomic<unsigned> count{0};
  const auto [directory, name] = split(path);
  const std::string temporary = directory + "." + name + "." + std::to_string(::getpid()) + "-" +
                                std::to_string(++count) + ".snapfork-tmp";
  constexpr mode_t kMode = 0600;
  base::Fd fd = base::open_file(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, kMode);
  try {
    check_target(path);
    if (::rename(temporary.c_str(), path.c_str()) != 0) {
      base::throw_errno("cannot write " + subject(path));
    }
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  return fd;
}

// Opens the trace of a killed server for more lines. A line that it has not written whole is cut.
// Throws base::BadData for a file that does not start with `header`.
base::Fd reopen_file(const std::string& path, const std::string& header) {
  base::Fd fd = base::open_file(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK);
  const struct stat st = base::stat_fd(fd.get(), path);
  if (!S_ISREG(st.st_mode)) {
    throw base::BadData("cannot write " + subject(path) + ": is not a regular file");
  }
  std::string start(header.size(), '\0');
  base::pread_full(fd.get(), std::as_writable_bytes(std::span(start)), 0, path);
  if (start != header) {
    throw base::BadData("cannot continue " + subject(path) + ": it is another trace");
  }
  constexpr off_t kLongestLine = 128;
  std::array<char, kLongestLine> tail{};
  const off_t from = std::max<off_t>(0, st.st_size - kLongestLine);
  const size_t bytes =
      base::pread_full(fd.get(), std::as_writable_bytes(std::span(tail)), from, path);
  const size_t newline = std::string_view(tail.data(), bytes).rfind('\n');
  const off_t end =
      newline == std::string_view::npos ? st.st_size : from + static_cast<off_t>(newline) + 1;
  if (::ftruncate(fd.get(), end) != 0 || ::lseek(fd.get(), end, SEEK_SET) < 0) {
    base::throw_errno("cannot write " + subject(path));
  }
  return fd;
}

}  // namespace

void TraceWriter::check(const std::string& path) {
  if (path == "-") {
    return;
  }
  constexpr size_t kRoom = 32;  // for ".SESSION", or the rest of the temporary name
  if (path.size() + kRoom > PATH_MAX) {
    base::throw_error_number(ENAMETOOLONG, "cannot write " + subject(path));
  }
  check_target(path);
  if (::faccessat(AT_FDCWD, split(path).first.c_str(), W_OK | X_OK, AT_EACCESS) != 0) {
    base::throw_errno("cannot write " + subject(path));
  }
}

void TraceWriter::start(std::span<const Region> regions, uint64_t memory_bytes) {
  note_pages(regions, memory_bytes);
  start_writer([path = path_] { return make_file(path); });
  buffer_ = writer_ ? trace_header(regions, memory_bytes) : "";
  flush();
}

void TraceWriter::resume(std::span<const Region> regions, uint64_t memory_bytes) {
  if (path_ == "-") {
    end("the server that wrote it was killed");
  } else {
    note_pages(regions, memory_bytes);
    start_writer([path = path_, header = trace_header(regions, memory_bytes)] {
      return reopen_file(path, header);
    });
  }
}

void TraceWriter::note_pages(std::span<const Region> regions, uint64_t memory_bytes) {
  const uint64_t page_size = regions.empty() ? kSmallPage : regions.front().page_size;
  seen_.assign(memory_bytes / page_size, false);
}

void TraceWriter::start_writer(std::function<base::Fd()> open) {
  // Enough for some seconds of a guest that faults continuously.
  constexpr size_t kMostQueued = size_t{16} << 20U;
  try {
    writer_ = std::make_unique<base::BackgroundWriter>(
        "trace", kMostQueued, base::BackgroundWriter::OnError::end, std::move(open));
  } catch (const std::system_error& error) {
    end(error.what());
  }
}

void TraceWriter::fault(uint64_t page_in_file) {
  if (!writer_ || (page_in_file < seen_.size() && seen_[page_in_file])) {
    return;
  }
  if (page_in_file < seen_.size()) {
    seen_[page_in_file] = true;
  }
  std::array<char, 24> line{};
  const char* const end = std::to_chars(line.data(), line.data() + line.size(), page_in_file).ptr;
  append_line({line.data(), static_cast<size_t>(end - line.data())});
}

void TraceWriter::listed(uint64_t first, uint64_t count) {
  append_line("# listed " + std::to_string(first) + " " + std::to_string(count));
}

void TraceWriter::mark(std::string_view name) {
  append_line("# mark " + std::string(name));
}

void TraceWriter::append_line(std::string_view line) {
  if (!writer_) {
    return;
  }
  buffer_.append(line) += '\n';
  constexpr size_t kFlushAt = 256 << 10;
  if (buffer_.size() >= kFlushAt) {
    flush();
  }
}

void TraceWriter::flush() {
  if (!writer_ || buffer_.empty()) {
    return;
  }
  if (!writer_->write(std::exchange(buffer_, {}))) {
    const std::string why = writer_->failure();
    end(why.empty() ? "the file does not accept data fast enough" : why);
  }
}

void TraceWriter::finish() {
  flush();
  constexpr std::chrono::seconds kLimit{1};
  if (writer_ && !writer_->drain(kLimit)) {
    const std::string why = writer_->failure();
    end(why.empty() ? "the file does not accept data fast enough" : why);
  }
  writer_.reset();
}

void TraceWriter::end(const std::string& why) {
  base::say_warning(subject(path_) + " ends: " + why);
  writer_.reset();
  buffer_.clear();
}

}  // namespace hot
