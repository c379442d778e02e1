// SPDX-License-Identifier: Apache-2.0
// Names, sends and reads the descriptors at the service manager.
#include "pager/keep/fd_store.h"

#include <fcntl.h>
#include <linux/kcmp.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <map>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/message.h"
#include "base/unix_socket.h"

namespace pager {
namespace {

constexpr std::string_view kPage = "page";

struct Name {
  Kept kind = Kept::none;
  uint64_t key = 0;
  uint64_t parent = 0;
  size_t position = 0;
};

std::string text_of(const Name& name) {
  return std::to_string(static_cast<uint32_t>(name.kind)) + "." + std::to_string(name.key) + "." +
         std::to_string(name.parent) + "." + std::to_string(name.position);
}

std::optional<Name> parse_name(std::string_view text) {
  std::array<uint64_t, 4> parts{};
  for (size_t i = 0; i < parts.size(); ++i) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), parts.at(i));
    if (error != std::errc()) {
      return std::nullopt;
    }
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    if (i + 1 < parts.size() && !text.starts_with('.')) {
      return std::nullopt;
    }
    text.remove_prefix(text.empty() ? 0 : 1);
  }
  return Name{.kind = static_cast<Kept>(parts[0]),
              .key = parts[1],
              .parent = parts[2],
              .position = static_cast<size_t>(parts[3])};
}

bool is_one_open_file(int one, int other) {
  const pid_t self = ::getpid();
  return ::syscall(SYS_kcmp, self, self, KCMP_FILE, one, other) == 0;
}

bool is_one_inode(int one, int other) {
  struct stat a {};
  struct stat b {};
  return ::fstat(one, &a) == 0 && ::fstat(other, &b) == 0 && a.st_dev == b.st_dev &&
         a.st_ino == b.st_ino;
}

// Whether a session other than `but` has the image of this endpoint.
bool has_session(const HeldThings& held, uint64_t endpoint, uint64_t but) {
  return std::ranges::any_of(held, [&](const auto& entry) {
    return entry.second.kind == Kept::session && entry.second.parent == endpoint &&
           entry.first != but;
  });
}

std::string image_of_endpoint(uint64_t key) {
  return text_of(
      {.kind = Kept::endpoint, .key = key, .parent = 0, .position = kept::kEndpointImage});
}

// The least number of descriptors of a thing that can be served.
size_t least_of(Kept kind) {
  switch (kind) {
    case Kept::service:
    case Kept::connection:
      return 1;
    case Kept::endpoint:
      return kept::kListener + 1;
    case Kept::session:
      return kept::kSocket + 1;
    case Kept::none:
      break;
  }
  return KeepMessage::kMostFds + 1;
}

std::string variable(const char* name) {
  const char* value = ::getenv(name);
  std::string text = value == nullptr ? "" : value;
  ::unsetenv(name);
  return text;
}

// The descriptors of one thing, by position.
using Parts = std::map<size_t, base::Fd>;

std::optional<HeldThing> thing_of(const Name& name, Parts parts) {
  HeldThing thing{.kind = name.kind, .parent = name.parent, .fds = {}};
  for (auto& [position, fd] : parts) {
    if (position != thing.fds.size() || !fd) {
      break;
    }
    thing.fds.push_back(std::move(fd));
  }
  return thing.fds.size() >= least_of(thing.kind) ? std::optional(std::move(thing)) : std::nullopt;
}

}  // namespace

FdStore::Stored FdStore::take() {
  const std::string pid = variable("LISTEN_PID");
  const std::string count = variable("LISTEN_FDS");
  const std::string names = variable("LISTEN_FDNAMES");
  Stored stored;
  if (pid != std::to_string(::getpid())) {
    return stored;
  }
  constexpr int kFirst = 3;
  std::map<uint64_t, std::pair<Name, Parts>> sessions;
  std::map<uint64_t, std::pair<Name, Parts>> others;
  std::string_view rest = names;
  for (int fd = kFirst; fd < kFirst + std::atoi(count.c_str()); ++fd) {
    const std::string_view text = rest.substr(0, rest.find(':'));
    rest.remove_prefix(std::min(rest.size(), text.size() + 1));
    if (::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
      continue;
    }
    base::Fd owned(fd);
    if (text == kPage) {
      stored.page = std::move(owned);
    } else if (const std::optional<Name> name = parse_name(text)) {
      auto& [whose, parts] = (name->kind == Kept::session ? sessions : others)[name->key];
      whose = *name;
      parts[name->position] = std::move(owned);
    }
  }
  for (auto& [key, session] : sessions) {
    auto& [name, parts] = session;
    if (auto connection = others.extract(key); connection && !parts.contains(kept::kSocket)) {
      parts[kept::kSocket] = std::move(connection.mapped().second[0]);
    }
    if (const auto endpoint = others.find(name.parent);
        endpoint != others.end() && !parts.contains(kept::kImage)) {
      parts[kept::kImage] = base::Fd(
          ::fcntl(endpoint->second.second[kept::kEndpointImage].get(), F_DUPFD_CLOEXEC, 0));
    }
  }
  others.merge(sessions);
  for (auto& [key, other] : others) {
    if (!other.second.contains(0) || !other.second[0]) {
      continue;  // the image of an endpoint that was dropped
    }
    if (std::optional<HeldThing> thing = thing_of(other.first, std::move(other.second))) {
      stored.things.emplace(key, std::move(*thing));
    } else {
      base::say_warning("the service manager has lost descriptors of thing " + std::to_string(key) +
                        ", which is not served");
    }
  }
  return stored;
}

