// SPDX-License-Identifier: Apache-2.0
// Compares the record in each VMM's directory with the guests of the store.
#include "meta/flows/vmm_leftovers.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/error.h"
#include "base/fd.h"
#include "base/file_status.h"
#include "file/directory.h"
#include "file/remove_tree.h"
#include "store/files.h"
#include "store/jail_undo.h"
#include "store/run_dir.h"
#include "store/session_name.h"

namespace meta {
namespace {

constexpr size_t kMostPathBytes = 4096;

// Opens a directory of this user; nothing if it is not one.
std::optional<base::Fd> open_own_directory(const std::string& path) {
  base::Fd dir(::open(path.c_str(), O_RDONLY | O_DIRECTORY | file::kNoFollow));
  if (!dir || base::stat_fd(dir.get(), path).st_uid != ::geteuid()) {
    return std::nullopt;
  }
  return dir;
}

// The path in the file `guest`, which fc-run wrote; nothing if there is none.
std::optional<std::string> recorded_guest(int dir, const std::string& path) {
  const base::Fd file(::openat(dir, "guest", O_RDONLY | file::kNoFollow));
  if (!file) {
    return std::nullopt;
  }
  const std::string text = base::read_regular(file.get(), kMostPathBytes, path + "/guest");
  return text.ends_with('\n') ? std::optional(text.substr(0, text.size() - 1)) : std::nullopt;
}

// The id in ROOT/guests/ID, if ROOT is the directory of this store by whatever path.
std::optional<std::string> id_in_store(const store::Store& store, const std::string& guest) {
  constexpr std::string_view kGuests = "/guests/";
  const size_t at = guest.rfind(kGuests);
  if (at == std::string::npos || !store::is_valid_id(guest.substr(at + kGuests.size()))) {
    return std::nullopt;
  }
  const std::optional<struct stat> root = base::try_stat_path(guest.substr(0, at + 1));
  return root && base::is_same_file(*root, base::stat_path(store.root()))
             ? std::optional(guest.substr(at + kGuests.size()))
             : std::nullopt;
}

// The id of the guest whose VMM's directory this is, if it is of this store.
std::optional<std::string> guest_of(const store::Store& store, const std::string& path) {
  const std::optional<base::Fd> dir = open_own_directory(path);
  const std::optional<std::string> guest =
      dir ? recorded_guest(dir->get(), path) : std::optional<std::string>();
  return guest ? id_in_store(store, *guest) : std::nullopt;
}

// The id, if the directory is a leftover.
std::optional<std::string> leftover_id(const store::Store& store, const std::string& path) {
  std::optional<std::string> id = guest_of(store, path);
  const std::optional<struct stat> st =
      id ? base::try_lstat_path(store.guest_dir(*id)) : std::optional<struct stat>();
  if (st && store::session_name(*id, *st) == path.substr(path.rfind('/') + 1)) {
    return std::nullopt;
  }
  return id;
}

// Whether this process gets the lock, which fc-run holds while the VMM runs.
bool lock_directory(const base::Fd& dir, const std::string& path) {
  if (::flock(dir.get(), LOCK_EX | LOCK_NB) == 0) {
    return true;
  }
  if (errno != EWOULDBLOCK) {
    base::throw_errno("cannot lock " + base::quoted(path));
  }
  return false;
}

std::optional<std::string> jail_leftover_id(const store::Store& store, const std::string& path) {
  const std::optional<base::Fd> dir = open_own_directory(path);
  return dir && base::try_lstat_at(dir->get(), store::kUndo, path) && lock_directory(*dir, path)
             ? guest_of(store, path)
             : std::nullopt;
}

// The directories in the run directory for which `id_of` returns an id; with `id`, only those of
// that guest.
template <typename IdOf>
std::vector<VmmLeftover> find_directories(const std::optional<std::string>& id, IdOf id_of) {
  std::vector<VmmLeftover> found;
  const std::string parent = store::find_vmm_dir();
  const std::optional<base::Fd> dir = parent.empty() ? std::nullopt : open_own_directory(parent);
  if (!dir) {
    return found;
  }
  for (const file::Entry& entry : file::list_directory(dir->get(), parent)) {
    if (entry.type != S_IFDIR || (id && !entry.name.starts_with(*id + "@"))) {
      continue;
    }
    const std::string path = parent + "/" + entry.name;
    if (std::optional<std::string> owner = id_of(path)) {
      found.push_back({.id = *std::move(owner), .path = path});
    }
  }
  return found;
}

}  // namespace

std::vector<VmmLeftover> find_vmm_leftovers(const store::Store& store,
                                            const std::optional<std::string>& id) {
  return find_directories(id, [&](const std::string& path) { return leftover_id(store, path); });
}

std::vector<VmmLeftover> find_jail_leftovers(const store::Store& store) {
  return find_directories({},
                          [&](const std::string& path) { return jail_leftover_id(store, path); });
}

bool is_jail_leftover(const store::Store& store, const std::string& path) {
  return jail_leftover_id(store, path).has_value();
}

void undo_jail_leftover(const std::string& path) {
  const std::optional<base::Fd> dir = open_own_directory(path);
  if (dir && lock_directory(*dir, path)) {
    store::undo_jail(dir->get());
  }
}

bool is_vmm_leftover(const store::Store& store, const std::string& path) {
  return leftover_id(store, path).has_value();
}

bool remove_vmm_leftover(const std::string& path) {
  const std::optional<base::Fd> dir = open_own_directory(path);
  if (!dir) {
    return true;
  }
  if (!lock_directory(*dir, path)) {
    return false;
  }
  store::undo_jail(dir->get());
  const size_t slash = path.rfind('/');
  const base::Fd parent = base::open_file(path.substr(0, slash), O_RDONLY | O_DIRECTORY);
  file::remove_tree(parent.get(), path.substr(slash + 1), path);
  return true;
}

}  // namespace meta
