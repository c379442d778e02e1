#include "pager/features.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/error.h"
#include "base/fd.h"
#include "base/message.h"
#include "pager/kernel_abi.h"

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
     .fallback = "a completion reads the pagemap, which takes longer"},
    {.name = "peerpidfd",
     .call = "SO_PEERPIDFD",
     .since = "6.5",
     .fallback = "a VMM is found by its number and start time"},
}};

// A userfaultfd for user-mode faults only can be had without any privilege.
Support probe_poison() {
  const base::Fd fd(
      static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY)));
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
  scan.size = sizeof scan;  // of no memory at all
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

Feature feature_named(std::string_view name) {
  std::string list;
  for (size_t i = 0; i < kFeatures; ++i) {
    if (kTexts[i].name == name) {
      return static_cast<Feature>(i);
    }
    list += (list.empty() ? "" : ", ") + std::string(kTexts[i].name);
  }
  throw base::UsageError("bad value " + base::quoted(name) + " for --without: one of " + list +
                         " is needed");
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

void Features::probe(std::string_view without) {
  found_ = {probe_poison(), probe_pagemap_scan(), probe_peerpidfd()};
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
    if (!features().has(feature)) {
      base::say_info((features().support(feature) == Support::off
                          ? std::string(text.call) + " is switched off: "
                          : "this kernel has no " + std::string(text.call) + " (Linux " +
                                std::string(text.since) + "): ") +
                     std::string(text.fallback));
    }
  }
}

}  // namespace pager
