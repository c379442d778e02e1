// SPDX-License-Identifier: Apache-2.0
// The life of a VMM: start, answer, signals, end.
#include "fc/supervise.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <optional>
#include <string>
#include <utility>

#include "base/deadline.h"
#include "base/error.h"
#include "base/json_line.h"
#include "base/output.h"
#include "fc/console_log.h"
#include "fc/firecracker_id.h"
#include "fc/jail.h"
#include "fc/network.h"
#include "fc/start_vmm.h"
#include "fc/version_query.h"
#include "fc/vmm_directory.h"
#include "fc/vmm_signals.h"

namespace fc {
namespace {

constexpr int kSignalled = 128;  // added to the number of a signal, as shells do
// From SIGTERM to SIGKILL, where no other process would send SIGKILL.
constexpr std::chrono::seconds kGrace{2};

// `jail` is null or outlives the command. The jailer enters the network namespace itself.
VmmCommand command_for(const VmmRequest& request, const VmmDirectory& directory, const Jail* jail) {
  VmmCommand command{
      .words = command_line(request),
      .input = directory.make_input(),
      .netns = request.netns && jail == nullptr ? open_netns(*request.netns) : base::Fd()};
  if (jail != nullptr) {
    command.enter_jail = [jail] { jail->enter(); };
  }
  return command;
}

// A vsock socket that a killed VMM left makes the next load fail. check_request has refused one
// that a process listens at.
void remove_socket(const std::optional<std::string>& path) {
  if (path) {
    ::unlink(path->c_str());
  }
}

class Supervisor {
 public:
  Supervisor(const VmmRequest& request, const Supervision& supervision)
      : request_(request),
        supervision_(supervision),
        deadline_(base::Deadline::after(request.start_timeout)),
        directory_(VmmDirectory::take(request.directory, deadline_)) {}

  int run() {
    if (!watch_caller(supervision_.caller)) {
      directory_.remove();
      throw base::Error(base::ExitCode::wrapper, "cannot start the VMM: the caller has ended");
    }
    try {
      start();
    } catch (...) {
      end_vmm();
      console_.reset();
      jail_.reset();
      directory_.remove();
      remove_socket(request_.vsock);
      throw;
    }
    const int status = wait_for_end();
    console_.reset();
    jail_.reset();
    directory_.remove_run_files();
    remove_socket(request_.vsock);
    return status;
  }

 private:
  void start() {
    remove_socket(request_.vsock);
    if (request_.guest) {
      directory_.write_guest(*request_.guest);
    }
    if (request_.jail) {
      jail_.emplace(request_, directory_);
    }
    vmm_ = start_vmm(command_for(request_, directory_, jail_ ? &*jail_ : nullptr));
    directory_.write_pid(vmm_.pid);
    console_.emplace(std::move(vmm_.console), directory_.fd());
    announce(await_version());
  }

  std::string await_version() {
    VersionQuery query(api_socket(request_), deadline_);
    std::string failure;
    for (;;) {
      std::array<struct pollfd, 3> ready{
          {{.fd = query.fd(), .events = POLLIN, .revents = 0},
           {.fd = vmm_.child_pidfd.get(), .events = POLLIN, .revents = 0},
           {.fd = signals_.fd(), .events = POLLIN, .revents = 0}}};
      ::poll(ready.data(), ready.size(), -1);
      if (ready[1].revents != 0) {
        failure = how_it_ended();
        break;
      }
      if (ready[2].revents != 0) {
        const std::optional<int> signal = signals_.next();
        if (signal && *signal != kDetach) {
          failure = "ended by signal " + std::to_string(*signal);
          break;
        }
      }
      if (ready[0].revents != 0) {
        VersionAnswer answer = query.answer();
        if (answer.failure.empty() && answer.pid == vmm_.pid) {
          return std::move(answer.version);
        }
        failure = answer.failure.empty() ? "process " + std::to_string(answer.pid) +
                                               " listens at its API socket; the program must "
                                               "become Firecracker by exec"
                                         : answer.failure;
        // A VMM that dies closes its connection first.
        failure = ends_within(std::chrono::milliseconds(100)) ? how_it_ended() : failure;
        break;
      }
    }
    end_vmm();  // so that the query ends
    const std::string lines = console_->last_lines();
    throw base::Error(base::ExitCode::wrapper,
                      "cannot start " + base::quoted(request_.program) + ": " + failure +
                          (lines.empty() ? "" : "; its last lines: " + lines));
  }

