// SPDX-License-Identifier: Apache-2.0
// Drops capabilities by capset(2).
#include "pager/keep/least_privilege.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstdint>

namespace pager {

void keep_least_privilege() {
  if (::geteuid() != 0) {
    return;
  }
  struct __user_cap_header_struct header {
    .version = _LINUX_CAPABILITY_VERSION_3, .pid = 0
  };
  std::array<struct __user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> sets{};
  if (::syscall(SYS_capget, &header, sets.data()) != 0) {
    return;
  }
  constexpr uint32_t kNeeded = (1U << CAP_KILL) | (1U << CAP_SYS_PTRACE);
  sets[0].effective &= kNeeded;
  sets[1].effective = 0;
  // With no_new_privs a program gets only what its parent is permitted to have.
  if (::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0) {
    sets[0].permitted &= kNeeded;
    sets[1].permitted = 0;
  }
  static_cast<void>(::syscall(SYS_capset, &header, sets.data()));
}

}  // namespace pager
