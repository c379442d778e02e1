// SPDX-License-Identifier: Apache-2.0
// The verdict of a probe, for a person and as records.
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
  bool timed_out = false;  // the deadline passed, and it was killed
  int signal = 0;          // that it died of, by itself
};

// A touch was not answered: the deadline passed, or the server had gone.
bool is_hung(const VmmOutcome& outcome);
// Nothing was wrong, or, with a spoilt handshake, the server refused it. Says nothing of failures
// (record->failure).
bool is_good(const VmmOutcome& outcome, const ProbeConfig& config);

// The line of a VMM, by its socket: what went well, or what is wrong and where.
std::string describe(const VmmOutcome& outcome, const ProbeConfig& config);
// The records: "probe" for each VMM; "summary" over all, with the baseline's figures where given.
std::string vmm_record(const VmmOutcome& outcome, const ProbeConfig& config);
std::string summary_record(std::span<const VmmOutcome> outcomes, const ProbeConfig& config,
                           const Baseline* baseline);
std::string describe_baseline(std::span<const VmmOutcome> outcomes, const Baseline& baseline);

}  // namespace pager
