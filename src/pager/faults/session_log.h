// SPDX-License-Identifier: Apache-2.0
// Log messages of one session, prefixed with its id, the VMM's pid and the userfaultfd's number.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "base/error.h"
#include "base/message.h"

namespace pager {

class SessionLog {
 public:
  SessionLog(std::string_view id, pid_t vmm_pid, int uffd)
      : prefix_("session " + base::quoted(id) + " (pid " + std::to_string(vmm_pid) + ", uffd " +
                std::to_string(uffd) + "): ") {}

  void warn(std::string_view message) const { base::say_warning(prefix_ + std::string(message)); }
  void detail(std::string_view message) const { base::say_detail(prefix_ + std::string(message)); }

 private:
  std::string prefix_;
};

}  // namespace pager
