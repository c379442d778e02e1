// SPDX-License-Identifier: Apache-2.0
// The handler of signals that report bugs.
#include "pager/serve/crash_mark.h"

#include <csignal>

namespace pager {
namespace {

KeeperPage* keeper_page = nullptr;
thread_local volatile uint64_t served = 0;

// Runs in a damaged process: makes one store and two system calls.
void on_bug(int signal) {
  if (served != 0) {
    keeper_page->crashed_session.store(served, std::memory_order_relaxed);
  }
  // The signal is blocked until the handler returns, and then ends the process.
  static_cast<void>(::signal(signal, SIG_DFL));
  static_cast<void>(::raise(signal));
}

}  // namespace

void mark_crashes(KeeperPage& page) {
  keeper_page = &page;
  struct sigaction action {};
  action.sa_handler = on_bug;
  for (const int signal : {SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE}) {
    static_cast<void>(::sigaction(signal, &action, nullptr));
  }
}

void mark_crashes_of(uint64_t key) {
  served = key;
}

}  // namespace pager
