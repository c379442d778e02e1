// SPDX-License-Identifier: Apache-2.0
// Validates the JSON fields and paths of control requests.
#include "pager/serve/control_request.h"

#include <array>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace pager {
namespace {

using Json = nlohmann::json;

// Returns an optional string, "" if it is not given. Strings become names and paths, so a zero
// byte, which would end them, is rejected.
std::string text_field(const Json& request, const char* name) {
  const auto field = request.find(name);
  if (field == request.end() || field->is_null()) {
    return "";
  }
  if (!field->is_string()) {
    throw base::BadData("'" + std::string(name) + "' is not a string");
  }
  auto text = field->get<std::string>();
  if (text.find('\0') != std::string::npos) {
    throw base::BadData("'" + std::string(name) + "' holds a zero byte");
  }
  return text;
}

std::optional<uid_t> uid_field(const Json& request, const char* name) {
  const auto field = request.find(name);
  if (field == request.end() || field->is_null()) {
    return std::nullopt;
  }
  constexpr uint64_t kMax =
      std::numeric_limits<uid_t>::max() - 1;  // the largest value means "no user"
  if (!field->is_number_unsigned() || field->get<uint64_t>() > kMax) {
    throw base::BadData("'" + std::string(name) + "' is not a user id");
  }
  return field->get<uid_t>();
}

std::optional<OnFailure> on_failure_field(const Json& request) {
  const std::string word = text_field(request, "on_failure");
  if (word.empty()) {
    return std::nullopt;
  }
  if (word != "poison" && word != "kill") {
    throw base::BadData(R"('on_failure' is neither "poison" nor "kill")");
  }
  return word == "poison" ? OnFailure::poison : OnFailure::kill;
}

std::optional<OnRefusal> on_refusal_field(const Json& request) {
  const std::string word = text_field(request, "on_refusal");
  if (word.empty()) {
    return std::nullopt;
  }
  if (word != "kill" && word != "close") {
    throw base::BadData(R"('on_refusal' is neither "kill" nor "close")");
  }
  return word == "kill" ? OnRefusal::kill : OnRefusal::close;
}

std::optional<bool> flag_field(const Json& request, const char* name) {
  const auto field = request.find(name);
  if (field == request.end() || field->is_null()) {
    return std::nullopt;
  }
  if (!field->is_boolean()) {
    throw base::BadData("'" + std::string(name) + "' is neither true nor false");
  }
  return field->get<bool>();
}

// "window": "auto" or a number of pages; "lazy": true.
std::optional<Window> window_field(const Json& request) {
  const auto window = request.find("window");
  const bool given = window != request.end() && !window->is_null();
  if (flag_field(request, "lazy").value_or(false)) {
    if (given) {
      throw base::BadData("'lazy' and 'window' exclude each other");
    }
    return Window::lazy();
  }
  if (!given) {
    return std::nullopt;
  }
  if (*window == "auto") {
    return Window::automatic();
  }
  if (!window->is_number_unsigned() || window->get<uint64_t>() < 1 ||
      window->get<uint64_t>() > Window::kLargest) {
    throw base::BadData("'window' is neither \"auto\" nor a number from 1 to " +
                        std::to_string(Window::kLargest));
  }
  return Window::fixed(window->get<uint64_t>());
}

// Parses a body, which may be empty.
Json object_or_nothing(std::string_view body) {
  Json json = body.empty() ? Json::object() : Json::parse(body, nullptr, false);
  if (!json.is_object()) {
    throw base::BadData("the body is not a JSON object");
  }
  return json;
}

// As in hypeman's pager, a character that is not allowed in a file name becomes '-'.
// store::session_name uses '@'.
std::string session_id_of(const Json& request) {
  std::string id = text_field(request, "session_id");
  if (id.empty()) {
    id = text_field(request, "instance_id");
  }
  if (id.empty()) {
    throw base::BadData("session_id or instance_id is required");
  }
  for (char& c : id) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '.' || c == '_' || c == '-' || c == '@';
    c = plain ? c : '-';
  }
  if (id[0] == '.') {
    id[0] = '-';  // neither a hidden file nor ".."
  }
  return id;
}

// Early releases of hypeman send overlays, pages that replace those of the file. If they were
// ignored, the guest would read wrong bytes.
void refuse_overlays(const Json& request) {
  const auto overlays = request.find("overlays");
  if (overlays != request.end() && !overlays->is_null() && !overlays->empty()) {
    throw base::BadData("overlays are not supported");
  }
}

}  // namespace

Target parse_target(std::string_view path) {
  if (!path.starts_with('/')) {
    return {};
  }
  std::array<std::string_view, 3> parts;
  for (std::string_view& part : parts) {
    path.remove_prefix(1);
    part = path.substr(0, path.find('/'));
    if (part.empty()) {
      return {};
    }
    path.remove_prefix(part.size());
    if (path.empty()) {
      return {.collection = parts[0], .id = parts[1], .action = parts[2]};
    }
  }
  return {};
}

SessionRequest parse_session_request(std::string_view body, bool needs_cache_key) {
  const Json json = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) {
    throw base::BadData("the body is not a JSON object");
  }
  SessionRequest request{.id = session_id_of(json),
                         .instance_id = text_field(json, "instance_id"),
                         .cache_key = text_field(json, "cache_key"),
                         .memory_path = text_field(json, "backing_memory_path"),
                         .hot_list_path = text_field(json, "hot_list_path"),
                         .trace_path = text_field(json, "trace_path"),
                         .peer_uid = uid_field(json, "peer_uid"),
                         .on_failure = on_failure_field(json),
                         .on_refusal = on_refusal_field(json),
                         .window = window_field(json),
                         .replace = flag_field(json, "replace")};
  if (request.memory_path.empty()) {
    throw base::BadData("backing_memory_path is required");
  }
  if (needs_cache_key && request.cache_key.empty()) {
    throw base::BadData("cache_key is required");
  }
  if (request.trace_path == "-") {
    throw base::BadData(
        R"('trace_path' is "-", but a service has no standard output; give a file)");
  }
  refuse_overlays(json);
  return request;
}

CompleteRequest parse_complete_request(std::string_view body) {
  const Json json = object_or_nothing(body);
  CompleteRequest request{.bytes_per_second = 0, .wait = flag_field(json, "wait").value_or(true)};
  const auto rate = json.find("bytes_per_second");
  if (rate != json.end() && !rate->is_null()) {
    if (!rate->is_number_unsigned()) {
      throw base::BadData("'bytes_per_second' is not a whole number");
    }
    request.bytes_per_second = rate->get<uint64_t>();
  }
  return request;
}

std::string parse_prefetch_request(std::string_view body) {
  return text_field(object_or_nothing(body), "hot_list_path");
}

}  // namespace pager
