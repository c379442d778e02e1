// SPDX-License-Identifier: Apache-2.0
// A SIGBUS handler that jumps out of the loads of fetch_words.
#include "pager/kernel/guarded_read.h"

#include <csetjmp>
#include <csignal>
#include <cstring>

#include "pager/kernel/invariant.h"

namespace pager {
namespace {

// ThreadSanitizer runs each handler with all signals blocked, so the way out must restore the mask.
#ifdef __SANITIZE_THREAD__
constexpr int kSaveMask = 1;
#else
constexpr int kSaveMask = 0;
#endif

// The kernel delivers SIGBUS to the thread whose load failed. That thread holds no lock during the
// loads and has no object to destroy, so siglongjmp is safe.
thread_local sigjmp_buf way_out;
thread_local volatile sig_atomic_t guarded = 0;
void (*handler_before)(int) = SIG_DFL;

void on_sigbus(int signal) {
  if (guarded != 0) {
    siglongjmp(way_out, 1);
  }
  // The fault is not in fetch_words: the load is repeated on return and ends the process.
  if (handler_before != SIG_DFL && handler_before != SIG_IGN) {
    handler_before(signal);
  }
  static_cast<void>(::signal(SIGBUS, SIG_DFL));
}

bool take_sigbus() {
  struct sigaction action {};
  struct sigaction before {};
  if (::sigaction(SIGBUS, nullptr, &before) == 0 && (before.sa_flags & SA_SIGINFO) == 0) {
    handler_before = before.sa_handler;
  }
  action.sa_handler = on_sigbus;
  action.sa_flags = SA_NODEFER;  // siglongjmp does not restore the mask: that costs a system call
  return ::sigaction(SIGBUS, &action, nullptr) == 0;
}

}  // namespace

bool fetch_words(std::span<const std::byte* const> addresses, std::span<uint64_t> words) {
  static const bool taken = take_sigbus();
  require(taken && words.size() >= addresses.size(), "words to fetch");
  if (sigsetjmp(way_out, kSaveMask) != 0) {
    guarded = 0;
    return false;
  }
  guarded = 1;
  for (size_t i = 0; i < addresses.size(); ++i) {
    words[i] = *reinterpret_cast<const volatile uint64_t*>(addresses[i]);
  }
  guarded = 0;
  return true;
}

}  // namespace pager
