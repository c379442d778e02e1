// SPDX-License-Identifier: Apache-2.0
// How VMMs are served, as a command line or a request gives it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <limits>
#include <optional>
#include <string>

#include "base/options.h"
#include "pager/faults/session_state.h"
#include "pager/faults/window.h"
#include "pager/serve/refused_peer.h"

namespace pager {

inline constexpr uid_t kLargestUid = std::numeric_limits<uid_t>::max() - 1;  // the next is "none"

// An option that is not given is nullopt or "".
struct ServingOptions {
  std::optional<OnFailure> on_failure{};
  std::optional<OnRefusal> on_refusal{};
  std::optional<uint32_t> read_attempts{};
  std::optional<uint64_t> window{};         // Window::setting
  std::optional<uint32_t> window_factor{};  // Window::factor; 0: unbounded
  // A further user that may connect, besides root and the server's user. It owns the socket.
  std::optional<uid_t> peer_uid{};
  std::string hot_list_path{};
  std::string trace_path{};

  // Takes from `server` what is not given here. The last three are of one session or socket, so
  // they have no default.
  void use_defaults(const ServingOptions& server);

  OnFailure failure_action() const { return on_failure.value_or(OnFailure::poison); }
  OnRefusal refusal_action() const { return on_refusal.value_or(OnRefusal::kill); }
  uint32_t attempts() const { return read_attempts.value_or(kReadAttempts); }
  // A traced VMM gets each page alone, so that the trace contains all pages.
  Window window_of(bool traced) const {
    return Window::of_setting(window.value_or(traced ? Window::lazy().setting() : 0),
                              window_factor.value_or(Window::kFactor));
  }
};

// The words of options and requests.
const char* name_of(OnFailure action);
const char* name_of(OnRefusal action);

// Defines the options that uffd-serve and `uffd-ctl create` have in common: those of one session
// or socket, and those that also have a default of the server.
void add_session_options(base::Options& options);
void add_serving_options(base::Options& options);
// Reads the options that both functions define. Throws base::UsageError.
ServingOptions read_serving_options(const base::ParsedOptions& options);

}  // namespace pager
