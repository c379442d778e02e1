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
#include <chrono>
#include <csignal>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>

#include "base/deadline.h"
#include "base/error.h"
#include "base/json_line.h"
#include "base/message.h"
#include "base/output.h"
#include "fc/api_call.h"
#include "fc/console_log.h"
#include "fc/firecracker_id.h"
#include "fc/jail.h"
#include "fc/network.h"
#include "fc/start_vmm.h"
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

std::string seconds_between(std::chrono::steady_clock::time_point from,
                            std::chrono::steady_clock::time_point to) {
  constexpr size_t kMost = 32;
  std::array<char, kMost> text{};
  const int length = std::snprintf(text.data(), text.size(), "%.6f",
                                   std::chrono::duration<double>(to - from).count());
  return {text.data(), static_cast<size_t>(length)};
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
    std::string version = start_process();
    const auto started = std::chrono::steady_clock::now();
    if (supervision_.load != nullptr) {
      version = load_guest(*supervision_.load, std::move(version));
    }
    announce(version, started);
  }

  // Returns the version of the VMM, whose API answers.
  std::string start_process() {
    vmm_ = start_vmm(command_for(request_, directory_, jail_ ? &*jail_ : nullptr));
    is_reaped_ = false;
    directory_.write_pid(vmm_.pid);
    console_.emplace(std::move(vmm_.console), directory_.fd());
    return await_version();
  }

  // Waits for the answer to a call. If the VMM ends or a signal comes first, returns what happened,
  // and the VMM has ended. If the VMM ends, `answer` may still have its reply.
  std::string await(ApiCall& call, ApiAnswer& answer) {
    std::string ended;
    while (ended.empty()) {
      std::array<struct pollfd, 3> ready{
          {{.fd = call.fd(), .events = POLLIN, .revents = 0},
           {.fd = vmm_.child_pidfd.get(), .events = POLLIN, .revents = 0},
           {.fd = signals_.fd(), .events = POLLIN, .revents = 0}}};
      ::poll(ready.data(), ready.size(), -1);
      if (ready[1].revents != 0) {
        ended = how_it_ended();
      } else if (ready[2].revents != 0) {
        const std::optional<int> signal = signals_.next();
        if (signal && *signal != kDetach) {
          ended = "ended by signal " + std::to_string(*signal);
        }
      } else if (ready[0].revents != 0) {
        break;
      }
    }
    if (!ended.empty()) {
      end_vmm();  // so that the call ends
      call.stop();
    }
    answer = call.answer();
    return ended;
  }

  std::string await_version() {
    ApiCall call([socket = api_socket(request_), deadline = deadline_](const auto& stop) {
      return ask_version(socket, deadline, stop);
    });
    ApiAnswer answer;
    std::string failure = await(call, answer);
    if (failure.empty()) {
      if (answer.failure.empty() && answer.pid == vmm_.pid) {
        return std::move(answer.version);
      }
      failure = answer.failure.empty() ? "process " + std::to_string(answer.pid) +
                                             " listens at its API socket; the program must "
                                             "become Firecracker by exec"
                                       : answer.failure;
      // A VMM that dies closes its connection first.
      failure = ends_within(std::chrono::milliseconds(100)) ? how_it_ended() : failure;
    }
    end_vmm();
    const std::string lines = console_->last_lines();
    throw base::Error(base::ExitCode::wrapper,
                      "cannot start " + base::quoted(request_.program) + ": " + failure +
                          (lines.empty() ? "" : "; its last lines: " + lines));
  }

  // Returns the version of the VMM that has loaded the guest.
  std::string load_guest(const SnapshotLoad& load, std::string version) {
    ApiAnswer answer = try_load(load, version, true);
    if (answer.failure.find("clock_realtime requested") != std::string::npos) {
      base::say_warning(base::quoted(load.id) +
                        " continues with the clock of its snapshot: its state has no time of the "
                        "host");
      end_vmm();
      console_.reset();
      directory_.remove_run_files();
      remove_socket(request_.vsock);
      deadline_ = base::Deadline::after(request_.start_timeout);
      version = start_process();
      answer = try_load(load, version, false);
    }
    if (!answer.failure.empty()) {
      end_vmm();
      const std::string lines = answer.refused ? "" : console_->last_lines();
      throw base::Error(base::ExitCode::wrapper,
                        "cannot run " + base::quoted(load.id) +
                            ": its VMM did not load it: " + answer.failure +
                            (lines.empty() ? "" : "; the last lines of its console: " + lines));
    }
    load.end();
    return version;
  }

  ApiAnswer try_load(const SnapshotLoad& load, const std::string& version, bool sets_clock) {
    std::string body;
    try {
      body = load.begin(vmm_.pid, version, sets_clock);
    } catch (const std::exception&) {
      if (ends_within(std::chrono::milliseconds(0))) {
        throw base::Error(base::ExitCode::wrapper,
                          "cannot run " + base::quoted(load.id) + ": its VMM, process " +
                              std::to_string(vmm_.pid) + ", ended before it was loaded");
      }
      throw;
    }
    ApiCall call([socket = api_socket(request_), &body, deadline = load.deadline()](const auto&) {
      return load_snapshot(socket, body, deadline);
    });
    ApiAnswer answer;
    const std::string ended = await(call, answer);
    if (!ended.empty() && !answer.refused) {
      answer.failure = ended;
    }
    return answer;
  }

  void announce(const std::string& version, std::chrono::steady_clock::time_point started) {
    base::JsonLine record("vmm");
    record.number("pid", vmm_.pid)
        .path("api_socket", api_socket(request_))
        .path("console", directory_.file(kConsole))
        .text("version", version)
        .text("firecracker_id", firecracker_id(request_.id));
    if (supervision_.load != nullptr) {
      base::JsonLine seconds;
      seconds.raw("start", seconds_between(began_, started))
          .raw("load", seconds_between(started, std::chrono::steady_clock::now()));
      record.raw("seconds", seconds.str());
    }
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

  std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
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
