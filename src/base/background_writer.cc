// SPDX-License-Identifier: Apache-2.0
// A thread that writes queued data to a file that may block.
#include "base/background_writer.h"

#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include "base/error.h"

namespace base {

// Shared with the thread, which may outlive the writer.
struct BackgroundWriter::State {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::string> queue;
  size_t most = 0;
  size_t queued = 0;  // bytes, including the data that is being written
  bool skip_errors = false;
  size_t skipped = 0;
  bool ending = false;
  std::string failure;
  std::function<Fd()> open;
};

namespace {

// As write_full, but also for a file that another process has set to O_NONBLOCK.
void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n >= 0) {
      text.remove_prefix(static_cast<size_t>(n));
    } else if (errno == EAGAIN) {
      struct pollfd wanted {
        .fd = fd, .events = POLLOUT, .revents = 0
      };
      static_cast<void>(::poll(&wanted, 1, -1));
    } else if (errno != EINTR) {
      throw_errno("cannot write");
    }
  }
}

}  // namespace

BackgroundWriter::BackgroundWriter(const char* name, size_t most_queued_bytes, OnError on_error,
                                   std::function<Fd()> open)
    : state_(std::make_shared<State>()) {
  state_->most = most_queued_bytes;
  state_->skip_errors = on_error == OnError::skip;
  state_->open = std::move(open);
  std::thread thread([state = state_] { run(*state); });
  static_cast<void>(::pthread_setname_np(thread.native_handle(), name));
  thread.detach();
}

BackgroundWriter::~BackgroundWriter() {
  const std::lock_guard lock(state_->mutex);
  state_->ending = true;
  state_->changed.notify_all();
}

void BackgroundWriter::run(State& state) {
  std::unique_lock lock(state.mutex, std::defer_lock);
  try {
    const Fd fd = state.open();
    for (;;) {
      lock.lock();
      state.changed.wait(lock, [&] { return state.ending || !state.queue.empty(); });
      if (state.queue.empty()) {
        return;
      }
      const std::string text = std::move(state.queue.front());
      state.queue.pop_front();
      lock.unlock();
      bool written = true;
      try {
        write_all(fd.get(), text);
      } catch (const std::system_error&) {
        if (!state.skip_errors) {
          throw;
        }
        written = false;
      }
      lock.lock();
      state.skipped += written ? 0 : 1;
      state.queued -= text.size();
      state.changed.notify_all();
      lock.unlock();
    }
  } catch (const std::exception& error) {
    lock.lock();
    state.failure = error.what();
    state.queue.clear();
    state.queued = 0;
    state.changed.notify_all();
  }
}

bool BackgroundWriter::write(std::string text) {
  const std::lock_guard lock(state_->mutex);
  if (!state_->failure.empty() || text.size() > state_->most - state_->queued) {
    return false;
  }
  state_->queued += text.size();
  state_->queue.push_back(std::move(text));
  state_->changed.notify_all();
  return true;
}

bool BackgroundWriter::drain(std::chrono::milliseconds limit) {
  std::unique_lock lock(state_->mutex);
  return state_->changed.wait_for(lock, limit, [&] { return state_->queued == 0; }) &&
         state_->failure.empty();
}

size_t BackgroundWriter::take_skipped() {
  const std::lock_guard lock(state_->mutex);
  return std::exchange(state_->skipped, 0);
}

std::string BackgroundWriter::failure() const {
  const std::lock_guard lock(state_->mutex);
  return state_->failure;
}

}  // namespace base
