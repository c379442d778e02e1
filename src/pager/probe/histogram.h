// SPDX-License-Identifier: Apache-2.0
// The latency histogram of a probe.
#pragma once

#include <cstdint>

#include "base/log_histogram.h"

namespace pager {

// Times in ns of any length; percentiles are accurate to 0.4 %.
using Histogram = base::LogHistogram<7, 64, uint64_t>;

}  // namespace pager
