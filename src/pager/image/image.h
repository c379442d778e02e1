// SPDX-License-Identifier: Apache-2.0
// Memory files that are served: each is opened once, identified by inode, and shared by sessions.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <tuple>

#include "base/fd.h"
#include "pager/image/data_map.h"
#include "pager/image/mapped_pages.h"
#include "pager/image/residency.h"

struct stat;

namespace pager {

// Identifies a file and the state of its contents. Plain data that a successor checks. Times are in
// ns.
struct ImageIdentity {
  uint64_t device = 0;
  uint64_t inode = 0;
  uint64_t size = 0;
  int64_t modified_ns = 0;
  int64_t changed_ns = 0;
  bool operator==(const ImageIdentity&) const = default;
};
ImageIdentity identity_of(const struct stat& st);

// An open memory file whose bytes do not change while it is served. Thread-safe.
class Image {
 public:
  // How the contents are protected from changes.
  enum class View {
    sealed,        // no write permission: the file itself; sessions share its page cache
    private_copy,  // an unnamed reflink, created when the file was opened
    unprotected,   // the file itself, because it cannot be reflinked
  };

  // Opens a regular, non-empty file whose size is a multiple of 4096. Throws base::BadData or
  // std::system_error.
  static std::shared_ptr<const Image> open(const std::string& path);
  // An image that another server has opened: its descriptor, and what that server knew of it.
  // Throws base::BadData if the file is not the one of `identity`.
  static std::shared_ptr<const Image> adopt(const std::string& path, base::Fd fd,
                                            const ImageIdentity& identity, View view);
  ~Image();
  Image(const Image&) = delete;
  Image(Image&&) = delete;
  Image& operator=(const Image&) = delete;
  Image& operator=(Image&&) = delete;

  const std::string& path() const { return path_; }
  const ImageIdentity& identity() const { return identity_; }
  uint64_t size() const { return identity_.size; }
  View view() const { return view_; }
  // Read at the first open: the holes of the file, and the zero pages that a template's image.json
  // lists. A page without data is zero and need not be read.
  const DataMap& data() const { return data_; }
  // True if image.json guarantees that data() contains no zero page.
  bool data_is_nonzero() const { return data_is_nonzero_; }
  // Whether all pages of [offset, offset + bytes), at most 2 MiB, are in the page cache. The answer
  // yes is remembered in residency(). Does not wait for the disk. false if the kernel does not tell
  // this process (base::may_use_mincore).
  bool is_cached(uint64_t offset, uint64_t bytes) const;
  // Requests the pages of a range of the mapping from the disk, together and without waiting.
  void fetch(uint64_t offset, uint64_t bytes) const;
  // The pages that were found in the page cache, by all sessions of the image.
  Residency& residency() const { return residency_; }
  // The digest of the contents, from image.json. Empty if it is not known.
  const std::string& digest() const { return digest_; }
  int fd() const { return fd_.get(); }
  // The warning about an unprotected image.
  static constexpr std::string_view kUnprotectedText =
      " itself, which must not be written to: it is not sealed (mode 0444) and cannot be "
      "reflinked";
  // Warns once if an unprotected file was written to or truncated since it was opened.
  void warn_if_changed() const;
  // The whole image as memory, as the source of a COPY. An unreadable page is EFAULT for the kernel
  // and SIGBUS for this process (guarded_read.h). Empty for an unprotected image: a file that is
  // truncated in the middle of a page reads as zeros there, without an error.
  std::span<const std::byte> mapped() const { return mapping_; }
  // Call it after `bytes` of the mapping were used. Mapped pages count as memory of this process,
  // so the OOM killer may choose it. If the process cannot be protected (Feature::oom_score), the
  // pages are unmapped every 16 MiB. They stay in the page cache.
  void used_mapping(uint64_t bytes) const;
  // The pages for which one COPY from mapped() is faster than read_at() and a COPY. Records nothing
  // if used_mapping() unmaps pages.
  MappedPages& mapped_pages() const { return mapped_pages_; }

  // Fills `buffer` from `offset`. Returns 0 or an errno; ENODATA if the file was truncated (a short
  // read is never padded with zeros).
  int read_at(uint64_t offset, std::span<std::byte> buffer) const;

 private:
  static std::shared_ptr<const Image> make(const std::string& path, base::Fd fd,
                                           const struct stat& st, View view);
  Image(std::string path, base::Fd fd, ImageIdentity identity, View view, DataMap data);
  std::span<const std::byte> map() const;

  std::string path_;
  base::Fd fd_;
  ImageIdentity identity_;
  View view_;
  DataMap data_;
  bool data_is_nonzero_ = false;
  std::string digest_;
  bool knows_residency_ = false;
  std::span<const std::byte> whole_;  // also of an unprotected image, for is_cached
  std::span<const std::byte> mapping_;
  mutable MappedPages mapped_pages_;
  mutable std::atomic<bool> change_warned_{false};
  mutable Residency residency_;
  mutable std::atomic<uint64_t> used_bytes_{0};  // of the mapping, since the last unmap
};

// The images that are open. Sessions share an image only if it is the same file in the same state;
// a session's cache key is only a label. Thread-safe.
class ImageCache {
 public:
  // Returns the open image of the file that is at `path` now, or opens it. Throws as Image::open.
  std::shared_ptr<const Image> open(const std::string& path);
  // The number of open images.
  size_t size() const;

 private:
  // The key of a sealed file omits the change time: each hard link that a fork makes changes it,
  // and a write, which needs permission, would change the modification time.
  using Key = std::tuple<uint64_t, uint64_t, uint64_t, int64_t, int64_t>;
  static Key key_of(const ImageIdentity& identity, bool sealed);

  mutable std::mutex mutex_;
  std::map<Key, std::weak_ptr<const Image>> images_;
};

}  // namespace pager
