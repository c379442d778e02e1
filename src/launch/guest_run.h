// SPDX-License-Identifier: Apache-2.0
// Runs a guest of the store in the VMM that fc-run starts: its lock, its checks, its load.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "fc/supervise.h"
#include "fc/vmm_request.h"
#include "launch/hot_reads.h"
#include "meta/flows/run_prepare.h"
#include "meta/guest/guest_state.h"
#include "meta/guest/taps.h"
#include "store/store.h"

namespace launch {

struct GuestRunRequest {
  std::string id;
  int lock_fd = -1;          // open on the lock file of the id, by the parent of this process
  bool is_file = false;      // load the memory file, whatever --backend auto means
  bool keeps_clock = false;  // as in meta::LoadRequest
  bool tracks_dirty_pages = false;
  bool resumes = true;
  meta::Force force = meta::Force::no;
  std::vector<meta::TapName> taps{};
  std::chrono::milliseconds load_timeout{};  // 0: none
};

// Takes the exclusive lock, and calls meta::prepare_run under it. The lock stays with the file of
// the parent when this process ends.
class GuestRun {
 public:
  explicit GuestRun(GuestRunRequest request);

  // Whether the caller must make a session at the page server before the start.
  bool needs_caller() const;
  const meta::RunPreparation& facts() const { return run_; }
  // Adds the directory of the VMM, and what the snapshot uses.
  fc::VmmRequest complete(fc::VmmRequest request) const;
  // Starts to read the hot pages, if there are some. The result refers to this object.
  fc::SnapshotLoad load();

 private:
  std::string begin(pid_t pid, const std::string& version, bool sets_clock);

  GuestRunRequest request_;
  store::Store store_;
  meta::RunPreparation run_;
  std::optional<HotReads> hot_reads_;
};

}  // namespace launch
