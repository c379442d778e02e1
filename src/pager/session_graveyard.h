// SPDX-License-Identifier: Apache-2.0
// Where sessions are freed that have ended.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "pager/session.h"

namespace pager {

// A thread of its own: the last session of an image gives that back, too, 5 ms for 256 MiB,
// and nobody else is to wait for it.
class SessionGraveyard {
 public:
  SessionGraveyard();
  // When all are freed.
  ~SessionGraveyard();
  SessionGraveyard(const SessionGraveyard&) = delete;
  SessionGraveyard(SessionGraveyard&&) = delete;
  SessionGraveyard& operator=(const SessionGraveyard&) = delete;
  SessionGraveyard& operator=(SessionGraveyard&&) = delete;

  void bury(std::vector<std::unique_ptr<Session>> ended);

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::unique_ptr<Session>> ended_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace pager
