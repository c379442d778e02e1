// SPDX-License-Identifier: Apache-2.0
// The parts of a server's state that its successor gets, besides those of the sessions.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/error.h"
#include "base/fd.h"
#include "base/file_status.h"
#include "base/log_histogram.h"
#include "pager/faults/counters.h"

namespace pager {

// Of the server. Later releases may add members in the room behind it; 0 means what a server
// without the member does.
struct ServiceState {
  static constexpr uint32_t kVersion = 2;
  static constexpr size_t kBytes = 4096;  // with the room
  uint32_t version;
  bool draining;
  bool had_session;
  uint64_t many_count;                // sessions of endpoints for many VMMs
  uint64_t recovered;                 // Pager::recover
  base::FileId control;               // UnixListener::file of the control socket
  base::Log2Histogram ended_latency;  // of sessions that have ended
  Totals ended_totals;  // the same; the last member, because later releases count more
};
static_assert(sizeof(ServiceState) <= ServiceState::kBytes);

inline constexpr uint64_t kServiceKey = 1;  // at the keeper; Endpoints::Key starts at 2

// Of an endpoint; its text follows.
struct EndpointState {
  static constexpr uint32_t kVersion = 1;
  uint32_t version;
  uint32_t leaving;  // 1: no further VMM may connect
  uint32_t traced;   // Endpoint::traced
  uint32_t text_bytes;
  base::FileId socket;   // UnixListener::file
  uint64_t deadline_ns;  // CLOCK_MONOTONIC, of --connect-timeout; 0: none
};

// A mapping of plain data: a file that can be passed to other processes, or private memory.
class SharedMemory {
 public:
  SharedMemory() = default;
  // New memory, all zero. With `shared` it is a memfd. Throws std::system_error.
  SharedMemory(size_t bytes, bool shared);
  // That of another process, or of StateFiles. Throws base::BadData if it has fewer bytes.
  SharedMemory(base::Fd file, size_t least_bytes);
  SharedMemory(SharedMemory&& other) noexcept;
  SharedMemory& operator=(SharedMemory&& other) noexcept;
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  ~SharedMemory();

  int fd() const { return file_.get(); }  // -1: private
  size_t size() const { return bytes_; }
  template <typename T>
  T& as() const {
    static_assert(std::is_trivially_copyable_v<T>);
    return *static_cast<T*>(memory_);
  }
  // What follows a T.
  template <typename T>
  char* after() const {
    return static_cast<char*>(memory_) + sizeof(T);
  }

 private:
  void map();

  base::Fd file_;
  void* memory_ = nullptr;
  size_t bytes_ = 0;
};

// Throws base::BadData if this server cannot read it.
SharedMemory adopt_service_state(base::Fd file);

// The text of an endpoint's state. Throws base::BadData if it is truncated or of another version.
std::string_view endpoint_text(const SharedMemory& state);

// The files of the states: "DIR/KEY.state" of a session and "DIR/KEY.endpoint" of an endpoint, if
// DIR is on tmpfs; else, or if it cannot be created, a memfd, with a message in the log. A state on
// a disk would make faults wait for the disk. All memory of a file is allocated at once: a write to
// a hole in a mapped file of a full tmpfs is SIGBUS. A file outlives keeper and server, for
// recover().
class StateFiles {
 public:
  static constexpr std::string_view kSession = ".state";
  static constexpr std::string_view kEndpoint = ".endpoint";

  // Without a directory all states are memfds.
  explicit StateFiles(std::string_view dir) : dir_(dir) {}
  base::Fd create(uint64_t key, std::string_view suffix, uint64_t bytes);
  void remove(uint64_t key, std::string_view suffix) const;
  // Whether `fd` is a file of this directory whose name was removed.
  bool is_missing(uint64_t key, std::string_view suffix, int fd) const;

 private:
  std::string path(uint64_t key, std::string_view suffix) const;

  std::string dir_;
  bool warned_ = false;
};

}  // namespace pager
