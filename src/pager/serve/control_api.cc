// SPDX-License-Identifier: Apache-2.0
#include "pager/serve/control_api.h"

#include <cerrno>
#include <chrono>
#include <utility>

#include "base/error.h"
#include "base/json_line.h"
#include "base/message.h"
#include "pager/serve/control_request.h"
#include "pager/serve/metrics.h"
#include "pager/serve/session_report.h"

namespace pager {
namespace {

constexpr unsigned kOk = 200;
constexpr unsigned kAccepted = 202;
constexpr unsigned kNoContent = 204;
constexpr unsigned kBadRequest = 400;
constexpr unsigned kNotFound = 404;
constexpr unsigned kWrongMethod = 405;
constexpr unsigned kConflict = 409;
constexpr unsigned kFailed = 500;
constexpr unsigned kUnavailable = 503;
constexpr unsigned kTimeout = 504;

HttpReply ordered_reply(Pager::Ordered ordered) {
  switch (ordered) {
    case Pager::Ordered::unknown:
      return error_reply(kNotFound, "session not found");
    case Pager::Ordered::not_connected:
      return error_reply(kConflict, "no VMM is connected");
    case Pager::Ordered::under_way:
      return error_reply(kConflict, "completion already in progress");
    case Pager::Ordered::yes:
      break;
  }
  return {.status = kNoContent, .body = ""};
}

// A file that cannot be found is the request's mistake.
std::shared_ptr<const Image> open_image(ImageStore& images, const std::string& path) {
  try {
    return images.open(path);
  } catch (const std::system_error& error) {
    const int number = error.code().value();
    if (number == ENOENT || number == ENOTDIR || number == ELOOP) {
      throw base::BadData(error.what());
    }
    throw;
  }
}

}  // namespace

HttpReply error_reply(unsigned status, std::string_view message) {
  return {.status = status, .body = base::JsonLine().text("error", message).str()};
}

HttpReply ControlApi::answer(std::string_view method, std::string_view path, std::string_view body,
                             const Gone& gone) {
  try {
    return route(method, path, body, gone);
  } catch (const Draining& error) {
    return error_reply(kUnavailable, error.what());
  } catch (const Occupied& error) {
    return error_reply(kConflict, error.what());
  } catch (const base::Error& error) {
    const bool theirs =
        error.code() == base::ExitCode::bad_data || error.code() == base::ExitCode::usage;
    return error_reply(theirs ? kBadRequest : kFailed, error.what());
  } catch (const std::exception& error) {
    return error_reply(kFailed, error.what());
  }
}

HttpReply ControlApi::route(std::string_view method, std::string_view path, std::string_view body,
                            const Gone& gone) {
  const Target target = parse_target(path);
  const bool get = method == "GET";
  const bool post = method == "POST";
  if (target.collection == "sessions") {
    if (!target.action.empty()) {
      return act(target, post, body, gone);
    }
    if (!target.id.empty()) {
      return get ? describe(target.id) : error_reply(kWrongMethod, "GET only");
    }
    return get    ? HttpReply{.body = sessions_json(pager_.sessions())}
           : post ? create(body)
                  : error_reply(kWrongMethod, "GET and POST only");
  }
  if (!target.id.empty()) {
    return error_reply(kNotFound, "no such path");
  }
  if (target.collection == "drain") {
    if (!post) {
      return error_reply(kWrongMethod, "POST only");
    }
    pager_.drain();
    return {.status = kNoContent, .body = ""};
  }
  const bool known = target.collection == "health" || target.collection == "stats" ||
                     target.collection == "metrics";
  if (!known) {
    return error_reply(kNotFound, "no such path");
  }
  if (!get) {
    return error_reply(kWrongMethod, "GET only");
  }
  if (target.collection == "metrics") {
    return {.body = metrics_text(pager_.info(), settings_.version), .type = kMetricsType};
  }
  return {.body = target.collection == "health" ? health_json(pager_, settings_.version)
                                                : stats_json(pager_, settings_.version)};
}

HttpReply ControlApi::describe(std::string_view id) const {
  const std::optional<SessionInfo> info = pager_.session(id);
  return info ? HttpReply{.body = session_json(*info)}
              : error_reply(kNotFound, "session not found");
}

HttpReply ControlApi::act(const Target& target, bool post, std::string_view body,
                          const Gone& gone) {
  const std::string_view action = target.action;
  if (action != "close" && action != "complete" && action != "prefetch" &&
      action != "pause-prefetch") {
    return error_reply(kNotFound, "no such path");
  }
  if (!post) {
    return error_reply(kWrongMethod, "POST only");
  }
  if (action == "complete") {
    return complete(target.id, body, gone);
  }
  if (action == "prefetch") {
    return prefetch(target.id, body);
  }
  if (action == "pause-prefetch") {
    return ordered_reply(pager_.pause_prefetch(target.id));
  }
  pager_.close(target.id);  // also an unknown id: closing twice is not an error
  return {.status = kNoContent, .body = ""};
}

// Each request has a thread of its own, so it may wait. The completion goes on when its client
// leaves: its work is not lost, and the next client that asks waits for the rest of it.
HttpReply ControlApi::complete(std::string_view id, std::string_view body, const Gone& gone) {
  const CompleteRequest request = parse_complete_request(body);
  const Pager::CompletionOrder order = pager_.complete(id, request.bytes_per_second, request.wait);
  if (order.ordered != Pager::Ordered::yes) {
    return ordered_reply(order.ordered);
  }
  if (!request.wait) {
    return {.status = kAccepted, .body = R"({"state":"running"})"};
  }
  constexpr std::chrono::milliseconds kLook{200};
  while (!order.completion->wait(kLook)) {
    if (stopping_.load(std::memory_order_relaxed)) {
      return error_reply(kUnavailable, "pager is draining");
    }
    if (order.completion->state() == Completion::State::paused) {
      order.completion->leave();
      return error_reply(kConflict, "completion paused");
    }
    if (gone()) {
      order.completion->leave();
      base::say_detail("session " + base::quoted(id) +
                       ": its completion goes on without its client");
      return error_reply(kTimeout, "the client has left; the completion goes on");
    }
  }
  return order.completion->state() == Completion::State::done
             ? HttpReply{.status = kNoContent, .body = ""}
             : error_reply(kFailed, order.completion->why());
}

HttpReply ControlApi::prefetch(std::string_view id, std::string_view body) {
  const std::string path = parse_prefetch_request(body);
  std::shared_ptr<const HotFile> list;
  if (!path.empty()) {
    const std::shared_ptr<const Image> image = pager_.image_of(id);
    if (!image) {
      return ordered_reply(pager_.prefetch(id, nullptr));
    }
    list = hot_files_.open(path, *image);
  }
  const Pager::Ordered ordered = pager_.prefetch(id, std::move(list));
  return ordered == Pager::Ordered::under_way
             ? error_reply(kConflict, std::to_string(SessionState::kHotLists) +
                                          " hot lists of it are being installed; try again later")
             : ordered_reply(ordered);
}

// A hot list only makes a guest faster: one that cannot be used never keeps a guest from being
// served.
void ControlApi::use_hot_list(const std::string& path, Place& place,
                              std::vector<std::string>& warnings) {
  const auto refuse = [&](const std::exception& error) {
    warnings.push_back(std::string(error.what()) + "; serving without it");
    base::say_warning("session " + base::quoted(place.id) + ": " + warnings.back());
    place.hot_refused = true;
  };
  try {
    place.hot = hot_files_.open(path, *place.image);
  } catch (const base::BadData& error) {
    refuse(error);
  } catch (const std::system_error& error) {
    refuse(error);
  }
}

HttpReply ControlApi::create(std::string_view body) {
  const SessionRequest request = parse_session_request(body, settings_.needs_cache_key);
  if (pager_.draining()) {
    throw Draining("pager is draining");  // before any file is opened
  }
  Place place;
  place.id = request.id;
  place.instance_id = request.instance_id;
  place.cache_key = request.cache_key;
  place.peer_uid = request.peer_uid;
  place.on_failure = request.on_failure.value_or(settings_.on_failure);
  place.on_refusal = request.on_refusal.value_or(settings_.on_refusal);
  place.read_attempts = settings_.read_attempts;
  place.window = request.window ? request.window : settings_.window;
  place.socket_path = settings_.socket_dir + "/" + place.id + ".sock";
  base::check_socket_path(place.socket_path);
  place.image = open_image(images_, request.memory_path);
  if (place.image->view() == Image::View::unprotected) {
    base::say_warning("session " + base::quoted(place.id) + ": serving " +
                      base::quoted(request.memory_path) + std::string(Image::kUnprotectedText));
  }
  std::vector<std::string> warnings;
  if (!request.hot_list_path.empty()) {
    use_hot_list(request.hot_list_path, place, warnings);
  }
  place.trace_path = request.trace_path;
  if (!place.trace_path.empty()) {
    hot::TraceWriter::check(place.trace_path);
  }
  base::JsonLine reply;
  reply.text("session_id", place.id)
      .path("uffd_socket_path", place.socket_path)
      .text("pager_version", settings_.version);
  if (!warnings.empty()) {
    reply.raw("warnings", base::json_array(warnings));
  }
  const Pager::Existing existing = request.replace.value_or(settings_.replace)
                                       ? Pager::Existing::replace
                                       : Pager::Existing::keep;
  const std::string id = place.id;
  if (pager_.open(std::move(place), existing) == Pager::Opened::made) {
    base::say_detail("session " + base::quoted(id) + ": waiting for its VMM, image " +
                     base::quoted(request.memory_path));
  }
  return {.status = kOk, .body = reply.str()};
}

}  // namespace pager
