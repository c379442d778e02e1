// SPDX-License-Identifier: Apache-2.0
// Kills page servers, and judges their guests.
#include "pager/killtest/kill_test.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <filesystem>

#include "base/error.h"
#include "base/message.h"
#include "pager/kernel/clock.h"
#include "pager/killtest/keeper_process.h"
#include "pager/killtest/scratch_guest.h"
#include "pager/killtest/scratch_image.h"
#include "pager/probe/child.h"
#include "pager/probe/random.h"

namespace pager {

namespace {

constexpr uint64_t kHangNs = 30 * kSecond;

std::string make_directory() {
  const char* const parent = std::getenv("TMPDIR");
  std::string path =
      std::string(parent != nullptr && *parent != '\0' ? parent : "/tmp") + "/uffd-keeper.XXXXXX";
  if (::mkdtemp(path.data()) == nullptr) {
    base::throw_errno("cannot create the directory " + base::quoted(path));
  }
  return path;
}

class Interrupted : public base::Refused {
 public:
  Interrupted() : Refused("interrupted by a signal") {}
};

// While it exists, the signals that end a program are pending until pause() returns them.
class Pauses {
 public:
  Pauses() {
    ::sigemptyset(&signals_);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
      ::sigaddset(&signals_, signal);
    }
    ::sigprocmask(SIG_BLOCK, &signals_, &before_);
  }
  ~Pauses() { ::sigprocmask(SIG_SETMASK, &before_, nullptr); }
  Pauses(const Pauses&) = delete;
  Pauses(Pauses&&) = delete;
  Pauses& operator=(const Pauses&) = delete;
  Pauses& operator=(Pauses&&) = delete;

  // Throws Interrupted if there is one.
  void pause(uint64_t ns) const {
    const struct timespec time {
      .tv_sec = static_cast<time_t>(ns / kSecond), .tv_nsec = static_cast<long>(ns % kSecond)
    };
    if (::sigtimedwait(&signals_, nullptr, &time) > 0) {
      throw Interrupted();
    }
  }

 private:
  sigset_t signals_{};
  sigset_t before_{};
};

struct Guest {
  Shared<GuestRecord> record;
  std::optional<Child> child;
};

// Throws what is wrong with a guest.
void check(const Guest& guest) {
  const GuestRecord& record = *guest.record;
  if (record.is_wrong) {
    const WrongWord& wrong = record.wrong;
    throw base::Refused("word " + std::to_string(wrong.word) + " of page " +
                        std::to_string(wrong.page) + " is " + std::to_string(wrong.found) +
                        ", not " + std::to_string(wrong.expected));
  }
  if (const std::optional<base::Error> failure = record.failure.get()) {
    throw base::Error(*failure);
  }
  const uint64_t since = record.since_ns;
  const uint64_t now = monotonic_ns();
  if (since != 0 && now > since && now - since > kHangNs) {
    throw base::Refused("a guest hangs: it has waited 30 s for page " +
                        std::to_string(record.page));
  }
}

// Waits until another server than `before` serves, and has a successor. Returns its pid.
pid_t wait_for_server(const KeeperProcess& keeper, pid_t before, const Pauses& pauses) {
  const uint64_t start = monotonic_ns();
  for (;;) {
    const std::vector<pid_t> servers = keeper.servers();
    if (servers.size() >= 2 && servers.front() != before) {
      return servers.front();
    }
    if (keeper.has_ended()) {
      throw base::Refused("the keeper has ended");
    }
    if (monotonic_ns() - start > kHangNs) {
      throw base::Refused("no server has followed for 30 s");
    }
    pauses.pause(kMillisecond);
  }
}

KillTestReport summary(const KillRecord& kills, const std::vector<Guest>& guests) {
  KillTestReport report{.kills = kills.kills};
  Histogram waits;
  for (const Guest& guest : guests) {
    report.vmms += guest.record->vmms;
    report.verified_pages += guest.record->verified_pages;
    waits.merge(guest.record->waits);
  }
  constexpr double kMedian = 50;
  constexpr double kP99 = 99;
  report.median_ns = waits.percentile(kMedian);
  report.p99_ns = waits.percentile(kP99);
  report.max_ns = waits.max();
  return report;
}

KillTestReport kill_servers(const KillTestSettings& settings, const std::string& dir) {
  const std::string image = dir + "/memory";
  const std::string socket = dir + "/socket";
  write_scratch_image(image);
  std::vector<std::string> command = settings.keeper;
  for (const std::string& word : {std::string("--mem"), image, std::string("--socket"), socket,
                                  std::string("--ready-fd"), std::string("{}")}) {
    command.push_back(word);
  }
  const Pauses pauses;
  const KeeperProcess keeper(command, dir + "/log");
  const Shared<KillRecord> kills;
  std::vector<Guest> guests(settings.guests);
  for (size_t i = 0; i < guests.size(); ++i) {
    Guest& guest = guests[i];
    guest.child.emplace([&](const std::function<void()>&) {
      run_scratch_guest(socket, i + 1, settings.guest_cpu, *kills, *guest.record);
    });
  }
  Random random(static_cast<uint64_t>(::getpid()));
  pid_t before = -1;
  while (kills->kills < settings.kills) {
    before = wait_for_server(keeper, before, pauses);
    constexpr uint64_t kLeast = 10 * kMillisecond;
    pauses.pause(kLeast + random.below(3 * kLeast));
    std::ranges::for_each(guests, check);
    kills->killed_at_ns = monotonic_ns();
    ++kills->kills;
    if (!keeper.kill_server(before)) {
      throw base::Refused("the page server has ended by itself");
    }
  }
  kills->stop = true;
  while (!std::ranges::all_of(guests, [](const Guest& guest) -> bool {
    check(guest);
    return guest.record->finished;
  })) {
    pauses.pause(kMillisecond);
  }
  return summary(*kills, guests);
}

}  // namespace

KillTestReport run_kill_test(const KillTestSettings& settings) {
  const std::string dir = make_directory();
  try {
    const KillTestReport report = kill_servers(settings, dir);
    std::filesystem::remove_all(dir);
    return report;
  } catch (const Interrupted&) {
    std::filesystem::remove_all(dir);
    throw;
  } catch (const std::exception&) {
    base::say_info("the log of the keeper is " + base::quoted(dir + "/log"));
    throw;
  }
}

}  // namespace pager
