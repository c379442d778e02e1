// SPDX-License-Identifier: Apache-2.0
// The pages of a packed hot list, read from the disk in large pieces, by a thread.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <thread>

#include "base/fd.h"
#include "hot/packed.h"
#include "pager/faults/counters.h"
#include "pager/faults/disk_pace.h"
#include "pager/image/image.h"

namespace pager {

// A piece in memory. No file backs it, and it is not in core dumps.
class PackedPiece {
 public:
  explicit PackedPiece(uint64_t bytes);  // throws std::system_error
  ~PackedPiece();
  PackedPiece(const PackedPiece&) = delete;
  PackedPiece(PackedPiece&&) = delete;
  PackedPiece& operator=(const PackedPiece&) = delete;
  PackedPiece& operator=(PackedPiece&&) = delete;
  std::span<std::byte> bytes() const { return bytes_; }

 private:
  std::span<std::byte> bytes_;
};

// An open packed file, shared by the sessions that use it. Sessions that need a piece at about the
// same time share one read of it. Reads bypass the page cache (O_DIRECT) where the filesystem
// supports that: each piece is needed once. Thread-safe.
class PackedFile {
 public:
  // `map` is that of the file; its runs are not used.
  PackedFile(base::Fd fd, hot::PackedMap map);

  // Whether the pages are those of this image, and not only of one like it.
  bool is_of(const ImageIdentity& image) const;
  uint64_t piece_pages() const { return map_.piece_pages; }
  uint64_t pieces() const { return map_.checksums.size(); }

  struct Read {
    std::shared_ptr<const PackedPiece> piece{};  // null: `problem`
    std::string problem{};
  };
  // Reads and checks a piece, at the pace of the caller. May wait for the disk.
  Read read(uint64_t index, DiskPace& pace) const;

 private:
  Read read_from_disk(uint64_t index, DiskPace& pace) const;

  base::Fd fd_;
  hot::PackedMap map_;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  mutable std::map<uint64_t, std::weak_ptr<const PackedPiece>> pieces_;
  mutable std::set<uint64_t> reading_;
};

// Reads pieces in order on a thread, for one session, a few ahead of the one that is used.
class PackedReader {
 public:
  static constexpr uint64_t kAhead = 4;

  // Begins with piece `first`. The counters must outlive the object.
  PackedReader(std::shared_ptr<const PackedFile> file, uint64_t first, const Counters& counters);
  // Ends the thread, and waits for its current read.
  ~PackedReader();
  PackedReader(const PackedReader&) = delete;
  PackedReader(PackedReader&&) = delete;
  PackedReader& operator=(const PackedReader&) = delete;
  PackedReader& operator=(PackedReader&&) = delete;

  // Returns a piece, or nothing yet. Releases the pieces before it. After a problem, nothing more
  // is read.
  PackedFile::Read get(uint64_t index);
  // Lets the thread end, without waiting for it.
  void stop();

 private:
  void run();

  std::shared_ptr<const PackedFile> file_;
  DiskPace pace_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<uint64_t, std::shared_ptr<const PackedPiece>> pieces_;
  std::string problem_;
  uint64_t next_;    // the piece that the thread reads next
  uint64_t wanted_;  // the piece that is used
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace pager
