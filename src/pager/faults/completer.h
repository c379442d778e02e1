// SPDX-License-Identifier: Apache-2.0
// Carries out a completion: installs all memory, verifies that with the kernel, and unregisters it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pager/faults/cold_pages.h"
#include "pager/faults/completion.h"
#include "pager/faults/counters.h"
#include "pager/faults/page_filler.h"
#include "pager/faults/session_log.h"
#include "pager/faults/session_state.h"
#include "pager/faults/vmm.h"
#include "pager/faults/window.h"

namespace pager {

// Everything but the client is in its part of SessionState, so a successor continues without
// further steps. The arguments of the constructor must outlive it. Belongs to one thread.
class Completer {
 public:
  // What a completion uses. All are borrowed.
  struct Parts {
    SessionState::CompletionProgress& state;
    int uffd;
    const Vmm& vmm;
    PageTable& table;
    PageFiller& filler;
    ColdPages& cold;
    Counters& counters;
    const SessionLog& log;
  };
  explicit Completer(const Parts& parts) : parts_(parts) {}

  // Starts a completion from the first page, with the rate of `client`. The completion of a
  // previous client fails.
  void start(std::shared_ptr<Completion> client);
  // Report the pause to the client. The owner stops to call piece().
  void pause();
  void resume();

  // Whether the memory is unregistered: the VMM needs no server from then on.
  bool detached() const { return parts_.state.stage == CompletionStage::detached; }
  bool has_work() const {
    return parts_.state.stage == CompletionStage::filling ||
           parts_.state.stage == CompletionStage::confirming;
  }
  // CLOCK_MONOTONIC before which piece() does nothing, because of the rate, or because pages are
  // being read from the disk.
  uint64_t due_ns() const { return not_before_ns_; }
  // Installs at most `bytes`, or one page, of what is in the page cache; other pages are read by
  // another thread. After the last page verifies and unregisters. Any
  // failure but a removal in progress (Stop::again) and the end of the VMM (Stop::over) ends the
  // completion, with a message for the client and the log; the session is still served.
  Stop piece(uint64_t bytes);

 private:
  bool is_needed(uint64_t page) const;
  uint64_t select(const PageTable::RegionPages& in, uint64_t most);
  void read_cold_pages(const PageTable::RegionPages& in, uint64_t page);
  Stop skip_gone(const PageTable::RegionPages& in);
  Stop verify();
  std::optional<std::vector<PageSpan>> find_missing() const;
  Stop detach();
  int unregister(const PageTable::RegionPages& in, uint64_t first, uint64_t count);
  void fail(const std::string& why);
  void keep_rate(uint64_t bytes);

  Parts parts_;
  std::shared_ptr<Completion> client_;  // null: no client waits
  uint64_t not_before_ns_ = 0;
  std::vector<uint64_t> selected_;  // pages of the current piece
  std::vector<uint64_t> to_read_;
};

}  // namespace pager
