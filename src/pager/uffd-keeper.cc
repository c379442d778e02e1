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
#include "base/message.h"
#include "base/open_files.h"
#include "base/options.h"
#include "base/program.h"
#include "pager/keep/keeper.h"
#include "pager/keep/least_privilege.h"
#include "pager/kernel/features.h"
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
      .footer(
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
