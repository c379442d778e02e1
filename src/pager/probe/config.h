// SPDX-License-Identifier: Apache-2.0
// What a run of uffd-probe is to do.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "hot/region.h"
#include "pager/probe/order.h"

namespace pager {

// How a handshake is spoilt. All but `split` must be refused by a page server, which it does by
// closing the connection.
enum class Misbehaviour {
  silent,     // nothing is ever sent
  partial,    // half of the body, with the descriptor
  garbage,    // a body that is no JSON, with the descriptor
  no_fd,      // no descriptor
  wrong_fd,   // a descriptor that is no userfaultfd
  two_fds,    // two descriptors
  overlap,    // two regions in the same place
  unaligned,  // an offset that is no multiple of the page size
  beyond,     // a region that ends behind the end of the memory file
  huge,       // a body of more than 16 MiB
  split,      // in three parts, the descriptor with the second: odd, but right, and to be served
};
// Throws base::UsageError, listing the names.
Misbehaviour parse_misbehaviour(const std::string& name);

inline constexpr size_t kMaxJobs = 64;

struct ProbeConfig {
  std::vector<std::string> sockets;  // one VMM each
  std::string memory_path;
  uint64_t page_size = hot::kSmallPage;
  size_t regions = 1;
  Pattern pattern;
  uint64_t page_limit = std::numeric_limits<uint64_t>::max();
  size_t jobs = 1;
  bool kvm = false;           // jobs are real vCPUs
  bool overlap_jobs = false;  // every job touches every page, instead of sharing them out
  uint64_t balloon_bytes = 0;
  unsigned write_percent = 0;
  uint64_t seed = 1;
  std::chrono::milliseconds deadline{60'000};
  std::chrono::milliseconds wait{0};  // for the sockets to be there
  std::optional<int> cpu;
  std::optional<uint64_t> kill_after;  // touches
  bool hold = false;
  bool baseline = false;
  std::optional<Misbehaviour> misbehaviour;
};

}  // namespace pager
