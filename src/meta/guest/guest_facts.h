// SPDX-License-Identifier: Apache-2.0
// The facts that a state was derived from, told.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "meta/guest/guest_state.h"
#include "meta/guest/metadata.h"
#include "store/store.h"

namespace meta {

// For `state --json`: an object, with who holds the guest's lock.
std::string facts_json(const store::Store& store, std::string_view id, const GuestState& state,
                       const Metadata& metadata);
// The same for people, a sentence each.
std::vector<std::string> facts_text(const store::Store& store, std::string_view id,
                                    const GuestState& state, const Metadata& metadata);

}  // namespace meta
