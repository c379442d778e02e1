// SPDX-License-Identifier: Apache-2.0
// Probes the optional kernel features and describes their fallbacks.
#include "pager/kernel/features.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <optional>

#include "base/error.h"
#include "base/fd.h"
#include "base/message.h"
#include "pager/kernel/kernel_abi.h"
#include "pager/kernel/uffd.h"

namespace pager {
namespace {

constexpr std::array<FeatureText, kFeatures> kTexts{{
    {.name = "poison",
     .call = "UFFDIO_POISON",
     .since = "6.6",
     .fallback = "a VMM whose page cannot be read is killed"},
    {.name = "pagemap-scan",
     .call = "PAGEMAP_SCAN",
     .since = "6.7",
     .fallback = "a completion reads the pagemap, which is slower"},
    {.name = "peerpidfd",
     .call = "SO_PEERPIDFD",
     .since = "6.5",
     .fallback = "a VMM is identified by its pid and start time"},
    {.name = "nowait-read",
     .call = "RWF_NOWAIT on a userfaultfd",
     .since = "6.10",
     .fallback = "a session's thread wakes up once a second"},
    {.name = "oom-score",
     .call = "lowering oom_score_adj",
     .since = "2.6.36",
     .fallback = "pages of mapped images are unmapped every 16 MiB, and the OOM killer may still "
                 "take the server first"},
}};

// Creating a userfaultfd for user-mode faults only needs no privilege.
base::Fd user_mode_userfaultfd() {
  return base::Fd(
      static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY)));
}

Support probe_poison() {
  const base::Fd fd = user_mode_userfaultfd();
  struct uffdio_api api {};
  api.api = UFFD_API;
  if (!fd || ::ioctl(fd.get(), UFFDIO_API, &api) != 0) {
    return Support::unknown;
  }
  return (api.features & UFFD_FEATURE_POISON) != 0 ? Support::yes : Support::no;
}

Support probe_pagemap_scan() {
  const base::Fd fd(::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
  if (!fd) {
    return Support::unknown;
  }
  struct pm_scan_arg scan {};
  scan.size = sizeof scan;  // an empty range
  return ::ioctl(fd.get(), PAGEMAP_SCAN, &scan) == 0 ? Support::yes : Support::no;
}

Support probe_peerpidfd() {
  std::array<int, 2> pair{-1, -1};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) != 0) {
    return Support::unknown;
  }
  const base::Fd one(pair[0]);
  const base::Fd other(pair[1]);
  int pidfd = -1;
  socklen_t length = sizeof pidfd;
  if (::getsockopt(one.get(), SOL_SOCKET, SO_PEERPIDFD, &pidfd, &length) == 0) {
    base::Fd(pidfd).reset();
    return Support::yes;
  }
  return errno == ENOPROTOOPT ? Support::no : Support::unknown;
}

Support probe_nowait_read() {
  const base::Fd fd = user_mode_userfaultfd();
  struct uffdio_api api {};
  api.api = UFFD_API;
  if (!fd || ::ioctl(fd.get(), UFFDIO_API, &api) != 0) {
    return Support::unknown;
  }
  return uffd_has_nowait_read(fd.get()) ? Support::yes : Support::no;
}

std::optional<int> oom_score() {
  int score = 0;
  return std::ifstream("/proc/self/oom_score_adj") >> score ? std::optional(score) : std::nullopt;
}

bool set_oom_score(int score) {
  std::ofstream file("/proc/self/oom_score_adj");
  file << score << std::flush;
  return file.good();
}

// Lowers the score by one, then restores it. Raising is always permitted. A score that is low
// enough, as set by the parent (OOMScoreAdjust= of systemd), need not be lowered.
Support probe_oom_score() {
  const std::optional<int> score = oom_score();
  if (!score) {
    return Support::unknown;
  }
  if (*score <= kProtectedOomScore) {
    return Support::yes;
  }
  if (!set_oom_score(*score - 1)) {
    return Support::no;
  }
  set_oom_score(*score);
  return Support::yes;
}

Feature feature_named(std::string_view name) {
  std::string list;
  for (size_t i = 0; i < kFeatures; ++i) {
    if (kTexts[i].name == name) {
      return static_cast<Feature>(i);
    }
    list += (list.empty() ? "" : ", ") + std::string(kTexts[i].name);
  }
  throw base::UsageError("bad value " + base::quoted(name) + " for --without: expected one of " +
                         list);
}

}  // namespace

const FeatureText& text_of(Feature feature) {
  return kTexts[static_cast<size_t>(feature)];
}

std::string_view support_name(Support support) {
  switch (support) {
    case Support::yes:
      return "yes";
    case Support::no:
      return "no";
    case Support::off:
      return "off";
    default:
      return "unknown";
  }
}

bool lower_oom_score(int score) {
  const std::optional<int> now = oom_score();
  return now && (*now <= score || set_oom_score(score));
}

void Features::probe(std::string_view without) {
  found_ = {probe_poison(), probe_pagemap_scan(), probe_peerpidfd(), probe_nowait_read(),
            probe_oom_score()};
  while (!without.empty()) {
    const std::string_view name = without.substr(0, without.find(','));
    found_[static_cast<size_t>(feature_named(name))] = Support::off;
    without.remove_prefix(std::min(without.size(), name.size() + 1));
  }
}

Features& features() {
  static Features found;
  return found;
}

void say_missing_features() {
  for (size_t i = 0; i < kFeatures; ++i) {
    const auto feature = static_cast<Feature>(i);
    const FeatureText& text = text_of(feature);
    if (features().has(feature)) {
      continue;
    }
    if (features().support(feature) == Support::off) {
      base::say_info(std::string(text.call) +
                     " is disabled by --without: " + std::string(text.fallback));
    } else if (feature == Feature::oom_score) {
      // Every server that does not run as root gets this, so it is not a warning.
      base::say_detail(std::string(text.call) + " is not permitted: " + std::string(text.fallback));
    } else {
      base::say_info("this kernel does not have " + std::string(text.call) + " (Linux " +
                     std::string(text.since) + "): " + std::string(text.fallback));
    }
  }
}

}  // namespace pager
