// SPDX-License-Identifier: Apache-2.0
// The hot lists of a template.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "store/store.h"

namespace meta {

// template/hot.hpl (HPL1), where hypeman reads it, and template/hot.hpl2 (HPL2).
std::string hpl1_path(const store::Store& store, std::string_view id);
std::string hpl2_path(const store::Store& store, std::string_view id);
// The list that forks of the template use: HPL2 if it exists, else HPL1; nothing if neither does.
std::optional<std::string> list_of_template(const store::Store& store, std::string_view id);

}  // namespace meta
