// SPDX-License-Identifier: Apache-2.0
// The callbacks of libmicrohttpd, and the checks of a request before it is answered.
#include "pager/serve/control_server.h"

#include <fcntl.h>
#include <microhttpd.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <new>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/fd.h"

namespace pager {
namespace {

// A request that is being received.
struct Request {
  bool has_headers = false;
  bool has_zero_byte = false;  // in path or query; the library would cut there
  bool too_long = false;
  std::string body;
};

}  // namespace

struct ControlServer::Http {
  Http(ControlApi& answers, const ControlConnections::Limits& limits)
      : api(answers), connections(limits) {}

  ControlApi& api;
  ControlConnections connections;
  struct MHD_Daemon* daemon = nullptr;
  base::Fd listening;  // after finish_requests()
  std::mutex mutex;
  std::condition_variable none_left;
  int requests = 0;  // started, and not answered yet

  static enum MHD_Result reply(struct MHD_Connection* connection, const HttpReply& answer) {
    const std::string body =
        answer.body.empty() || answer.body.ends_with('\n') ? answer.body : answer.body + "\n";
    // The library copies the body, and does not write to it.
    struct MHD_Response* response = ::MHD_create_response_from_buffer(
        body.size(), const_cast<char*>(body.data()), MHD_RESPMEM_MUST_COPY);
    if (response == nullptr) {
      return MHD_NO;
    }
    ::MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
                              std::string(answer.type).c_str());
    const enum MHD_Result result = ::MHD_queue_response(connection, answer.status, response);
    ::MHD_destroy_response(response);
    return result;
  }

  static int socket_of(struct MHD_Connection* connection) {
    const union MHD_ConnectionInfo* info =
        ::MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    return info == nullptr ? -1 : info->connect_fd;
  }

  static bool is_allowed(int socket) {
    return socket >= 0 && ControlConnections::may_ask(base::peer_credentials(socket).uid);
  }

  // Returns false if the client has only shut down its sending direction.
  static bool has_gone(int socket) {
    struct pollfd fd {
      .fd = socket, .events = 0, .revents = 0
    };
    return ::poll(&fd, 1, 0) > 0 && (fd.revents & POLLHUP) != 0;
  }

  HttpReply answer(int socket, const char* path, std::string_view method, const Request& request) {
    if (!is_allowed(socket)) {
      return error_reply(MHD_HTTP_FORBIDDEN, "only root and the server's user may use this socket");
    }
    if (request.has_zero_byte) {
      return error_reply(MHD_HTTP_BAD_REQUEST, "the path or query holds a zero byte");
    }
    if (request.too_long) {
      return error_reply(MHD_HTTP_CONTENT_TOO_LARGE,
                         "the body has more than " + std::to_string(kMaxRequestBytes) + " bytes");
    }
    // GET never waits, so an operator's GET is answered however many other requests wait.
    if (!connections.begin_answer(socket, method == MHD_HTTP_METHOD_GET)) {
      return error_reply(MHD_HTTP_SERVICE_UNAVAILABLE,
                         "too many requests are being answered; try again later");
    }
    HttpReply reply = api.answer(method, path, request.body, [socket] { return has_gone(socket); });
    connections.wait_for_client(socket);
    return reply;
  }

  enum MHD_Result handle(struct MHD_Connection* connection, const char* path, const char* method,
                         const char* data, size_t* size, Request& request) {
    if (!request.has_headers) {
      request.has_headers = true;
      return MHD_YES;
    }
    if (*size > 0) {
      request.too_long = request.too_long || request.body.size() + *size > kMaxRequestBytes;
      if (!request.too_long) {
        request.body.append(data, *size);
      }
      *size = 0;
      return MHD_YES;
    }
    return reply(connection, answer(socket_of(connection), path, method, request));
  }

