// SPDX-License-Identifier: Apache-2.0
// Reads the report while its writer runs, and takes the records of type "total" from it.
#include "meta/verbs/clone_report.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>

#include "base/error.h"
#include "base/fd.h"
#include "base/json_object.h"
#include "base/message.h"
#include "base/process.h"

namespace meta {
namespace {

constexpr const char* kStandardInput = "standard input";

base::Refused caller_has_ended(pid_t caller) {
  return base::Refused("cannot publish: process " + std::to_string(caller) +
                       " ended before the clone report was complete");
}

std::string read_input_of(pid_t caller) {
  const std::optional<base::Fd> pidfd = base::open_pidfd(caller);
  if (!pidfd) {
    throw caller_has_ended(caller);
  }
  std::string text;
  std::array<char, size_t{1} << 16U> buffer{};
  for (;;) {
    std::array<struct pollfd, 2> ready{{{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0},
                                        {.fd = pidfd->get(), .events = POLLIN, .revents = 0}}};
    if (::poll(ready.data(), ready.size(), -1) < 0 && errno != EINTR) {
      base::throw_errno("cannot wait for the clone report");
    }
    if (ready[1].revents != 0) {
      throw caller_has_ended(caller);
    }
    if (ready[0].revents == 0) {
      continue;
    }
    const ssize_t length = ::read(STDIN_FILENO, buffer.data(), buffer.size());
    if (length == 0) {
      return text;
    }
    if (length < 0 && errno != EINTR) {
      base::throw_errno(std::string("cannot read ") + kStandardInput);
    }
    text.append(buffer.data(), static_cast<size_t>(std::max<ssize_t>(length, 0)));
    if (text.size() > base::kMaxJsonBytes) {
      throw base::BadData(std::string("cannot use ") + kStandardInput + ": it is too long");
    }
  }
}

}  // namespace

CloneReports read_clone_reports(const std::string& path, std::optional<pid_t> caller) {
  const bool is_input = path == "-";
  const std::string name = is_input ? kStandardInput : path;
  const std::string text = !is_input ? base::read_file(path, base::kMaxJsonBytes)
                           : caller
                               ? read_input_of(*caller)
                               : base::read_all(STDIN_FILENO, base::kMaxJsonBytes, kStandardInput);
  CloneReports reports;
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) {
      continue;
    }
    const base::JsonObject object = base::JsonObject::parse(line, name);
    const std::string* type = object.find("type");
    const std::string* dst = object.find("dst");
    if (type == nullptr || base::json_text(*type) != "total") {
      continue;
    }
    const std::optional<std::string> destination =
        dst != nullptr ? base::json_text(*dst) : std::nullopt;
    if (!destination) {
      throw base::BadData("cannot use " + base::quoted(name) + ": a total record has no 'dst'");
    }
    reports[destination->substr(destination->rfind('/') + 1)] = object.compact();
  }
  return reports;
}

}  // namespace meta
