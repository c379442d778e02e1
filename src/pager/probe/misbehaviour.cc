// SPDX-License-Identifier: Apache-2.0
#include "pager/probe/misbehaviour.h"

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
    std::pair{std::string_view("silent"), Misbehaviour::silent},
    std::pair{std::string_view("partial"), Misbehaviour::partial},
    std::pair{std::string_view("garbage"), Misbehaviour::garbage},
    std::pair{std::string_view("no-fd"), Misbehaviour::no_fd},
    std::pair{std::string_view("wrong-fd"), Misbehaviour::wrong_fd},
    std::pair{std::string_view("two-fds"), Misbehaviour::two_fds},
    std::pair{std::string_view("overlap"), Misbehaviour::overlap},
    std::pair{std::string_view("unaligned"), Misbehaviour::unaligned},
    std::pair{std::string_view("beyond"), Misbehaviour::beyond},
    std::pair{std::string_view("huge"), Misbehaviour::huge},
    std::pair{std::string_view("split"), Misbehaviour::split},
};

// What is sent in one sendmsg.
struct Part {
  std::string data;
  std::vector<int> fds;
};

// Regions that are wrong in the one way that `how` names.
std::vector<hot::Region> spoil(std::vector<hot::Region> regions, Misbehaviour how) {
  hot::Region& last = regions.back();
  if (how == Misbehaviour::overlap) {
    regions.push_back(last);
  } else if (how == Misbehaviour::unaligned) {
    last.offset += last.page_size / 2;
    last.size -= last.page_size;  // it ends within the file all the same
  } else if (how == Misbehaviour::beyond) {
    last.offset += last.page_size;
  }
  return regions;
}

std::vector<Part> parts_of(Misbehaviour how, std::span<const hot::Region> regions, int uffd,
                           int other_fd) {
  const std::string body =
      compose_handshake(spoil(std::vector<hot::Region>(regions.begin(), regions.end()), how));
  switch (how) {
    case Misbehaviour::silent:
      return {};
    case Misbehaviour::partial:
      return {{.data = body.substr(0, body.size() / 2), .fds = {uffd}}};
    case Misbehaviour::garbage:
      return {{.data = "hello, page server", .fds = {uffd}}};
    case Misbehaviour::no_fd:
      return {{.data = body, .fds = {}}};
    case Misbehaviour::wrong_fd:
      return {{.data = body, .fds = {other_fd}}};
    case Misbehaviour::two_fds:
      return {{.data = body, .fds = {uffd, uffd}}};
    case Misbehaviour::huge:
      return {{.data = "[" + std::string(kMaxHandshakeBytes, ' ') + body.substr(1), .fds = {uffd}}};
    case Misbehaviour::split:
      return {{.data = body.substr(0, 1), .fds = {}},
              {.data = body.substr(1, body.size() / 2), .fds = {uffd}},
              {.data = body.substr(1 + body.size() / 2), .fds = {}}};
    case Misbehaviour::overlap:
    case Misbehaviour::unaligned:
    case Misbehaviour::beyond:
      break;
  }
  return {{.data = body, .fds = {uffd}}};
}

// send_with_fds waits for ever for a peer that reads nothing; this one may meet such a peer.
void send_part(int socket, const Part& part, const base::Deadline& deadline) {
  constexpr size_t kPiece = 16 << 10;  // less than any send buffer
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

// Until the server has read all that was sent: what follows is a message of its own then. The
// kernel has no event for that.
void wait_until_read(int socket, const base::Deadline& deadline) {
  constexpr int kEveryMs = 1;
  int unread = 0;
  while (::ioctl(socket, SIOCOUTQ, &unread) == 0 && unread > 0 && !deadline.passed()) {
    ::poll(nullptr, 0, kEveryMs);
  }
}

}  // namespace

Misbehaviour parse_misbehaviour(const std::string& name) {
  std::string list;
  for (const auto& [known, how] : kNames) {
    if (name == known) {
      return how;
    }
    list += (list.empty() ? "" : ", ") + std::string(known);
  }
  throw base::UsageError("bad value " + base::quoted(name) + " for --misbehave: one of " + list +
                         " is needed");
}

bool send_handshake(std::optional<Misbehaviour> how, std::span<const hot::Region> regions,
                    int socket, int uffd, const base::Deadline& deadline) {
  if (!how) {
    base::send_with_fds(socket, compose_handshake(regions), std::array{uffd});
    return true;
  }
  const base::Fd other(::eventfd(0, EFD_CLOEXEC));
  try {
    for (const Part& part : parts_of(*how, regions, uffd, other.get())) {
      send_part(socket, part, deadline);
      if (*how == Misbehaviour::split) {
        wait_until_read(socket, deadline);
      }
    }
  } catch (const std::system_error& error) {
    const int number = error.code().value();
    if (*how == Misbehaviour::split || (number != EPIPE && number != ECONNRESET)) {
      throw;
    }
  }
  return *how == Misbehaviour::split;
}

}  // namespace pager
