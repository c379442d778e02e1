// SPDX-License-Identifier: Apache-2.0
// Walks a list in parts of runs that have one phase and one weight.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "hot/hot_list.h"

namespace hot {

// Calls use(part, phase, weight) for each, in the order of the list. Phases and weights must cover
// the pages, as they do in a list that was read.
template <typename Use>
void for_each_part(const HotList& list, const Use& use) {
  size_t phase = 0;
  size_t weight = 0;
  uint64_t in_phase = 0;   // pages of the phase so far
  uint64_t in_weight = 0;  // pages of the weight group so far
  for (const HotRun& run : list.runs) {
    for (uint64_t done = 0; done < run.count;) {
      uint64_t count = run.count - done;
      while (phase < list.phases.size() && in_phase == list.phases[phase].pages) {
        ++phase;
        in_phase = 0;
      }
      while (weight < list.weights.size() && in_weight == list.weights[weight].pages) {
        ++weight;
        in_weight = 0;
      }
      if (phase < list.phases.size()) {
        count = std::min(count, list.phases[phase].pages - in_phase);
      }
      if (weight < list.weights.size()) {
        count = std::min(count, list.weights[weight].pages - in_weight);
      }
      use(HotRun{.region = run.region,
                 .count = static_cast<uint32_t>(count),
                 .offset = run.offset + done * list.page_size},
          phase, weight < list.weights.size() ? list.weights[weight].weight : 1);
      done += count;
      in_phase += count;
      in_weight += count;
    }
  }
}

}  // namespace hot
