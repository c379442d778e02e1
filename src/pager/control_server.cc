#include "pager/control_server.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>

#include "base/error.h"
#include "base/fd.h"

namespace pager {
namespace {

// Loaded when a service starts, not when the program does: `uffd-serve ctl` is part of every fork,
// and loading libmicrohttpd and the TLS libraries behind it costs it 1.5 to 3 ms of its 2.
class Library {
 public:
  Library() : handle_(::dlopen("libmicrohttpd.so.12", RTLD_NOW | RTLD_LOCAL)) {
    if (handle_ == nullptr) {
      throw base::Unsupported(std::string("cannot load libmicrohttpd: ") + ::dlerror());
    }
    load(start_daemon, "MHD_start_daemon");
    load(stop_daemon, "MHD_stop_daemon");
    load(get_connection_info, "MHD_get_connection_info");
    load(create_response, "MHD_create_response_from_buffer");
    load(add_header, "MHD_add_response_header");
    load(queue_response, "MHD_queue_response");
    load(destroy_response, "MHD_destroy_response");
  }

  decltype(&MHD_start_daemon) start_daemon = nullptr;
  decltype(&MHD_stop_daemon) stop_daemon = nullptr;
  decltype(&MHD_get_connection_info) get_connection_info = nullptr;
  decltype(&MHD_create_response_from_buffer) create_response = nullptr;
  decltype(&MHD_add_response_header) add_header = nullptr;
  decltype(&MHD_queue_response) queue_response = nullptr;
  decltype(&MHD_destroy_response) destroy_response = nullptr;

 private:
  template <typename Function>
  void load(Function& function, const char* name) {
    function = reinterpret_cast<Function>(::dlsym(handle_, name));
    if (function == nullptr) {
      throw base::Unsupported(std::string("cannot use libmicrohttpd: it has no ") + name);
    }
  }

  void* handle_;  // kept for the life of the process
};

// A request while its body arrives.
struct Request {
  std::string body;
  bool too_long = false;
};

}  // namespace

struct ControlServer::Http {
  explicit Http(ControlApi& answers) : api(answers) {}

  Library library;
  ControlApi& api;
  struct MHD_Daemon* daemon = nullptr;
  std::mutex mutex;
  std::condition_variable none_left;
  int requests = 0;  // begun, and their replies not sent

  enum MHD_Result reply(struct MHD_Connection* connection, const HttpReply& answer) const {
    const std::string body =
        answer.body.empty() || answer.body.ends_with('\n') ? answer.body : answer.body + "\n";
    // The library copies the body, and does not write to it.
    struct MHD_Response* response =
        library.create_response(body.size(), const_cast<char*>(body.data()), MHD_RESPMEM_MUST_COPY);
    if (response == nullptr) {
      return MHD_NO;
    }
    library.add_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, std::string(answer.type).c_str());
    const enum MHD_Result result = library.queue_response(connection, answer.status, response);
    library.destroy_response(response);
    return result;
  }

  int socket_of(struct MHD_Connection* connection) const {
    const union MHD_ConnectionInfo* info =
        library.get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    return info == nullptr ? -1 : info->connect_fd;
  }

  static bool is_allowed(int socket) {
    if (socket < 0) {
      return false;
    }
    const uid_t uid = base::peer_credentials(socket).uid;
    return uid == 0 || uid == ::geteuid();
  }

  // Not who only says that it sends no more.
  static bool has_gone(int socket) {
    struct pollfd fd {
      .fd = socket, .events = 0, .revents = 0
    };
    return ::poll(&fd, 1, 0) > 0 && (fd.revents & POLLHUP) != 0;
  }

  enum MHD_Result handle(struct MHD_Connection* connection, const char* path, const char* method,
                         const char* data, size_t* size, void** state) {
    auto* request = static_cast<Request*>(*state);
    if (request == nullptr) {
      *state = new Request;
      const std::lock_guard lock(mutex);
      ++requests;
      return MHD_YES;
    }
    if (*size > 0) {
      request->too_long = request->too_long || request->body.size() + *size > kMaxRequestBytes;
      if (!request->too_long) {
        request->body.append(data, *size);
      }
      *size = 0;
      return MHD_YES;
    }
    const int socket = socket_of(connection);
    if (!is_allowed(socket)) {
      return reply(connection, error_reply(MHD_HTTP_FORBIDDEN, "not your pager"));
    }
    if (request->too_long) {
      return reply(connection, error_reply(413, "the body has more than " +
                                                    std::to_string(kMaxRequestBytes) + " bytes"));
    }
    return reply(connection,
                 api.answer(method, path, request->body, [socket] { return has_gone(socket); }));
  }

  static enum MHD_Result on_request(void* self, struct MHD_Connection* connection, const char* path,
                                    const char* method, const char* /*version*/, const char* data,
                                    size_t* size, void** state) {
    try {
      return static_cast<Http*>(self)->handle(connection, path, method, data, size, state);
    } catch (const std::exception&) {
      return MHD_NO;  // no memory for a reply: the connection is closed
    }
  }
  static void on_completed(void* self, struct MHD_Connection* /*connection*/, void** state,
                           enum MHD_RequestTerminationCode /*why*/) {
    if (*state == nullptr) {
      return;  // broke off before it was a request
    }
    delete static_cast<Request*>(*state);
    *state = nullptr;
    auto* http = static_cast<Http*>(self);
    const std::lock_guard lock(http->mutex);
    --http->requests;
    http->none_left.notify_all();
  }
};

ControlServer::ControlServer(const base::UnixListener& listener, ControlApi& api)
    : http_(std::make_unique<Http>(api)) {
  // The library closes the listening descriptor that it is given.
  base::Fd copy(::fcntl(listener.fd(), F_DUPFD_CLOEXEC, 0));
  if (!copy) {
    base::throw_errno("cannot serve " + base::quoted(listener.path()));
  }
  constexpr unsigned kMostConnections = 256;  // each has a thread
  constexpr unsigned kTimeoutSeconds = 30;    // of a connection on which nothing happens
  http_->daemon = http_->library.start_daemon(
      MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL, 0, nullptr,
      nullptr, &Http::on_request, http_.get(), MHD_OPTION_LISTEN_SOCKET, copy.get(),
      MHD_OPTION_NOTIFY_COMPLETED, &Http::on_completed, http_.get(), MHD_OPTION_CONNECTION_TIMEOUT,
      kTimeoutSeconds, MHD_OPTION_CONNECTION_LIMIT, kMostConnections, MHD_OPTION_END);
  if (http_->daemon == nullptr) {
    base::throw_errno("cannot serve " + base::quoted(listener.path()));
  }
  copy.release();
}

ControlServer::~ControlServer() {
  // Stopping cuts connections off, and the request that ends the server wants its reply.
  constexpr std::chrono::seconds kPatience{1};
  http_->api.stop_waiting();
  std::unique_lock lock(http_->mutex);
  http_->none_left.wait_for(lock, kPatience, [this] { return http_->requests == 0; });
  lock.unlock();
  http_->library.stop_daemon(http_->daemon);
}

}  // namespace pager
