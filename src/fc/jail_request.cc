// SPDX-License-Identifier: Apache-2.0
// Checks the request for a jail, and composes the call of the jailer.
#include "fc/jail_request.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <limits>
#include <optional>

#include "base/error.h"
#include "base/number.h"
#include "fc/jail_files.h"
#include "fc/start_vmm.h"

namespace fc {
namespace {

struct Refusal {
  const char* option;
  const char* why;
};
constexpr const char* kGiven = "fc-run gives it";
constexpr std::array kRefused{
    Refusal{"--id", kGiven},
    Refusal{"--exec-file", kGiven},
    Refusal{"--uid", kGiven},
    Refusal{"--gid", kGiven},
    Refusal{"--chroot-base-dir", kGiven},
    Refusal{"--netns", kGiven},
    Refusal{"--", kGiven},
    Refusal{"--daemonize", "fc-run stays with its VMM; use --detach"},
    Refusal{"--new-pid-ns", "every jail of fc-run is a PID namespace"},
    Refusal{"--help", "the jailer would not start a VMM"},
    Refusal{"--version", "the jailer would not start a VMM"},
};

void check_arguments(const std::vector<std::string>& arguments) {
  for (const std::string& word : arguments) {
    const auto* const refused = std::ranges::find_if(
        kRefused, [&](const Refusal& refusal) { return word == refusal.option; });
    if (refused != kRefused.end()) {
      throw base::UsageError("bad argument " + base::quoted(word) +
                             " for the jailer: " + refused->why);
    }
  }
}

}  // namespace

uid_t parse_jail_uid(const std::string& option, const std::string& text) {
  const std::optional<uint32_t> number = base::parse_number<uint32_t>(text);
  constexpr uint32_t kNobody = std::numeric_limits<uint32_t>::max();  // (uid_t)-1
  if (!number || *number == kNobody) {
    throw base::UsageError("bad value " + base::quoted(text) + " for --" + option +
                           ": a number from 1 to 4294967294 is needed, not a name");
  }
  if (*number == 0) {
    throw base::UsageError("bad value '0' for --" + option + ": root can leave a jail");
  }
  return *number;
}

void check_jail(const JailRequest& request) {
  find_program(request.program);
  check_arguments(request.arguments);
  if (::geteuid() != 0) {
    throw base::Refused("cannot use a jail: the jailer needs root");
  }
  open_jail_files(request);
}

std::string resolved_program(const std::string& program) {
  return std::filesystem::canonical(find_program(program)).string();
}

std::vector<std::string> jailer_words(const JailRequest& request, const std::string& program,
                                      const std::string& id, const std::string& netns_path,
                                      const std::vector<std::string>& more) {
  std::vector<std::string> words{find_program(request.program),
                                 "--id",
                                 id,
                                 "--exec-file",
                                 resolved_program(program),
                                 "--uid",
                                 std::to_string(request.uid),
                                 "--gid",
                                 std::to_string(request.gid),
                                 "--chroot-base-dir",
                                 request.base};
  if (!netns_path.empty()) {
    words.insert(words.end(), {"--netns", netns_path});
  }
  words.insert(words.end(), request.arguments.begin(), request.arguments.end());
  words.emplace_back("--");
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

}  // namespace fc
