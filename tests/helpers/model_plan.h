// SPDX-License-Identifier: Apache-2.0
// The plan of one VMM of pager-model, drawn from its seed, and its outcome.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <string>

#include "model_memory.h"
#include "pager/probe/random.h"
#include "pager/probe/record.h"

enum class Step : uint64_t {
  read,      // a word of a page
  verify,    // a page, or some
  walk,      // one word of each of several consecutive pages
  write,     // a word
  remove,    // 1 to 16 pages, preferably pages that others wait for
  zap,       // up to a quarter of memory
  replace,   // pages by other memory, which is not registered
  plant,     // install a page that others wait for, without waking them
  fork,      // the process, which write-protects its memory
  prefetch,  // POST .../prefetch of a new, the old, or a bad list
  pause,     // POST .../pause-prefetch
  complete,  // POST .../complete
  close,     // POST .../close; the VMM is still served
  die,       // by SIGKILL
};
inline constexpr std::array<const char*, 14> kStepNames{
    "read",  "verify", "walk",     "write", "remove",   "zap",   "replace",
    "plant", "fork",   "prefetch", "pause", "complete", "close", "die"};
inline constexpr size_t kSteps = kStepNames.size();
inline constexpr size_t kMostThreads = 8;

struct ModelSettings {
  std::string socket;    // of a server in the foreground, or
  std::string control;   // of a service
  bool repeats = false;  // requests that the end of a server cut off, for servers that are replaced
  std::string memory_path;
  uint64_t page_size = hot::kSmallPage;
  std::optional<size_t> threads;
};

struct ModelPlan {
  uint64_t seed;
  size_t threads;
  size_t regions;
  uint64_t steps;  // of each thread
  std::array<uint64_t, kSteps> weights;
  std::string window;  // a field of POST /sessions, or ""
  bool with_list;

  ModelPlan(const ModelSettings& settings, uint64_t from) : seed(from) {
    pager::Random random(seed);
    const bool huge = settings.page_size != hot::kSmallPage;
    threads = 1 + random.below(4);
    threads = settings.threads.value_or(threads);
    regions = 1 + random.below(huge ? 3 : 5);
    steps = huge ? 20 + random.below(100) : 100 + random.below(1500);
    // A third of the kinds of steps is omitted, so that the others meet in states that these would
    // end.
    constexpr std::array<uint64_t, kSteps> usual{300, 60, 40, 100, 100, 2, 3,
                                                 100, 2,  4,  2,   4,   1, 1};
    for (size_t i = 0; i < kSteps; ++i) {
      weights[i] = usual[i] * std::array<uint64_t, 3>{0, 1, 3}[random.below(3)];
    }
    weights[0] += 10;  // every plan has some reads
    if (huge) {
      weights[static_cast<size_t>(Step::fork)] = 0;  // a write after it takes another huge page
    }
    weights[static_cast<size_t>(Step::die)] *= random.below(4) == 0 ? 1 : 0;
    if (settings.control.empty()) {
      for (const Step step : {Step::prefetch, Step::pause, Step::complete, Step::close}) {
        weights[static_cast<size_t>(step)] = 0;
      }
    }
    window = std::array{"",
                        "",
                        R"("lazy":true)",
                        R"("window":16)",
                        R"("window":512)",
                        R"("window":"auto")"}[random.below(6)];
    with_list = random.below(2) == 0;
  }

  bool may(Step step) const { return weights[static_cast<size_t>(step)] != 0; }
};

// Written by the VMM. Its parent reads it, also after the VMM was killed.
struct ModelRecord {
  struct Thread {
    std::atomic<uint64_t> number{0};  // of the current step
    std::atomic<Step> step{Step::read};
    std::atomic<uint64_t> page{0};
    std::atomic<uint64_t> since_ns{0};  // 0: idle
  };
  std::array<Thread, kMostThreads> threads;
  std::array<std::atomic<uint64_t>, kSteps> done{};
  std::atomic<bool> finished{false};
  std::atomic<bool> killed_itself{false};
  std::atomic<bool> is_wrong{false};  // the members below are valid
  size_t wrong_thread = 0;
  WrongWord wrong;
  pager::SharedFailure failure;
};
