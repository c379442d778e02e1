// SPDX-License-Identifier: Apache-2.0
// A test double of Firecracker: the API socket, snapshots and the handshake, without a machine.
//
// It refuses what a real release refuses: unknown fields of requests, a second load, ids with other
// characters than letters, digits and "-", a state of another format. It ends after a load that
// failed. It opens the drives and listens at the vsock socket that the state names, maps the memory
// file or sends a real userfaultfd to a page server, and writes snapshots. Its guest executes no
// code: whenever it is resumed, it verifies and changes its memory as the environment says. A
// snapshot has the state file that was loaded, unchanged. It does not boot, uses no tap, has no
// metrics and no logger. tests/firecracker/double.bats compares it with a real Firecracker.
//
//| FAKE_VERSION  the release that it plays (default 1.16.1)
//| FAKE_FAIL     faults, see fake_faults.h
//| FAKE_OPENED   a file: a line `KIND PATH` for each path that it opened
//| FAKE_VERIFY   a file that the guest's memory must equal when it is resumed first
//| FAKE_WORK     the number of pages that the guest writes to whenever it is resumed; it then also
//|               changes the first byte of each drive
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <string>
#include <string_view>

#include "base/error.h"
#include "tests/helpers/fake_api.h"
#include "tests/helpers/fake_faults.h"
#include "tests/helpers/fake_machine.h"
#include "tests/helpers/fake_release.h"

namespace {

constexpr int kBadArguments = 153;  // Firecracker's exit status

struct Arguments {
  std::string id = "anonymous-instance";
  std::string api_socket = "/run/firecracker.socket";
  bool version = false;
};

[[noreturn]] void refuse_arguments(const std::string& why) {
  std::cerr << "Arguments parsing error: " << why << " For more information try --help.\n"
            << "Error: ParseArguments\n";
  std::exit(kBadArguments);
}

Arguments parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const auto value = [&] {
      if (i + 1 >= argc) {
        refuse_arguments("The argument '" + word + "' requires a value, but none was supplied.");
      }
      return std::string(argv[++i]);
    };
    if (word == "--id") {
      arguments.id = value();
    } else if (word == "--api-sock") {
      arguments.api_socket = value();
    } else if (word == "--version") {
      arguments.version = true;
    } else if (word == "--log-path" || word == "--level" || word == "--metrics-path" ||
               word == "--http-api-max-payload-size" || word == "--mmds-size-limit" ||
               word == "--start-time-us" || word == "--start-time-cpu-us" ||
               word == "--parent-cpu-time-us") {
      value();
    } else if (word != "--no-seccomp" && word != "--boot-timer" && word != "--show-level" &&
               word != "--show-log-origin") {
      refuse_arguments("Found argument '" + word.substr(std::min<size_t>(2, word.size())) +
                       "' which wasn't expected, or isn't valid in this context.");
    }
  }
  return arguments;
}

// Firecracker panics, so the process ends by SIGABRT.
void check_id(const std::string& id) {
  std::string problem;
  constexpr size_t kMostCharacters = 64;
  if (id.empty() || id.size() > kMostCharacters) {
    problem = "InvalidLen(" + std::to_string(id.size()) + ", 1, 64)";
  }
  for (size_t i = 0; i < id.size() && problem.empty(); ++i) {
    if (std::isalnum(static_cast<unsigned char>(id[i])) == 0 && id[i] != '-') {
      problem = "InvalidChar('" + id.substr(i, 1) + "', " + std::to_string(i) + ")";
    }
  }
  if (!problem.empty()) {
    std::cerr << "Firecracker panicked at src/firecracker/src/main.rs:\nInvalid instance ID: "
              << problem << "\n";
    const struct rlimit none {};
    ::setrlimit(RLIMIT_CORE, &none);
    std::abort();
  }
}

// The console of a guest that writes without end.
[[noreturn]] void flood() {
  const std::string line = std::string(200, 'x') + "\n";
  for (;;) {
    std::cout << line;
  }
}

int run(int argc, char** argv) {
  const Arguments arguments = parse(argc, argv);
  const std::string version = fake_setting("FAKE_VERSION");
  const FakeRelease release = FakeRelease::parse(version.empty() ? "1.16.1" : version);
  if (arguments.version) {
    std::cout << "Firecracker v" << release.text() << "\n\n";
    return 0;
  }
  check_id(arguments.id);
  if (fails("ignore-term")) {
    static_cast<void>(::signal(SIGTERM, SIG_IGN));
  }
  maybe_stop_at("start");
  FakeMachine machine(release, arguments.id);
  const FakeApi api(arguments.api_socket, machine);
  std::cout << "Running Firecracker v" << release.text() << std::endl;
  if (fails("flood")) {
    flood();
  }
  for (;;) {
    ::pause();
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "RunWithApiError error: " << error.what() << "\n";
    return 1;
  }
}
