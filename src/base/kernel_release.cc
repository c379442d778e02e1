// SPDX-License-Identifier: Apache-2.0
// Reads and compares the release of a kernel.
#include "base/kernel_release.h"

#include <sys/utsname.h>

#include <algorithm>
#include <optional>
#include <tuple>

#include "base/error.h"
#include "base/number.h"

namespace base {

std::string kernel_release() {
  struct utsname name {};
  if (::uname(&name) != 0) {
    throw_errno("cannot read the release of the kernel");
  }
  return static_cast<const char*>(name.release);
}

bool is_kernel_at_least(std::string_view release, unsigned major, unsigned minor) {
  const size_t dot = std::min(release.find('.'), release.size());
  const std::string_view rest = release.substr(std::min(dot + 1, release.size()));
  const auto first = parse_number<unsigned>(release.substr(0, dot));
  const auto second = parse_number<unsigned>(rest.substr(0, rest.find_first_not_of("0123456789")));
  return first && second && std::tie(*first, *second) >= std::tie(major, minor);
}

}  // namespace base
