// SPDX-License-Identifier: Apache-2.0
// The taps that a guest uses instead of those in its state.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "meta/guest/metadata.h"
#include "meta/vmstate/vmstate.h"

namespace meta {

struct TapName {
  std::string iface_id;  // the interface's name in Firecracker's API
  std::string tap;       // on the host
};

// Parses IFACE=TAP. A tap name may contain "=", an interface name may not. Throws base::UsageError.
TapName parse_tap(const std::string& text);

// The taps of snapfork.taps in the metadata, and `given`, which replaces the recorded one of the
// same interface. Throws base::BadData if the value in the metadata is not an object of strings.
std::vector<TapName> chosen_taps(const Metadata& metadata, const std::vector<TapName>& given);
// Sets snapfork.taps; removes it if `taps` is empty.
void record_taps(Metadata& metadata, const std::vector<TapName>& taps);

// Throws base::UsageError for a tap name that is empty or longer than 15 bytes, base::Refused if
// the state has no such interface. `what` is the start of the message, such as "cannot load 'a'".
void check_taps(const std::vector<TapName>& taps, const vmstate::VmState& state,
                const std::string& what);

// Each interface of the state with the tap that it will use. Throws as check_taps does, and
// base::Refused if two interfaces would use one tap.
std::vector<TapName> used_taps(const std::vector<TapName>& chosen, const vmstate::VmState& state,
                               const std::string& what);

// The names that the taps of the state must have, in the order of state.taps, so that the guest
// uses `chosen`: Firecracker before 1.12 takes them from the state only. Empty if the state can
// stay as it is. Throws as used_taps does.
std::vector<std::string> taps_in_state(const std::vector<TapName>& chosen,
                                       const vmstate::VmState& state, const std::string& what);

// The taps of fork number `index` (from 0) of `count`: in the names of `patterns`, {n} becomes the
// number, {id} the id. Throws base::UsageError for a name without them if there are several forks.
std::vector<TapName> taps_of_fork(const std::vector<TapName>& patterns, std::string_view id,
                                  size_t index, size_t count);

}  // namespace meta
