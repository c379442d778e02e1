// SPDX-License-Identifier: Apache-2.0
// Optional kernel features, beyond the minimum (Linux 6.1), and what the server does without them.
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
  no,       // the kernel does not have it
  off,      // disabled by --without
  unknown,  // the probe failed: tried when it is needed
};

struct FeatureText {
  std::string_view name;      // as in --without
  std::string_view call;      // the kernel's own name
  std::string_view since;     // the first Linux release that has it
  std::string_view fallback;  // what the server does without it
};
const FeatureText& text_of(Feature feature);
std::string_view support_name(Support support);

// The features of this process. Before probe() everything is unknown, and is therefore tried.
class Features {
 public:
  bool has(Feature feature) const {
    const Support found = support(feature);
    return found == Support::yes || found == Support::unknown;
  }
  Support support(Feature feature) const { return found_[static_cast<size_t>(feature)]; }

  // Queries the kernel. `without` is a comma-separated list of features that count as missing.
  // Throws base::UsageError for an unknown name.
  void probe(std::string_view without = "");

 private:
  std::array<Support, kFeatures> found_{Support::unknown, Support::unknown, Support::unknown,
                                        Support::unknown, Support::unknown};
};

// Set once at the start of main, before any thread starts.
Features& features();

// oom_score_adj of a server: the OOM killer takes it only if nothing else is left.
inline constexpr int kProtectedOomScore = -900;
// Lowers oom_score_adj of this process to `score` if it is higher. Returns false if that is not
// permitted.
bool lower_oom_score(int score);

// Logs one line for each feature that is not used: its name, the Linux release, and the fallback.
void say_missing_features();

}  // namespace pager
