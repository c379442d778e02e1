// SPDX-License-Identifier: Apache-2.0
// A randomized model check of a page server.
//
// VMMs read, write, remove and replace their memory and give orders to their session, all drawn
// from a seed. An oracle knows the expected value of each word. A wrong word, an unanswered touch
// or a session that remains is a failure, reported with the seed that repeats it.
#include <poll.h>
#include <unistd.h>

#include <csignal>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/json_line.h"
#include "base/options.h"
#include "base/output.h"
#include "base/program.h"
#include "model_control.h"
#include "model_image.h"
#include "model_plan.h"
#include "model_vmm.h"
#include "pager/probe/child.h"

namespace {

using namespace std::chrono_literals;

struct Run {
  ModelSettings settings;
  uint64_t bytes = 0;
  uint64_t first_seed = 0;
  uint64_t rounds = 0;
  uint64_t seconds = 0;  // 0: no limit
  std::string until;     // a file; empty: none
  uint64_t deadline_ns = 0;
  size_t vmms = 0;
  std::string command;  // to repeat a seed

  uint64_t rounds_done = 0;
  std::array<uint64_t, kSteps> steps_done{};
};

// One VMM in its own process.
struct Vmm {
  Vmm(ModelPlan its_plan, std::string its_name)
      : plan(std::move(its_plan)), name(std::move(its_name)) {}

  ModelPlan plan;
  std::string name;
  pager::Shared<ModelRecord> record;
  std::optional<pager::Child> child;
};

std::string where(const ModelRecord& record, size_t thread) {
  const ModelRecord::Thread& slot = record.threads[thread];
  return "thread " + std::to_string(thread) + ", step " + std::to_string(slot.number) + " (" +
         kStepNames[static_cast<size_t>(slot.step.load())] + "), page " + std::to_string(slot.page);
}

// Returns what is wrong with a VMM that has ended, or "".
std::string verdict(const Vmm& vmm) {
  const ModelRecord& record = *vmm.record;
  if (record.is_wrong) {
    const WrongWord& wrong = record.wrong;
    return where(record, record.wrong_thread) + ": word " + std::to_string(wrong.word) +
           " of page " + std::to_string(wrong.page) + " is " + std::to_string(wrong.found) +
           ", not " + std::to_string(wrong.expected);
  }
  if (const std::optional<base::Error> failure = record.failure.get()) {
    return failure->what();
  }
  return record.finished || record.killed_itself ? "" : "the VMM died: " + where(record, 0);
}

// Returns a thread whose step takes longer than the deadline, or "".
std::string hang(const Run& run, const Vmm& vmm) {
  for (size_t i = 0; i < vmm.plan.threads; ++i) {
    const uint64_t since = vmm.record->threads[i].since_ns;
    const uint64_t now = pager::monotonic_ns();
    if (since != 0 && now > since && now - since > run.deadline_ns) {
      return where(*vmm.record, i) + ": hangs";
    }
  }
  return "";
}

void start(const Run& run, const pager::MemoryFile& file, Vmm& vmm) {
  vmm.child.emplace([&](const std::function<void()>&) {
    static_cast<void>(::signal(SIGBUS, SIG_DFL));
    static_cast<void>(::signal(SIGPIPE, SIG_IGN));
    try {
      ModelVmm body(run.settings, vmm.plan, file, vmm.name, *vmm.record);
      body.run();
      vmm.record->finished = true;
    } catch (const std::exception& error) {
      vmm.record->failure.set(error);
    }
  });
}

// The server must have removed the session of a VMM that has ended.
void wait_until_forgotten(const Run& run) {
  const auto deadline = base::Deadline::after(20s);
  ModelService service(run.settings);
  for (;;) {
    const auto reply = service.request("GET", "/health", "");
    if (nlohmann::json::parse(reply.body).at("active_sessions") == 0) {
      return;
    }
    if (deadline.passed()) {
      throw base::Refused("20 s after the end of the last VMM: " + reply.body);
    }
    ::poll(nullptr, 0, 1);
  }
}

// Returns what went wrong, or "".
std::string wait_for_all(const Run& run, std::vector<std::unique_ptr<Vmm>>& vmms) {
  for (const std::unique_ptr<Vmm>& vmm : vmms) {
    while (!vmm->child->wait_done(base::Deadline::after(100ms))) {
      for (const std::unique_ptr<Vmm>& other : vmms) {
        if (std::string what = hang(run, *other); !what.empty()) {
          return other->name + ", " + what;
        }
      }
    }
    vmm->child->reap();
    if (std::string what = verdict(*vmm); !what.empty()) {
      return vmm->name + ", " + what;
    }
  }
  return "";
}

// Returns what went wrong, or "".
std::string one_round(Run& run, uint64_t seed) {
  if (!run.settings.control.empty()) {
    write_model_image(run.settings.memory_path, run.bytes, seed);
  }
  const pager::MemoryFile file(run.settings.memory_path, run.settings.page_size);
  std::vector<std::unique_ptr<Vmm>> vmms;
  for (size_t i = 0; i < run.vmms; ++i) {
    vmms.push_back(std::make_unique<Vmm>(ModelPlan(run.settings, pager::mix(seed) + i),
                                         "vmm" + std::to_string(i)));
  }
  for (const std::unique_ptr<Vmm>& vmm : vmms) {
    start(run, file, *vmm);
  }
  std::string wrong = wait_for_all(run, vmms);
  for (const std::unique_ptr<Vmm>& vmm : vmms) {
    vmm->child->end();
    for (size_t i = 0; i < kSteps; ++i) {
      run.steps_done[i] += vmm->record->done[i];
    }
    run.steps_done[static_cast<size_t>(Step::die)] += vmm->record->killed_itself ? 1 : 0;
  }
  if (wrong.empty() && !run.settings.control.empty()) {
    wait_until_forgotten(run);
  }
  ++run.rounds_done;
  return wrong;
}

int run_all(Run& run) {
  const uint64_t start_ns = pager::monotonic_ns();
  std::string wrong;
  for (uint64_t i = 0; i < run.rounds && wrong.empty(); ++i) {
    constexpr uint64_t kSecond = 1'000'000'000;
    if (run.seconds != 0 && pager::monotonic_ns() - start_ns > run.seconds * kSecond) {
      break;
    }
    if (!run.until.empty() && ::access(run.until.c_str(), F_OK) == 0) {
      break;
    }
    const uint64_t seed = run.first_seed + i;
    try {
      wrong = one_round(run, seed);
    } catch (const base::Refused& error) {
      wrong = error.what();
    }
    if (!wrong.empty()) {
      wrong = "seed " + std::to_string(seed) + ": " + wrong + "; to repeat it: " + run.command +
              " --seed " + std::to_string(seed) + " --rounds 1";
    }
  }
  base::JsonLine line("model");
  line.number("seed", static_cast<int64_t>(run.first_seed))
      .number("rounds", static_cast<int64_t>(run.rounds_done));
  for (size_t i = 0; i < kSteps; ++i) {
    line.number(kStepNames[i], static_cast<int64_t>(run.steps_done[i]));
  }
  base::write_line_out(line.str());
  if (!wrong.empty()) {
    throw base::Refused(wrong);
  }
  return 0;
}

Run parse_run(const base::ParsedOptions& options) {
  constexpr int64_t kMany = int64_t{1} << 40U;
  const auto number = [&](const char* name, int64_t low, int64_t high, int64_t fallback) {
    return static_cast<uint64_t>(options.number(name, low, high, fallback));
  };
  Run run;
  run.settings.socket = options.value_or("socket", "");
  run.settings.control = options.value_or("control", "");
  run.settings.repeats = options.has("repeat");
  run.settings.memory_path = options.value_or("mem", "");
  if (run.settings.memory_path.empty()) {
    throw base::UsageError("--mem is needed");
  }
  const bool huge = options.choice("page-size", {"4096", "2M"}) == "2M";
  run.settings.page_size = huge ? hot::kHugePage : hot::kSmallPage;
  run.bytes = number("pages", 8, kMany, huge ? 16 : 4096) * run.settings.page_size;
  if (options.has("threads")) {
    run.settings.threads = number("threads", 1, kMostThreads, 1);
  }
  run.first_seed = number("seed", 0, kMany, 1);
  run.rounds = number("rounds", 1, kMany, kMany);
  run.seconds = number("seconds", 0, kMany, 0);
  run.until = options.value_or("until", "");
  run.deadline_ns = number("deadline", 1, 3600, 30) * 1'000'000'000;
  run.vmms = number("vmms", 1, 8, 1);
  run.command = "pager-model";
  for (const auto& [name, value] : options.in_order()) {
    if (name != "seed" && name != "rounds" && name != "seconds" && name != "until") {
      run.command += " --" + name + (value.empty() ? "" : " " + value);
    }
  }
  return run;
}

int main_of_model(const base::ParsedOptions& options) {
  Run run = parse_run(options);
  if (options.has("make")) {
    write_model_image(run.settings.memory_path, run.bytes, run.first_seed);
    return 0;
  }
  if (run.settings.socket.empty() == run.settings.control.empty()) {
    throw base::UsageError("either --socket or --control is needed");
  }
  return run_all(run);
}

}  // namespace

