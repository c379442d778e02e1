// SPDX-License-Identifier: Apache-2.0
// Validates the JSON fields and paths of control requests.
#include "pager/serve/control_request.h"

#include <array>

#include "base/error.h"
#include "base/json_line.h"
#include "base/json_object.h"
#include "hot/trace.h"
#include "pager/faults/window.h"

namespace pager {
namespace {

using base::JsonObject;

// Returns the source of a value; null if it is not given.
const std::string* field(const JsonObject& request, std::string_view name) {
  const std::string* raw = request.find(name);
  return raw == nullptr || *raw == "null" ? nullptr : raw;
}

// Returns an optional string, "" if it is not given. Strings become names and paths, so a zero
// byte, which would end them, is rejected.
std::string text_field(const JsonObject& request, const char* name) {
  const std::string* raw = field(request, name);
  if (raw == nullptr) {
    return "";
  }
  std::optional<std::string> text = base::json_text(*raw);
  if (!text) {
    throw base::BadData("'" + std::string(name) + "' is not a string");
  }
  if (text->find('\0') != std::string::npos) {
    throw base::BadData("'" + std::string(name) + "' holds a zero byte");
  }
  return std::move(*text);
}

std::optional<uid_t> uid_field(const JsonObject& request, const char* name) {
  const std::string* raw = field(request, name);
  if (raw == nullptr) {
    return std::nullopt;
  }
  const std::optional<uint64_t> uid = base::json_unsigned(*raw);
  if (!uid || *uid > kLargestUid) {
    throw base::BadData("'" + std::string(name) + "' is not a user id");
  }
  return static_cast<uid_t>(*uid);
}

std::optional<OnFailure> on_failure_field(const JsonObject& request) {
  const std::string word = text_field(request, "on_failure");
  if (word.empty()) {
    return std::nullopt;
  }
  if (word != "poison" && word != "kill") {
    throw base::BadData(R"('on_failure' is neither "poison" nor "kill")");
  }
  return word == "poison" ? OnFailure::poison : OnFailure::kill;
}

std::optional<OnRefusal> on_refusal_field(const JsonObject& request) {
  const std::string word = text_field(request, "on_refusal");
  if (word.empty()) {
    return std::nullopt;
  }
  if (word != "kill" && word != "close") {
    throw base::BadData(R"('on_refusal' is neither "kill" nor "close")");
  }
  return word == "kill" ? OnRefusal::kill : OnRefusal::close;
}

std::optional<bool> flag_field(const JsonObject& request, const char* name) {
  const std::string* raw = field(request, name);
  const std::optional<bool> flag = raw != nullptr ? base::json_boolean(*raw) : std::nullopt;
  if (raw != nullptr && !flag) {
    throw base::BadData("'" + std::string(name) + "' is neither true nor false");
  }
  return flag;
}

// "window": "auto" or a number of pages; "lazy": true.
std::optional<uint64_t> window_field(const JsonObject& request) {
  const std::string* raw = field(request, "window");
  if (flag_field(request, "lazy").value_or(false)) {
    if (raw != nullptr) {
      throw base::BadData("'lazy' and 'window' exclude each other");
    }
    return Window::lazy().setting();
  }
  if (raw == nullptr) {
    return std::nullopt;
  }
  if (base::json_text(*raw) == "auto") {
    return Window::automatic().setting();
  }
  const std::optional<uint64_t> pages = base::json_unsigned(*raw);
  if (!pages || *pages < 1 || *pages > Window::kLargest) {
    throw base::BadData("'window' is neither \"auto\" nor a number from 1 to " +
                        std::to_string(Window::kLargest));
  }
  return pages;
}

// "window_factor": "unbounded" or a number.
std::optional<uint32_t> window_factor_field(const JsonObject& request) {
  const std::string* raw = field(request, "window_factor");
  if (raw == nullptr) {
    return std::nullopt;
  }
  if (base::json_text(*raw) == "unbounded") {
    return 0;
  }
  const std::optional<uint64_t> factor = base::json_unsigned(*raw);
  if (!factor || *factor < 1 || *factor > Window::kLargestFactor) {
    throw base::BadData("'window_factor' is neither \"unbounded\" nor a number from 1 to " +
                        std::to_string(Window::kLargestFactor));
  }
  return static_cast<uint32_t>(*factor);
}

ServingOptions serving_fields(const JsonObject& request) {
  return {.on_failure = on_failure_field(request),
          .on_refusal = on_refusal_field(request),
          .window = window_field(request),
          .window_factor = window_factor_field(request),
          .peer_uid = uid_field(request, "peer_uid"),
          .hot_list_path = text_field(request, "hot_list_path"),
          .trace_path = text_field(request, "trace_path")};
}

JsonObject parse_object(std::string_view body) {
  std::optional<JsonObject> object;
  try {
    object = JsonObject::read(body);
  } catch (const base::JsonError& error) {
    throw base::BadData(std::string("the body is not a JSON object: ") + error.what());
  }
  if (!object) {
    throw base::BadData("the body is not a JSON object");
  }
  return std::move(*object);
}

// Parses a body, which may be empty.
JsonObject parse_optional_object(std::string_view body) {
  return body.empty() ? JsonObject() : parse_object(body);
}

// As in hypeman's pager, a character that is not allowed in a file name becomes '-'.
// store::session_name uses '@'.
std::string session_id_of(const JsonObject& request) {
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
void refuse_overlays(const JsonObject& request) {
  const std::string* raw = field(request, "overlays");
  const std::string overlays = raw != nullptr ? base::compact_json(*raw) : "[]";
  if (overlays != "[]" && overlays != "{}") {
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
  const JsonObject json = parse_object(body);
  SessionRequest request{.id = session_id_of(json),
                         .instance_id = text_field(json, "instance_id"),
                         .cache_key = text_field(json, "cache_key"),
                         .memory_path = text_field(json, "backing_memory_path"),
                         .serving = serving_fields(json),
                         .replace = flag_field(json, "replace")};
  if (request.memory_path.empty()) {
    throw base::BadData("backing_memory_path is required");
  }
  if (needs_cache_key && request.cache_key.empty()) {
    throw base::BadData("cache_key is required");
  }
  if (request.serving.trace_path == "-") {
    throw base::BadData(
        R"('trace_path' is "-", but a service has no standard output; give a file)");
  }
  refuse_overlays(json);
  return request;
}

std::string compose_session_request(const SessionRequest& request) {
  base::JsonLine json;
  json.text("session_id", request.id)
      .text("instance_id", request.instance_id)
      .text("cache_key", request.cache_key)
      .text("backing_memory_path", request.memory_path);
  const ServingOptions& serving = request.serving;
  if (!serving.hot_list_path.empty()) {
    json.text("hot_list_path", serving.hot_list_path);
  }
  if (!serving.trace_path.empty()) {
    json.text("trace_path", serving.trace_path);
  }
  if (serving.peer_uid) {
    json.number("peer_uid", *serving.peer_uid);
  }
  if (serving.on_failure) {
    json.text("on_failure", name_of(*serving.on_failure));
  }
  if (serving.on_refusal) {
    json.text("on_refusal", name_of(*serving.on_refusal));
  }
  if (serving.window == Window::automatic().setting()) {
    json.text("window", "auto");
  } else if (serving.window) {
    json.number("window", static_cast<int64_t>(*serving.window));
  }
  if (serving.window_factor == 0U) {
    json.text("window_factor", "unbounded");
  } else if (serving.window_factor) {
    json.number("window_factor", *serving.window_factor);
  }
  if (request.replace) {
    json.boolean("replace", *request.replace);
  }
  return json.str();
}

CompleteRequest parse_complete_request(std::string_view body) {
  const JsonObject json = parse_optional_object(body);
  CompleteRequest request{.bytes_per_second = 0, .wait = flag_field(json, "wait").value_or(true)};
  if (const std::string* raw = field(json, "bytes_per_second")) {
    const std::optional<uint64_t> rate = base::json_unsigned(*raw);
    if (!rate) {
      throw base::BadData("'bytes_per_second' is not a whole number");
    }
    request.bytes_per_second = *rate;
  }
  return request;
}

std::string parse_prefetch_request(std::string_view body) {
  return text_field(parse_optional_object(body), "hot_list_path");
}

std::string parse_mark_request(std::string_view body) {
  std::string name = text_field(parse_optional_object(body), "name");
  if (!hot::is_mark_name(name)) {
    throw base::BadData(
        "'name' is not the name of a mark: 1 to 64 letters, digits, '.', '_' and '-' are needed");
  }
  return name;
}

std::string parse_trace_request(std::string_view body) {
  std::string path = text_field(parse_optional_object(body), "trace_path");
  if (path == "-") {
    throw base::BadData(
        R"('trace_path' is "-", but a service has no standard output; give a file)");
  }
  return path;
}

std::string parse_upgrade_request(std::string_view body) {
  std::string path = text_field(parse_optional_object(body), "program");
  if (!path.starts_with('/')) {
    throw base::BadData("'program' is needed: the absolute path of the new uffd-serve");
  }
  return path;
}

}  // namespace pager
