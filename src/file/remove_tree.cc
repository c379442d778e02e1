// SPDX-License-Identifier: Apache-2.0
// Removes a tree with one open directory at a time.
#include "file/remove_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "base/file_status.h"
#include "file/directory.h"

namespace file {
namespace {

struct Identity {
  uint64_t mount = 0;
  mode_t mode = 0;
  bool exists = false;
};

// Identifies `name` in `dir`, or `dir` itself if the name is empty. Does not follow symbolic links.
Identity identify(int dir, const std::string& name, const std::string& shown) {
  struct statx st {};
  constexpr int kFlags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH;
  if (::statx(dir, name.c_str(), kFlags, STATX_TYPE | STATX_MODE | STATX_MNT_ID, &st) != 0) {
    if (errno == ENOENT) {
      return {};
    }
    base::throw_errno("cannot stat " + base::quoted(shown));
  }
  return {.mount = st.stx_mnt_id, .mode = st.stx_mode, .exists = true};
}

// Returns -1 and errno if the entry is not a directory, is a symbolic link, or is a mount point
// (EXDEV).
base::Fd open_child_dir(int dir, const std::string& name, int flags) {
  struct open_how how {};
  how.flags = static_cast<uint64_t>(flags | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  how.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
  return base::Fd(static_cast<int>(::syscall(SYS_openat2, dir, name.c_str(), &how, sizeof how)));
}

// Visits a tree with one open directory at a time. It returns to the parent through "..", and
// compares the identity of that directory with the one that it came from, because another process
// may move a directory during the walk.
class TreeWalk {
 public:
  enum class Action { remove, look };

  TreeWalk(int parent, std::string shown, Action action)
      : parent_(parent), shown_(std::move(shown)), action_(action) {}

  // Returns the first mount point, at which the walk ends; nothing if the tree has none.
  std::optional<std::string> run(const std::string& name) {
    mount_ = identify(parent_, "", shown_).mount;
    if (visit(parent_, name)) {
      while (!levels_.empty() && !found_) {
        step();
      }
    }
    return found_;
  }

 private:
  struct Level {
    std::string name;
    base::FileId id;
    std::vector<Entry> left;
  };

  std::string path_of(const std::string& name) const {
    if (levels_.empty()) {
      return shown_;
    }
    std::string path = shown_;
    std::for_each(levels_.begin() + 1, levels_.end(),
                  [&](const Level& level) { path += "/" + level.name; });
    return path + "/" + name;
  }

  // Enters a directory and returns true; removes or skips anything else.
  bool visit(int dir, const std::string& name) {
    const Identity entry = identify(dir, name, path_of(name));
    if (!entry.exists) {
      return false;
    }
    if (entry.mount != mount_) {
      found_ = path_of(name);
      return false;
    }
    if (S_ISDIR(entry.mode)) {
      return enter(dir, name);
    }
    if (action_ == Action::remove && ::unlinkat(dir, name.c_str(), 0) != 0 && errno != ENOENT) {
      base::throw_errno("cannot remove " + base::quoted(path_of(name)));
    }
    return false;
  }

  bool enter(int dir, const std::string& name) {
    const std::string path = path_of(name);
    // The mode is changed by a descriptor, because chmod by name would follow a symbolic link
    // that another process puts there. Emptying the directory needs all three permissions,
    // which a clone of a read-only directory lacks.
    const base::Fd entry = open_child_dir(dir, name, O_PATH);
    if (!entry) {
      if (errno == EXDEV) {
        found_ = path;
        return false;
      }
      base::throw_errno("cannot open directory " + base::quoted(path));
    }
    base::Fd opened = open_readable(entry.get());
    struct stat st {};
    if (!opened || ::fstat(opened.get(), &st) != 0) {
      base::throw_errno("cannot open directory " + base::quoted(path));
    }
    levels_.push_back(
        {.name = name, .id = base::file_id(st), .left = list_directory(opened.get(), path)});
    at_ = std::move(opened);
    return true;
  }

  base::Fd open_readable(int entry) const {
    if (action_ == Action::remove) {
      struct stat st {};
      const bool is_closed =
          ::fstat(entry, &st) == 0 && (st.st_mode & S_IRWXU) != static_cast<mode_t>(S_IRWXU);
      if (is_closed) {
        // If this fails, the open or the removal below reports the reason.
        static_cast<void>(::chmod(("/proc/self/fd/" + std::to_string(entry)).c_str(), S_IRWXU));
      }
    }
    return base::Fd(::openat(entry, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }

  void step() {
    Level& level = levels_.back();
    if (!level.left.empty()) {
      const std::string name = std::move(level.left.back().name);
      level.left.pop_back();
      visit(at_.get(), name);
      return;
    }
    const std::string name = std::move(level.name);
    levels_.pop_back();
    const std::string path = path_of(name);
    const int above = go_up(path);
    if (action_ == Action::remove && ::unlinkat(above, name.c_str(), AT_REMOVEDIR) != 0 &&
        errno != ENOENT) {
      base::throw_errno("cannot remove directory " + base::quoted(path));
    }
  }

  // Returns the directory that holds the one that the walk just left.
  int go_up(const std::string& path) {
    if (levels_.empty()) {
      at_.reset();
      return parent_;
    }
    at_ = base::open_at(at_.get(), "..", O_RDONLY | O_DIRECTORY);
    struct stat st {};
    if (::fstat(at_.get(), &st) != 0 || base::file_id(st) != levels_.back().id) {
      throw base::Refused("cannot remove " + base::quoted(path) +
                          ": another process moved it; try again");
    }
    return at_.get();
  }

  int parent_;
  std::string shown_;
  Action action_;
  uint64_t mount_ = 0;
  base::Fd at_;
  std::vector<Level> levels_;
  std::optional<std::string> found_;
};

}  // namespace

void remove_tree(int parent, const std::string& name, const std::string& shown) {
  if (const auto mount = TreeWalk(parent, shown, TreeWalk::Action::remove).run(name)) {
    refuse_mount(*mount);
  }
}

std::optional<std::string> find_mount(int parent, const std::string& name,
                                      const std::string& shown) {
  return TreeWalk(parent, shown, TreeWalk::Action::look).run(name);
}

void refuse_mount(const std::string& path) {
  throw base::Refused("cannot remove " + base::quoted(path) +
                      ": it is a mount point; unmount it first");
}

}  // namespace file
