// SPDX-License-Identifier: Apache-2.0
// Converts fields of JSON replies.
#include "pager/ctl/reply_fields.h"

#include <optional>
#include <utility>

namespace pager {
namespace {

using base::JsonObject;

std::vector<std::string_view> elements_at(const JsonObject& reply, std::string_view key) {
  const std::string* raw = reply.find(key);
  return raw != nullptr ? base::json_elements(*raw).value_or(std::vector<std::string_view>())
                        : std::vector<std::string_view>();
}

}  // namespace

std::string text_at(const JsonObject& reply, std::string_view key) {
  const std::string* raw = reply.find(key);
  return raw != nullptr ? base::json_text(*raw).value_or("") : "";
}

uint64_t number_at(const JsonObject& reply, std::string_view key) {
  const std::string* raw = reply.find(key);
  return raw != nullptr ? base::json_unsigned(*raw).value_or(0) : 0;
}

std::vector<std::string> texts_at(const JsonObject& reply, std::string_view key) {
  std::vector<std::string> texts;
  for (const std::string_view raw : elements_at(reply, key)) {
    if (std::optional<std::string> text = base::json_text(raw)) {
      texts.push_back(std::move(*text));
    }
  }
  return texts;
}

std::vector<JsonObject> objects_at(const JsonObject& reply, std::string_view key) {
  std::vector<JsonObject> objects;
  for (const std::string_view raw : elements_at(reply, key)) {
    if (std::optional<JsonObject> object = JsonObject::read(raw)) {
      objects.push_back(std::move(*object));
    }
  }
  return objects;
}

}  // namespace pager
