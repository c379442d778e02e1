// SPDX-License-Identifier: Apache-2.0
// The layout below SNAPFORK_ROOT: paths, the checks of ids, and the creation of the layout.
#include "store/store.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include "base/error.h"
#include "base/utf8.h"
#include "file/cross_device.h"
#include "file/open_beneath.h"

namespace store {
namespace {

constexpr size_t kMaxIdLength = 64;

bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// Returns what is wrong with `id`, or nullptr.
const char* id_problem(std::string_view id) {
  if (id.empty()) {
    return "it is empty";
  }
  if (id.size() > kMaxIdLength) {
    return "it is longer than 64 characters";
  }
  if (!is_alphanumeric(id[0])) {
    return "it must start with a letter or a digit";
  }
  const bool good = std::ranges::all_of(
      id, [](char c) { return is_alphanumeric(c) || c == '.' || c == '_' || c == '-'; });
  return good ? nullptr : "only letters, digits, '.', '_' and '-' are allowed";
}

// Creates one directory of the store unless it exists.
void make_dir(int parent, const std::string& name, mode_t mode, const std::string& path) {
  if (::mkdirat(parent, name.c_str(), mode) != 0 && errno != EEXIST) {
    base::throw_errno("cannot create directory " + base::quoted(path));
  }
}

}  // namespace

bool is_valid_id(std::string_view id) {
  return id_problem(id) == nullptr;
}

void check_id(std::string_view id) {
  if (const char* problem = id_problem(id)) {
    throw base::UsageError("bad id " + base::quoted(id.substr(0, kMaxIdLength)) +
                           (id.size() > kMaxIdLength ? "...: " : ": ") + problem);
  }
}

Store Store::from_environment() {
  const char* root = std::getenv("SNAPFORK_ROOT");
  return Store(root != nullptr && *root != '\0' ? root : "/var/lib/snapfork");
}

Store::Store(std::string root) : root_(std::move(root)) {
  while (root_.size() > 1 && root_.back() == '/') {
    root_.pop_back();
  }
}

std::string Store::guest_dir(std::string_view id) const {
  return guests_dir() + "/" + std::string(id);
}
std::string Store::metadata_path(std::string_view id) const {
  return guest_dir(id) + "/metadata.json";
}
std::string Store::state_path(std::string_view id) const {
  return guest_dir(id) + "/snapshots/snapshot-latest/state";
}
std::string Store::memory_path(std::string_view id) const {
  return guest_dir(id) + "/snapshots/snapshot-latest/memory";
}
std::string Store::template_dir(std::string_view id) const {
  return guest_dir(id) + "/template";
}
std::string Store::fork_index_dir(std::string_view id) const {
  return template_dir(id) + "/forks";
}

void Store::require_root() const {
  if (!base::is_utf8(root_)) {  // metadata and records are JSON, which cannot hold other paths
    throw base::UsageError("cannot use the store " + base::quoted(root_) +
                           ": its path is not UTF-8; rename it, or set SNAPFORK_ROOT to another");
  }
  struct stat st {};
  if (::stat(root_.c_str(), &st) != 0) {
    const int error = errno;
    base::throw_error_number(error, "cannot use the store " + base::quoted(root_) +
                                        " (create it, or set SNAPFORK_ROOT to another)");
  }
  if (!S_ISDIR(st.st_mode)) {
    base::throw_error_number(ENOTDIR, "cannot use the store " + base::quoted(root_));
  }
}

void Store::create_layout() const {
  constexpr mode_t kPrivate = 0700;  // memory images and disks lie below
  const base::Fd root = open_root();
  make_dir(root.get(), "guests", kPrivate, guests_dir());
  make_dir(root.get(), ".snapfork", kPrivate, root_ + "/.snapfork");
  const base::Fd guests = open_below(guests_dir(), O_PATH | O_DIRECTORY);
  const base::Fd ours = open_below(root_ + "/.snapfork", O_PATH | O_DIRECTORY);
  for (const std::string& dir : {locks_dir(), tmp_dir(), trash_dir()}) {
    make_dir(ours.get(), dir.substr(dir.rfind('/') + 1), kPrivate, dir);
    const base::Fd fd = open_below(dir, O_PATH | O_DIRECTORY);
    if (!file::is_one_mount(guests.get(), fd.get())) {
      throw base::Unsupported("cannot use the store " + base::quoted(root_) + " with " +
                              base::quoted(guests_dir()) + " and " + base::quoted(dir) + ": " +
                              file::cross_device_reason(guests.get(), fd.get()) +
                              "; make them plain directories of one mount");
    }
  }
}

base::Fd Store::open_root() const {
  require_root();  // its message contains the advice for a root that does not exist
  return base::open_file(root_, O_PATH | O_DIRECTORY);
}

base::Fd Store::open_below(const std::string& path, int flags, mode_t mode) const {
  const base::Fd root = open_root();
  return file::open_beneath(root.get(), below_root(path), flags, root_, mode);
}

std::optional<base::Fd> Store::try_open_below(const std::string& path, int flags) const {
  const base::Fd root = open_root();
  return file::try_open_beneath(root.get(), below_root(path), flags, root_);
}

std::string Store::below_root(const std::string& path) const {
  const size_t prefix = root_ == "/" ? 1 : root_.size() + 1;
  SNAPFORK_CHECK(path.size() > prefix && path.starts_with(root_) && path[prefix - 1] == '/');
  return path.substr(prefix);
}

void make_dirs(const std::string& path, unsigned mode) {
  for (size_t at = 0; at != std::string::npos;) {
    at = path.find('/', at + 1);
    const std::string part = path.substr(0, at);
    if (::mkdir(part.c_str(), mode) != 0 && errno != EEXIST) {
      base::throw_errno("cannot create directory " + base::quoted(part));
    }
  }
}

}  // namespace store
