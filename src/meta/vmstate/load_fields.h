// SPDX-License-Identifier: Apache-2.0
// The optional fields of PUT /snapshot/load, and the releases that know each.
#pragma once

#include <string_view>

#include "meta/vmstate/formats.h"

namespace meta::vmstate {

// A release answers 400 to a request with a field that it does not know.
enum class LoadField { network_overrides, track_dirty_pages, clock_realtime };

// Releases before this one take the taps from the state only.
inline constexpr ReleaseNumber kFirstWithNetworkOverrides{1, 12, 0};

bool knows_load_field(ReleaseNumber release, LoadField field);
// Whether all releases that load snapshot version `version` know the field. False if none is known.
bool all_know_load_field(std::string_view version, LoadField field);

}  // namespace meta::vmstate
