// SPDX-License-Identifier: Apache-2.0
// One VMM of pager-model.
#pragma once

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <exception>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/atomic_file.h"
#include "base/json_line.h"
#include "base/unix_socket.h"
#include "hot/hot_list.h"
#include "hot/hpl1.h"
#include "model_control.h"
#include "model_plan.h"
#include "pager/kernel/clock.h"
#include "pager/kernel/uffd.h"
#include "pager/protocol/handshake.h"

class ModelVmm {
 public:
  ModelVmm(const ModelSettings& settings, const ModelPlan& plan, const pager::MemoryFile& file,
           const std::string& name, ModelRecord& record)
      : plan_(plan),
        guest_(file.bytes(), file.page_size(), plan.regions),
        memory_(file, guest_),
        uffd_(pager::uffd_create()),
        list_path_(file.path() + "." + name + ".hpl"),
        record_(record) {
    record_.threads[0].since_ns = pager::monotonic_ns();  // the connect may also hang
    for (const hot::Region& region : guest_.regions()) {
      pager::uffd_register_missing(uffd_.get(), region.base, region.size);
    }
    std::string socket = settings.socket;
    if (!settings.control.empty()) {
      control_.emplace(settings, name);
      socket = create(file.path());
    }
    std::optional<base::Fd> connection =
        base::connect_unix(socket, base::Deadline::after(std::chrono::seconds(20)));
    if (!connection) {
      throw base::Refused("no server listens at " + socket);
    }
    connection_ = std::move(*connection);
    base::send_with_fds(connection_.get(), pager::compose_handshake(guest_.regions()),
                        std::array{uffd_.get()});
  }

  // Runs the work of all threads, then verifies every page. Throws the exception of the first
  // thread that failed.
  void run() {
    std::vector<std::exception_ptr> failures(plan_.threads);
    {
      std::vector<std::jthread> threads;
      for (size_t i = 0; i < plan_.threads; ++i) {
        threads.emplace_back([this, i, &failures] {
          try {
            run_thread(i);
          } catch (...) {
            failures[i] = std::current_exception();
            stop_ = true;
          }
        });
      }
    }
    for (const std::exception_ptr& failure : failures) {
      if (failure) {
        std::rethrow_exception(failure);
      }
    }
    for (uint64_t page = 0; page < memory_.pages() && !stop_; ++page) {
      begin(0, Step::verify, page);
      check(0, page, 0, 1);
    }
    if (control_ && !closed_ && !stop_) {
      check_server();
    }
    record_.threads[0].since_ns = 0;
  }

 private:
  std::string create(const std::string& memory_path) {
    base::JsonLine body;
    body.text("session_id", control_->id())
        .text("cache_key", "model")
        .path("backing_memory_path", memory_path);
    pager::Random random(~plan_.seed);
    if (plan_.with_list) {
      body.path("hot_list_path", write_list(random, false));
    }
    std::string text = body.str();
    if (!plan_.window.empty()) {
      text.insert(text.size() - 1, "," + plan_.window);
    }
    control_->post("", text, {200});
    return control_->reply().at("uffd_socket_path");
  }

  std::string write_list(pager::Random& random, bool bad) const {
    std::vector<hot::HotPage> pages(random.below(memory_.pages()));
    for (hot::HotPage& page : pages) {
      page.region = static_cast<uint32_t>(random.below(guest_.regions().size()));
      const uint64_t size = guest_.regions()[page.region].size;
      page.offset = random.below(size / guest_.page_size()) * guest_.page_size();
    }
    if (bad) {
      pages.push_back({.region = 0, .offset = guest_.regions()[0].size});
    }
    base::write_file_atomic(list_path_, hot::encode_hpl1(pages), 0600, base::Durable::no);
    return list_path_;
  }

  void run_thread(size_t thread) {
    pager::Random random(pager::mix(plan_.seed) + thread);
    uint64_t sum = 0;
    for (const uint64_t weight : plan_.weights) {
      sum += weight;
    }
    for (uint64_t number = 1; number <= plan_.steps && !stop_; ++number) {
      uint64_t dart = random.below(sum);
      size_t step = 0;
      while (dart >= plan_.weights[step]) {
        dart -= plan_.weights[step++];
      }
      record_.threads[thread].number = number;
      take(thread, static_cast<Step>(step), random);
      ++record_.done[step];
    }
    record_.threads[thread].since_ns = 0;
  }

  void take(size_t thread, Step step, pager::Random& random) {
    // Half of all steps are in one sixteenth of memory.
    const uint64_t near = std::max<uint64_t>(memory_.pages() / 16, 1);
    uint64_t page = random.below(random.below(2) == 0 ? near : memory_.pages());
    const uint64_t word = random.below(memory_.words_per_page());
    uint64_t count = 1 + random.below(step == Step::walk ? 200 : 16);
    begin(thread, step, page);
    switch (step) {
      case Step::read:
        check(thread, page, word, memory_.words_per_page());
        break;
      case Step::verify:
      case Step::walk:
        for (count += page; page < std::min(count, memory_.pages()) && !stop_; ++page) {
          begin(thread, step, page);
          check(thread, page, step == Step::walk ? word : 0,
                step == Step::walk ? memory_.words_per_page() : 1);
        }
        break;
      case Step::write:
        memory_.write(page, word, random.next());
        break;
      case Step::remove:
        page = waited_for(thread, random).value_or(page);
        take_away(thread, page, count, random.below(2) == 0);
        break;
      case Step::zap:
        take_away(thread, page, 1 + random.below(memory_.pages() / 4), random.below(4) == 0);
        break;
      case Step::replace:
        page = waited_for(thread, random).value_or(page);
        has_mapped_over_ = true;
        memory_.replace(page, cut(page, count));
        break;
      case Step::plant:
        memory_.plant(uffd_.get(), waited_for(thread, random).value_or(page));
        break;
      case Step::fork:
        fork_once();
        break;
      case Step::die:
        record_.killed_itself = true;
        ::kill(::getpid(), SIGKILL);
        break;
      default:
        if (thread == 0 && !closed_) {
          ask(step, random);
        }
        break;
    }
  }

