// SPDX-License-Identifier: Apache-2.0
// Memory files: opened once, known by what they are and not by a name, shared by their sessions.
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

struct stat;

namespace pager {

// Which file, in which state of its contents. Plain data: part of what a successor checks. Times in
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

// An open memory file whose bytes do not change while it is served. Safe to use from any thread.
class Image {
 public:
  // How what is read is kept from changing.
  enum class View {
    sealed,  // nobody has write permission: the file itself, and its page cache, which all share
    private_copy,  // a nameless reflink of it, made when it was opened
    unprotected,   // the file itself, on trust: no reflink here
  };

  // A regular file, not empty, a multiple of 4096 bytes. Throws base::BadData or std::system_error.
  static std::shared_ptr<const Image> open(const std::string& path);
  ~Image();
  Image(const Image&) = delete;
  Image(Image&&) = delete;
  Image& operator=(const Image&) = delete;
  Image& operator=(Image&&) = delete;

  const std::string& path() const { return path_; }
  const ImageIdentity& identity() const { return identity_; }
  uint64_t size() const { return identity_.size; }
  View view() const { return view_; }
  // Read at the first open: its holes, and what image.json says of a template's zero pages. A page
  // without data is zero and need not be read.
  const DataMap& data() const { return data_; }
  // Whether it is known of all that data() calls data that no page of it is zero.
  bool data_is_nonzero() const { return data_is_nonzero_; }
  int fd() const { return fd_.get(); }
  // What is to be known of an unprotected one.
  static constexpr std::string_view kUnprotectedText =
      " itself, which must not be written to: it is not sealed (mode 0444), and no reflink of it "
      "can "
      "be made here";
  // Of an unprotected one: warns, once, when the file has been written to or cut since it was
  // opened.
  void warn_if_changed() const;
  // All of it as memory, as the source of a COPY: what cannot be read is EFAULT for the kernel, and
  // SIGBUS for us (see guarded_read.h). Empty for an unprotected one, which could be cut
  // short in the middle of a page: that would be zeros, and no error.
  std::span<const std::byte> mapped() const { return mapping_; }
  // Call it when `bytes` of the mapping were used. Mapped pages count as this process's memory, for
  // which the OOM killer would take it: where it cannot be protected from that
  // (Feature::oom_score), they are unmapped each 16 MiB. They stay in the page cache.
  void used_mapping(uint64_t bytes) const;

  // Reads all of `buffer` at `offset`. Returns 0 or an errno; ENODATA when the file is shorter than
  // it was (a short read is never filled up with zeros).
  int read_at(uint64_t offset, std::span<std::byte> buffer) const;

 private:
  Image(std::string path, base::Fd fd, ImageIdentity identity, View view, DataMap data);

  std::string path_;
  base::Fd fd_;
  ImageIdentity identity_;
  View view_;
  DataMap data_;
  bool data_is_nonzero_ = false;
  std::span<const std::byte> mapping_;
  mutable std::atomic<bool> change_warned_{false};
  mutable std::atomic<uint64_t> used_bytes_{0};  // of the mapping, since it was unmapped
};

// The images that are open now. A session's cache key is a label and has no part in this: bytes are
// shared between sessions only when they are of one file in one state. Safe to use from any thread.
class ImageStore {
 public:
  // The open image for what stands at `path` now, or a new one. Throws as Image::open.
  std::shared_ptr<const Image> open(const std::string& path);
  // How many images are open.
  size_t size() const;

 private:
  // Without the change time for a sealed file: each hard link that a fork makes changes it, and
  // nothing but links and modes can change without the modification time where nobody may write.
  using Key = std::tuple<uint64_t, uint64_t, uint64_t, int64_t, int64_t>;
  static Key key_of(const ImageIdentity& identity, bool sealed);

  mutable std::mutex mutex_;
  std::map<Key, std::weak_ptr<const Image>> images_;
};

}  // namespace pager
