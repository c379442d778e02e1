// SPDX-License-Identifier: Apache-2.0
// reflink-clone --clean: removes the leftovers of killed runs.
#include "clone/clean.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>

#include "base/atomic_file.h"
#include "base/effect.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json_line.h"
#include "file/directory.h"
#include "file/file_lease.h"
#include "file/remove_tree.h"

namespace cloning {
namespace {

// A run of this program holds the flock of its temporary. A metadata file that is being written has
// no lock, but is open for writing.
bool is_in_use(int fd) {
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    return true;
  }
  return file::FileLease(fd, file::FileLease::Kind::read).state() ==
         file::FileLease::State::refused;
}

bool is_made_by_us(mode_t type) {
  return type == S_IFREG || type == S_IFDIR;
}

}  // namespace

std::vector<Leftover> remove_leftovers(const std::string& directory, base::Effect effect) {
  const base::Fd dir = base::open_file(directory, O_RDONLY | O_DIRECTORY);
  std::vector<Leftover> found;
  for (const file::Entry& entry : file::list_directory(dir.get(), directory)) {
    if (!base::is_temporary_name(entry.name) || !is_made_by_us(entry.type)) {
      continue;
    }
    const base::Fd fd(::openat(dir.get(), entry.name.c_str(), O_RDONLY | file::kNoFollow));
    if (!fd) {
      if (errno == ENOENT) {
        continue;  // another run published or removed it
      }
      base::throw_errno("cannot open " + base::quoted(directory + "/" + entry.name));
    }
    found.push_back({.path = directory + "/" + entry.name, .in_use = is_in_use(fd.get())});
    if (!found.back().in_use && !base::is_dry_run(effect)) {
      file::remove_tree(dir.get(), entry.name, found.back().path);  // the lock is still held
    }
  }
  return found;
}

std::string leftover_record(const Leftover& leftover, base::Effect effect) {
  return base::JsonLine("leftover")
      .path("path", leftover.path)
      .boolean("in_use", leftover.in_use)
      .boolean("removed", !leftover.in_use && !base::is_dry_run(effect))
      .boolean("dry_run", base::is_dry_run(effect))
      .str();
}

std::string leftover_line(const Leftover& leftover, base::Effect effect) {
  return base::quoted(leftover.path) + (leftover.in_use ? ": kept, a running process uses it\n"
                                        : base::is_dry_run(effect) ? ": would be removed\n"
                                                                   : ": removed\n");
}

}  // namespace cloning
