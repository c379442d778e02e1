// SPDX-License-Identifier: Apache-2.0
// uffd-probe: acts as a VMM of a page server and verifies every byte that it gets.
#include <string>

#include "base/error.h"
#include "base/options.h"
#include "base/program.h"
#include "base/unix_socket.h"
#include "pager/probe/config.h"
#include "pager/probe/run.h"

namespace {

constexpr int64_t kAny = int64_t{1} << 60U;

base::Options make_options() {
  base::Options options("uffd-probe", "[options] --socket PATH... --mem FILE",
                        "Act as VMMs of a page server, and verify every byte that it serves.");
  options.value("socket", "PATH", "socket of the server; one VMM for each --socket")
      .value("mem", "FILE", "memory file that is served")
      .value("wait", "S", "wait up to S seconds for the server (0)");
  options.group("VMM")
      .value("pattern", "P", "random (default), seq, stride:N, trace:FILE")
      .value("pages", "N", "touch only the first N pages of the pattern")
      .value("jobs", "N", "divide the pages among N vCPUs (default 1)")
      .flag("kvm", "use real vCPUs, whose faults come through KVM")
      .flag("overlap", "let each vCPU touch all pages")
      .value("write", "PERCENT", "write to this share of the pages")
      .value("balloon", "MIB", "remove MIB of memory during the run")
      .value("regions", "N", "number of memory regions (default 1)")
      .value("page-size", "SIZE", "4096 (default) or 2M")
      .value("seed", "N", "seed of random choices (default 1)")
      .value("cpu", "N", "run on this CPU only");
  options.group("Run")
      .value("deadline", "S", "report a hang after S seconds (default 60)")
      .value("kill-after", "N", "kill itself with SIGKILL after N touches")
      .flag("hold", "print ready, then keep VMMs until stdin closes")
      .value("misbehave", "HOW", "send a bad handshake, which must be refused")
      .flag("baseline", "also measure the limits of this machine");
  options.footer(
      "Exit: 0 all correct; 1 wrong or stale page, hang, or no server; 2 usage;\n"
      "3 no userfaultfd or KVM; 4 bad file or trace; 5 system. See uffd-probe(1).");
  return options;
}

pager::ProbeConfig parse_config(const base::ParsedOptions& parsed) {
  parsed.require_operands(0, 0, "");
  pager::ProbeConfig config;
  config.sockets = parsed.values("socket");
  config.memory_path = parsed.value_or("mem", "");
  if (config.sockets.empty() || config.memory_path.empty()) {
    throw base::UsageError("--socket and --mem are needed");
  }
  for (const std::string& socket : config.sockets) {
    base::check_socket_path(socket);
  }
  config.pattern = pager::parse_pattern(parsed.value_or("pattern", "random"));
  config.page_limit = static_cast<uint64_t>(parsed.number("pages", 1, kAny, kAny));
  config.jobs = static_cast<size_t>(parsed.number("jobs", 1, pager::kMaxJobs, 1));
  config.kvm = parsed.has("kvm");
  config.overlap_jobs = parsed.has("overlap");
  config.write_percent = static_cast<unsigned>(parsed.number("write", 0, 100, 0));
  constexpr int64_t kMostMib = int64_t{1} << 30U;
  config.balloon_bytes = static_cast<uint64_t>(parsed.number("balloon", 0, kMostMib, 0)) << 20U;
  config.regions = static_cast<size_t>(parsed.number("regions", 1, hot::kMaxRegions, 1));
  config.page_size =
      parsed.choice("page-size", {"4096", "2M"}) == "2M" ? hot::kHugePage : hot::kSmallPage;
  config.seed = static_cast<uint64_t>(parsed.number("seed", 0, kAny, 1));
  constexpr int64_t kDefaultDeadlineMs = 60'000;
  config.deadline = std::chrono::milliseconds(parsed.seconds_as_ms("deadline", kDefaultDeadlineMs));
  config.wait = std::chrono::milliseconds(parsed.seconds_as_ms("wait", 0));
  constexpr int64_t kMostCpus = 1023;
  if (parsed.has("cpu")) {
    config.cpu = static_cast<int>(parsed.number("cpu", 0, kMostCpus, 0));
  }
  if (parsed.has("kill-after")) {
    config.kill_after = static_cast<uint64_t>(parsed.number("kill-after", 1, kAny, 1));
  }
  config.hold = parsed.has("hold");
  config.baseline = parsed.has("baseline");
  if (const auto how = parsed.value("misbehave")) {
    config.misbehavior = pager::parse_misbehavior(*how);
  }
  if (config.overlap_jobs && config.write_percent > 0) {
    throw base::UsageError(
        "--write and --overlap exclude each other: one vCPU would verify a "
        "page while another writes to it");
  }
  return config;
}

}  // namespace

int main(int argc, char** argv) {
  return base::run_program("uffd-probe", argc, argv, [](int count, char** words) {
    const std::optional<base::ParsedOptions> parsed = make_options().parse(count, words);
    return parsed ? pager::run_probe(parse_config(*parsed)) : 0;
  });
}
