// SPDX-License-Identifier: Apache-2.0
// Prints the facts that a state was derived from.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "meta/guest/guest_state.h"
#include "meta/guest/metadata.h"
#include "store/store.h"

namespace meta {

// For `state --json`: an object, including the processes that hold the guest's lock.
std::string facts_json(const store::Store& store, std::string_view id, const GuestState& state,
                       const Metadata& metadata);
// The same facts as sentences, for `state -v`.
std::vector<std::string> facts_text(const store::Store& store, std::string_view id,
                                    const GuestState& state, const Metadata& metadata);

}  // namespace meta
