#include "pager/trace_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <string_view>

#include "base/error.h"
#include "base/message.h"
#include "pager/trace.h"

namespace pager {

TraceWriter TraceWriter::open(const std::string& path) {
  if (path == "-") {
    base::Fd fd(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0));
    if (!fd) {
      base::throw_errno("cannot use standard output");
    }
    return {path, std::move(fd)};
  }
  constexpr mode_t kMode = 0644;
  return {path, base::open_file(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOCTTY, kMode)};
}

void TraceWriter::start(std::span<const Region> regions, uint64_t memory_bytes) {
  buffer_ += trace_header(regions, memory_bytes);
  flush();
}

void TraceWriter::fault(uint64_t page_in_file) {
  if (!fd_) {
    return;
  }
  std::array<char, 24> line{};
  char* end = std::to_chars(line.data(), line.data() + line.size() - 1, page_in_file).ptr;
  *end++ = '\n';
  buffer_.append(line.data(), static_cast<size_t>(end - line.data()));
  constexpr size_t kFlushAt = 256 << 10;
  if (buffer_.size() >= kFlushAt) {
    flush();
  }
}

void TraceWriter::flush() {
  if (buffer_.empty() || !fd_) {
    return;
  }
  try {
    base::write_full(fd_.get(), buffer_, path_ == "-" ? "standard output" : path_);
  } catch (const std::exception& error) {
    base::say_warning(std::string(error.what()) + "; the trace ends here");
    fd_.reset();
  }
  buffer_.clear();
}

}  // namespace pager
