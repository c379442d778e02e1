// SPDX-License-Identifier: Apache-2.0
// uffd-keeper: runs page servers, and holds the descriptors of their guests when a server dies.
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include "base/descriptor_limit.h"
#include "base/error.h"
#include "base/json_line.h"
#include "base/message.h"
#include "base/open_files.h"
#include "base/options.h"
#include "base/output.h"
#include "base/program.h"
#include "pager/keep/keeper.h"
#include "pager/keep/least_privilege.h"
#include "pager/kernel/features.h"
#include "pager/killtest/kill_test.h"
#include "pager/serve/server_process.h"
#include "store/inherited_locks.h"

namespace {

base::Options make_options() {
  base::Options options(
      "uffd-keeper", "[options] -- OPTION...",
      "Run uffd-serve with these options, and keep its guests served if it dies.");
  options
      .value("hang-timeout", "S", "kill a server that does not serve for S seconds (2); 0: never")
      .value("on-poisonous-session", "WHAT", "if it ends 3 servers within 10 s: kill or hold")
      .value("server", "PROGRAM", "the page server (uffd-serve beside this program)")
      .flag("kill-test", "kill servers under scratch guests that verify every byte")
      .value("kills", "N", "of --kill-test: the number of kills (100)")
      .value("guests", "N", "of --kill-test: the number of guests (2)")
      .value("guest-cpu", "N", "of --kill-test: run the guests on this CPU only")
      .footer(
          "With --kill-test: 0 all bytes were right; 1 a wrong byte, or a hang.\n"
          "Exit: that of the last server, when it has ended by itself; 2 usage; 5 system error.\n"
          "See uffd-keeper(1) and uffd-serve(1).");
  options.unlisted();
  options.value("serving-fd", "N", "the socket of a server whose keeper has ended");
  return options;
}

std::string default_server() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path() / "uffd-serve";
}

// The descriptors above standard error that this process was started with.
std::vector<base::Fd> inherited_descriptors() {
  std::vector<base::Fd> fds;
  for (const std::string& name : base::numeric_names("/proc/self/fd")) {
    const int fd = std::stoi(name);
    // The descriptor of the listing itself is closed by now, and those with FD_CLOEXEC are not
    // inherited.
    if (fd > STDERR_FILENO && ::fcntl(fd, F_GETFD) == 0 && ::fcntl(fd, F_SETFD, FD_CLOEXEC) == 0) {
      fds.emplace_back(fd);
    }
  }
  return fds;
}

// Runs in place of a keeper that has ended. The server has sent what this process needs.
int run_for(pager::ServerProgram program, base::Fd socket, int signals) {
  std::optional<pager::ReceivedMessage> received = pager::receive_message(socket.get());
  if (!received || received->fds.size() != pager::kept::kFirstFds) {
    throw base::BadData("the server has not sent its descriptors");
  }
  std::vector<base::Fd>& fds = received->fds;
  program.binary = std::move(fds[pager::kept::kServerBinary]);
  pager::notify("MAINPID=" + std::to_string(::getpid()));
  return pager::Keeper(
             std::move(program), signals, std::move(fds[pager::kept::kPage]),
             pager::KeptServer::adopt(std::move(socket), std::move(fds[pager::kept::kServerPidfd]),
                                      static_cast<pid_t>(received->message.value)))
      .run();
}

