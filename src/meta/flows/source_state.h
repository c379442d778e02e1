// SPDX-License-Identifier: Apache-2.0
// The state file of a guest that is forked: its bytes, with the devices that were found in them.
#pragma once

#include <sys/stat.h>

#include <optional>
#include <string>

#include "meta/vmstate/vmstate.h"
#include "store/store.h"

namespace meta {

struct SourceState {
  std::string path;
  struct stat file = {};    // when it was read
  bool is_settled = false;  // any later write sets another change time
  std::string bytes;
  vmstate::VmState vmstate;
};

// Throws as vmstate::read_vmstate_file and vmstate::parse_vmstate do.
SourceState read_source_state(const store::Store& store, const std::string& id);
// Returns nothing if the state cannot be read now. For a caller that has time before it needs the
// state: the search for the devices takes about two milliseconds. It must call `is_current` then.
std::optional<SourceState> try_read_source_state(const store::Store& store, const std::string& id);
// Whether the path still names this file, and nothing was written to it since. False if that cannot
// be known, because the file was written in the clock tick in which it was read.
bool is_current(const SourceState& state);

}  // namespace meta
