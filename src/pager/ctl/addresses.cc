// SPDX-License-Identifier: Apache-2.0
// Reads --control, and checks ids before they become a part of a request.
#include "pager/ctl/addresses.h"

#include <algorithm>
#include <string_view>

#include "base/error.h"
#include "store/run_dir.h"

namespace pager {

std::string control_socket_of(const base::ParsedOptions& options) {
  std::string control = options.value_or("control", "");
  if (control.empty()) {
    control = store::find_control_socket();
  }
  if (control.empty()) {
    throw base::UsageError(
        "no control socket: use --control, or set SNAPFORK_PAGER or XDG_RUNTIME_DIR");
  }
  return control;
}

std::string session_target(const std::string& id) {
  constexpr std::string_view kReserved = "/?#%";
  const bool allowed = std::ranges::all_of(id, [&](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte > ' ' && byte < 0x7f && kReserved.find(c) == std::string_view::npos;
  });
  if (id.empty() || !allowed) {
    throw base::UsageError("bad session id " + base::quoted(id));
  }
  return "/sessions/" + id;
}

}  // namespace pager
