// SPDX-License-Identifier: Apache-2.0
// Reports per file and per destination, as JSON records or as lines for a person.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "base/effect.h"

namespace cloning {

enum class Method {
  none,      // no change: an empty file, or one whose inode has no other link
  reflink,   // shares the source's blocks
  copy,      // has its own blocks
  link,      // is the source's inode
  hardlink,  // is another file of the same destination, as in the source
};

// The time that each step took.
struct Phases {
  std::chrono::nanoseconds flush{};  // writing out dirty data of the source before it is shared
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

// One regular file. Sizes are in bytes. shared + copied + linked + hole is the file's length,
// except for the last block and for blocks that only the filesystem knows (preallocated ones count
// as hole).
struct FileReport {
  std::string path;
  Method method = Method::none;
  int refused = 0;  // errno of the refused FICLONE that led to a copy; 0 if none was refused
  std::string refused_why = {};  // the meaning of `refused`; "" if 0
  int64_t size = 0;
  int64_t shared = 0;
  int64_t copied = 0;
  int64_t linked = 0;
  int64_t hole = 0;
  int64_t dug = 0;  // part of `hole`: zeros that became holes
  // Extents of the source and of the clone; nothing if they were not counted.
  std::optional<int64_t> extents = std::nullopt;
  std::optional<int64_t> extents_after = std::nullopt;
  std::optional<int64_t> defragged = std::nullopt;  // extents before the source was rewritten
  bool has_writer = false;                          // a process had the source open for writing
  Phases phases = {};
  std::chrono::nanoseconds elapsed{};
};

// One destination.
struct CloneReport {
  std::string src;
  std::string dst;
  std::deque<FileReport> files;  // a deque: elements stay in place when others are added
  int64_t directories = 0;
  int64_t symlinks = 0;
  int64_t skipped = 0;  // sockets, and entries omitted by the profile or by --exclude
  Phases phases = {};   // steps for the destination as a whole
  std::chrono::nanoseconds elapsed{};
  base::Effect effect = base::Effect::real;
};

// One file that was changed in place.
struct InPlaceReport {
  FileReport file;
  int64_t links = 0;       // links of the inode before the change
  bool new_inode = false;  // the name refers to a new inode
  base::Effect effect = base::Effect::real;
};

// Collects the copies of all destinations of one call: "ext4 cannot share blocks: 3.0 GiB are
// copied; ...". Its text is empty if little was copied or nothing was refused.
class CopyNotice {
 public:
  void add(const CloneReport& report);
  void add(const FileReport& file);
  std::optional<std::string> text(base::Effect effect) const;

 private:
  std::string why_;  // the reason of the first refusal
  int64_t copied_ = 0;
};

// Return the records of type "file", "total" and "in_place", without a newline.
std::string file_record(const FileReport& file);
std::string total_record(const CloneReport& report);
std::string in_place_record(const InPlaceReport& report);

// Return the lines for a person, each with its newline: one for each file of a tree that has at
// least `smallest` bytes, and a total.
std::string file_lines(const CloneReport& report, int64_t smallest);
std::string total_line(const CloneReport& report);
std::string in_place_line(const InPlaceReport& report);

// Returns "4.0 GiB", "12 KiB", "1 byte".
std::string human_bytes(int64_t bytes);

}  // namespace cloning
