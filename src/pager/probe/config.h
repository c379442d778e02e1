// SPDX-License-Identifier: Apache-2.0
// The configuration of a run of uffd-probe.
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

// Ways to send an invalid or unusual handshake. A page server must refuse all but `split`: it kills
// the VMM or closes the connection.
enum class Misbehavior {
  silent,     // sends nothing
  partial,    // half of the body, with the descriptor
  garbage,    // a body that is not JSON, with the descriptor
  no_fd,      // no descriptor
  wrong_fd,   // a descriptor that is not a userfaultfd
  two_fds,    // two descriptors
  overlap,    // two identical regions
  unaligned,  // an offset that is not a multiple of the page size
  beyond,     // a region that ends after the end of the memory file
  huge,       // a body of more than 16 MiB
  split,      // valid: three parts, the descriptor with the second
};
// Throws base::UsageError that lists the names.
Misbehavior parse_misbehavior(const std::string& name);

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
  bool overlap_jobs = false;  // every job touches every page
  uint64_t balloon_bytes = 0;
  unsigned write_percent = 0;
  uint64_t seed = 1;
  std::chrono::milliseconds deadline{60'000};
  std::chrono::milliseconds wait{0};  // until the sockets exist
  std::optional<int> cpu;
  std::optional<uint64_t> kill_after;  // touches
  bool hold = false;
  bool baseline = false;
  std::optional<Misbehavior> misbehavior;
};

}  // namespace pager
