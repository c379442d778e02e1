// SPDX-License-Identifier: Apache-2.0
// A POSIX timer that sends SIGRTMIN to the thread that created it.
#include "pager/kernel/read_ticker.h"

#include <unistd.h>

#include <csignal>

#include "base/error.h"

namespace pager {
namespace {

void do_nothing(int /*signal*/) {}

}  // namespace

ReadTicker::ReadTicker() {
  struct sigaction action {};
  action.sa_handler = do_nothing;  // no SA_RESTART: read(2) must return EINTR
  if (::sigaction(SIGRTMIN, &action, nullptr) != 0) {
    base::throw_errno("cannot handle SIGRTMIN");
  }
  struct sigevent event {};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = SIGRTMIN;
  event._sigev_un._tid = ::gettid();  // sigev_notify_thread_id, missing in older headers
  if (::timer_create(CLOCK_MONOTONIC, &event, &timer_) != 0) {
    base::throw_errno("cannot create a timer");
  }
  struct itimerspec each_second {};
  each_second.it_interval.tv_sec = 1;
  each_second.it_value.tv_sec = 1;
  ::timer_settime(timer_, 0, &each_second, nullptr);
}

ReadTicker::~ReadTicker() {
  ::timer_delete(timer_);
}

}  // namespace pager