  void begin(size_t thread, Step step, uint64_t page) {
    ModelRecord::Thread& slot = record_.threads[thread];
    slot.page = page;
    slot.step = step;
    slot.since_ns = pager::monotonic_ns();
  }

  // Pages of one region.
  uint64_t cut(uint64_t page, uint64_t count) const {
    return std::min(count, guest_.region_end(static_cast<pager::PageNumber>(page)) - page);
  }

  void take_away(size_t thread, uint64_t page, uint64_t count, bool look) {
    count = cut(page, count);
    memory_.remove(page, count);
    for (uint64_t i = page; look && i < page + count; ++i) {
      begin(thread, Step::remove, i);
      check(thread, i, 0, memory_.words_per_page());
    }
  }

  // A page that another thread reads now. A server that answers the fault first would fill it after
  // its removal.
  std::optional<uint64_t> waited_for(size_t thread, pager::Random& random) const {
    const size_t other = random.below(plan_.threads);
    const ModelRecord::Thread& slot = record_.threads[other];
    return other == thread || slot.since_ns == 0 ? std::nullopt : std::optional(slot.page.load());
  }

  void check(size_t thread, uint64_t page, uint64_t first, uint64_t stride) {
    const std::optional<WrongWord> wrong = memory_.read(page, first, stride);
    if (wrong && !stop_.exchange(true)) {
      record_.wrong = *wrong;
      record_.wrong_thread = thread;
      record_.is_wrong = true;
    }
  }

  static void fork_once() {
    const pid_t child = ::fork();
    if (child == 0) {
      ::_exit(0);
    }
    if (child < 0 || ::waitpid(child, nullptr, 0) < 0) {
      base::throw_errno("cannot fork");
    }
  }

  // A session ends one second after its completion.
  void post(const std::string& action, const std::string& body,
            std::initializer_list<unsigned> expected) {
    std::vector<unsigned> statuses(expected);
    statuses.push_back(may_have_left_ ? 404 : statuses.front());
    closed_ = control_->post(action, body, statuses) == 404;
  }

  void ask(Step step, pager::Random& random) {
    const uint64_t dice = random.below(8);
    if (step == Step::prefetch) {
      const bool bad = dice == 0;  // beyond the image, or only beyond its region
      const std::string body =
          dice > 4 ? "" : base::JsonLine().path("hot_list_path", write_list(random, bad)).str();
      post("prefetch", body, {204, 409, bad ? 400U : 204U});
    } else if (step == Step::pause) {
      post("pause-prefetch", "", {204, 409});
    } else if (step == Step::complete) {
      const std::string rate = dice < 2 ? R"(,"bytes_per_second":400000000)" : "";
      const std::string wait = dice < 5 ? "true" : "false";
      // A paused completion is answered with 409. The server does not notice memory that is mapped
      // over, and does not believe a pagemap that lacks most of the pages that it installed.
      // Without the pagemap it cannot complete 2 MiB pages (500).
      const bool may_fail = has_mapped_over_ && guest_.page_size() == hot::kHugePage;
      post("complete", "{\"wait\":" + wait + rate + "}", {202, 204, 409, may_fail ? 500U : 204U});
      may_have_left_ = true;
    } else {
      control_->post("close", "", {204, control_->repeats() ? 404U : 204U});
      closed_ = true;
    }
  }

  // Checks the server's counters: no fault waits (the counter of the last answer may be late), and
  // no page was poisoned.
  void check_server() {
    const uint64_t start = pager::monotonic_ns();
    constexpr uint64_t kFaultTimeoutNs = 5'000'000'000;
    nlohmann::json session;
    do {
      ::poll(nullptr, 0, 1);
      session = control_->look();
      if (may_have_left_ && session.contains("error")) {
        return;
      }
    } while (session.at("faults").at("waiting") != 0 &&
             pager::monotonic_ns() - start < kFaultTimeoutNs);
    if (session.at("faults").at("waiting") != 0 || session.at("pages").at("poisoned") != 0) {
      throw base::Refused("all faults are answered, but the server reports: " + session.dump());
    }
  }

  const ModelPlan& plan_;
  const pager::GuestMemory guest_;
  ModelMemory memory_;
  const base::Fd uffd_;
  base::Fd connection_;
  const std::string list_path_;
  std::optional<ModelControl> control_;
  bool closed_ = false;
  std::atomic<bool> has_mapped_over_ = false;  // some of its memory
  bool may_have_left_ = false;
  std::atomic<bool> stop_{false};
  ModelRecord& record_;
};
