// SPDX-License-Identifier: Apache-2.0
// What was done, for the caller: per file and per destination, as JSON records or for a person.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>

namespace cloning {

enum class Method {
  none,      // nothing was to be done: an empty file, or one that has its inode to itself
  reflink,   // shares the source's blocks
  copy,      // has blocks of its own
  link,      // is the source's inode
  hardlink,  // is another file of the same destination, as in the source
};

// Where the time went.
struct Phases {
  std::chrono::nanoseconds flush{};  // dirty data of the source, written out before it is shared
  std::chrono::nanoseconds reflink{};
  std::chrono::nanoseconds copy{};
  std::chrono::nanoseconds dig{};
  std::chrono::nanoseconds verify{};
  std::chrono::nanoseconds publish{};  // flushing the clone (--durable) and giving it its name

  Phases& operator+=(const Phases& other);
};

// Adds its own lifetime to a phase.
class PhaseTimer {
 public:
  explicit PhaseTimer(std::chrono::nanoseconds& phase)
      : phase_(phase), begun_(std::chrono::steady_clock::now()) {}
  PhaseTimer(const PhaseTimer&) = delete;
  PhaseTimer& operator=(const PhaseTimer&) = delete;
  PhaseTimer(PhaseTimer&&) = delete;
  PhaseTimer& operator=(PhaseTimer&&) = delete;
  ~PhaseTimer() { phase_ += std::chrono::steady_clock::now() - begun_; }

 private:
  std::chrono::nanoseconds& phase_;
  std::chrono::steady_clock::time_point begun_;
};

// One regular file. Sizes are bytes; shared + copied + linked + hole is the file's length, but for
// the last block and for blocks that only the filesystem knows of (preallocated ones count as
// hole).
struct FileReport {
  std::string path;
  Method method = Method::none;
  int refused = 0;  // errno of the FICLONE whose refusal led to a copy; 0 when none was refused
  std::string refused_why = {};  // what that means here; "" when none was refused
  int64_t size = 0;
  int64_t shared = 0;
  int64_t copied = 0;
  int64_t linked = 0;
  int64_t hole = 0;
  int64_t dug = 0;  // of `hole`: data that was zero and was turned into holes
  // Of the source and of the clone; nothing where nobody counted.
  std::optional<int64_t> extents = std::nullopt;
  std::optional<int64_t> extents_after = std::nullopt;
  std::optional<int64_t> defragged = std::nullopt;  // extents before the source was rewritten
  bool has_writer = false;                          // somebody had the source open for writing
  Phases phases = {};
  std::chrono::nanoseconds elapsed{};
};

// One destination.
struct CloneReport {
  std::string src;
  std::string dst;
  std::deque<FileReport> files;  // whose elements stay where they are when others are added
  int64_t directories = 0;
  int64_t symlinks = 0;
  int64_t skipped = 0;  // sockets, entries left out by the profile or by --exclude
  Phases phases = {};   // of what is done for the destination as a whole
  std::chrono::nanoseconds elapsed{};
  bool dry_run = false;
};

// One file that was changed where it is.
struct InPlaceReport {
  FileReport file;
  int64_t links = 0;       // that the inode had before
  bool new_inode = false;  // the name stands for another inode now
  bool dry_run = false;
};

// One for all destinations of a call: "ext4 cannot share blocks: 3.0 GiB are copied; ...". Nothing
// when little was copied, or nothing was refused.
class CopyNotice {
 public:
  void add(const CloneReport& report);
  void add(const FileReport& file);
  std::optional<std::string> text(bool dry_run) const;

 private:
  std::string why_;  // of the first that was refused
  int64_t copied_ = 0;
};

// The records of type "file", "total" and "in_place", without a newline.
std::string file_record(const FileReport& file);
std::string total_record(const CloneReport& report);
std::string in_place_record(const InPlaceReport& report);

// What a person reads, each line with its newline: a line for each file of a tree that has at least
// `smallest` bytes, and a total.
std::string file_lines(const CloneReport& report, int64_t smallest);
std::string total_line(const CloneReport& report);
std::string in_place_line(const InPlaceReport& report);

// "4.0 GiB", "12 KiB", "1 byte".
std::string human_bytes(int64_t bytes);

}  // namespace cloning
