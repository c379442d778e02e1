// SPDX-License-Identifier: Apache-2.0
// Checks the directory and the recorded Id of a guest, and reads metadata.json without links.
#include "meta/guest/guest.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "base/error.h"
#include "base/fd.h"
#include "base/file_status.h"
#include "base/json_object.h"
#include "meta/guest/fork_relation.h"
#include "store/files.h"

namespace meta {
namespace {

// Returns nothing if the name does not exist. Throws base::BadData if it is not a directory.
std::optional<struct stat> stat_guest(const store::Store& store, std::string_view id) {
  const std::string dir = store.guest_dir(id);
  const std::optional<struct stat> st = base::try_lstat_path(dir);
  if (st && !S_ISDIR(st->st_mode)) {
    throw base::BadData("cannot use guest " + base::quoted(id) + ": " + base::quoted(dir) + " is " +
                        (S_ISLNK(st->st_mode) ? "a symbolic link" : "not a directory") +
                        ", and a guest must be a directory; remove that name, or move the guest's "
                        "directory there");
  }
  return st;
}

}  // namespace

bool guest_exists(const store::Store& store, std::string_view id) {
  return store::path_exists(store.guest_dir(id));
}

void require_guest(const store::Store& store, std::string_view id) {
  if (!stat_guest(store, id)) {
    throw_no_guest(store, id);
  }
  std::string recorded;
  try {
    const std::optional<std::string> text = read_metadata_text(store, id);
    recorded = parse_fork_relation(text.value_or(""), store.metadata_path(id)).id;
  } catch (const std::exception&) {
    return;
  }
  check_recorded_id(store, id, recorded);
}

bool is_guest(const store::Store& store, std::string_view id) {
  try {
    require_guest(store, id);
    return true;
  } catch (const base::Error&) {
    return false;
  }
}

void throw_no_guest(const store::Store& store, std::string_view id) {
  store.require_root();
  throw base::Refused("no such guest " + base::quoted(id) + " in " +
                      base::quoted(store.guests_dir()) +
                      "; 'snapshot-meta list' prints the guests that exist");
}

std::optional<std::string> read_metadata_text(const store::Store& store, std::string_view id) {
  if (!stat_guest(store, id)) {
    return std::nullopt;
  }
  const std::string path = store.metadata_path(id);
  try {
    const base::Fd fd = store.open_below(path, O_RDONLY | O_NONBLOCK);
    return base::read_regular(fd.get(), base::kMaxJsonBytes, path);
  } catch (const std::system_error&) {
    // A guest that another process moves to the trash at the same time is absent, not unreadable.
    if (!stat_guest(store, id)) {
      return std::nullopt;
    }
    throw;
  }
}

void check_recorded_id(const store::Store& store, std::string_view id, std::string_view recorded) {
  if (recorded != id) {
    throw base::BadData("cannot use guest " + base::quoted(id) + ": " +
                        base::quoted(store.metadata_path(id)) + " has the Id " +
                        base::quoted(recorded) +
                        ", so the directory belongs to another guest, is a copy, or was renamed; "
                        "rename it back, or remove the copy");
  }
}

std::vector<std::string> list_guests(const store::Store& store) {
  std::vector<std::string> ids = store::list_ids(store, store.guests_dir());
  std::erase_if(ids, [&](const std::string& id) {
    struct stat st {};
    return ::lstat(store.guest_dir(id).c_str(), &st) != 0 || !S_ISDIR(st.st_mode);
  });
  return ids;
}

}  // namespace meta
