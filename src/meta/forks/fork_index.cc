// SPDX-License-Identifier: Apache-2.0
// Keeps template/forks: one empty file for each fork, compared with the fork's own metadata.
#include "meta/forks/fork_index.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <optional>
#include <utility>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/file_status.h"
#include "meta/guest/fork_relation.h"
#include "store/files.h"

namespace meta {
namespace {

std::string entry_path(const std::string& dir, const std::string& name) {
  return dir + "/" + name;
}

// Creates the missing entries, all or none.
void write_entries(const store::Store& store, const std::string& dir,
                   std::span<const std::string> names) {
  const base::Fd dir_fd = store.open_below(dir, O_RDONLY | O_DIRECTORY);
  std::vector<std::string> made;
  try {
    for (const std::string& name : names) {
      const base::Fd entry(::openat(dir_fd.get(), name.c_str(),
                                    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644));
      if (entry) {
        made.push_back(name);
      } else if (errno != EEXIST) {
        base::throw_errno("cannot create " + base::quoted(entry_path(dir, name)));
      }
    }
  } catch (...) {
    for (const std::string& name : made) {
      ::unlinkat(dir_fd.get(), name.c_str(), 0);
    }
    throw;
  }
}

// Creates a directory in `parent` with a new temporary name (base::is_temporary_name).
std::string make_temporary_dir(const std::string& parent) {
  for (int number = 0;; ++number) {
    std::string path =
        parent + "/.forks." + std::to_string(number) + std::string(base::kTemporarySuffix);
    if (::mkdir(path.c_str(), 0755) == 0) {
      return path;
    }
    if (errno != EEXIST) {
      base::throw_errno("cannot create directory " + base::quoted(path));
    }
  }
}

void remove_index(const std::string& dir, std::span<const std::string> names) {
  for (const std::string& name : names) {
    ::unlink(entry_path(dir, name).c_str());
  }
  ::rmdir(dir.c_str());
}

}  // namespace

bool has_fork_index(const store::Store& store, std::string_view template_id) {
  return store.try_open_below(store.fork_index_dir(template_id), O_PATH).has_value();
}

bool has_fork_index_entry(const store::Store& store, std::string_view template_id,
                          const std::string& fork_id) {
  const std::string path = entry_path(store.fork_index_dir(template_id), fork_id);
  return store.try_open_below(path, O_PATH).has_value();
}

namespace {

// Whether two names in guests/ are the same directory, through a link or a bind mount.
bool is_same_directory(const store::Store& store, std::string_view a, std::string_view b) {
  struct stat first {};
  struct stat second {};
  return ::stat(store.guest_dir(a).c_str(), &first) == 0 &&
         ::stat(store.guest_dir(b).c_str(), &second) == 0 && base::is_same_file(first, second);
}

// Whether `fork` is a fork of this template. It is also one if it names another id that is the same
// directory: an index reached through another name is still the index of its template.
ForkState state_of(const store::Store& store, std::string_view template_id,
                   const ForkRelation& fork) {
  const bool is_ours = fork.fork_of_template == template_id ||
                       (store::is_valid_id(fork.fork_of_template) &&
                        is_same_directory(store, fork.fork_of_template, template_id));
  return is_ours ? ForkState::live : ForkState::foreign;
}

}  // namespace

ForkRecord inspect_fork(const store::Store& store, std::string_view template_id,
                        std::string fork_id) {
  ForkRecord record{.id = std::move(fork_id), .state = ForkState::live, .problem = ""};
  try {
    const std::optional<ForkRelation> keys = read_fork_relation(store, record.id);
    record.state = keys ? state_of(store, template_id, *keys) : ForkState::absent;
  } catch (const std::exception& error) {
    record.state = ForkState::unreadable;
    record.problem = error.what();
  }
  return record;
}

std::vector<ForkRecord> read_fork_index(const store::Store& store, std::string_view template_id) {
  std::vector<ForkRecord> records;
  for (const std::string& id : store::list_ids(store, store.fork_index_dir(template_id))) {
    records.push_back(inspect_fork(store, template_id, id));
  }
  return records;
}

std::vector<ForkRecord> scan_for_forks(const store::Store& store, std::string_view template_id) {
  std::vector<ForkRecord> records;
  for (const std::string& id : store::list_ids(store, store.guests_dir())) {
    ForkRecord record = inspect_fork(store, template_id, id);
    if (record.state == ForkState::live || record.state == ForkState::unreadable) {
      records.push_back(std::move(record));
    }
  }
  return records;
}

void create_fork_index(const store::Store& store, std::string_view template_id) {
  if (has_fork_index(store, template_id)) {
    return;
  }
  std::vector<std::string> forks;
  const std::optional<ForkRelation> keys = read_fork_relation(store, template_id);
  if (keys && keys->is_template) {
    for (ForkRecord& record : scan_for_forks(store, template_id)) {
      forks.push_back(std::move(record.id));
    }
  }
  const std::string parent = store.template_dir(template_id);
  if (::mkdir(parent.c_str(), 0755) == 0) {
    base::sync_parent_dir(parent);
  } else if (errno != EEXIST) {
    base::throw_errno("cannot create directory " + base::quoted(parent));
  }
  const std::string temporary = make_temporary_dir(parent);
  const std::string path = store.fork_index_dir(template_id);
  try {
    write_entries(store, temporary, forks);
    store::sync_dir(temporary);
    // If another process that shares the lock has made the index in the meantime, that one is kept.
    if (::renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE) != 0) {
      if (errno != EEXIST) {
        base::throw_errno("cannot create " + base::quoted(path));
      }
      remove_index(temporary, forks);
    }
  } catch (...) {
    remove_index(temporary, forks);
    throw;
  }
  base::sync_parent_dir(path);
}

void add_fork_index_entries(const store::Store& store, std::string_view template_id,
                            std::span<const std::string> fork_ids) {
  create_fork_index(store, template_id);
  write_entries(store, store.fork_index_dir(template_id), fork_ids);
}

// Flushing the directory is enough. An entry is a name without contents, and its new inode is
// flushed with the directory: ext4 and XFS have one journal, and btrfs logs new inodes with their
// directory. This was verified on all three with an image of the disk taken after the flush.
void sync_fork_index(const store::Store& store, std::string_view template_id) {
  store::sync_dir(store.fork_index_dir(template_id));
}

void drop_fork_index_entries(const store::Store& store, std::string_view template_id,
                             std::span<const std::string> fork_ids) {
  const std::string path = store.fork_index_dir(template_id);
  const std::optional<base::Fd> dir = store.try_open_below(path, O_PATH | O_DIRECTORY);
  if (!dir) {
    return;
  }
  for (const std::string& id : fork_ids) {
    if (::unlinkat(dir->get(), id.c_str(), 0) != 0 && errno != ENOENT) {
      base::throw_errno("cannot remove " + base::quoted(entry_path(path, id)));
    }
  }
}

}  // namespace meta
