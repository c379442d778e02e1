#include "pager/service_dir.h"

#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <filesystem>

#include "base/error.h"
#include "base/fd.h"
#include "base/message.h"
#include "base/process.h"

namespace pager {
namespace {

namespace fs = std::filesystem;

// Whether a record's process is the one that runs now. What cannot be read counts as living.
bool names_living_process(const std::string& record) {
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

}  // namespace

std::string prepare_service_dir(const std::string& control_path) {
  const size_t slash = control_path.find_last_of('/');
  std::string dir = (slash == std::string::npos ? "" : control_path.substr(0, slash + 1)) + "s";
  constexpr mode_t kMode = 0700;
  if (::mkdir(dir.c_str(), kMode) != 0 && errno != EEXIST) {
    base::throw_errno("cannot create " + base::quoted(dir));
  }
  const base::Fd fd = base::open_file(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0) {
    base::throw_errno("cannot stat " + base::quoted(dir));
  }
  if (st.st_uid != ::geteuid()) {
    throw base::Refused("cannot use " + base::quoted(dir) + ": it belongs to user " +
                        std::to_string(st.st_uid));
  }
  if ((st.st_mode & 07777) != kMode && ::fchmod(fd.get(), kMode) != 0) {
    base::throw_errno("cannot set the mode of " + base::quoted(dir));
  }
  for (const fs::directory_entry& entry : fs::directory_iterator(dir)) {
    const std::string path = entry.path().string();
    if (path.ends_with(".sock")) {
      ::unlink(path.c_str());
    } else if (path.ends_with(".vmm")) {
      if (names_living_process(path)) {
        base::say_warning(base::quoted(path) +
                          " names a VMM that a killed server served: its guest hangs");
      } else {
        ::unlink(path.c_str());
      }
    }
  }
  return dir;
}

}  // namespace pager
