// SPDX-License-Identifier: Apache-2.0
// fc-run: starts one Firecracker and stays with it until it ends.
#include <linux/close_range.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <limits>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "base/effect.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/options.h"
#include "base/output.h"
#include "base/program.h"
#include "fc/jail_exchange.h"
#include "fc/supervise.h"
#include "fc/vmm_directory.h"
#include "fc/vmm_request.h"
#include "fc/vmm_signals.h"
#include "fc/waiting_vmm.h"

namespace {

constexpr int64_t kStartTimeoutMs = 10'000;
constexpr int64_t kGraceMs = 5'000;

// The VMM lives longer than a command, so no lock and no pipe of the caller may stay open in this
// process. Keeps the descriptor that failures are reported to.
void close_inherited_descriptors() {
  unsigned first = STDERR_FILENO + 1;
  if (const std::optional<int> kept = fc::error_descriptor()) {
    const auto number = static_cast<unsigned>(*kept);
    if (number > first) {
      ::syscall(SYS_close_range, first, number - 1, 0);
    }
    first = number + 1;
  }
  ::syscall(SYS_close_range, first, ~0U, 0);
}

// Starts the VMM in a child, which lives on, and returns once it runs.
int detach(const fc::VmmRequest& request) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    base::throw_errno("cannot create a pipe");
  }
  base::Fd read(ends[0]);
  base::Fd write(ends[1]);
  const pid_t caller = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) {
    base::throw_errno("cannot start a process");
  }
  if (child == 0) {
    read.reset();
    return fc::supervise(request, {.caller = caller, .ready_fd = write.get()});
  }
  write.reset();
  std::array<std::byte, 1> ready{};
  ssize_t length = 0;
  do {
    length = ::read(read.get(), ready.data(), ready.size());
  } while (length < 0 && errno == EINTR);
  if (length == 1) {
    ::kill(child, fc::kDetach);
    return 0;
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  // It has reported its failure itself.
  ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : static_cast<int>(base::ExitCode::wrapper));
}

// The statuses of the VMM use the same range as those of a failed system call.
int start(const fc::VmmRequest& request, pid_t caller, bool detached) {
  try {
    return detached ? detach(request) : fc::supervise(request, {.caller = caller});
  } catch (const std::system_error& error) {
    throw base::Error(base::ExitCode::wrapper, error.what());
  }
}

std::optional<fc::JailRequest> read_jail(const base::ParsedOptions& parsed) {
  if (!parsed.has("jailer")) {
    for (const char* option : {"uid", "gid", "jailer-arg", "jail-base", "jail-dir", "jail-write",
                               "jail-read", "jail-show"}) {
      if (parsed.has(option)) {
        throw base::UsageError(std::string("--") + option + " needs --jailer PATH");
      }
    }
    return std::nullopt;
  }
  for (const char* option : {"uid", "gid", "jail-base", "jail-dir"}) {
    if (!parsed.has(option)) {
      throw base::UsageError(std::string("--jailer needs --") + option);
    }
  }
  constexpr int64_t kMostGid = 4'294'967'294;
  fc::JailRequest jail{.program = parsed.value_or("jailer", ""),
                       .arguments = parsed.values("jailer-arg"),
                       .uid = fc::parse_jail_uid("uid", parsed.value_or("uid", "")),
                       .gid = static_cast<gid_t>(parsed.number("gid", 0, kMostGid, 0)),
                       .base = parsed.value_or("jail-base", ""),
                       .shared = parsed.value_or("jail-dir", ""),
                       .files = {}};
  using Access = fc::JailFile::Access;
  for (const auto& [option, access] : {std::pair{"jail-write", Access::write},
                                       {"jail-read", Access::read},
                                       {"jail-show", Access::show}}) {
    for (const std::string& path : parsed.values(option)) {
      jail.files.push_back({.path = path, .access = access});
    }
  }
  return jail;
}

fc::VmmRequest read_request(const base::ParsedOptions& parsed) {
  fc::VmmRequest request;
  request.program = parsed.value_or("firecracker", request.program);
  request.arguments = parsed.values("arg");
  request.guest = parsed.value("guest");
  request.netns = parsed.value("netns");
  request.taps = parsed.values("tap");
  request.vsock = parsed.value("vsock");
  request.start_timeout =
      std::chrono::milliseconds(parsed.seconds_as_ms("start-timeout", kStartTimeoutMs));
  request.directory = parsed.value_or("dir", "");
  request.id = parsed.value_or("id", "");
  if (request.directory.empty() || request.id.empty()) {
    throw base::UsageError("--dir DIR and --id ID are needed");
  }
  request.jail = read_jail(parsed);
  return request;
}

