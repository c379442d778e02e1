// SPDX-License-Identifier: Apache-2.0
// The thread that reads the output of a VMM, and the rotation of its files.
#include "fc/console_log.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>

#include "base/background_writer.h"
#include "base/error.h"
#include "fc/vmm_directory.h"

namespace fc {
namespace {

constexpr size_t kReadBytes = size_t{64} << 10U;
constexpr size_t kQueueBytes = size_t{256} << 10U;
constexpr size_t kTailBytes = 1000;
// A process that survives the VMM may write without end.
constexpr int kReadsAtEnd = 32;

// Opens a new `console`; the one that exists becomes `console.1`.
base::Fd open_console(int directory) {
  constexpr mode_t kMode = 0600;
  ::renameat(directory, kConsole, directory, kOlderConsole);
  return base::open_at(directory, kConsole, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, kMode);
}

// The two files.
class ConsoleFiles {
 public:
  explicit ConsoleFiles(std::shared_ptr<const base::Fd> directory)
      : directory_(std::move(directory)) {}

  void write(std::string text) {
    const size_t length = text.size();
    if (!writer_ || written_ + length > kConsoleBytes ||
        (lost_ > kConsoleBytes && !writer_->failure().empty())) {
      // The old writer finishes its queue by itself, into the file that has been renamed.
      writer_.emplace("console", kQueueBytes, base::BackgroundWriter::OnError::skip,
                      [directory = directory_] { return open_console(directory->get()); });
      written_ = 0;
      lost_ = 0;
    }
    (writer_->write(std::move(text)) ? written_ : lost_) += length;
  }
  void finish() {
    constexpr std::chrono::seconds kLimit{1};
    if (writer_) {
      writer_->drain(kLimit);
    }
  }

 private:
  std::shared_ptr<const base::Fd> directory_;
  std::optional<base::BackgroundWriter> writer_;
  size_t written_ = 0;  // to the current file
  size_t lost_ = 0;     // since the file was opened
};

}  // namespace

class ConsoleLog::Reader {
 public:
  Reader(base::Fd pipe, std::shared_ptr<const base::Fd> directory)
      : pipe_(std::move(pipe)),
        ending_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        files_(std::move(directory)) {
    if (!ending_) {
      base::throw_errno("cannot create an eventfd");
    }
    thread_ = std::thread([this] { run(); });
  }
  ~Reader() {
    end();
    files_.finish();
  }
  Reader(const Reader&) = delete;
  Reader(Reader&&) = delete;
  Reader& operator=(const Reader&) = delete;
  Reader& operator=(Reader&&) = delete;

  // Ends the thread once the pipe is empty.
  void end() {
    if (thread_.joinable()) {
      ::eventfd_write(ending_.get(), 1);
      thread_.join();
    }
  }
  const std::string& tail() const { return tail_; }

 private:
  void run() {
    bool is_ending = false;
    int left = kReadsAtEnd;
    while (!is_ending || left-- > 0) {
      std::array<struct pollfd, 2> ready{{{.fd = pipe_.get(), .events = POLLIN, .revents = 0},
                                          {.fd = ending_.get(), .events = POLLIN, .revents = 0}}};
      if (!is_ending) {
        ::poll(ready.data(), ready.size(), -1);
        is_ending = ready[1].revents != 0;
      }
      if (!read_some() || (is_ending && is_empty_)) {
        return;
      }
    }
  }
  // Returns false at the end of the output.
  bool read_some() {
    std::string text(kReadBytes, '\0');
    const ssize_t length = ::read(pipe_.get(), text.data(), text.size());
    is_empty_ = length < 0 && errno == EAGAIN;
    if (length <= 0) {
      return is_empty_ || (length < 0 && errno == EINTR);
    }
    text.resize(static_cast<size_t>(length));
    tail_ += text;
    if (tail_.size() > 2 * kReadBytes) {
      tail_.erase(0, tail_.size() - kReadBytes);
    }
    files_.write(std::move(text));
    return true;
  }

  base::Fd pipe_;
  base::Fd ending_;
  ConsoleFiles files_;
  std::string tail_;
  bool is_empty_ = false;
  std::thread thread_;
};

ConsoleLog::ConsoleLog(base::Fd pipe, std::shared_ptr<const base::Fd> directory)
    : reader_(std::make_unique<Reader>(std::move(pipe), std::move(directory))) {}
ConsoleLog::~ConsoleLog() = default;

std::string ConsoleLog::last_lines() {
  reader_->end();
  std::string_view text = reader_->tail();
  if (text.size() > kTailBytes) {
    text.remove_prefix(text.size() - kTailBytes);
  }
  std::string lines;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) {
      line.remove_suffix(1);
    }
    if (!line.empty()) {
      lines += (lines.empty() ? "" : " | ") + std::string(line);
    }
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return lines;
}

}  // namespace fc
