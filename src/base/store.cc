#include "base/store.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include "base/error.h"

namespace base {
namespace {

constexpr size_t kMaxIdLength = 64;

bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// What is wrong with `id`, or nullptr.
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

}  // namespace

bool is_valid_id(std::string_view id) {
  return id_problem(id) == nullptr;
}

void check_id(std::string_view id) {
  if (const char* problem = id_problem(id)) {
    throw UsageError("bad id " + quoted(id.substr(0, kMaxIdLength)) +
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
  struct stat st {};
  if (::stat(root_.c_str(), &st) != 0) {
    const int error = errno;
    throw_error_number(error, "cannot use the store " + quoted(root_) +
                                  " (create it, or set SNAPFORK_ROOT to another)");
  }
  if (!S_ISDIR(st.st_mode)) {
    throw_error_number(ENOTDIR, "cannot use the store " + quoted(root_));
  }
}

void Store::create_layout() const {
  require_root();
  make_dirs(guests_dir(), 0755);
  for (const std::string& dir : {locks_dir(), tmp_dir(), trash_dir()}) {
    make_dirs(dir, 0700);
  }
  struct stat guests {};
  struct stat ours {};
  if (::stat(guests_dir().c_str(), &guests) != 0) {
    throw_errno("cannot stat " + quoted(guests_dir()));
  }
  if (::stat(tmp_dir().c_str(), &ours) != 0) {
    throw_errno("cannot stat " + quoted(tmp_dir()));
  }
  if (guests.st_dev != ours.st_dev) {
    throw Unsupported("cannot use the store " + quoted(root_) +
                      ": guests/ and .snapfork/ are on different filesystems; move them onto one");
  }
}

void make_dirs(const std::string& path, unsigned mode) {
  for (size_t at = 0; at != std::string::npos;) {
    at = path.find('/', at + 1);
    const std::string part = path.substr(0, at);
    if (::mkdir(part.c_str(), mode) != 0 && errno != EEXIST) {
      throw_errno("cannot create directory " + quoted(part));
    }
  }
}

}  // namespace base