  // The first callback of a request. `uri` is as sent. The path that on_request gets is decoded and
  // ends at its first zero byte.
  static void* on_uri(void* self, const char* uri, struct MHD_Connection* /*connection*/) {
    auto* request = new (std::nothrow) Request;
    if (request != nullptr) {
      request->has_zero_byte = std::string_view(uri).find("%00") != std::string_view::npos;
      auto* http = static_cast<Http*>(self);
      const std::lock_guard lock(http->mutex);
      ++http->requests;
    }
    return request;
  }
  static enum MHD_Result on_request(void* self, struct MHD_Connection* connection, const char* path,
                                    const char* method, const char* /*version*/, const char* data,
                                    size_t* size, void** state) {
    auto* request = static_cast<Request*>(*state);
    try {
      return request == nullptr
                 ? MHD_NO
                 : static_cast<Http*>(self)->handle(connection, path, method, data, size, *request);
    } catch (const std::exception&) {
      return MHD_NO;  // no memory for a reply: closes the connection
    }
  }
  static void on_completed(void* self, struct MHD_Connection* connection, void** state,
                           enum MHD_RequestTerminationCode /*why*/) {
    auto* http = static_cast<Http*>(self);
    http->connections.wait_for_client(socket_of(connection));  // for its next request
    if (*state == nullptr) {
      return;  // the connection ended before a request began
    }
    delete static_cast<Request*>(*state);
    *state = nullptr;
    const std::lock_guard lock(http->mutex);
    --http->requests;
    http->none_left.notify_all();
  }
  // Called when a connection starts, and before the library closes its socket.
  static void on_connection(void* self, struct MHD_Connection* connection, void** /*context*/,
                            enum MHD_ConnectionNotificationCode what) {
    auto* http = static_cast<Http*>(self);
    const int socket = socket_of(connection);
    if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
      http->connections.remove(socket);
      return;
    }
    try {
      http->connections.add(socket, base::peer_credentials(socket));
    } catch (const std::exception&) {
      static_cast<void>(::shutdown(socket, SHUT_RDWR));
    }
  }
};

ControlServer::ControlServer(const base::UnixListener& listener, ControlApi& api,
                             const ControlConnections::Limits& limits)
    : http_(std::make_unique<Http>(api, limits)) {
  // The library closes the listening descriptor that it is given, so it gets a copy.
  base::Fd copy(::fcntl(listener.fd(), F_DUPFD_CLOEXEC, 0));
  if (!copy) {
    base::throw_errno("cannot serve " + base::quoted(listener.path()));
  }
  // Each connection has a thread. At its own limit the library accepts no connection, so that limit
  // is higher than the limits of ControlConnections, by the connections that are ended but not
  // closed yet.
  constexpr size_t kEnding = 64;
  const auto most = static_cast<unsigned>(limits.connections + limits.of_other_users + kEnding);
  http_->daemon = ::MHD_start_daemon(
      MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL | MHD_USE_ITC,
      0, nullptr, nullptr, &Http::on_request, http_.get(), MHD_OPTION_LISTEN_SOCKET, copy.get(),
      MHD_OPTION_URI_LOG_CALLBACK, &Http::on_uri, http_.get(), MHD_OPTION_NOTIFY_COMPLETED,
      &Http::on_completed, http_.get(), MHD_OPTION_NOTIFY_CONNECTION, &Http::on_connection,
      http_.get(), MHD_OPTION_CONNECTION_LIMIT, most, MHD_OPTION_END);
  if (http_->daemon == nullptr) {
    base::throw_errno("cannot serve " + base::quoted(listener.path()));
  }
  copy.release();
}

ControlServer::~ControlServer() {
  // MHD_stop_daemon cuts connections off. The request that ends the server must get its reply
  // first.
  finish_requests();
  ::MHD_stop_daemon(http_->daemon);
}

void ControlServer::finish_requests() {
  // The library uses the descriptor until it is stopped.
  if (!http_->listening) {
    http_->listening = base::Fd(::MHD_quiesce_daemon(http_->daemon));
  }
  constexpr std::chrono::seconds kLimit{1};
  http_->api.stop_waiting();
  std::unique_lock lock(http_->mutex);
  http_->none_left.wait_for(lock, kLimit, [this] { return http_->requests == 0; });
}

}  // namespace pager
