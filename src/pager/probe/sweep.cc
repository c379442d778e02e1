// SPDX-License-Identifier: Apache-2.0
// The jobs and the balloon of a VMM, and the verification of pages.
#include "pager/probe/sweep.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <thread>
#include <utility>

#include "base/error.h"
#include "pager/kernel/clock.h"
#include "pager/probe/random.h"

namespace pager {
namespace {

// Several threads read and write guest memory, as vCPUs do, so the accesses are atomic.
std::byte load(std::byte* at) {
  return std::atomic_ref<std::byte>(*at).load(std::memory_order_relaxed);
}
void store(std::byte* at, std::byte value) {
  std::atomic_ref<std::byte>(*at).store(value, std::memory_order_relaxed);
}

// The byte that is written into a page. It is not zero, because many pages are.
std::byte mark_of(PageNumber page) {
  return static_cast<std::byte>((mix(~uint64_t{page}) | 1U) & 0xffU);
}

}  // namespace

Sweep::Sweep(const ProbeConfig& config, const MemoryFile& file, const GuestMemory& memory,
             std::vector<PageNumber> order, VmmRecord& record)
    : config_(config),
      file_(file),
      memory_(memory),
      order_(std::move(order)),
      record_(record),
      states_(file.pages()) {
  SNAPFORK_CHECK(!order_.empty());
  if (config.kvm) {
    vcpus_.emplace(memory, file, config.jobs);
  }
}

void Sweep::run() {
  const uint64_t start = monotonic_ns();
  balloon_works_ = config_.balloon_bytes > 0;
  {
    std::vector<std::jthread> threads;
    for (size_t job = 0; job < config_.jobs; ++job) {
      threads.emplace_back([this, job] { run_guarded([&] { run_job(job); }); });
    }
    if (balloon_works_) {
      threads.emplace_back([this] {
        run_guarded([&] { inflate_balloon(); });
        balloon_works_ = false;
      });
    }
  }
  record_.total_ns = monotonic_ns() - start;
  if (!failure_ && (config_.balloon_bytes > 0 || config_.write_percent > 0)) {
    run_guarded([&] { verify_all_again(); });
  }
  if (failure_) {
    std::rethrow_exception(failure_);
  }
}

void Sweep::run_guarded(const std::function<void()>& body) {
  try {
    body();
  } catch (...) {
    const std::scoped_lock lock(mutex_);
    failure_ = failure_ ? failure_ : std::current_exception();
    stop_ = true;
  }
}

void Sweep::run_job(size_t job) {
  std::vector<std::byte> buffer(file_.page_size());
  size_t own_cursor = 0;
  const auto take = [&] { return config_.overlap_jobs ? own_cursor++ : cursor_.fetch_add(1); };
  for (size_t at = take(); at < order_.size() && !stop_; at = take()) {
    touch_first(job, order_[at], buffer);
  }
  // Continue while the balloon removes pages. Otherwise no touch would meet the last removals.
  Random random(config_.seed + job);
  while (balloon_works_ && !stop_) {
    touch_again(job, order_[random.below(order_.size())], buffer);
  }
}

void Sweep::touch_first(size_t job, PageNumber page, std::span<std::byte> buffer) {
  const bool writes = is_written(page);
  const PageState before = states_.get(page);
  const bool was_present = memory_.is_present(page);
  record_.waiting[job].set(page);
  const uint64_t start = monotonic_ns();
  if (writes) {
    store_to(job, page, mark_of(page));
  } else {
    load_from(job, page);
  }
  const uint64_t end = monotonic_ns();
  record_.waiting[job].clear();
  if (!was_present) {
    record_.latency.add(end - start);
    ++record_.faults;
  }
  if (writes) {
    ++record_.written_pages;
  }
  if (++record_.touched == config_.kill_after) {
    record_.killed_itself = true;
    ::kill(::getpid(), SIGKILL);
  }
  verify(job, page, before, buffer);
}

void Sweep::touch_again(size_t job, PageNumber page, std::span<std::byte> buffer) {
  if (is_written(page)) {
    return;  // another job may be about to write it for the first time
  }
  const PageState before = states_.get(page);
  record_.waiting[job].set(page);
  load_from(job, page);
  record_.waiting[job].clear();
  verify(job, page, before, buffer);
}

void Sweep::load_from(size_t job, PageNumber page) {
  if (vcpus_) {
    vcpus_->load(job, page, touched_byte(page));
  } else {
    load(memory_.address(page) + touched_byte(page));
  }
}

void Sweep::store_to(size_t job, PageNumber page, std::byte value) {
  if (vcpus_) {
    vcpus_->store(job, page, touched_byte(page), value);
  } else {
    store(memory_.address(page) + touched_byte(page), value);
  }
}

void Sweep::verify(size_t job, PageNumber page, PageState before, std::span<std::byte> buffer) {
  ++record_.looks;
  if (before == PageState::removed) {
    std::ranges::fill(buffer, std::byte{0});
  } else {
    file_.read_page(page, buffer);
    if (is_written(page)) {
      buffer[touched_byte(page)] = mark_of(page);
    }
  }
  // Compares the whole page through the mapping of this process, and the touched line also through
  // the guest, which must have the same page mapped.
  const std::byte* const memory = memory_.address(page);
  bool right = std::memcmp(memory, buffer.data(), buffer.size()) == 0;
  std::span<const std::byte> line;
  const size_t line_at = touched_byte(page) / Vcpus::kLine * Vcpus::kLine;
  if (vcpus_) {
    line = vcpus_->read_line(job, page, line_at);
    right = right && std::memcmp(line.data(), buffer.data() + line_at, line.size()) == 0;
  }
  if (right) {
    return;
  }
  if (before != PageState::leaving && states_.is_still(page, before)) {
    std::vector<std::byte> found(memory, memory + buffer.size());
    std::ranges::copy(line, found.begin() + static_cast<std::ptrdiff_t>(line_at));
    report_mismatch(page, before, buffer, found);
  }
}

void Sweep::report_mismatch(PageNumber page, PageState state, std::span<const std::byte> expected,
                            std::span<const std::byte> found) {
  const std::scoped_lock lock(mutex_);
  if (!bad_pages_.insert(page).second) {
    return;
  }
  ++(state == PageState::removed ? record_.stale_pages : record_.wrong_pages);
  if (record_.has_mismatch) {
    return;
  }
  const auto differ = std::ranges::mismatch(found, expected);
  if (differ.in1 != found.end()) {
    record_.first_mismatch = {.page = page,
                              .byte = static_cast<uint64_t>(differ.in1 - found.begin()),
                              .expected = std::to_integer<unsigned>(*differ.in2),
                              .found = std::to_integer<unsigned>(*differ.in1)};
    record_.has_mismatch.store(true, std::memory_order_release);
  }
}

void Sweep::inflate_balloon() {
  BalloonPlan plan(
      file_.pages(), [this](PageNumber page) { return is_written(page); },
      [this](PageNumber page) { return memory_.region_end(page); }, config_.seed);
  uint64_t left = config_.balloon_bytes / file_.page_size();
  for (size_t turn = 0; left > 0 && !stop_; ++turn) {
    std::optional<PageRun> run;
    if (const std::optional<PageNumber> page = page_waited_for(turn)) {
      run = plan.take_at(*page);
    }
    if (!run) {
      run = plan.take_any();
    }
    if (!run) {
      return;
    }
    const auto count = static_cast<PageNumber>(std::min<uint64_t>(run->count, left));
    for (PageNumber i = 0; i < count; ++i) {
      states_.set(run->first + i, PageState::leaving);
    }
    record_.removing.set(run->first);
    if (::madvise(memory_.address(run->first), count * memory_.page_size(), MADV_DONTNEED) != 0) {
      base::throw_errno("cannot remove memory");
    }
    record_.removing.clear();
    for (PageNumber i = 0; i < count; ++i) {
      states_.set(run->first + i, PageState::removed);
    }
    record_.removed_pages += count;
    left -= count;
  }
}

// Returns the page that a job waits for, if any. The jobs take turns.
std::optional<PageNumber> Sweep::page_waited_for(size_t turn) const {
  return record_.waiting[turn % config_.jobs].get();
}

void Sweep::verify_all_again() {
  std::vector<std::byte> buffer(file_.page_size());
  for (const PageNumber page : order_) {
    record_.waiting[0].set(page);
    verify(0, page, states_.get(page), buffer);
  }
  for (uint64_t i = 0; i < file_.pages(); ++i) {
    const auto page = static_cast<PageNumber>(i);
    if (states_.get(page) == PageState::removed) {
      record_.waiting[0].set(page);
      verify(0, page, PageState::removed, buffer);
    }
  }
  record_.waiting[0].clear();
}

// Depends only on the page's number, so that all jobs and passes agree.
bool Sweep::is_written(PageNumber page) const {
  constexpr unsigned kPercent = 100;
  return mix(config_.seed ^ page) % kPercent < config_.write_percent;
}

size_t Sweep::touched_byte(PageNumber page) const {
  return mix(page) % memory_.page_size();
}

}  // namespace pager
