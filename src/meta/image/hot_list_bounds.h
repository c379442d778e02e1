// SPDX-License-Identifier: Apache-2.0
// Checks whether a hot list can belong to a memory file of a given size.
#pragma once

#include <string>
#include <string_view>

#include "hot/hot_list.h"

namespace meta {

// Returns why the list behind `fd` cannot belong to this memory. Empty if it can.
// hot::try_decode_hot_list and hot::identity_problem decide; the page server refuses the same
// lists.
std::string hot_list_problem(int fd, std::string_view name, const hot::ImageFacts& image);

}  // namespace meta
