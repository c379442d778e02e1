// SPDX-License-Identifier: Apache-2.0
// Connects a VMM to the server, sends its handshake, and watches its sweep.
#include "pager/probe/vmm.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <exception>
#include <string>
#include <thread>
#include <utility>

#include "base/error.h"
#include "base/fd.h"
#include "base/unix_socket.h"
#include "pager/kernel/uffd.h"
#include "pager/probe/child.h"
#include "pager/probe/misbehavior.h"
#include "pager/probe/sweep.h"

namespace pager {
namespace {

// Connects to the socket. Waits up to `wait` for it to exist and for a server to listen.
base::Fd connect_to(const std::string& path, std::chrono::milliseconds wait,
                    const base::Deadline& deadline) {
  constexpr int kTryAgainMs = 10;
  const base::Deadline last_try = base::Deadline::after(wait);
  std::optional<base::Fd> socket = base::connect_unix(path, deadline);
  while (!socket && !last_try.passed()) {
    ::poll(nullptr, 0, kTryAgainMs);
    socket = base::connect_unix(path, deadline);
  }
  if (socket) {
    return std::move(*socket);
  }
  struct stat st {};
  if (::stat(path.c_str(), &st) != 0) {
    base::throw_errno("cannot connect to " + base::quoted(path));
  }
  throw base::Refused("cannot connect to " + base::quoted(path) +
                      ": no page server listens; start one with uffd-serve");
}

// Waits for the end of the sweep, which signals `done`. If `socket` hangs up and then a second
// passes without a verified page, ends the process: a server may close the connection, but must not
// stop serving.
void watch(int socket, int done, VmmRecord& record) {
  constexpr auto kGrace = std::chrono::seconds(1);
  std::array<struct pollfd, 2> fds{
      {{.fd = done, .events = POLLIN, .revents = 0}, {.fd = socket, .events = 0, .revents = 0}}};
  while (::poll(fds.data(), fds.size(), -1) < 0 && errno == EINTR) {
  }
  if (fds[0].revents != 0) {
    return;
  }
  record.server_closed = true;
  const auto progress = [&] { return record.looks + record.removed_pages; };
  for (uint64_t before = progress(); !base::wait_for(done, POLLIN, base::Deadline::after(kGrace));
       before = progress()) {
    if (progress() == before) {
      record.gave_up = true;
      ::_exit(0);  // its threads hang in page faults
    }
  }
}

void sweep(const ProbeConfig& config, const MemoryFile& file, size_t index, int socket,
           const GuestMemory& memory, VmmRecord& record) {
  Sweep work(config, file, memory,
             page_order(config.pattern, file.pages(), file.page_size(), config.page_limit,
                        config.seed + index),
             record);
  const base::Fd done(::eventfd(0, EFD_CLOEXEC));
  if (!done) {
    base::throw_errno("cannot create an eventfd");
  }
  std::exception_ptr failure;
  std::jthread thread([&] {
    try {
      work.run();
    } catch (...) {
      failure = std::current_exception();
    }
    ::eventfd_write(done.get(), 1);
  });
  watch(socket, done.get(), record);
  thread.join();
  if (failure) {
    std::rethrow_exception(failure);
  }
}

}  // namespace

void run_vmm(const ProbeConfig& config, const MemoryFile& file, size_t index,
             const base::Deadline& deadline, VmmRecord& record,
             const std::function<void()>& say_done) {
  // A poisoned page must end a VMM; sanitizers would catch SIGBUS. signal(2) cannot fail here.
  static_cast<void>(::signal(SIGBUS, SIG_DFL));
  try {
    if (config.cpu) {
      run_on_cpu(*config.cpu);
    }
    const GuestMemory memory(file.bytes(), file.page_size(), config.regions);
    const base::Fd uffd = uffd_create();
    for (const hot::Region& region : memory.regions()) {
      uffd_register_missing(uffd.get(), region.base, region.size);
    }
    const base::Fd socket = connect_to(config.sockets[index], config.wait, deadline);
    const bool accepted_one_is_sent =
        send_handshake(config.misbehavior, memory.regions(), socket.get(), uffd.get(), deadline);
    if (accepted_one_is_sent) {
      sweep(config, file, index, socket.get(), memory, record);
    } else {
      record.refused = base::wait_for(socket.get(), 0, deadline);
    }
    record.finished = true;
    say_done();
    while (config.hold) {
      ::pause();
    }
  } catch (const std::exception& error) {
    record.failure.set(error);
  }
}

}  // namespace pager
