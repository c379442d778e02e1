// SPDX-License-Identifier: Apache-2.0
// Lines of the file: KIND, tab, fields, tab, PATH. A line without its line break is not whole.
#include "store/jail_undo.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <optional>
#include <string_view>
#include <thread>

#include "base/deadline.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/file_status.h"
#include "base/message.h"
#include "base/number.h"
#include "file/remove_tree.h"

namespace store {
namespace {

// Takes the text up to the next tab.
std::string_view take_field(std::string_view& line) {
  const size_t tab = line.find('\t');
  const std::string_view field = line.substr(0, tab);
  line.remove_prefix(tab == std::string_view::npos ? line.size() : tab + 1);
  return field;
}

void restore_owner(std::string_view fields) {
  const auto number = [&] { return base::parse_number<uint32_t>(take_field(fields)); };
  const std::optional<uint32_t> owner = number();
  const std::optional<uint32_t> group = number();
  const std::optional<uint32_t> uid = number();
  const std::string path(fields);
  const base::Fd file(::open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!owner || !group || !uid || !file) {
    return;
  }
  const struct stat st = base::stat_fd(file.get(), path);
  // The guest may have been replaced since.
  if (S_ISREG(st.st_mode) && st.st_uid == *uid && st.st_nlink == 1 &&
      ::fchownat(file.get(), "", *owner, *group, AT_EMPTY_PATH) != 0) {
    base::throw_errno("cannot set the owner of " + base::quoted(path));
  }
}

void remove_cgroup(const std::string& path) {
  constexpr std::chrono::seconds kLimit{2};
  constexpr std::chrono::milliseconds kStep{5};
  const base::Deadline deadline = base::Deadline::after(kLimit);
  while (::rmdir(path.c_str()) != 0 && errno != ENOENT) {
    if (errno != EBUSY || deadline.passed()) {
      base::throw_errno("cannot remove the cgroup " + base::quoted(path));
    }
    std::this_thread::sleep_for(kStep);  // its last process is ending
  }
}

void remove_directory(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string parent = path.substr(0, slash);
  const base::Fd directory(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (directory && !is_live_jail(path)) {
    file::remove_tree(directory.get(), path.substr(slash + 1), path);
  }
}

void undo_line(std::string_view line) {
  try {
    const std::string_view kind = take_field(line);
    if (kind == "owner") {
      restore_owner(line);
    } else if (kind == "cgroup") {
      remove_cgroup(std::string(line));
    } else if (kind == "tree") {
      remove_directory(std::string(line));
    }
  } catch (const std::exception& error) {
    base::say_warning(error.what());
  }
}

}  // namespace

void JailUndo::owner(const std::string& path, uid_t owner, gid_t group, uid_t uid) {
  lines_ += "owner\t" + std::to_string(owner) + "\t" + std::to_string(group) + "\t" +
            std::to_string(uid) + "\t" + path + "\n";
}

void JailUndo::cgroup(const std::string& path) {
  lines_ += "cgroup\t" + path + "\n";
}

void JailUndo::tree(const std::string& path) {
  lines_ += "tree\t" + path + "\n";
}

void JailUndo::write(int directory) const {
  constexpr mode_t kMode = 0600;
  const base::Fd out =
      base::open_at(directory, kUndo, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, kMode);
  base::write_full(out.get(), lines_, kUndo);
}

bool is_live_jail(const std::string& path) {
  const base::Fd fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  return fd && ::flock(fd.get(), LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

void undo_jail(int directory) noexcept {
  try {
    const base::Fd file(::openat(directory, kUndo, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!file) {
      return;
    }
    constexpr size_t kMost = size_t{1} << 20U;
    const std::string text = base::read_regular(file.get(), kMost, kUndo);
    std::string_view rest = text;
    for (size_t end = rest.find('\n'); end != std::string_view::npos; end = rest.find('\n')) {
      undo_line(rest.substr(0, end));
      rest.remove_prefix(end + 1);
    }
    ::unlinkat(directory, kUndo, 0);
  } catch (const std::exception& error) {
    base::say_warning(error.what());
  }
}

}  // namespace store
