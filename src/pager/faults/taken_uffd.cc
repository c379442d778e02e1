// SPDX-License-Identifier: Apache-2.0
// Finds a userfaultfd by its name in /proc/PID/fd, and checks which memory it belongs to.
#include "pager/faults/taken_uffd.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "base/error.h"
#include "base/number.h"
#include "base/open_files.h"
#include "pager/faults/pagemap.h"
#include "pager/kernel/uffd.h"

namespace pager {
namespace {

[[noreturn]] void refuse(const Vmm& vmm, const std::string& why) {
  throw base::Refused("cannot take the userfaultfd of process " + std::to_string(vmm.pid()) + ": " +
                      why);
}

std::string text_of(int error) {
  const std::string text = std::generic_category().message(error);
  return error == EPERM || error == EACCES
             ? text + " (it needs ptrace(2) access: root, or the same user without Yama)"
             : text;
}

bool is_userfaultfd_name(const Vmm& vmm, const std::string& link) {
  constexpr std::string_view kName = "anon_inode:[userfaultfd]";
  std::array<char, 64> target{};
  const ssize_t length = ::readlink(link.c_str(), target.data(), target.size());
  if (length < 0 && errno != ENOENT) {
    refuse(vmm, text_of(errno));
  }
  return length > 0 && std::string_view(target.data(), static_cast<size_t>(length)) == kName;
}

std::vector<base::Fd> userfaultfds_of(const Vmm& vmm) {
  const std::string dir = "/proc/" + std::to_string(vmm.pid()) + "/fd";
  if (::access(dir.c_str(), R_OK | X_OK) != 0) {
    refuse(vmm, text_of(errno));
  }
  const std::vector<std::string> names = base::numeric_names(dir);
  if (names.empty()) {
    refuse(vmm, text_of(EACCES));
  }
  std::vector<base::Fd> fds;
  for (const std::string& name : names) {
    if (!is_userfaultfd_name(vmm, dir + "/" + name)) {
      continue;
    }
    // The pidfd and not the pid: the descriptor is that of the process that was identified.
    base::Fd fd(static_cast<int>(::syscall(SYS_pidfd_getfd, vmm.pidfd(), std::stoi(name), 0)));
    if (fd && is_userfaultfd(fd.get())) {
      fds.push_back(std::move(fd));
    } else if (!fd && errno != EBADF) {
      refuse(vmm, text_of(errno));
    }
  }
  return fds;
}

// The parts of the regions that any userfaultfd of the VMM is registered for: those with the flag
// "um" in smaps. Large holes and completed regions are not registered.
std::vector<AddressRange> registered(const Vmm& vmm, std::span<const hot::Region> regions) {
  std::ifstream smaps("/proc/" + std::to_string(vmm.pid()) + "/smaps");
  std::vector<AddressRange> parts;
  AddressRange mapping;
  for (std::string line; std::getline(smaps, line);) {
    constexpr int kHexadecimal = 16;
    constexpr std::string_view kFlags = "VmFlags:";
    std::string_view rest = line;
    const auto start = base::take_number<uint64_t>(rest, kHexadecimal);
    if (start && rest.starts_with('-')) {
      rest.remove_prefix(1);
      mapping = {.start = *start,
                 .end = base::take_number<uint64_t>(rest, kHexadecimal).value_or(*start)};
    } else if (line.starts_with(kFlags) && (line + ' ').find(" um ") != std::string::npos) {
      for (const hot::Region& region : regions) {
        const AddressRange part{.start = std::max(mapping.start, region.base),
                                .end = std::min(mapping.end, region.end())};
        if (part.start < part.end) {
          parts.push_back(part);
        }
      }
    }
  }
  return parts;
}

// To register memory again has no effect, unless it is registered with another userfaultfd (EBUSY).
bool is_of(int uffd, std::span<const AddressRange> parts) {
  try {
    for (const AddressRange& part : parts) {
      uffd_register_missing(uffd, part.start, part.end - part.start);
    }
    return true;
  } catch (const std::system_error&) {
    return false;
  }
}

}  // namespace

base::Fd take_userfaultfd(const Vmm& vmm, std::span<const hot::Region> regions) {
  std::vector<base::Fd> fds = userfaultfds_of(vmm);
  if (fds.empty()) {
    refuse(vmm, "it holds none, so its missing pages read as zeros");
  }
  if (!maps_regions(vmm, regions).value_or(false)) {
    refuse(vmm, "its memory is not where it was");
  }
  const std::vector<AddressRange> parts = registered(vmm, regions);
  if (parts.empty() && fds.size() > 1) {
    refuse(vmm, "it holds several, and its memory is registered with none");
  }
  const auto found =
      std::ranges::find_if(fds, [&](const base::Fd& fd) { return is_of(fd.get(), parts); });
  if (found == fds.end()) {
    refuse(vmm, "its memory is registered with another one");
  }
  return std::move(*found);
}

}  // namespace pager
