// SPDX-License-Identifier: Apache-2.0
// The API socket of fake-firecracker: one thread, so a request that hangs blocks the next ones, as
// in Firecracker.
#pragma once

#include <microhttpd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/fd.h"
#include "base/unix_socket.h"
#include "tests/helpers/fake_machine.h"

class FakeApi {
 public:
  // Listens at `path`, which must not exist. Throws std::system_error.
  FakeApi(const std::string& path, FakeMachine& machine)
      : machine_(machine), socket_(base::make_unix_socket()) {
    const struct sockaddr_un address = base::unix_address(path);
    if (::bind(socket_.get(), reinterpret_cast<const struct sockaddr*>(&address), sizeof address) !=
            0 ||
        ::listen(socket_.get(), SOMAXCONN) != 0) {
      base::throw_errno("Failed to open the API socket at: " + path +
                        ". Check that it is not already used");
    }
    if (::MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL, 0, nullptr, nullptr,
                           &FakeApi::on_request, this, MHD_OPTION_LISTEN_SOCKET, socket_.get(),
                           MHD_OPTION_NOTIFY_COMPLETED, &FakeApi::on_completed, this,
                           MHD_OPTION_END) == nullptr) {
      throw base::Unsupported("cannot start an HTTP server");
    }
  }

 private:
  // One request. microhttpd calls on_request several times for it.
  struct Call {
    std::string body{};
    FakeReply reply{};
  };

  static enum MHD_Result on_request(void* self, struct MHD_Connection* connection, const char* path,
                                    const char* method, const char* /*version*/, const char* data,
                                    size_t* size, void** state) {
    if (*state == nullptr) {
      *state = new Call();
      return MHD_YES;
    }
    Call& call = *static_cast<Call*>(*state);
    if (*size != 0) {
      call.body.append(data, std::exchange(*size, 0));
      return MHD_YES;
    }
    call.reply = static_cast<FakeApi*>(self)->machine_.handle(method, path, call.body);
    std::string& body = call.reply.body;
    struct MHD_Response* const response =
        ::MHD_create_response_from_buffer(body.size(), body.data(), MHD_RESPMEM_MUST_COPY);
    const enum MHD_Result result = ::MHD_queue_response(connection, call.reply.status, response);
    ::MHD_destroy_response(response);
    return result;
  }

  // Called when the reply has been sent.
  static void on_completed(void* /*self*/, struct MHD_Connection* /*connection*/, void** state,
                           enum MHD_RequestTerminationCode /*why*/) {
    const Call* const call = static_cast<Call*>(*state);
    if (call != nullptr && call->reply.is_last) {
      ::_exit(call->reply.exit_status);
    }
    delete call;
    *state = nullptr;
  }

  FakeMachine& machine_;
  base::Fd socket_;
};
