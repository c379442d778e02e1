// SPDX-License-Identifier: Apache-2.0
// Firecracker's handshake: one JSON array of regions, sent with one userfaultfd.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "hot/region.h"

namespace pager {

// The most that one peer may send: enough for the regions and megabytes of white space.
inline constexpr size_t kMaxHandshakeBytes = size_t{16} << 20U;
// The most that is kept of it, without white space: enough for kMaxRegions regions.
inline constexpr size_t kMaxHandshakeText = size_t{1} << 20U;

// Returns the regions of a body: a bare array of {base_host_virt_addr, size, offset, page_size,
// page_size_kib}, or {"mappings": [...]} around it. `page_size` is missing before Firecracker 1.12;
// `page_size_kib` holds bytes in spite of its name; if both are missing, the size is 4096. Unknown
// fields are ignored. Throws base::BadData that names the fault. Overlaps and the file size are not
// checked here: call layout_problem.
std::vector<hot::Region> parse_handshake(std::string_view body);

// Returns the body that Firecracker would send.
std::string compose_handshake(std::span<const hot::Region> regions);

// Collects one JSON array or object that arrives in pieces, and finds its end. White space outside
// of strings is reduced to one blank. Each byte is examined once, so a peer that sends byte by byte
// costs no more than one that sends everything at once.
class JsonCollector {
 public:
  void add(std::string_view piece);
  // True if the outermost bracket is closed (whatever follows), or if the text does not start with
  // a bracket.
  bool is_whole() const { return whole_; }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
  size_t depth_ = 0;
  bool in_string_ = false;
  bool escaped_ = false;
  bool whole_ = false;
};

// Collects one handshake from a socket, over any number of reads: the body may arrive in parts, and
// the descriptor before, with or after the first part. The handshake is complete when a descriptor
// has arrived and the bytes so far are one JSON value. Never blocks.
class HandshakeReader {
 public:
  struct Result {
    std::vector<hot::Region> regions;
    base::Fd uffd;
  };
  // Call it when the socket is readable. Returns nothing while more is needed. Throws base::BadData
  // if the peer closed early, sent too much, sent no JSON, sent more than one descriptor or one
  // that is not a userfaultfd, or if descriptors were truncated or regions are malformed.
  std::optional<Result> read_from(int socket);
  // From now on, bytes and descriptors stay in the socket's queue, so that another process can read
  // the handshake again from its start if this one dies. A handshake of more than kMostLeft bytes
  // is taken out of the queue, which would not take the rest. Call it before the first read. Throws
  // std::system_error.
  void leave_in_queue(int socket);
  static constexpr size_t kMostLeft = size_t{64} << 10U;
  // Takes what was read out of the queue, if it was left there. A descriptor in a queue counts
  // against a limit of the user that sent it.
  void take_out_of_queue(int socket);
  // The descriptors that have arrived, also after a failure. Closing them may block.
  std::vector<base::Fd> take_fds() { return std::move(fds_); }

 private:
  JsonCollector body_;
  bool left_in_queue_ = false;
  size_t received_ = 0;
  std::vector<base::Fd> fds_;
};

}  // namespace pager
