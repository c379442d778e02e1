// SPDX-License-Identifier: Apache-2.0
// The options that describe a load, for the verbs that print its request.
#pragma once

#include <string>

#include "base/options.h"
#include "meta/flows/load_request.h"
#include "store/store.h"

namespace meta {

void add_load_options(base::Options& options);
// The request that they describe. Throws base::UsageError, and as require_guest does.
LoadRequest parse_load_request(const base::ParsedOptions& parsed, const store::Store& store,
                               const std::string& id);

}  // namespace meta
