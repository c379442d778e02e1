// SPDX-License-Identifier: Apache-2.0
// fc-run: starts one Firecracker and stays with it until it ends.
#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/effect.h"
#include "base/error.h"
#include "base/options.h"
#include "base/output.h"
#include "base/program.h"
#include "fc/jail_exchange.h"
#include "fc/vmm_directory.h"
#include "fc/vmm_request.h"
#include "fc/waiting_vmm.h"
#include "launch/guest_verb.h"
#include "launch/start.h"

namespace {

constexpr int64_t kGraceMs = 5'000;

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
  fc::VmmRequest request = launch::read_start_options(parsed);
  request.guest = parsed.value("guest");
  request.taps = parsed.values("tap");
  request.vsock = parsed.value("vsock");
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
  if (argc > 1 && std::string_view(argv[1]) == "guest") {
    return launch::run_guest_verb(argc - 1, argv + 1);
  }
  base::Options options("fc-run", "[OPTION]... --dir DIR --id ID",
                        "Start one Firecracker, and stay with it until it ends.");
  launch::add_start_options(options);
  options.value("dir", "DIR", "the directory for its socket, pid and console")
      .value("id", "ID", "its id, or a hash of it")
      .value("guest", "PATH", "the directory of its guest, kept in DIR/guest")
      .value("tap", "TAP", "a tap that it will use: must exist and be unused")
      .value("vsock", "PATH", "the vsock socket that it will make");
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
      "For a guest of the store: fc-run guest (see fc-run guest --help).\n"
      "Exit: that of Firecracker, or 128 and its signal; 1 DIR is in use, 2 usage,\n"
      "125 it did not start, 126, 127 it cannot be executed. See fc-run(1).");
  const std::optional<base::ParsedOptions> parsed = options.parse(argc, argv);
  if (!parsed) {
    return 0;
  }
  launch::close_inherited_descriptors(std::nullopt);
  const base::Effect effect = base::effect_of(*parsed);
  parsed->require_operands(0, 0, "no operand");
  if (const std::optional<std::string> socket = parsed->value("socket")) {
    base::write_line_out(fc::describe_waiting_vmm(*socket, parsed->values("tap"),
                                                  std::chrono::milliseconds(parsed->seconds_as_ms(
                                                      "start-timeout", launch::kStartTimeoutMs))));
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
  const fc::VmmRequest request = read_request(*parsed);
  if (base::is_dry_run(effect)) {
    fc::check_request(request);
    fc::VmmDirectory::check(request.directory);
    return 0;
  }
  return launch::start(*parsed, request, nullptr);
}

}  // namespace

int main(int argc, char** argv) {
  return base::run_program("fc-run", argc, argv, run);
}
