// SPDX-License-Identifier: Apache-2.0
// Computes random, sequential, strided and traced page orders.
#include "pager/probe/order.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "base/fd.h"
#include "base/number.h"
#include "hot/trace.h"
#include "pager/probe/random.h"

namespace pager {
namespace {

constexpr size_t kMaxTraceBytes = size_t{1} << 30U;

std::vector<PageNumber> random_order(uint64_t page_count, uint64_t limit, uint64_t seed) {
  std::vector<PageNumber> pages(page_count);
  std::iota(pages.begin(), pages.end(), PageNumber{0});
  Random random(seed);
  for (size_t i = 0; i < limit; ++i) {
    std::swap(pages[i], pages[i + random.below(page_count - i)]);
  }
  pages.resize(limit);
  return pages;
}

std::vector<PageNumber> stride_order(uint64_t page_count, uint64_t limit, uint64_t stride) {
  std::vector<PageNumber> pages;
  pages.reserve(limit);
  stride = std::min(stride, page_count);
  for (uint64_t start = 0; start < stride; ++start) {
    for (uint64_t page = start; page < page_count; page += stride) {
      if (pages.size() == limit) {
        return pages;
      }
      pages.push_back(static_cast<PageNumber>(page));
    }
  }
  return pages;
}

std::vector<PageNumber> trace_order(const std::string& path, uint64_t page_count,
                                    uint64_t page_size, uint64_t limit) {
  const hot::Trace trace = hot::parse_trace(base::read_file(path, kMaxTraceBytes), path);
  const std::string subject = "cannot follow trace " + base::quoted(path) + ": ";
  if (trace.page_size != page_size) {
    throw base::BadData(subject + "its page size is " + std::to_string(trace.page_size) +
                        " bytes, not " + std::to_string(page_size) + "; use --page-size");
  }
  if (trace.memory_bytes != 0 && trace.memory_bytes != page_count * page_size) {
    throw base::BadData(subject + "it was recorded from a memory file of " +
                        std::to_string(trace.memory_bytes) + " bytes, not " +
                        std::to_string(page_count * page_size));
  }
  std::vector<PageNumber> pages;
  std::vector<bool> seen(page_count);
  for (const uint64_t page : trace.pages) {
    if (page >= page_count) {
      throw base::BadData(subject + "page " + std::to_string(page) + " is beyond the " +
                          std::to_string(page_count) + " pages of the memory file");
    }
    if (pages.size() < limit && !seen[page]) {
      seen[page] = true;
      pages.push_back(static_cast<PageNumber>(page));
    }
  }
  if (pages.empty()) {
    throw base::BadData(subject + "it contains no pages");
  }
  return pages;
}

}  // namespace

Pattern parse_pattern(std::string_view text) {
  constexpr std::string_view kStride = "stride:";
  constexpr std::string_view kTrace = "trace:";
  if (text == "random") {
    return {.kind = Pattern::Kind::random, .stride = 1, .trace_path = {}};
  }
  if (text == "seq") {
    return {.kind = Pattern::Kind::sequential, .stride = 1, .trace_path = {}};
  }
  if (text.starts_with(kStride)) {
    const uint64_t stride = base::parse_number<uint64_t>(text.substr(kStride.size())).value_or(0);
    if (stride > 0) {
      return {.kind = Pattern::Kind::stride, .stride = stride, .trace_path = {}};
    }
  }
  if (text.starts_with(kTrace) && text.size() > kTrace.size()) {
    return {.kind = Pattern::Kind::trace,
            .stride = 1,
            .trace_path = std::string(text.substr(kTrace.size()))};
  }
  throw base::UsageError("bad value " + base::quoted(text) +
                         " for --pattern: random, seq, stride:N or trace:FILE is needed");
}

std::vector<PageNumber> page_order(const Pattern& pattern, uint64_t page_count, uint64_t page_size,
                                   uint64_t limit, uint64_t seed) {
  limit = std::min(limit, page_count);
  switch (pattern.kind) {
    case Pattern::Kind::random:
      return random_order(page_count, limit, seed);
    case Pattern::Kind::trace:
      return trace_order(pattern.trace_path, page_count, page_size, limit);
    case Pattern::Kind::sequential:
    case Pattern::Kind::stride:
      break;
  }
  return stride_order(page_count, limit, pattern.stride);
}

}  // namespace pager
