#include "pager/session_graveyard.h"

#include <pthread.h>

#include <iterator>
#include <utility>

namespace pager {

SessionGraveyard::SessionGraveyard() : thread_(&SessionGraveyard::run, this) {}

SessionGraveyard::~SessionGraveyard() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void SessionGraveyard::bury(std::vector<std::unique_ptr<Session>> ended) {
  if (ended.empty()) {
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    std::move(ended.begin(), ended.end(), std::back_inserter(ended_));
  }
  changed_.notify_one();
}

void SessionGraveyard::run() {
  static_cast<void>(::pthread_setname_np(::pthread_self(), "freeing"));
  std::unique_lock lock(mutex_);
  while (!stop_ || !ended_.empty()) {
    changed_.wait(lock, [this] { return stop_ || !ended_.empty(); });
    std::vector<std::unique_ptr<Session>> free;
    free.swap(ended_);
    lock.unlock();
    free.clear();
    lock.lock();
  }
}

}  // namespace pager
