// SPDX-License-Identifier: Apache-2.0
// Defines and reads the serving options of command lines.
#include "pager/serve/serving_options.h"

#include "base/error.h"

namespace pager {
namespace {

std::optional<uint64_t> window_of(const base::ParsedOptions& options) {
  if (options.has("lazy") && options.has("window")) {
    throw base::UsageError("--window and --lazy exclude each other");
  }
  if (options.has("lazy")) {
    return Window::lazy().setting();
  }
  if (!options.has("window")) {
    return std::nullopt;
  }
  return options.value("window") == "auto"
             ? Window::automatic().setting()
             : static_cast<uint64_t>(
                   options.number("window", 1, static_cast<int64_t>(Window::kLargest), 1));
}

std::optional<uint32_t> window_factor_of(const base::ParsedOptions& options) {
  if (!options.has("window-factor")) {
    return std::nullopt;
  }
  return options.value("window-factor") == "unbounded"
             ? 0
             : static_cast<uint32_t>(options.number("window-factor", 1, Window::kLargestFactor, 1));
}

}  // namespace

void ServingOptions::use_defaults(const ServingOptions& server) {
  on_failure = on_failure ? on_failure : server.on_failure;
  on_refusal = on_refusal ? on_refusal : server.on_refusal;
  read_attempts = read_attempts ? read_attempts : server.read_attempts;
  window = window ? window : server.window;
  window_factor = window_factor ? window_factor : server.window_factor;
}

const char* name_of(OnFailure action) {
  return action == OnFailure::kill ? "kill" : "poison";
}

const char* name_of(OnRefusal action) {
  return action == OnRefusal::close ? "close" : "kill";
}

void add_session_options(base::Options& options) {
  options.value("hot", "LIST", "install the pages of this hot list ahead of faults")
      .value("trace", "FILE", "write demand faults to FILE")
      .value("peer-uid", "UID", "allow this user to connect (owner of the socket)");
}

void add_serving_options(base::Options& options) {
  options.value("window", "N", "pages to install around a fault: auto, or 1 to 512")
      .value("window-factor", "N", "bound of a window: N times what was asked for (2)")
      .flag("lazy", "install only faulting pages and the hot list")
      .value("on-failure", "WHAT", "if a page cannot be read: poison or kill")
      .value("on-refusal", "WHAT", "if a VMM cannot be served: kill or close");
}

ServingOptions read_serving_options(const base::ParsedOptions& options) {
  ServingOptions serving{.window = window_of(options),
                         .window_factor = window_factor_of(options),
                         .hot_list_path = options.value_or("hot", ""),
                         .trace_path = options.value_or("trace", "")};
  if (options.has("on-failure")) {
    const bool kill = options.choice("on-failure", {"poison", "kill"}) == "kill";
    serving.on_failure = kill ? OnFailure::kill : OnFailure::poison;
  }
  if (options.has("on-refusal")) {
    const bool close = options.choice("on-refusal", {"kill", "close"}) == "close";
    serving.on_refusal = close ? OnRefusal::close : OnRefusal::kill;
  }
  if (options.has("peer-uid")) {
    serving.peer_uid = static_cast<uid_t>(options.number("peer-uid", 0, kLargestUid, 0));
  }
  return serving;
}

}  // namespace pager
