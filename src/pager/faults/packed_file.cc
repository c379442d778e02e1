// SPDX-License-Identifier: Apache-2.0
// Direct reads of pieces, with a fallback to the page cache.
#include "pager/faults/packed_file.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <utility>

#include "base/error.h"

namespace pager {

PackedPiece::PackedPiece(uint64_t bytes) {
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    base::throw_errno("cannot allocate memory for a packed hot list");
  }
  ::madvise(memory, bytes, MADV_DONTDUMP);
  bytes_ = {static_cast<std::byte*>(memory), bytes};
}

PackedPiece::~PackedPiece() {
  ::munmap(bytes_.data(), bytes_.size());
}

PackedFile::PackedFile(base::Fd fd, hot::PackedMap map)
    : fd_(::open(("/proc/self/fd/" + std::to_string(fd.get())).c_str(),
                 O_RDONLY | O_DIRECT | O_CLOEXEC)),
      map_(std::move(map)) {
  if (!fd_) {
    fd_ = std::move(fd);
  }
  map_.list.runs = {};
}

bool PackedFile::is_of(const ImageIdentity& image) const {
  return image.inode == map_.inode && image.modified_ns == map_.modified_ns &&
         image.size == map_.list.memory_bytes;
}

PackedFile::Read PackedFile::read(uint64_t index, DiskPace& pace) const {
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !reading_.contains(index); });
    if (std::shared_ptr<const PackedPiece> piece = pieces_[index].lock()) {
      return {.piece = std::move(piece)};
    }
    reading_.insert(index);
  }
  Read result;
  try {
    result = read_from_disk(index, pace);
  } catch (const std::system_error& error) {
    result.problem = error.what();
  }
  const std::lock_guard lock(mutex_);
  pieces_[index] = result.piece;
  reading_.erase(index);
  changed_.notify_all();
  return result;
}

PackedFile::Read PackedFile::read_from_disk(uint64_t index, DiskPace& pace) const {
  using Clock = DiskPace::Clock;
  auto piece = std::make_shared<PackedPiece>(map_.piece_bytes(index));
  const std::span<std::byte> bytes = piece->bytes();
  for (uint64_t done = 0; done < bytes.size();) {
    const uint64_t length = std::min(bytes.size() - done, pace.next_bytes(Clock::now()));
    const Clock::time_point begin = Clock::now();
    const ssize_t got = ::pread(fd_.get(), bytes.data() + done, length,
                                static_cast<off_t>(map_.piece_at(index) + done));
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0 && errno == EINVAL && (::fcntl(fd_.get(), F_GETFL) & O_DIRECT) != 0) {
      // Blocks larger than 4096 bytes, for example. Sessions may do this at the same time.
      ::fcntl(fd_.get(), F_SETFL, 0);
      continue;
    }
    if (got <= 0) {
      return {.problem =
                  "cannot read piece " + std::to_string(index) + ": " +
                  (got == 0 ? "the file was truncated" : std::generic_category().message(errno))};
    }
    done += static_cast<uint64_t>(got);
    const Clock::time_point end = Clock::now();
    if (const auto wait = pace.pause_after(static_cast<uint64_t>(got), end - begin, end);
        wait.count() > 0) {
      std::this_thread::sleep_for(wait);
    }
  }
  std::string problem = hot::piece_problem(map_, index, bytes);
  if (!problem.empty()) {
    return {.problem = std::move(problem)};
  }
  return {.piece = std::move(piece)};
}

PackedReader::PackedReader(std::shared_ptr<const PackedFile> file, uint64_t first,
                           const Counters& counters)
    : file_(std::move(file)),
      pace_(counters, hot::kMostPackedPieceBytes),
      next_(first),
      wanted_(first),
      thread_(&PackedReader::run, this) {}

PackedReader::~PackedReader() {
  stop();
  thread_.join();
}

void PackedReader::stop() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
}

PackedFile::Read PackedReader::get(uint64_t index) {
  PackedFile::Read result;
  {
    const std::lock_guard lock(mutex_);
    wanted_ = index;
    pieces_.erase(pieces_.begin(), pieces_.lower_bound(index));
    if (const auto found = pieces_.find(index); found != pieces_.end()) {
      result.piece = found->second;
    } else {
      result.problem = problem_;
    }
  }
  changed_.notify_all();
  return result;
}

void PackedReader::run() {
  ::pthread_setname_np(::pthread_self(), "packed pages");
  for (;;) {
    uint64_t index = 0;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stop_ || next_ < wanted_ + kAhead; });
      if (stop_ || next_ >= file_->pieces()) {
        return;
      }
      index = next_++;
    }
    PackedFile::Read read = file_->read(index, pace_);
    const std::lock_guard lock(mutex_);
    if (!read.piece) {
      problem_ = std::move(read.problem);
      return;
    }
    pieces_.emplace(index, std::move(read.piece));
  }
}

}  // namespace pager
