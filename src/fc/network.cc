// SPDX-License-Identifier: Apache-2.0
// Attaches to taps, in a network namespace, to find out whether they can be used.
#include "fc/network.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "base/open_files.h"
#include "base/process.h"

namespace fc {
namespace {

struct ifreq request_for(const std::string& tap) {
  struct ifreq request {};
  if (tap.empty() || tap.size() >= IFNAMSIZ) {
    throw base::UsageError("bad tap " + base::quoted(tap) + ": a name has 1 to " +
                           std::to_string(IFNAMSIZ - 1) + " bytes");
  }
  std::memcpy(request.ifr_name, tap.data(), tap.size());
  return request;
}

bool interface_exists(const std::string& name) {
  const base::Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  struct ifreq request = request_for(name);
  return socket && ::ioctl(socket.get(), SIOCGIFINDEX, &request) == 0;
}

// The process that has the tap open, for messages: " by process 12 (firecracker)".
std::string user_of(const std::string& tap) {
  std::string line = "iff:\t";
  line.append(tap).append("\n");
  for (const std::string& pid : base::numeric_names("/proc")) {
    std::string directory = "/proc/";
    directory.append(pid).append("/fdinfo/");
    for (const std::string& fd : base::numeric_names(directory)) {
      constexpr size_t kMost = 4096;
      std::string path = directory;
      const base::Fd info(::open(path.append(fd).c_str(), O_RDONLY | O_CLOEXEC));
      try {
        if (info && base::read_all(info.get(), kMost, fd).find(line) != std::string::npos) {
          return " by process " + pid + " (" + base::process_name(std::stoi(pid)) + ")";
        }
      } catch (const std::exception&) {
        continue;  // the process has ended
      }
    }
  }
  return "";
}

void check_tap(const std::string& tap, const std::string& where) {
  const std::string what = "cannot use the tap " + base::quoted(tap) + where + ": ";
  struct ifreq request = request_for(tap);
  if (!interface_exists(tap)) {
    throw base::Refused(what + "it does not exist; create it with 'ip tuntap add " + tap +
                        " mode tap'");
  }
  const base::Fd tun(::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (!tun) {
    base::throw_errno("cannot open '/dev/net/tun'");
  }
  // The flags that Firecracker uses.
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if (::ioctl(tun.get(), TUNSETIFF, &request) == 0) {
    return;
  }
  switch (errno) {
    case EBUSY:
      throw base::Refused(what + "it is in use" + user_of(tap));
    case EINVAL:
      throw base::Refused(what + "it is not a tap with one queue");
    case EPERM:
      throw base::Refused(what + "it belongs to another user");
    default:
      base::throw_errno("cannot use the tap " + base::quoted(tap) + where);
  }
}

// While an object of this class exists, this thread is in another network namespace.
class NetnsVisit {
 public:
  explicit NetnsVisit(const std::string& path)
      : home_(base::open_file("/proc/thread-self/ns/net", O_RDONLY)) {
    enter(base::open_file(path, O_RDONLY),
          "cannot enter the network namespace " + base::quoted(path));
  }
  ~NetnsVisit() {
    if (::setns(home_.get(), CLONE_NEWNET) != 0) {
      ::_exit(static_cast<int>(base::ExitCode::wrapper));  // another program's network
    }
  }
  NetnsVisit(const NetnsVisit&) = delete;
  NetnsVisit(NetnsVisit&&) = delete;
  NetnsVisit& operator=(const NetnsVisit&) = delete;
  NetnsVisit& operator=(NetnsVisit&&) = delete;

 private:
  static void enter(const base::Fd& netns, const std::string& what) {
    if (::setns(netns.get(), CLONE_NEWNET) != 0) {
      base::throw_errno(what);
    }
  }
  base::Fd home_;
};

}  // namespace

std::string netns_path(const std::string& name) {
  if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos) {
    throw base::UsageError("bad network namespace " + base::quoted(name) +
                           ": a name of 'ip netns' is needed");
  }
  return "/run/netns/" + name;
}

base::Fd open_netns(const std::string& name) {
  std::optional<base::Fd> fd = base::try_open(netns_path(name), O_RDONLY);
  if (!fd) {
    throw base::Refused("cannot use the network namespace " + base::quoted(name) +
                        ": it does not exist; create it with 'ip netns add'");
  }
  return *std::move(fd);
}

void check_taps(const std::vector<std::string>& taps, const std::string& netns,
                const std::string& where) {
  if (taps.empty()) {
    return;
  }
  std::optional<NetnsVisit> visit;
  if (!netns.empty()) {
    visit.emplace(netns);
  }
  for (const std::string& tap : taps) {
    check_tap(tap, where);
  }
}

}  // namespace fc
