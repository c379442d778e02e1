// SPDX-License-Identifier: Apache-2.0
// Opens, protects, maps and reads memory files, and caches the open ones.
#include "pager/image/image.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/file_status.h"
#include "base/message.h"
#include "base/residency_access.h"
#include "hot/region.h"
#include "pager/image/known_zeros.h"
#include "pager/kernel/features.h"
#include "store/seal.h"

namespace pager {
namespace {

int64_t nanoseconds(const struct timespec& time) {
  constexpr int64_t kPerSecond = 1'000'000'000;
  return static_cast<int64_t>(time.tv_sec) * kPerSecond + time.tv_nsec;
}

// O_NONBLOCK keeps the open of a FIFO from blocking the server. The FIFO is rejected after the
// open.
base::Fd open_checked(const std::string& path, struct stat& st) {
  base::Fd fd = base::open_file(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  st = base::stat_fd(fd.get(), path);
  const std::string start = "cannot serve " + base::quoted(path) + ": ";
  if (!S_ISREG(st.st_mode)) {
    throw base::BadData(start + "it is not a regular file");
  }
  if (st.st_size == 0) {
    throw base::BadData(start + "it is empty");
  }
  if (st.st_size % static_cast<off_t>(hot::kSmallPage) != 0) {
    throw base::BadData(start + "size " + std::to_string(st.st_size) + " is not a multiple of " +
                        std::to_string(hot::kSmallPage) +
                        "; the file is truncated or not a memory file");
  }
  return fd;
}

// Creates an unnamed reflink in the directory of the file. Returns nothing if that fails: no
// reflink support, a directory without write permission, no space.
std::optional<base::Fd> make_private_copy(int fd, const std::string& path) {
  const size_t slash = path.find_last_of('/');
  const std::string dir = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  base::Fd copy(::open(dir.c_str(), O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600));
  if (!copy || ::ioctl(copy.get(), FICLONE, fd) != 0) {
    return std::nullopt;
  }
  return copy;
}

}  // namespace

ImageIdentity identity_of(const struct stat& st) {
  return {.device = st.st_dev,
          .inode = st.st_ino,
          .size = static_cast<uint64_t>(st.st_size),
          .modified_ns = nanoseconds(st.st_mtim),
          .changed_ns = nanoseconds(st.st_ctim)};
}

std::shared_ptr<const Image> Image::open(const std::string& path) {
  struct stat st {};
  base::Fd fd = open_checked(path, st);
  View view = store::is_sealed(st) ? View::sealed : View::unprotected;
  if (view == View::unprotected) {
    if (std::optional<base::Fd> copy = make_private_copy(fd.get(), path)) {
      // The identity is the one read before the clone. A write between the two gives the file
      // another identity at the next open; the clone is atomic and can only be newer than its
      // identity.
      const struct stat copied = base::stat_fd(copy->get(), path);
      if (copied.st_size != st.st_size) {
        throw base::BadData("cannot serve " + base::quoted(path) +
                            ": its size changed while it was opened");
      }
      fd = std::move(*copy);
      view = View::private_copy;
    } else {
      base::say_detail("serving " + base::quoted(path) + std::string(kUnprotectedText));
    }
  }
  return make(path, std::move(fd), st, view);
}

std::shared_ptr<const Image> Image::adopt(const std::string& path, base::Fd fd,
                                          const ImageIdentity& identity, View view) {
  struct stat st = base::stat_fd(fd.get(), path);
  const ImageIdentity found = identity_of(st);
  // Links change the change time of a sealed file. A private copy is another file of the same size.
  const bool same_file = found.device == identity.device && found.inode == identity.inode;
  const bool fits = view == View::private_copy ? st.st_nlink == 0
                    : view == View::sealed ? same_file && found.modified_ns == identity.modified_ns
                                           : same_file;
  if (!fits || found.size != identity.size) {
    throw base::BadData("cannot serve " + base::quoted(path) +
                        ": its descriptor is not that of the memory file");
  }
  if (view == View::private_copy) {
    st.st_dev = identity.device;
    st.st_ino = identity.inode;
  }
  std::shared_ptr<const Image> image = make(path, std::move(fd), st, view);
  const_cast<Image&>(*image).identity_ = identity;
  return image;
}

std::shared_ptr<const Image> Image::make(const std::string& path, base::Fd fd,
                                         const struct stat& st, View view) {
  const ImageIdentity identity = identity_of(st);
  DataMap data = DataMap::read(fd.get(), identity.size, path);
  std::optional<KnownZeros> known = known_zeros(path, st, data);
  auto* image = new Image(path, std::move(fd), identity, view,
                          known ? std::move(known->data) : std::move(data));
  image->data_is_nonzero_ = known && known->complete;
  image->digest_ = known ? std::move(known->digest) : "";
  return std::shared_ptr<const Image>(image);
}

Image::Image(std::string path, base::Fd fd, ImageIdentity identity, View view, DataMap data)
    : path_(std::move(path)),
      fd_(std::move(fd)),
      identity_(identity),
      view_(view),
      data_(std::move(data)),
      knows_residency_(base::may_use_mincore(fd_.get())),
      whole_(map()),
      mapping_(view_ == View::unprotected ? std::span<const std::byte>() : whole_),
      mapped_pages_(features().has(Feature::oom_score) ? mapping_ : std::span<const std::byte>(),
                    fd_.get()),
      residency_(identity.size) {}

// Without a mapping the file is read, which is only slower.
std::span<const std::byte> Image::map() const {
  void* mapped = ::mmap(nullptr, size(), PROT_READ, MAP_SHARED | MAP_NORESERVE, fd_.get(), 0);
  if (mapped == MAP_FAILED) {
    return {};
  }
  ::madvise(mapped, size(), MADV_DONTDUMP);  // keeps guest memory out of core dumps
  // A fault of one page must not wait for its neighbors. What is needed together is requested
  // together (fetch).
  ::madvise(mapped, size(), MADV_RANDOM);
  return {static_cast<const std::byte*>(mapped), size()};
}

Image::~Image() {
  if (!whole_.empty()) {
    ::munmap(const_cast<std::byte*>(whole_.data()), whole_.size());
  }
}

bool Image::is_cached(uint64_t offset, uint64_t bytes) const {
  if (residency_.known(offset, bytes)) {
    return true;
  }
  constexpr size_t kMost = 512;  // 2 MiB
  std::array<unsigned char, kMost> cached{};
  const uint64_t pages = (bytes + hot::kSmallPage - 1) / hot::kSmallPage;
  if (!knows_residency_ || whole_.empty() || pages > kMost ||
      ::mincore(const_cast<std::byte*>(whole_.data() + offset), bytes, cached.data()) != 0 ||
      !std::all_of(cached.begin(), cached.begin() + pages,
                   [](unsigned char page) { return (page & 1U) != 0; })) {
    return false;
  }
  residency_.mark(offset, bytes);
  return true;
}

void Image::fetch(uint64_t offset, uint64_t bytes) const {
  if (!mapping_.empty() && !residency_.known(offset, bytes)) {
    ::madvise(const_cast<std::byte*>(mapping_.data() + offset), bytes, MADV_WILLNEED);
  }
}

void Image::warn_if_changed() const {
  struct stat st {};
  if (view_ != View::unprotected || ::fstat(fd_.get(), &st) != 0) {
    return;
  }
  const ImageIdentity now = identity_of(st);
  if ((now.size != identity_.size || now.modified_ns != identity_.modified_ns) &&
      !change_warned_.exchange(true)) {
    base::say_warning(
        base::quoted(path_) +
        " was written to while it is served: its guests get a mixture of old and new data");
  }
}

void Image::used_mapping(uint64_t bytes) const {
  if (features().has(Feature::oom_score)) {
    return;
  }
  // The kernel maps 64 KiB around a touched page (fault_around_bytes).
  constexpr uint64_t kAround = uint64_t{64} << 10U;
  constexpr uint64_t kEach = uint64_t{16} << 20U;
  if (used_bytes_.fetch_add(std::max(bytes, kAround), std::memory_order_relaxed) >= kEach) {
    used_bytes_.store(0, std::memory_order_relaxed);
    ::madvise(const_cast<std::byte*>(mapping_.data()), mapping_.size(), MADV_DONTNEED);
  }
}

int Image::read_at(uint64_t offset, std::span<std::byte> buffer) const {
  while (!buffer.empty()) {
    const ssize_t n = ::pread(fd_.get(), buffer.data(), buffer.size(), static_cast<off_t>(offset));
    if (n == 0) {
      return ENODATA;
    }
    if (n < 0) {
      if (errno == EINTR) {
        continue;
      }
      return errno;
    }
    buffer = buffer.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return 0;
}

ImageCache::Key ImageCache::key_of(const ImageIdentity& identity, bool sealed) {
  return {identity.device, identity.inode, identity.size, identity.modified_ns,
          sealed ? -1 : identity.changed_ns};
}

std::shared_ptr<const Image> ImageCache::open(const std::string& path) {
  struct stat st {};
  const bool found = ::stat(path.c_str(), &st) == 0;
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(images_, [](const auto& entry) { return entry.second.expired(); });
    if (const auto it =
            found ? images_.find(key_of(identity_of(st), store::is_sealed(st))) : images_.end();
        it != images_.end()) {
      if (std::shared_ptr<const Image> image = it->second.lock()) {
        return image;
      }
    }
  }
  // Not under the lock, because finding the holes of a large file takes long. Two threads that open
  // the same file at once get an Image each, which costs one descriptor.
  std::shared_ptr<const Image> image = Image::open(path);
  const std::lock_guard lock(mutex_);
  images_[key_of(image->identity(), image->view() == Image::View::sealed)] = image;
  return image;
}

size_t ImageCache::size() const {
  const std::lock_guard lock(mutex_);
  return static_cast<size_t>(
      std::ranges::count_if(images_, [](const auto& entry) { return !entry.second.expired(); }));
}

}  // namespace pager
