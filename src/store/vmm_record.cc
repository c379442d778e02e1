// SPDX-License-Identifier: Apache-2.0
// Writes, reads and resolves the record of a VMM.
#include "store/vmm_record.h"

#include <unistd.h>

#include <charconv>
#include <sstream>
#include <system_error>

#include "base/error.h"
#include "base/fd.h"

namespace store {

std::string vmm_record_text(const base::ProcessIdentity& vmm) {
  std::string text = std::to_string(vmm.pid) + " " + std::to_string(vmm.start_time);
  if (!vmm.boot_id.empty() && !vmm.pid_namespace.empty()) {
    text += " " + vmm.boot_id + " " + vmm.pid_namespace;
  }
  return text + "\n";
}

std::optional<base::ProcessIdentity> read_vmm_record(const std::string& path) {
  constexpr size_t kMaxRecord = 100;
  std::string text;
  try {
    text = base::read_file(path, kMaxRecord);
  } catch (const std::system_error& error) {
    if (error.code() == std::errc::no_such_file_or_directory) {
      return std::nullopt;
    }
    throw;
  }
  base::ProcessIdentity vmm;
  const char* end = text.data() + text.size();
  const auto pid = std::from_chars(text.data(), end, vmm.pid);
  const auto time = pid.ec == std::errc() && pid.ptr != end
                        ? std::from_chars(pid.ptr + 1, end, vmm.start_time)
                        : pid;
  if (pid.ec != std::errc() || pid.ptr == end || time.ec != std::errc() || vmm.pid < 0) {
    throw base::BadData("cannot use " + base::quoted(path) + ": not the record of a VMM");
  }
  std::istringstream(std::string(time.ptr, end)) >> vmm.boot_id >> vmm.pid_namespace;
  return vmm;
}

base::FoundProcess find_recorded_vmm(const base::ProcessIdentity& vmm) {
  if (vmm.pid > 0) {
    return base::find_process(vmm);
  }
  // find_process compares boots. This process lives in the present boot.
  return {.alive = base::find_process({.pid = ::getpid(), .boot_id = vmm.boot_id}).alive};
}

}  // namespace store
