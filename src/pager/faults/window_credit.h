// SPDX-License-Identifier: Apache-2.0
// The bound of what windows install: a multiple of what the guest has asked for.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "pager/faults/counters.h"
#include "pager/faults/session_state.h"

namespace pager {

// Bytes that were copied from the image for faults and windows. The guest has asked for the pages
// of its faults, and for the pages of a window once a fault continues it. The other pages of
// windows may be at most `factor` - 1 times as many. Zeros use no memory and do not count, and
// neither do hot lists and completions, which were requested. Belongs to one thread.
class WindowCredit {
 public:
  // The numbers are in the state, so that a successor keeps the bound. Both must outlive this
  // object.
  WindowCredit(SessionState::WindowBytes& state, Counters& counters)
      : state_(state), counters_(counters) {}

  // How many bytes windows may install, if a page of `page_size` is about to be installed for a
  // fault; 0 for none.
  uint64_t room(uint64_t page_size) const {
    if (state_.factor == 0) {
      return std::numeric_limits<uint64_t>::max();
    }
    const uint64_t limit = (state_.asked + page_size) * state_.factor;
    return limit - std::min(limit, state_.installed + page_size);
  }
  void add_installed(uint64_t bytes) {
    state_.installed += bytes;
    report();
  }
  // Also for pages that were credited before or are zeros: more than everything cannot be asked.
  void add_asked(uint64_t bytes) {
    state_.asked = std::min(state_.asked + bytes, state_.installed);
    report();
  }

 private:
  void report() {
    counters_.set(Count::bytes_asked, state_.asked);
    counters_.set(Count::bytes_by_window, state_.installed - state_.asked);
  }

  SessionState::WindowBytes& state_;
  Counters& counters_;
};

}  // namespace pager
