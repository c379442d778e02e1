// SPDX-License-Identifier: Apache-2.0
// The command line of uffd-serve as a server.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>

#include "base/fd.h"
#include "base/options.h"
#include "pager/faults/session_state.h"
#include "pager/faults/window.h"
#include "pager/serve/refused_peer.h"
#include "pager/serve/service_dir.h"

namespace pager {

struct ServeSettings {
  std::string memory;  // foreground
  std::string socket;
  std::string hot;
  std::string trace;
  bool once = false;
  std::optional<uid_t> peer_uid;

  std::optional<ServicePaths> service;
  std::string version;           // what clients are told
  bool needs_cache_key = false;  // as hypeman's pager
  bool exit_when_idle = false;

  std::chrono::milliseconds handshake_timeout{};
  std::chrono::milliseconds connect_timeout{};
  std::optional<Window> window;
  OnFailure on_failure = OnFailure::poison;
  OnRefusal on_refusal = OnRefusal::kill;
  uint32_t read_attempts = kReadAttempts;
  base::Fd ready;
  bool json = false;
};

base::Options make_serve_options();

// Throws base::UsageError, and warns of options that another pager has and this one needs not.
ServeSettings read_serve_settings(const base::ParsedOptions& options);

}  // namespace pager
