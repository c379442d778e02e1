// SPDX-License-Identifier: Apache-2.0
// Finds the first rule of HPL2 that a list breaks.
#include "hot/hpl2_rules.h"

#include <optional>

#include "base/error.h"
#include "base/utf8.h"
#include "hot/run_overlap.h"
#include "hot/trace.h"

namespace hot {

void refuse_hpl2(const std::string& why) {
  throw base::BadData(why);
}

void check_hpl2_layout(const HotList& list) {
  if (list.page_size != kSmallPage && list.page_size != kHugePage) {
    refuse_hpl2("page size " + std::to_string(list.page_size) + " is neither 4096 nor 2097152");
  }
  if (const auto problem = file_layout_problem(list.regions, list.memory_bytes)) {
    refuse_hpl2(*problem);
  }
}

void check_hpl2_text(std::string_view text, std::string_view what) {
  if (text.size() > kHpl2MostTextBytes || base::printable(text) != text) {
    refuse_hpl2(std::string(what) + " is longer than " + std::to_string(kHpl2MostTextBytes) +
                " bytes, or has control characters");
  }
}

void check_hpl2_parts(const HotList& list, uint64_t pages) {
  uint64_t covered = 0;
  for (const HotPhase& phase : list.phases) {
    check_hpl2_text(phase.name, "the name of a phase");
    if (phase.pages > pages - covered) {
      refuse_hpl2("the phases have more pages than the list");
    }
    covered += phase.pages;
  }
  if (!list.phases.empty() && covered != pages) {
    refuse_hpl2("the phases have fewer pages than the list");
  }
  if (list.recordings == 0) {
    refuse_hpl2("the list is of no recording");
  }
  covered = 0;
  for (const HotWeight& weight : list.weights) {
    if (weight.pages == 0 || weight.pages > pages - covered) {
      refuse_hpl2("the weights have more pages than the list, or a group of no page");
    }
    if (weight.weight == 0 || weight.weight > list.recordings) {
      refuse_hpl2("weight " + std::to_string(weight.weight) + " is not between 1 and " +
                  std::to_string(list.recordings));
    }
    covered += weight.pages;
  }
  if (!list.weights.empty() && covered != pages) {
    refuse_hpl2("the weights have fewer pages than the list");
  }
}

void check_hpl2_overlap(const HotList& list) {
  if (const std::optional<uint64_t> page = repeated_page(list)) {
    refuse_hpl2("page " + std::to_string(*page) + " is listed twice");
  }
}

}  // namespace hot
