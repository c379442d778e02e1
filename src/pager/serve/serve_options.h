// SPDX-License-Identifier: Apache-2.0
// The command line options of uffd-serve.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "base/fd.h"
#include "base/options.h"
#include "pager/serve/recover.h"
#include "pager/serve/service_dir.h"
#include "pager/serve/serving_options.h"

namespace pager {

struct ServeSettings {
  std::string memory;  // foreground
  std::string socket;
  bool once = false;

  std::optional<ServicePaths> service;
  std::string version;           // reported to clients
  bool needs_cache_key = false;  // as in hypeman's pager
  bool exit_when_idle = false;
  bool recover = false;  // serve only what a killed server has left
  OnLost on_lost = OnLost::kill;

  std::chrono::milliseconds handshake_timeout{};
  std::chrono::milliseconds connect_timeout{};
  ServingOptions serving;  // of the socket, or the defaults of sessions
  base::Fd keeper;         // the socket of the keeper; none without one
  bool successor = false;  // the keeper has started another server before this one
  base::Fd ready;
  bool json = false;
};

base::Options make_serve_options();

// Throws base::UsageError. Warns about options of hypeman's pager that have no effect here.
ServeSettings read_serve_settings(const base::ParsedOptions& options);

}  // namespace pager
