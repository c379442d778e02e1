// SPDX-License-Identifier: Apache-2.0
// The verdict of a probe, as text and as JSON records.
#pragma once

#include <sys/types.h>

#include <span>
#include <string>

#include "pager/probe/baseline.h"
#include "pager/probe/config.h"
#include "pager/probe/record.h"

namespace pager {

// How one VMM ended.
struct VmmOutcome {
  std::string socket;
  pid_t pid = 0;
  const VmmRecord* record = nullptr;
  bool timed_out = false;  // the deadline passed, and the parent killed it
  int signal = 0;          // that ended it, other than the parent's kill
};

// Returns whether a touch was not answered: the deadline passed, or the server had closed.
bool is_hung(const VmmOutcome& outcome);
// Returns whether everything was correct; with an invalid handshake, whether the server refused it.
// Failures of the probe itself (record->failure) are not considered.
bool is_good(const VmmOutcome& outcome, const ProbeConfig& config);

// Describes one VMM in one line, with its socket: its figures, or what is wrong and where.
std::string describe(const VmmOutcome& outcome, const ProbeConfig& config);
// The JSON records: "probe" for each VMM; "summary" for all, with the baseline's figures if given.
std::string vmm_record(const VmmOutcome& outcome, const ProbeConfig& config);
std::string summary_record(std::span<const VmmOutcome> outcomes, const ProbeConfig& config,
                           const Baseline* baseline);
std::string describe_baseline(std::span<const VmmOutcome> outcomes, const Baseline& baseline);

}  // namespace pager