// uffd-keeper --kill-test
int test_kills(const base::ParsedOptions& options, char** first, char** end) {
  constexpr int64_t kMostKills = 1'000'000;
  constexpr int64_t kMostGuests = 64;
  constexpr int64_t kMostCpus = 1023;
  pager::KillTestSettings settings;
  settings.kills = static_cast<uint64_t>(options.number("kills", 1, kMostKills, 100));
  settings.guests = static_cast<size_t>(options.number("guests", 1, kMostGuests, 2));
  if (options.has("guest-cpu")) {
    settings.guest_cpu = static_cast<int>(options.number("guest-cpu", 0, kMostCpus, 0));
  }
  settings.keeper = {std::filesystem::read_symlink("/proc/self/exe"), "--server",
                     options.value_or("server", default_server()), "--"};
  settings.keeper.insert(settings.keeper.end(), first, end);
  const pager::KillTestReport report = pager::run_kill_test(settings);
  if (base::message_style().json) {
    base::write_line_out(base::JsonLine("kill-test")
                             .number("kills", static_cast<int64_t>(report.kills))
                             .number("vmms", static_cast<int64_t>(report.vmms))
                             .number("verified_pages", static_cast<int64_t>(report.verified_pages))
                             .number("wait_median_ns", static_cast<int64_t>(report.median_ns))
                             .number("wait_p99_ns", static_cast<int64_t>(report.p99_ns))
                             .number("wait_max_ns", static_cast<int64_t>(report.max_ns))
                             .str());
    return 0;
  }
  const auto time = [](uint64_t ns) {
    constexpr uint64_t kNsPerUs = 1000;
    return std::to_string(ns / kNsPerUs) + " us";
  };
  base::write_line_out(std::to_string(report.kills) + " servers were killed; " +
                       std::to_string(report.vmms) + " VMMs read no wrong byte (" +
                       std::to_string(report.verified_pages) + " pages verified)");
  base::write_line_out("wait of a guest around a kill: median " + time(report.median_ns) +
                       ", p99 " + time(report.p99_ns) + ", max " + time(report.max_ns));
  return 0;
}

int run(int argc, char** argv) {
  char** const end = argv + argc;
  char** const dashes =
      std::find_if(argv, end, [](const char* word) { return std::string_view(word) == "--"; });
  const std::optional<base::ParsedOptions> options =
      make_options().parse(static_cast<int>(dashes - argv), argv);
  if (!options) {
    return 0;
  }
  options->require_operands(0, 0, "");
  if (options->has("kill-test")) {
    return test_kills(*options, std::min(dashes + 1, end), end);
  }
  for (const char* name : {"kills", "guests", "guest-cpu"}) {
    if (options->has(name)) {
      throw base::UsageError("the option --" + std::string(name) + " needs --kill-test");
    }
  }
  if (dashes == end) {
    throw base::UsageError("the options of uffd-serve are needed, after '--'");
  }
  store::close_inherited_locks();
  pager::FdStore::Stored stored = pager::FdStore::take();
  pager::ServerProgram program;
  program.first_only = inherited_descriptors();
  constexpr int64_t kMostFd = 1 << 20;
  const auto serving = static_cast<int>(options->number("serving-fd", 3, kMostFd, -1));
  if (serving < 0) {
    program.binary = base::open_file(options->value_or("server", default_server()), O_PATH);
  }
  program.arguments.assign(dashes + 1, end);
  const base::Fd signals = pager::take_signals();
  base::write_messages_in_background();
  base::raise_descriptor_limit();
  pager::protect_from_oom_killer();
  pager::keep_least_privilege();
  if (serving >= 0) {
    const auto socket = std::ranges::find_if(
        program.first_only, [&](const base::Fd& fd) { return fd.get() == serving; });
    if (socket == program.first_only.end()) {
      throw base::UsageError("bad value for --serving-fd: the descriptor is not open");
    }
    base::Fd taken = std::move(*socket);
    program.first_only.clear();
    return run_for(std::move(program), std::move(taken), signals.get());
  }
  constexpr int64_t kHangMs = 2000;
  pager::Keeper::Settings settings;
  settings.hang_timeout =
      std::chrono::milliseconds(options->seconds_as_ms("hang-timeout", kHangMs));
  if (options->choice("on-poisonous-session", {"kill", "hold"}) == "hold") {
    settings.on_poisonous = pager::OnPoisonous::hold;
  }
  return pager::Keeper(std::move(program), signals.get(), settings, std::move(stored)).run();
}

}  // namespace

int main(int argc, char** argv) {
  return base::run_program("uffd-keeper", argc, argv, run);
}
