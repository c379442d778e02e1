// SPDX-License-Identifier: Apache-2.0
// Describes a VMM by its API, and ends one by the pid in its directory.
#include "fc/waiting_vmm.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <optional>
#include <utility>

#include "base/deadline.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/file_status.h"
#include "base/json_line.h"
#include "base/json_object.h"
#include "base/process.h"
#include "base/socket_probe.h"
#include "fc/network.h"
#include "fc/vmm_directory.h"
#include "http/client.h"

namespace fc {
namespace {

std::string text_of(const base::JsonObject& reply, std::string_view key) {
  const std::string* const raw = reply.find(key);
  return raw != nullptr ? base::json_text(*raw).value_or("") : "";
}

bool ends(int pidfd, const base::Deadline& deadline) {
  struct pollfd end {
    .fd = pidfd, .events = POLLIN, .revents = 0
  };
  while (::poll(&end, 1, deadline.poll_timeout()) <= 0) {
    if (deadline.passed()) {
      return false;
    }
  }
  return true;
}

void end_process(int directory, std::chrono::milliseconds grace) {
  const std::optional<pid_t> pid = live_pid(directory);
  const std::optional<base::Fd> pidfd = pid ? base::open_pidfd(*pid) : std::nullopt;
  // The descriptor is opened before the start time is read again, so it is that of the process.
  if (!pidfd || live_pid(directory) != pid) {
    return;
  }
  ::syscall(SYS_pidfd_send_signal, pidfd->get(), SIGTERM, nullptr, 0);
  if (!ends(pidfd->get(), base::Deadline::after(grace))) {
    ::syscall(SYS_pidfd_send_signal, pidfd->get(), SIGKILL, nullptr, 0);
    // It closes its files first, and a disk may be slow.
    constexpr std::chrono::seconds kLimit{60};
    ends(pidfd->get(), base::Deadline::after(kLimit));
  }
}

}  // namespace

std::string describe_waiting_vmm(const std::string& socket, const std::vector<std::string>& taps,
                                 std::chrono::milliseconds timeout) {
  const std::string what = "cannot use the VMM at " + base::quoted(socket) + ": ";
  const base::Deadline deadline = base::Deadline::after(timeout);
  std::optional<http::Client> client = http::Client::connect(socket, deadline, http::Trust::any);
  if (!client) {
    throw base::Refused(what + "no process listens there");
  }
  const pid_t pid = base::probe_socket(socket).pid;
  if (pid == 0) {
    throw base::Refused(what + "its process is not visible here");
  }
  const auto reply = base::JsonObject::parse(client->request("GET", "/", "", deadline).body,
                                             "the answer to GET /");
  const std::string state = text_of(reply, "state");
  if (state != "Not started") {
    throw base::Refused(what + "it does not wait for a snapshot: its state is " +
                        base::quoted(state));
  }
  const std::string netns = "/proc/" + std::to_string(pid) + "/ns/net";
  check_taps(taps, netns, " in the network namespace of process " + std::to_string(pid));
  const std::filesystem::path path = std::filesystem::absolute(socket);
  const std::filesystem::path console = path.parent_path() / kConsole;
  base::JsonLine record("vmm");
  record.number("pid", pid).path("api_socket", path.string());
  (std::filesystem::exists(console) ? record.path("console", console.string())
                                    : record.null("console"))
      .text("version", text_of(reply, "vmm_version"))
      .text("firecracker_id", text_of(reply, "id"));
  return record.str();
}

void end_vmm_of(const std::string& directory, std::chrono::milliseconds grace,
                base::Effect effect) {
  if (!base::try_lstat_path(directory) || base::is_dry_run(effect)) {
    return;
  }
  end_process(base::open_file(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW).get(), grace);
  // The process that started the VMM releases its lock once it has removed the files.
  VmmDirectory::take(directory, base::Deadline::after(grace)).remove();
}

}  // namespace fc