FdStore::FdStore() {
  constexpr int64_t kReportsPerLimit = 2;
  constexpr int64_t kUsPerMs = 1000;
  const char* limit = manager_.exists() ? ::getenv("WATCHDOG_USEC") : nullptr;
  report_ms_ = limit == nullptr ? 0 : std::atoll(limit) / kUsPerMs / kReportsPerLimit;
  if (report_ms_ > 0) {
    next_report_ = base::Deadline::after(std::chrono::milliseconds(0));
  }
}

void FdStore::add(const std::string& name, int fd) {
  if (manager_.exists()) {
    unsent_.push_back({.text = "FDSTORE=1\nFDPOLL=0\nFDNAME=" + name,
                       .fd = base::Fd(::fcntl(fd, F_DUPFD_CLOEXEC, 0))});
    flush();
  }
}

void FdStore::remove(const std::string& name) {
  if (manager_.exists()) {
    unsent_.push_back({.text = "FDSTOREREMOVE=1\nFDNAME=" + name, .fd = {}});
    flush();
  }
}

void FdStore::hold(const HeldThings& held, uint64_t key, const HeldThing& before) {
  if (!manager_.exists()) {
    return;
  }
  const HeldThing& now = held.at(key);
  const auto endpoint = held.find(now.parent);
  for (size_t i = 0; i < now.fds.size(); ++i) {
    const std::string name =
        text_of({.kind = now.kind, .key = key, .parent = now.parent, .position = i});
    const bool is_same_kind = before.kind == now.kind && i < before.fds.size();
    const bool is_stored = is_same_kind
                               ? is_one_open_file(before.fds[i].get(), now.fds[i].get())
                               : before.kind == Kept::connection && i == kept::kSocket &&
                                     is_one_open_file(before.fds.at(0).get(), now.fds[i].get());
    const bool is_image =
        now.kind == Kept::session && i == kept::kImage && endpoint != held.end() &&
        endpoint->second.kind == Kept::endpoint &&
        is_one_inode(endpoint->second.fds.at(kept::kEndpointImage).get(), now.fds[i].get());
    if (is_stored || is_image) {
      continue;
    }
    if (is_same_kind) {
      remove(name);
    }
    add(name, now.fds[i].get());
  }
}

void FdStore::drop(const HeldThings& held, uint64_t key) {
  if (!manager_.exists()) {
    return;
  }
  const HeldThing& thing = held.at(key);
  for (size_t i = 0; i < thing.fds.size(); ++i) {
    if (thing.kind != Kept::endpoint || i != kept::kEndpointImage || !has_session(held, key, 0)) {
      remove(text_of({.kind = thing.kind, .key = key, .parent = thing.parent, .position = i}));
    }
  }
  if (thing.kind == Kept::session) {
    remove(text_of({.kind = Kept::connection, .key = key, .parent = thing.parent, .position = 0}));
    if (!held.contains(thing.parent) && !has_session(held, thing.parent, key)) {
      remove(image_of_endpoint(thing.parent));
    }
  }
}

void FdStore::clear(const HeldThings& held) {
  if (!manager_.exists()) {
    return;
  }
  for (const auto& [key, thing] : held) {
    drop(held, key);
    if (thing.kind == Kept::session) {
      remove(image_of_endpoint(thing.parent));
    }
  }
  remove(std::string(kPage));
  const base::Deadline limit = base::Deadline::after(std::chrono::seconds(1));
  while (!flush() && base::wait_for(fd(), POLLOUT, limit)) {
  }
}

bool FdStore::flush() {
  if (next_report_.passed()) {
    next_report_ = base::Deadline::after(std::chrono::milliseconds(report_ms_));
    static_cast<void>(manager_.send("WATCHDOG=1"));
  }
  for (; !unsent_.empty(); unsent_.pop_front()) {
    const int copy = unsent_.front().fd.get();
    if (!manager_.send(unsent_.front().text,
                       copy >= 0 ? std::span<const int>(&copy, 1) : std::span<const int>())) {
      return false;
    }
  }
  return true;
}

}  // namespace pager
