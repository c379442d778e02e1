// SPDX-License-Identifier: Apache-2.0
// Creates and maps the memory that servers pass on.
#include "pager/serve/shared_state.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>

#include "base/file_status.h"
#include "base/message.h"

namespace pager {

SharedMemory::SharedMemory(size_t bytes, bool shared) : bytes_(bytes) {
  if (shared) {
    file_ = base::Fd(::memfd_create("snapfork-state", MFD_CLOEXEC));
    if (!file_ || ::ftruncate(file_.get(), static_cast<off_t>(bytes)) != 0) {
      base::throw_errno("cannot create shared memory");
    }
  }
  map();
}

SharedMemory::SharedMemory(base::Fd file, size_t least_bytes) : file_(std::move(file)) {
  bytes_ = static_cast<size_t>(base::stat_fd(file_.get(), "the state of a server").st_size);
  if (bytes_ < least_bytes) {
    throw base::BadData("cannot use the state of a server: it is truncated");
  }
  map();
}

void SharedMemory::map() {
  memory_ = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE,
                   file_ ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, file_.get(), 0);
  if (memory_ == MAP_FAILED) {
    memory_ = nullptr;
    base::throw_errno("cannot map shared memory");
  }
}

SharedMemory::SharedMemory(SharedMemory&& other) noexcept
    : file_(std::move(other.file_)),
      memory_(std::exchange(other.memory_, nullptr)),
      bytes_(other.bytes_) {}

SharedMemory& SharedMemory::operator=(SharedMemory&& other) noexcept {
  std::swap(file_, other.file_);
  std::swap(memory_, other.memory_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

SharedMemory::~SharedMemory() {
  if (memory_ != nullptr) {
    ::munmap(memory_, bytes_);
  }
}

SharedMemory adopt_service_state(base::Fd file) {
  SharedMemory memory(std::move(file), ServiceState::kBytes);
  const uint32_t version = memory.as<ServiceState>().version;
  if (version != ServiceState::kVersion) {
    throw base::BadData("cannot use the state of the last server: it has version " +
                        std::to_string(version) + ", and this server reads version " +
                        std::to_string(ServiceState::kVersion));
  }
  return memory;
}

std::string_view endpoint_text(const SharedMemory& state) {
  const auto& endpoint = state.as<EndpointState>();
  if (endpoint.version != EndpointState::kVersion ||
      sizeof(EndpointState) + endpoint.text_bytes > state.size()) {
    throw base::BadData("cannot use the state of an endpoint: it has another version");
  }
  return {state.after<EndpointState>(), endpoint.text_bytes};
}

std::string StateFiles::path(uint64_t key, std::string_view suffix) const {
  return (dir_ + "/" + std::to_string(key)).append(suffix);
}

base::Fd StateFiles::create(uint64_t key, std::string_view suffix, uint64_t bytes) {
  std::string why = "the directory is not on tmpfs";
  struct statfs fs {};
  const bool is_tmpfs =
      !dir_.empty() && ::statfs(dir_.c_str(), &fs) == 0 && fs.f_type == TMPFS_MAGIC;
  if (is_tmpfs) {
    constexpr mode_t kMode = 0600;
    const std::string name = path(key, suffix);
    base::Fd file(::open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, kMode));
    const int error = file ? ::posix_fallocate(file.get(), 0, static_cast<off_t>(bytes)) : errno;
    if (error == 0) {
      return file;
    }
    if (file) {
      ::unlink(name.c_str());
    }
    why = std::generic_category().message(error);
  }
  if (!dir_.empty() && !std::exchange(warned_, true)) {
    const std::string text = "the states of sessions are in anonymous memory, not in " +
                             base::quoted(dir_) + ": " + why +
                             "; a guest hangs if server and keeper are killed together";
    is_tmpfs ? base::say_warning(text) : base::say_detail(text);
  }
  base::Fd file(::memfd_create("snapfork-session", MFD_CLOEXEC));
  if (!file) {
    base::throw_errno("cannot create the state of a session");
  }
  if (const int error = ::posix_fallocate(file.get(), 0, static_cast<off_t>(bytes)); error != 0) {
    base::throw_error_number(error, "cannot allocate the state of a session");
  }
  return file;
}

bool StateFiles::is_missing(uint64_t key, std::string_view suffix, int fd) const {
  struct stat file {};
  struct stat dir {};
  if (dir_.empty() || fd < 0 || ::fstat(fd, &file) != 0 || ::stat(dir_.c_str(), &dir) != 0 ||
      file.st_dev != dir.st_dev) {
    return false;  // anonymous memory
  }
  const std::optional<struct stat> now = base::try_lstat_path(path(key, suffix));
  return !now || !base::is_same_file(*now, file);
}

void StateFiles::remove(uint64_t key, std::string_view suffix) const {
  if (!dir_.empty()) {
    ::unlink(path(key, suffix).c_str());
  }
}

}  // namespace pager
