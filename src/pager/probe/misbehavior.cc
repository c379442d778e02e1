// SPDX-License-Identifier: Apache-2.0
// Builds and sends the invalid and unusual handshakes of --misbehave.
#include "pager/probe/misbehavior.h"

#include <linux/sockios.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "base/unix_socket.h"
#include "pager/protocol/handshake.h"

namespace pager {
namespace {

constexpr std::array kNames{
    std::pair{std::string_view("silent"), Misbehavior::silent},
    std::pair{std::string_view("partial"), Misbehavior::partial},
    std::pair{std::string_view("garbage"), Misbehavior::garbage},
    std::pair{std::string_view("no-fd"), Misbehavior::no_fd},
    std::pair{std::string_view("wrong-fd"), Misbehavior::wrong_fd},
    std::pair{std::string_view("two-fds"), Misbehavior::two_fds},
    std::pair{std::string_view("overlap"), Misbehavior::overlap},
    std::pair{std::string_view("unaligned"), Misbehavior::unaligned},
    std::pair{std::string_view("beyond"), Misbehavior::beyond},
    std::pair{std::string_view("huge"), Misbehavior::huge},
    std::pair{std::string_view("split"), Misbehavior::split},
};

// The contents of one sendmsg.
struct Part {
  std::string data;
  std::vector<int> fds;
};

// Returns regions with the fault that `how` names.
std::vector<hot::Region> spoil(std::vector<hot::Region> regions, Misbehavior how) {
  hot::Region& last = regions.back();
  if (how == Misbehavior::overlap) {
    regions.push_back(last);
  } else if (how == Misbehavior::unaligned) {
    last.offset += last.page_size / 2;
    last.size -= last.page_size;  // so that it still ends within the file
  } else if (how == Misbehavior::beyond) {
    last.offset += last.page_size;
  }
  return regions;
}

std::vector<Part> parts_of(Misbehavior how, std::span<const hot::Region> regions, int uffd,
                           int other_fd) {
  const std::string body =
      compose_handshake(spoil(std::vector<hot::Region>(regions.begin(), regions.end()), how));
  switch (how) {
    case Misbehavior::silent:
      return {};
    case Misbehavior::partial:
      return {{.data = body.substr(0, body.size() / 2), .fds = {uffd}}};
    case Misbehavior::garbage:
      return {{.data = "hello, page server", .fds = {uffd}}};
    case Misbehavior::no_fd:
      return {{.data = body, .fds = {}}};
    case Misbehavior::wrong_fd:
      return {{.data = body, .fds = {other_fd}}};
    case Misbehavior::two_fds:
      return {{.data = body, .fds = {uffd, uffd}}};
    case Misbehavior::huge:
      return {{.data = "[" + std::string(kMaxHandshakeBytes, ' ') + body.substr(1), .fds = {uffd}}};
    case Misbehavior::split:
      return {{.data = body.substr(0, 1), .fds = {}},
              {.data = body.substr(1, body.size() / 2), .fds = {uffd}},
              {.data = body.substr(1 + body.size() / 2), .fds = {}}};
    case Misbehavior::overlap:
    case Misbehavior::unaligned:
    case Misbehavior::beyond:
      break;
  }
  return {{.data = body, .fds = {uffd}}};
}

// send_with_fds waits without limit for a peer that does not read. This function has a deadline.
void send_part(int socket, const Part& part, const base::Deadline& deadline) {
  constexpr size_t kPiece = 16 << 10;  // smaller than any send buffer
  std::string_view left = part.data;
  std::span<const int> fds = part.fds;
  while (!left.empty()) {
    if (!base::wait_for(socket, POLLOUT, deadline)) {
      return;
    }
    const std::string_view piece = left.substr(0, kPiece);
    base::send_with_fds(socket, piece, fds);
    left.remove_prefix(piece.size());
    fds = {};
  }
}

// Waits until the server has read everything that was sent, so that the next part is a separate
// message. The kernel has no event for this, so SIOCOUTQ is polled.
void wait_until_read(int socket, const base::Deadline& deadline) {
  constexpr int kEveryMs = 1;
  int unread = 0;
  while (::ioctl(socket, SIOCOUTQ, &unread) == 0 && unread > 0 && !deadline.passed()) {
    ::poll(nullptr, 0, kEveryMs);
  }
}

}  // namespace

Misbehavior parse_misbehavior(const std::string& name) {
  std::string list;
  for (const auto& [known, how] : kNames) {
    if (name == known) {
      return how;
    }
    list += (list.empty() ? "" : ", ") + std::string(known);
  }
  throw base::UsageError("bad value " + base::quoted(name) + " for --misbehave: expected one of " +
                         list);
}

bool send_handshake(std::optional<Misbehavior> how, std::span<const hot::Region> regions,
                    int socket, int uffd, const base::Deadline& deadline) {
  if (!how) {
    base::send_with_fds(socket, compose_handshake(regions), std::array{uffd});
    return true;
  }
  const base::Fd other(::eventfd(0, EFD_CLOEXEC));
  try {
    for (const Part& part : parts_of(*how, regions, uffd, other.get())) {
      send_part(socket, part, deadline);
      if (*how == Misbehavior::split) {
        wait_until_read(socket, deadline);
      }
    }
  } catch (const std::system_error& error) {
    const int number = error.code().value();
    if (*how == Misbehavior::split || (number != EPIPE && number != ECONNRESET)) {
      throw;
    }
  }
  return *how == Misbehavior::split;
}

}  // namespace pager
