// SPDX-License-Identifier: Apache-2.0
// Firecracker's handshake: one JSON array of regions, and one userfaultfd beside it.
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

// What one peer may send: enough for the regions with megabytes of blanks between. More is refused.
inline constexpr size_t kMaxHandshakeBytes = size_t{16} << 20U;
// What is kept of it, blanks left out: enough for kMaxRegions regions.
inline constexpr size_t kMaxHandshakeText = size_t{1} << 20U;

// The regions of a body: a bare array of {base_host_virt_addr, size, offset, page_size,
// page_size_kib}, or {"mappings": [...]} around it. `page_size` is missing before Firecracker 1.12;
// `page_size_kib` holds bytes in spite of its name; neither means 4096. Unknown fields are ignored.
// Throws base::BadData, naming what is wrong. Says nothing of overlaps and the file: layout_problem
// does.
std::vector<hot::Region> parse_handshake(std::string_view body);

// The body that Firecracker would send.
std::string compose_handshake(std::span<const hot::Region> regions);

// Collects one JSON array or object that comes in pieces, and finds its end. Blanks are kept only
// within texts, and one between words; each byte is looked at once, so that a peer that sends byte
// by byte costs no more than one that sends all at once.
class JsonCollector {
 public:
  void add(std::string_view piece);
  // The outermost bracket has been closed, whatever followed; or the text starts with none.
  bool is_whole() const { return whole_; }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
  size_t depth_ = 0;
  bool in_string_ = false;
  bool escaped_ = false;
  bool whole_ = false;
};

// Collects one handshake from a socket, over as many reads as it takes: the body may come split,
// and the descriptor before, with or after the first part of it. It is whole when a descriptor is
// there and the bytes so far are one JSON value with nothing but blanks behind it. Never blocks.
class HandshakeReader {
 public:
  struct Result {
    std::vector<hot::Region> regions;
    base::Fd uffd;
  };
  // Call when the socket is readable. Nothing while more is needed. Throws base::BadData: closed
  // before it was whole, too long, no JSON, more than one descriptor, one that is
  // no userfaultfd, truncated descriptors, regions in bad form.
  std::optional<Result> read_from(int socket);
  // The descriptors that have come so far, also after a failure. Close them where that may block.
  std::vector<base::Fd> take_fds() { return std::move(fds_); }

 private:
  JsonCollector body_;
  size_t received_ = 0;
  std::vector<base::Fd> fds_;
};

}  // namespace pager