  void announce(const std::string& version) {
    base::JsonLine record("vmm");
    record.number("pid", vmm_.pid)
        .path("api_socket", api_socket(request_))
        .path("console", directory_.file(kConsole))
        .text("version", version)
        .text("firecracker_id", firecracker_id(request_.id));
    base::write_line_out(record.str());
    if (supervision_.ready_fd >= 0) {
      base::write_full(supervision_.ready_fd, "\n", "the pipe of the caller");
    }
    // The reader of the record sees the end of the file.
    const base::Fd null = base::open_file("/dev/null", O_WRONLY);
    ::dup2(null.get(), STDOUT_FILENO);
  }

  int wait_for_end() {
    bool has_caller = true;
    for (;;) {
      std::array<struct pollfd, 2> ready{
          {{.fd = vmm_.child_pidfd.get(), .events = POLLIN, .revents = 0},
           {.fd = signals_.fd(), .events = POLLIN, .revents = 0}}};
      ::poll(ready.data(), ready.size(), -1);
      if (ready[0].revents != 0) {
        return reap();
      }
      const std::optional<int> signal = signals_.next();
      if (signal == kDetach && has_caller) {
        has_caller = false;
        leave_caller();
      } else if (signal == kCallerEnded && has_caller) {
        return end_vmm();
      } else if (signal && *signal != kDetach && *signal != kCallerEnded) {
        send(*signal);
      }
    }
  }

  bool ends_within(std::chrono::milliseconds time) const {
    const base::Deadline limit = base::Deadline::after(time);
    struct pollfd end {
      .fd = vmm_.child_pidfd.get(), .events = POLLIN, .revents = 0
    };
    while (::poll(&end, 1, limit.poll_timeout()) <= 0) {
      if (limit.passed()) {
        return false;
      }
    }
    return true;
  }

  std::string how_it_ended() const {
    siginfo_t info{};
    ::waitid(P_PID, static_cast<id_t>(vmm_.child), &info, WEXITED | WNOWAIT);
    return info.si_code == CLD_EXITED
               ? "it ended with exit status " + std::to_string(info.si_status)
               : "it was killed by signal " + std::to_string(info.si_status);
  }

  // Ends the VMM if it lives, and returns its exit status.
  int end_vmm() {
    if (vmm_.pid == 0 || is_reaped_) {
      return status_;
    }
    send(SIGTERM);
    if (!ends_within(kGrace)) {
      send(SIGKILL);
    }
    return reap();
  }

  void send(int signal) const {
    ::syscall(SYS_pidfd_send_signal, vmm_.pidfd.get(), signal, nullptr, 0);
  }

  int reap() {
    siginfo_t info{};
    while (::waitid(P_PID, static_cast<id_t>(vmm_.child), &info, WEXITED | WNOWAIT) != 0 &&
           errno == EINTR) {
    }
    if (vmm_.child == vmm_.pid) {
      // Processes that a wrapper script started. Until the VMM is reaped, its group is not
      // another's. Those of a jail have ended with its PID namespace.
      ::kill(-vmm_.pid, SIGKILL);
    }
    ::waitid(P_PID, static_cast<id_t>(vmm_.child), &info, WEXITED);
    is_reaped_ = true;
    status_ = info.si_code == CLD_EXITED ? info.si_status : kSignalled + info.si_status;
    return status_;
  }

  const VmmRequest& request_;
  const Supervision& supervision_;
  VmmSignals signals_;
  base::Deadline deadline_;
  VmmDirectory directory_;
  std::optional<Jail> jail_;
  StartedVmm vmm_;
  bool is_reaped_ = false;
  int status_ = 0;
  std::optional<ConsoleLog> console_;
};

}  // namespace

int supervise(const VmmRequest& request, const Supervision& supervision) {
  check_request(request);
  return Supervisor(request, supervision).run();
}

}  // namespace fc