// ThreadSanitizer's deadlock detector supports at most 64 locks per thread. A removal takes more,
// always in the same order.
// NOLINTNEXTLINE(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): its name
extern "C" const char* __tsan_default_options() {
  return "detect_deadlocks=0";
}

int main(int argc, char** argv) {
  return base::run_program("pager-model", argc, argv, [](int count, char** words) {
    base::Options options("pager-model", "--socket S|--control S --mem FILE [options]",
                          "Run random operations of VMMs, and verify all that they read.");
    options.value("socket", "SOCK", "socket of a server of FILE")
        .value("control", "SOCK",
               "socket of a service; each round writes FILE and makes sessions of it")
        .flag("repeat", "repeat requests that the end of a server cut off")
        .value("mem", "FILE", "the memory file")
        .flag("make", "only write FILE")
        .value("pages", "N", "pages of the file (4096; 16 of 2M)")
        .value("page-size", "SIZE", "4096 (default) or 2M")
        .value("seed", "N", "seed of the first round; each round adds 1 (1)")
        .value("rounds", "N", "run at most N rounds")
        .value("seconds", "S", "start no round after S seconds")
        .value("until", "FILE", "start no round when FILE exists")
        .value("vmms", "N", "number of VMMs at once (1)")
        .value("threads", "N", "threads of a VMM (by seed: 1 to 4); 1 is exactly repeatable")
        .value("deadline", "S", "report a hang after S seconds (30)");
    const std::optional<base::ParsedOptions> parsed = options.parse(count, words);
    return parsed ? main_of_model(*parsed) : 0;
  });
}
