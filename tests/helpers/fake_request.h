// SPDX-License-Identifier: Apache-2.0
// Reads request bodies as Firecracker does: strictly, without unknown fields.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/json_object.h"

// A request that is answered with 400.
class FakeRefusal : public std::runtime_error {
 public:
  explicit FakeRefusal(const std::string& message) : std::runtime_error(message) {}
};

// A refusal after which Firecracker exits, as after a load that failed.
class FakeFatal : public FakeRefusal {
 public:
  using FakeRefusal::FakeRefusal;
};

// The body of a request, or an object in it.
class FakeRequest {
 public:
  // Throws FakeRefusal if `text` is not an object, or has a field that is not in `fields`.
  FakeRequest(std::string_view text, std::span<const std::string_view> fields)
      : object_(parse(text)) {
    for (const base::JsonObject::Member& member : object_.members()) {
      if (std::ranges::find(fields, member.key) == fields.end()) {
        refuse("unknown field `" + member.key + "`, expected one of " + list(fields));
      }
    }
  }
  FakeRequest(std::string_view text, std::initializer_list<std::string_view> fields)
      : FakeRequest(text, std::span(fields.begin(), fields.size())) {}

  bool has(std::string_view field) const {
    const std::string* raw = object_.find(field);
    return raw != nullptr && *raw != "null";
  }
  const std::string& raw(std::string_view field) const {
    const std::string* raw = object_.find(field);
    if (raw == nullptr) {
      refuse("missing field `" + std::string(field) + "`");
    }
    return *raw;
  }
  std::string text(std::string_view field) const {
    std::optional<std::string> text = base::json_text(raw(field));
    if (!text) {
      refuse("invalid type of `" + std::string(field) + "`, expected a string");
    }
    return *text;
  }
  bool boolean(std::string_view field, bool fallback) const {
    if (!has(field)) {
      return fallback;
    }
    const std::optional<bool> value = base::json_boolean(raw(field));
    if (!value) {
      refuse("invalid type of `" + std::string(field) + "`, expected a boolean");
    }
    return *value;
  }
  // One of `words`. Throws FakeRefusal for another value.
  std::string choice(std::string_view field, std::initializer_list<std::string_view> words) const {
    std::string value = text(field);
    if (std::ranges::find(words, value) == words.end()) {
      refuse("unknown variant `" + value + "`, expected one of " +
             list(std::span(words.begin(), words.size())));
    }
    return value;
  }

  [[noreturn]] static void refuse(const std::string& why) {
    throw FakeRefusal("An error occurred when deserializing the json body of a request: " + why +
                      ".");
  }

 private:
  static base::JsonObject parse(std::string_view text) {
    try {
      return base::JsonObject::parse(text, "the body");
    } catch (const base::BadData& error) {
      refuse(error.what());
    }
  }
  static std::string list(std::span<const std::string_view> words) {
    std::string text;
    for (const std::string_view word : words) {
      text += (text.empty() ? "`" : ", `") + std::string(word) + "`";
    }
    return text;
  }

  base::JsonObject object_;
};
