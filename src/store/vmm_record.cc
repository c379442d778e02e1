// SPDX-License-Identifier: Apache-2.0
// Writes, reads and resolves the record of a VMM.
#include "store/vmm_record.h"

#include <unistd.h>

#include <sstream>
#include <system_error>

#include "base/error.h"
#include "base/fd.h"
#include "base/number.h"

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
  std::string_view rest = text;
  const std::optional<pid_t> pid = base::take_number<pid_t>(rest);
  rest.remove_prefix(std::min<size_t>(rest.size(), 1));
  const std::optional<uint64_t> start_time = base::take_number<uint64_t>(rest);
  if (!pid || !start_time || *pid < 0) {
    throw base::BadData("cannot use " + base::quoted(path) + ": not the record of a VMM");
  }
  vmm.pid = *pid;
  vmm.start_time = *start_time;
  std::istringstream(std::string(rest)) >> vmm.boot_id >> vmm.pid_namespace;
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
