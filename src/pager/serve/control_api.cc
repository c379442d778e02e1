// SPDX-License-Identifier: Apache-2.0
// Routes control requests to the Pager and composes the replies.
#include "pager/serve/control_api.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/fd.h"
#include "base/file_status.h"
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
      return error_reply(kConflict, "no VMM is connected to the session");
    case Pager::Ordered::already_running:
      return error_reply(kConflict, "completion already in progress");
    case Pager::Ordered::yes:
      break;
  }
  return {.status = kNoContent, .body = ""};
}

// A file that does not exist is an error of the request.
std::shared_ptr<const Image> open_image(ImageCache& images, const std::string& path) {
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
    return route(method, {.target = parse_target(path), .body = body, .gone = gone});
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

HttpReply ControlApi::route(std::string_view method, const Call& call) {
  struct Route {
    std::string_view method;
    std::string_view collection;
    bool has_id;
    std::string_view action;
    HttpReply (ControlApi::*answer)(const Call&);
  };
  static constexpr std::array kRoutes{
      Route{"GET", "sessions", false, "", &ControlApi::list},
      Route{"POST", "sessions", false, "", &ControlApi::create},
      Route{"GET", "sessions", true, "", &ControlApi::describe},
      Route{"POST", "sessions", true, "close", &ControlApi::close},
      Route{"POST", "sessions", true, "complete", &ControlApi::complete},
      Route{"POST", "sessions", true, "prefetch", &ControlApi::prefetch},
      Route{"POST", "sessions", true, "pause-prefetch", &ControlApi::pause_prefetch},
      Route{"POST", "sessions", true, "mark", &ControlApi::mark},
      Route{"POST", "sessions", true, "trace", &ControlApi::trace},
      Route{"POST", "drain", false, "", &ControlApi::drain},
      Route{"POST", "upgrade", false, "", &ControlApi::upgrade},
      Route{"GET", "health", false, "", &ControlApi::health},
      Route{"GET", "stats", false, "", &ControlApi::stats},
      Route{"GET", "metrics", false, "", &ControlApi::metrics},
  };
  std::string allowed;  // methods of this path
  for (const Route& route : kRoutes) {
    if (route.collection != call.target.collection || route.has_id == call.target.id.empty() ||
        route.action != call.target.action) {
      continue;
    }
    if (route.method == method) {
      return (this->*route.answer)(call);
    }
    allowed += (allowed.empty() ? "" : " and ") + std::string(route.method);
  }
  return allowed.empty() ? error_reply(kNotFound, "no such path")
                         : error_reply(kWrongMethod, allowed + " only");
}

HttpReply ControlApi::list(const Call& /*call*/) {
  return {.body = sessions_json(pager_.sessions())};
}

HttpReply ControlApi::describe(const Call& call) {
  const std::optional<SessionInfo> info = pager_.session(call.target.id);
  return info ? HttpReply{.body = session_json(*info)}
              : error_reply(kNotFound, "session not found");
}

HttpReply ControlApi::close(const Call& call) {
  pager_.close(call.target.id);  // also for an unknown id, because closing twice is not an error
  return {.status = kNoContent, .body = ""};
}

HttpReply ControlApi::pause_prefetch(const Call& call) {
  return ordered_reply(pager_.pause_prefetch(call.target.id));
}

HttpReply ControlApi::mark(const Call& call) {
  const std::string name = parse_mark_request(call.body);
  const Pager::Ordered ordered = pager_.mark(call.target.id, name);
  return ordered == Pager::Ordered::already_running
             ? error_reply(kConflict, "the session has no trace")
             : ordered_reply(ordered);
}

HttpReply ControlApi::trace(const Call& call) {
  const std::string path = parse_trace_request(call.body);
  if (!path.empty()) {
    hot::TraceWriter::check(path);
  }
  const Pager::Ordered ordered = pager_.trace(call.target.id, path);
  return ordered == Pager::Ordered::already_running
             ? error_reply(kConflict, "the session has a trace already, or none to end")
             : ordered_reply(ordered);
}

HttpReply ControlApi::drain(const Call& /*call*/) {
  pager_.drain();
  return {.status = kNoContent, .body = ""};
}

// The keeper does the rest. GET /health reports the outcome, from whichever server serves then.
HttpReply ControlApi::upgrade(const Call& call) {
  const std::string path = parse_upgrade_request(call.body);
  const std::string what = "cannot upgrade to " + base::quoted(path) + ": ";
  base::Fd program;
  try {
    program = base::open_file(path, O_PATH);
  } catch (const std::system_error& error) {
    throw base::BadData(error.what());
  }
  if (!S_ISREG(base::stat_fd(program.get(), path).st_mode) ||
      ::faccessat(program.get(), "", X_OK, AT_EMPTY_PATH | AT_EACCESS) != 0) {
    throw base::BadData(what + "it is not an executable file");
  }
  const int error = pager_.upgrade(program.get());
  if (error != 0) {
    return error_reply(kConflict,
                       what + (error == EPIPE   ? "the server has no keeper (--keep)"
                               : error == EBUSY ? "another upgrade runs, or the server is starting"
                                                : std::generic_category().message(error)));
  }
  return {.status = kAccepted,
          .body = base::JsonLine()
                      .number("upgrade", static_cast<int64_t>(pager_.keeper()->upgrades))
                      .str()};
}

HttpReply ControlApi::health(const Call& /*call*/) {
  return {.body = health_json(pager_, settings_.version)};
}

HttpReply ControlApi::stats(const Call& /*call*/) {
  return {.body = stats_json(pager_, settings_.version)};
}

HttpReply ControlApi::metrics(const Call& /*call*/) {
  return {.body = metrics_text(pager_.info(), settings_.version), .type = kMetricsType};
}

// Each request has its own thread, so it may wait. If its client leaves, the completion continues,
// and the next client that asks waits for the rest of it.
HttpReply ControlApi::complete(const Call& call) {
  const std::string_view id = call.target.id;
  const CompleteRequest request = parse_complete_request(call.body);
  const Pager::CompletionOrder order = pager_.complete(id, request.bytes_per_second, request.wait);
  if (order.ordered != Pager::Ordered::yes) {
    return ordered_reply(order.ordered);
  }
  if (!request.wait) {
    return {.status = kAccepted, .body = base::JsonLine().text("state", "running").str()};
  }
  constexpr std::chrono::milliseconds kCheckInterval{200};
  while (!order.completion->wait(kCheckInterval)) {
    if (stopping_.load(std::memory_order_relaxed)) {
      return error_reply(kUnavailable, "pager is draining");
    }
    if (order.completion->state() == Completion::State::paused) {
      order.completion->leave();
      return error_reply(kConflict, "the completion is paused");
    }
    if (call.gone()) {
      order.completion->leave();
      base::say_detail("session " + base::quoted(id) +
                       ": its completion continues without its client");
      return error_reply(kTimeout, "the client has disconnected; the completion continues");
    }
  }
  return order.completion->state() == Completion::State::done
             ? HttpReply{.status = kNoContent, .body = ""}
             : error_reply(kFailed, order.completion->why());
}

HttpReply ControlApi::prefetch(const Call& call) {
  const std::string_view id = call.target.id;
  const std::string path = parse_prefetch_request(call.body);
  std::shared_ptr<const HotFile> list;
  if (!path.empty()) {
    const std::shared_ptr<const Image> image = pager_.image_of(id);
    if (!image) {
      return ordered_reply(pager_.prefetch(id, nullptr));
    }
    list = hot_files_.open(path, *image);
  }
  const Pager::Ordered ordered = pager_.prefetch(id, std::move(list));
  return ordered == Pager::Ordered::already_running
             ? error_reply(kConflict,
                           std::to_string(SessionState::kHotLists) +
                               " hot lists of the session are being installed; try again later")
             : ordered_reply(ordered);
}

// A hot list only makes a guest faster, so a list that cannot be used never prevents serving it.
void ControlApi::use_hot_list(Endpoint& endpoint, std::vector<std::string>& warnings) {
  const auto refuse = [&](const std::exception& error) {
    warnings.push_back(std::string(error.what()) + "; serving without it");
    base::say_warning("session " + base::quoted(endpoint.id) + ": " + warnings.back());
    endpoint.hot_refused = true;
  };
  try {
    endpoint.hot = hot_files_.open(endpoint.serving.hot_list_path, *endpoint.image);
  } catch (const base::BadData& error) {
    refuse(error);
  } catch (const std::system_error& error) {
    refuse(error);
  }
}

HttpReply ControlApi::create(const Call& call) {
  const SessionRequest request = parse_session_request(call.body, settings_.needs_cache_key);
  if (pager_.draining()) {
    throw Draining("pager is draining");  // before any file is opened
  }
  Endpoint endpoint;
  endpoint.id = request.id;
  endpoint.instance_id = request.instance_id;
  endpoint.cache_key = request.cache_key;
  endpoint.serving = request.serving;
  endpoint.serving.use_defaults(settings_.serving);
  endpoint.socket_path = settings_.socket_dir + "/" + endpoint.id + ".sock";
  base::check_socket_path(endpoint.socket_path);
  endpoint.image = open_image(images_, request.memory_path);
  if (endpoint.image->view() == Image::View::unprotected) {
    base::say_warning("session " + base::quoted(endpoint.id) + ": serving " +
                      base::quoted(request.memory_path) + std::string(Image::kUnprotectedText));
  }
  std::vector<std::string> warnings;
  if (!endpoint.serving.hot_list_path.empty()) {
    use_hot_list(endpoint, warnings);
  }
  if (!endpoint.serving.trace_path.empty()) {
    hot::TraceWriter::check(endpoint.serving.trace_path);
  }
  base::JsonLine reply;
  reply.text("session_id", endpoint.id)
      .path("uffd_socket_path", endpoint.socket_path)
      .text("pager_version", settings_.version);
  if (!warnings.empty()) {
    reply.raw("warnings", base::json_array(warnings));
  }
  const Pager::Existing existing = request.replace.value_or(settings_.replace)
                                       ? Pager::Existing::replace
                                       : Pager::Existing::keep;
  const std::string id = endpoint.id;
  if (pager_.open(std::move(endpoint), existing) == Pager::Opened::made) {
    base::say_detail("session " + base::quoted(id) + ": waiting for its VMM, image " +
                     base::quoted(request.memory_path));
  }
  return {.status = kOk, .body = reply.str()};
}

}  // namespace pager
