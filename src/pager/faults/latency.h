// SPDX-License-Identifier: Apache-2.0
// The latency histogram of a session.
#pragma once

#include <cstdint>

#include "base/log_histogram.h"

namespace pager {

// Times in ns up to 2^40 ns, 18 minutes; percentiles are accurate to 4 %. The finer histogram of
// the probe (probe/histogram.h) costs no measurable time on the fault path, but each session would
// have 58 KiB of it instead of 2.3 KiB.
using Latency = base::LogHistogram<4, 40, uint32_t>;

}  // namespace pager
