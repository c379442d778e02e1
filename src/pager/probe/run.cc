// SPDX-License-Identifier: Apache-2.0
// Starts, watches and evaluates the VMMs of a probe.
#include "pager/probe/run.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/deadline.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json_line.h"
#include "base/message.h"
#include "base/number.h"
#include "base/output.h"
#include "pager/probe/baseline.h"
#include "pager/probe/child.h"
#include "pager/probe/memory.h"
#include "pager/probe/record.h"
#include "pager/probe/report.h"
#include "pager/probe/vcpu.h"
#include "pager/probe/vmm.h"

namespace pager {
namespace {

struct RunningVmm {
  Shared<VmmRecord> record;
  std::optional<Child> child;
};

// If the pool is empty, the server's copies fail as if the page were present (EEXIST), and the VMM
// hangs.
void require_huge_pages(uint64_t needed) {
  const std::string path = "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages";
  const std::optional<base::Fd> file = base::try_open(path, O_RDONLY);
  const std::string text = file ? base::read_all(file->get(), 64, path) : std::string("0");
  std::string_view rest = text;
  const uint64_t free_pages = base::take_number<uint64_t>(rest).value_or(0);
  if (free_pages < needed) {
    throw base::Unsupported("cannot use 2 MiB pages: " + std::to_string(needed) +
                            " are needed and " + std::to_string(free_pages) +
                            " are free; write a number to /proc/sys/vm/nr_hugepages");
  }
}

VmmOutcome wait_for_end(RunningVmm& vmm, const ProbeConfig& config, size_t index,
                        const base::Deadline& deadline) {
  VmmOutcome outcome{.socket = config.sockets[index],
                     .pid = vmm.child->pid(),
                     .record = &*vmm.record,
                     .timed_out = !vmm.child->wait_done(deadline),
                     .signal = 0};
  if (outcome.timed_out) {
    vmm.child->end();
  } else if (!(config.hold && vmm.record->finished)) {
    const int status = vmm.child->reap();
    outcome.signal = WIFSIGNALED(status) && !vmm.record->killed_itself ? WTERMSIG(status) : 0;
  }
  return outcome;
}

void run_baseline(const ProbeConfig& config, const MemoryFile& file,
                  std::span<const PageNumber> order, Baseline& baseline) {
  const Shared<SharedFailure> failure;
  Child child([&](const std::function<void()>&) {
    try {
      if (config.cpu) {
        run_on_cpu(*config.cpu);
      }
      measure_baseline(file, order, baseline);
    } catch (const std::exception& error) {
      failure->set(error);
    }
  });
  const bool in_time = child.wait_done(base::Deadline::after(config.deadline));
  const int status = in_time ? child.reap() : child.end();
  if (const std::optional<base::Error> error = failure->get()) {
    throw base::Error(*error);
  }
  if (!in_time || status != 0) {
    throw base::Error(base::ExitCode::system, "cannot measure this machine: the deadline passed");
  }
}

void print(const VmmOutcome& outcome, const ProbeConfig& config) {
  if (!is_good(outcome, config)) {
    base::say_error(describe(outcome, config));
  } else if (!base::message_style().json &&
             base::message_style().verbosity != base::Verbosity::quiet) {
    base::write_line_out(describe(outcome, config));
  }
  if (base::message_style().json) {
    base::write_line_out(vmm_record(outcome, config));
  }
}

// Prints "ready". A process that has read this line can rely on the VMMs until it closes stdin.
void hold_until_stdin_closes() {
  base::write_line_out(base::message_style().json ? base::JsonLine("ready").str() : "ready");
  std::array<char, 256> ignored{};
  for (;;) {
    const ssize_t n = ::read(STDIN_FILENO, ignored.data(), ignored.size());
    if (n == 0 || (n < 0 && errno != EINTR)) {
      return;
    }
  }
}

// Throws if an option does not fit the memory file.
void check_fits(const ProbeConfig& config, const MemoryFile& file, size_t touched_pages) {
  if (config.regions > file.pages()) {
    throw base::UsageError("--regions " + std::to_string(config.regions) + " is more than the " +
                           std::to_string(file.pages()) + " pages of the memory file");
  }
  if (config.kill_after > touched_pages) {
    throw base::UsageError("--kill-after " + std::to_string(*config.kill_after) +
                           " is more than the " + std::to_string(touched_pages) +
                           " pages that are touched");
  }
  if (config.page_size == hot::kHugePage && !config.misbehavior) {
    require_huge_pages(file.pages() * config.sockets.size());
  }
}

std::vector<RunningVmm> start_vmms(const ProbeConfig& config, const MemoryFile& file,
                                   const base::Deadline& deadline) {
  std::vector<RunningVmm> vmms(config.sockets.size());
  for (size_t i = 0; i < vmms.size(); ++i) {
    VmmRecord& record = *vmms[i].record;
    vmms[i].child.emplace([&](const std::function<void()>& say_done) {
      run_vmm(config, file, i, deadline, record, say_done);
    });
  }
  return vmms;
}

struct Verdict {
  bool all_good = true;                // of the VMMs that started
  std::optional<base::Error> failure;  // the first; others are already printed
};

Verdict print_all(std::span<const VmmOutcome> outcomes, const ProbeConfig& config) {
  Verdict verdict;
  for (const VmmOutcome& outcome : outcomes) {
    const std::optional<base::Error> failure = outcome.record->failure.get();
    if (!failure) {
      print(outcome, config);
      verdict.all_good = verdict.all_good && is_good(outcome, config);
    } else if (verdict.failure) {
      base::say_error(failure->what());
    } else {
      verdict.failure.emplace(*failure);
    }
  }
  return verdict;
}

}  // namespace

int run_probe(const ProbeConfig& config) {
  if (config.kvm) {
    require_kvm();
  }
  const MemoryFile file(config.memory_path, config.page_size);
  const std::vector<PageNumber> order =
      page_order(config.pattern, file.pages(), file.page_size(), config.page_limit, config.seed);
  check_fits(config, file, order.size());

  const base::Deadline deadline = base::Deadline::after(config.deadline);
  std::vector<RunningVmm> vmms = start_vmms(config, file, deadline);
  std::vector<VmmOutcome> outcomes;
  for (size_t i = 0; i < vmms.size(); ++i) {
    outcomes.push_back(wait_for_end(vmms[i], config, i, deadline));
  }
  const Verdict verdict = print_all(outcomes, config);

  std::optional<Shared<Baseline>> baseline;
  if (config.baseline && !verdict.failure) {
    baseline.emplace();
    run_baseline(config, file, order, **baseline);
  }
  if (base::message_style().json) {
    base::write_line_out(summary_record(outcomes, config, baseline ? &**baseline : nullptr));
  } else if (baseline && base::message_style().verbosity != base::Verbosity::quiet) {
    base::write_line_out(describe_baseline(outcomes, **baseline));
  }

  if (verdict.failure && verdict.all_good) {
    throw base::Error(*verdict.failure);
  }
  if (verdict.failure) {
    base::say_error(verdict.failure->what());
  }
  if (config.hold && verdict.all_good) {
    hold_until_stdin_closes();
  }
  return verdict.all_good ? 0 : 1;
}

}  // namespace pager
