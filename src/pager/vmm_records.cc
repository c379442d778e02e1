#include "pager/vmm_records.h"

#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <system_error>

#include "base/atomic_file.h"
#include "base/fd.h"
#include "base/message.h"
#include "base/process.h"

namespace pager {

void VmmRecords::write(const std::string& id, const Vmm& vmm) const {
  if (dir_.empty()) {
    return;
  }
  constexpr mode_t kMode = 0600;
  const std::string text =
      std::to_string(vmm.pid()) + " " + std::to_string(vmm.start_time()) + "\n";
  try {
    base::write_file_atomic(path(id), text, kMode, base::Durable::no);
  } catch (const std::system_error& error) {
    base::say_warning(std::string(error.what()) + "; serving without it");
  }
}

void VmmRecords::rename(const std::string& id, const std::string& to) const {
  if (!dir_.empty()) {
    // Where it fails only the record is lost, as when it could not be written.
    static_cast<void>(::rename(path(id).c_str(), path(to).c_str()));
  }
}

void VmmRecords::remove(const std::string& id) const {
  if (!dir_.empty()) {
    ::unlink(path(id).c_str());
  }
}

bool VmmRecords::names_living_process(const std::string& record) {
  constexpr size_t kMaxRecord = 100;
  try {
    const std::string text = base::read_file(record, kMaxRecord);
    pid_t pid = 0;
    uint64_t start_time = 0;
    const char* end = text.data() + text.size();
    const auto first = std::from_chars(text.data(), end, pid);
    if (first.ec != std::errc() || first.ptr == end ||
        std::from_chars(first.ptr + 1, end, start_time).ec != std::errc()) {
      return true;
    }
    return base::process_start_time(pid) == start_time;
  } catch (const std::exception&) {
    return true;
  }
}

}  // namespace pager
