#include "pager/control_api.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json_line.h"
#include "base/message.h"
#include "pager/session_report.h"

namespace pager {
namespace {

using Json = nlohmann::json;

constexpr unsigned kOk = 200;
constexpr unsigned kNoContent = 204;
constexpr unsigned kBadRequest = 400;
constexpr unsigned kNotFound = 404;
constexpr unsigned kWrongMethod = 405;
constexpr unsigned kFailed = 500;
constexpr unsigned kUnavailable = 503;

// The text of an optional field; null and "" count as not given.
std::string text_field(const Json& request, const char* name) {
  const auto field = request.find(name);
  if (field == request.end() || field->is_null()) {
    return "";
  }
  if (!field->is_string()) {
    throw base::BadData("'" + std::string(name) + "' is no text");
  }
  return field->get<std::string>();
}

std::string path_field(const Json& request, const char* name) {
  std::string path = text_field(request, name);
  if (path.find('\0') != std::string::npos) {
    throw base::BadData("'" + std::string(name) + "' holds a zero byte");
  }
  return path;
}

std::optional<uid_t> uid_field(const Json& request, const char* name) {
  const auto field = request.find(name);
  if (field == request.end() || field->is_null()) {
    return std::nullopt;
  }
  constexpr uint64_t kMax = std::numeric_limits<uid_t>::max() - 1;  // the last one means "nobody"
  if (!field->is_number_unsigned() || field->get<uint64_t>() > kMax) {
    throw base::BadData("'" + std::string(name) + "' is no user id");
  }
  return field->get<uid_t>();
}

OnFailure on_failure_field(const Json& request, OnFailure fallback) {
  const std::string word = text_field(request, "on_failure");
  if (word.empty()) {
    return fallback;
  }
  if (word != "poison" && word != "kill") {
    throw base::BadData(R"('on_failure' is neither "poison" nor "kill")");
  }
  return word == "poison" ? OnFailure::poison : OnFailure::kill;
}

// "window": "auto" or a number of pages; "lazy": true.
std::optional<Window> window_field(const Json& request, std::optional<Window> fallback) {
  const auto lazy = request.find("lazy");
  const auto window = request.find("window");
  if (lazy != request.end() && !lazy->is_null()) {
    if (!lazy->is_boolean()) {
      throw base::BadData("'lazy' is neither true nor false");
    }
    if (lazy->get<bool>()) {
      if (window != request.end() && !window->is_null()) {
        throw base::BadData("'lazy' and 'window' exclude each other");
      }
      return Window::lazy();
    }
  }
  if (window == request.end() || window->is_null()) {
    return fallback;
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

// As hypeman's pager: what may not stand in a file name becomes '-'.
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
                       c == '.' || c == '_' || c == '-';
    c = plain ? c : '-';
  }
  if (id[0] == '.') {
    id[0] = '-';  // no hidden file, and not the directory above
  }
  return id;
}

}  // namespace

HttpReply error_reply(unsigned status, std::string_view message) {
  return {.status = status, .body = base::JsonLine().text("error", message).str()};
}

HttpReply ControlApi::answer(std::string_view method, std::string_view path,
                             std::string_view body) {
  try {
    return route(method, path, body);
  } catch (const Draining& error) {
    return error_reply(kUnavailable, error.what());
  } catch (const base::Error& error) {
    const bool theirs =
        error.code() == base::ExitCode::bad_data || error.code() == base::ExitCode::usage;
    return error_reply(theirs ? kBadRequest : kFailed, error.what());
  } catch (const std::exception& error) {
    return error_reply(kFailed, error.what());
  }
}

HttpReply ControlApi::route(std::string_view method, std::string_view path, std::string_view body) {
  constexpr std::string_view kSessions = "/sessions";
  const bool get = method == "GET";
  const bool post = method == "POST";
  if (path == "/health") {
    return get ? HttpReply{.body = health_json(pager_, settings_.version)}
               : error_reply(kWrongMethod, "GET only");
  }
  if (path == "/stats") {
    return get ? HttpReply{.body = stats_json(pager_, settings_.version)}
               : error_reply(kWrongMethod, "GET only");
  }
  if (path == "/drain") {
    if (!post) {
      return error_reply(kWrongMethod, "POST only");
    }
    pager_.drain();
    return {.status = kNoContent, .body = ""};
  }
  if (path == kSessions) {
    return get    ? HttpReply{.body = sessions_json(pager_.sessions())}
           : post ? create(body)
                  : error_reply(kWrongMethod, "GET and POST only");
  }
  if (!path.starts_with(kSessions) || path.size() < kSessions.size() + 2 ||
      path[kSessions.size()] != '/') {
    return error_reply(kNotFound, "no such path");
  }
  std::string_view id = path.substr(kSessions.size() + 1);
  constexpr std::string_view kClose = "/close";
  if (id.ends_with(kClose)) {
    id.remove_suffix(kClose.size());
    if (!post) {
      return error_reply(kWrongMethod, "POST only");
    }
    pager_.close(id);  // unknown ids too: closing twice is no error
    return {.status = kNoContent, .body = ""};
  }
  if (id.find('/') != std::string_view::npos) {
    return error_reply(kNotFound, "no such path");
  }
  if (!get) {
    return error_reply(kWrongMethod, "GET only");
  }
  const std::optional<SessionInfo> info = pager_.session(id);
  return info ? HttpReply{.body = session_json(*info)}
              : error_reply(kNotFound, "session not found");
}

HttpReply ControlApi::create(std::string_view body) {
  const Json request = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!request.is_object()) {
    return error_reply(kBadRequest, "the body is no JSON object");
  }
  if (pager_.draining()) {
    throw Draining("pager is draining");  // before any file is opened
  }
  Place place;
  place.id = session_id_of(request);
  place.instance_id = text_field(request, "instance_id");
  place.cache_key = text_field(request, "cache_key");
  place.peer_uid = uid_field(request, "peer_uid");
  place.on_failure = on_failure_field(request, settings_.on_failure);
  place.window = window_field(request, settings_.window);
  place.socket_path = settings_.socket_dir + "/" + place.id + ".sock";
  base::check_socket_path(place.socket_path);
  const std::string memory = path_field(request, "backing_memory_path");
  if (memory.empty()) {
    return error_reply(kBadRequest, "backing_memory_path is required");
  }
  place.image = images_.open(memory);
  if (const std::string hot = path_field(request, "hot_list_path"); !hot.empty()) {
    place.hot = hot_files_.open(hot, *place.image);
  }
  place.trace_path = path_field(request, "trace_path");
  if (place.trace_path == "-") {
    throw base::BadData(R"('trace_path' is "-": a service has no output to write it to)");
  }
  if (!place.trace_path.empty()) {
    place.trace = TraceWriter::open(place.trace_path);
  }
  const std::string reply = base::JsonLine()
                                .text("session_id", place.id)
                                .path("uffd_socket_path", place.socket_path)
                                .text("pager_version", settings_.version)
                                .str();
  base::say_detail("session " + base::quoted(place.id) + ": waiting for its VMM, image " +
                   base::quoted(memory));
  pager_.open(std::move(place));
  return {.status = kOk, .body = reply};
}

}  // namespace pager
