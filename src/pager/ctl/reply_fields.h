// SPDX-License-Identifier: Apache-2.0
// Reads fields of the server's replies. A field that is missing or has another type is empty.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json_object.h"

namespace pager {

std::string text_at(const base::JsonObject& reply, std::string_view key);
uint64_t number_at(const base::JsonObject& reply, std::string_view key);
// The strings, or the objects, of an array.
std::vector<std::string> texts_at(const base::JsonObject& reply, std::string_view key);
std::vector<base::JsonObject> objects_at(const base::JsonObject& reply, std::string_view key);

}  // namespace pager
