// SPDX-License-Identifier: Apache-2.0
// What each verb of uffd-ctl does. control_command.cc has their table.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/options.h"
#include "pager/ctl/control_client.h"

namespace pager {

// One invocation of a verb. The first operand is the verb; their number has been checked.
struct Call {
  const base::ParsedOptions& options;
  std::string control;
  std::chrono::milliseconds timeout;

  ControlClient connect() const { return {control, timeout}; }
  bool json() const { return options.has("json"); }
  const std::vector<std::string>& operands() const { return options.operands(); }
};

// Each throws base::UsageError before it connects, and what ControlClient throws.
void create_sessions(const Call& call);
void list_sessions(const Call& call);
void show_session(const Call& call);
void close_sessions(const Call& call);
void complete_session(const Call& call);
void prefetch_list(const Call& call);
void pause_prefetch(const Call& call);
void mark_trace(const Call& call);
void trace_session(const Call& call);
void list_hung_guests(const Call& call);
void drain(const Call& call);
void upgrade_server(const Call& call);
// health, stats and metrics: the path has the name of the verb.
void print_server(const Call& call);

}  // namespace pager
