#include "base/output.h"

#include <unistd.h>

#include <cerrno>
#include <string>

#include "base/error.h"
#include "base/fd.h"

namespace base {
namespace {

constexpr size_t kFlushAt = 64 << 10;

std::string& buffer() {
  static std::string text;
  return text;
}

}  // namespace

void write_out(std::string_view text) {
  buffer() += text;
  if (buffer().size() >= kFlushAt) {
    flush_out();
  }
}

void write_line_out(std::string_view text) {
  buffer() += text;
  buffer() += '\n';
  flush_out();
}

void flush_out() {
  std::string text;
  text.swap(buffer());  // dropped when the write fails: close_out must not fail for it again
  write_full(STDOUT_FILENO, text, "standard output");
}

void close_out() {
  flush_out();
  if (::close(STDOUT_FILENO) != 0 && errno != EINTR) {
    throw_errno("cannot close 'standard output'");
  }
}

}  // namespace base
