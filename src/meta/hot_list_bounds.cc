#include "meta/hot_list_bounds.h"

#include <optional>

#include "base/error.h"
#include "base/fd.h"

namespace meta {
namespace {

constexpr uint64_t kSmallestPage = 4096;
constexpr size_t kMostBytes = size_t{256} << 20U;

// Takes one LEB128 number from the start of `rest`; nothing when it is cut off or too long.
std::optional<uint64_t> take_number(std::string_view& rest) {
  constexpr unsigned kMostShift = 63;
  uint64_t number = 0;
  for (unsigned shift = 0; shift <= kMostShift && !rest.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(rest[0]);
    rest.remove_prefix(1);
    number |= uint64_t{byte & 0x7fU} << shift;
    if ((byte & 0x80U) == 0) {
      return number;
    }
  }
  return std::nullopt;
}

}  // namespace

std::string hot_list_problem(int fd, std::string_view name, uint64_t memory_bytes) {
  constexpr std::string_view kMagic = "HPL1";
  std::string text;
  try {
    text = base::read_all(fd, kMostBytes, name);
  } catch (const base::BadData& error) {
    return error.what();
  }
  std::string_view rest = text;
  if (!rest.starts_with(kMagic)) {
    return rest.starts_with("HPL") ? "" : "it does not start as a hot list does";
  }
  rest.remove_prefix(kMagic.size());
  const std::optional<uint64_t> count = take_number(rest);
  if (!count || *count > memory_bytes / kSmallestPage) {
    return count ? "it has " + std::to_string(*count) + " pages, and the memory fewer"
                 : "it is cut off";
  }
  for (uint64_t i = 0; i < *count; ++i) {
    const std::optional<uint64_t> region = take_number(rest);
    const std::optional<uint64_t> offset = region ? take_number(rest) : std::nullopt;
    if (!offset) {
      return "it is cut off";
    }
    if (*offset >= memory_bytes) {
      return "entry " + std::to_string(i + 1) + " is at byte " + std::to_string(*offset) +
             ", beyond the memory";
    }
  }
  return rest.empty() ? "" : "something follows its last entry";
}

}  // namespace meta
