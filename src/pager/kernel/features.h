// SPDX-License-Identifier: Apache-2.0
// What this kernel can do beyond the least that the suite supports (Linux 6.1), and what happens
// where it cannot.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

namespace pager {

enum class Feature : size_t { poison, pagemap_scan, peerpidfd, nowait_read, oom_score };
inline constexpr size_t kFeatures = 5;

enum class Support {
  yes,
  no,       // the kernel has none
  off,      // switched off by --without
  unknown,  // could not be asked: tried when it is needed
};

struct FeatureText {
  std::string_view name;      // as --without takes it
  std::string_view call;      // the kernel's own name
  std::string_view since;     // the first Linux that has it
  std::string_view fallback;  // what is done without
};
const FeatureText& text_of(Feature feature);
std::string_view support_name(Support support);

// Of this process. Until probe() everything is unknown, and so is tried.
class Features {
 public:
  bool has(Feature feature) const {
    const Support found = support(feature);
    return found == Support::yes || found == Support::unknown;
  }
  Support support(Feature feature) const { return found_[static_cast<size_t>(feature)]; }

  // Asks the kernel. `without` is a list of names, divided by commas, that count as missing. Throws
  // base::UsageError for a name that is none.
  void probe(std::string_view without = "");

 private:
  std::array<Support, kFeatures> found_{Support::unknown, Support::unknown, Support::unknown,
                                        Support::unknown, Support::unknown};
};

// Set once at the start of main, before there are threads.
Features& features();

// Of a server: the least that the OOM killer leaves alone unless nothing else is left.
inline constexpr int kProtectedOomScore = -900;
// Makes this process's oom_score_adj at most `score`; false when that is not permitted.
bool lower_oom_score(int score);

// A line for each feature that is not used: what, since when, and what is done instead.
void say_missing_features();

}  // namespace pager