// Returns false if no file is to be moved.
bool exchange_files(const base::ParsedOptions& parsed, base::Effect effect) {
  bool found = false;
  for (const auto& [option, call] : {std::pair{"into-jail", &fc::move_into_jail},
                                     {"from-jail", &fc::move_from_jail},
                                     {"copy-from-jail", &fc::copy_from_jail}}) {
    for (const std::string& path : parsed.values(option)) {
      if (!parsed.has("dir") || path.find('/') == std::string::npos) {
        throw base::UsageError(std::string("--") + option +
                               " needs --dir DIR and an absolute PATH");
      }
      found = true;
      if (!base::is_dry_run(effect)) {
        call(parsed.value_or("dir", ""), path);
      }
    }
  }
  return found;
}

int run(int argc, char** argv) {
  base::Options options("fc-run", "[OPTION]... --dir DIR --id ID",
                        "Start one Firecracker, and stay with it until it ends.");
  options.value("firecracker", "PATH", "the program (default: from the PATH)")
      .value("arg", "ARG", "an argument for it; may be repeated")
      .value("dir", "DIR", "the directory for its socket, pid and console")
      .value("id", "ID", "its id, or a hash of it")
      .value("guest", "PATH", "the directory of its guest, kept in DIR/guest")
      .value("netns", "NAME", "start it in this network namespace")
      .value("tap", "TAP", "a tap that it will use: must exist and be unused")
      .value("vsock", "PATH", "the vsock socket that it will make")
      .value("start-timeout", "SECONDS", "limit until its API answers (default 10)")
      .value("caller", "PID", "end if PID is not the parent")
      .flag("detach", "return once its API answers; it lives on");
  base::add_dry_run(options, "check all that can be checked, and start nothing");
  options.group("Jail");
  options.value("jailer", "PATH", "start Firecracker by this jailer, as another user")
      .value("uid", "N", "the user")
      .value("gid", "N", "the group")
      .value("jailer-arg", "ARG", "an argument for the jailer; may be repeated")
      .value("jail-base", "DIR", "the guest's directory, below which the jail is mounted")
      .value("jail-dir", "DIR", "made for the VMM's sockets, owned by the user")
      .value("jail-write", "PATH", "a file that is given to the user")
      .value("jail-read", "PATH", "the same, and the VMM cannot write to it")
      .value("jail-show", "PATH", "a file or socket that keeps its owner");
  options.group("Alternative");
  options.value("socket", "SOCK", "start nothing: print the record of the VMM at SOCK")
      .flag("end", "end the VMM of DIR, and remove DIR")
      .value("into-jail", "PATH", "move a file into the jail of the VMM of DIR")
      .value("from-jail", "PATH", "move the file of that name from there")
      .value("copy-from-jail", "PATH", "copy it, so that the VMM cannot change it");
  options.footer(
      "Prints one record once the API answers. HUP, INT and TERM are passed on.\n"
      "Exit: that of Firecracker, or 128 and its signal; 1 DIR is in use, 2 usage,\n"
      "125 it did not start, 126, 127 it cannot be executed. See fc-run(1).");
  const std::optional<base::ParsedOptions> parsed = options.parse(argc, argv);
  if (!parsed) {
    return 0;
  }
  close_inherited_descriptors();
  const base::Effect effect = base::effect_of(*parsed);
  parsed->require_operands(0, 0, "no operand");
  if (const std::optional<std::string> socket = parsed->value("socket")) {
    base::write_line_out(fc::describe_waiting_vmm(
        *socket, parsed->values("tap"),
        std::chrono::milliseconds(parsed->seconds_as_ms("start-timeout", kStartTimeoutMs))));
    return 0;
  }
  if (parsed->has("end")) {
    if (!parsed->has("dir")) {
      throw base::UsageError("--end needs --dir DIR");
    }
    fc::end_vmm_of(parsed->value_or("dir", ""), std::chrono::milliseconds(kGraceMs), effect);
    return 0;
  }
  if (exchange_files(*parsed, effect)) {
    return 0;
  }
  const pid_t caller = static_cast<pid_t>(
      parsed->number("caller", 1, std::numeric_limits<pid_t>::max(), ::getppid()));
  const fc::VmmRequest request = read_request(*parsed);
  if (base::is_dry_run(effect)) {
    fc::check_request(request);
    fc::VmmDirectory::check(request.directory);
    return 0;
  }
  return start(request, caller, parsed->has("detach"));
}

}  // namespace

int main(int argc, char** argv) {
  return base::run_program("fc-run", argc, argv, run);
}
