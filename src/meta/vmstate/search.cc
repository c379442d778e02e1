// SPDX-License-Identifier: Apache-2.0
// Tries each offset of a state until the layout of the devices ends exactly where the CRC begins.
//
// KVM's structures stand between the header of a state and its devices. They are kilobytes long and
// depend on the architecture, the host's processor and the kernel, and their length is not stored.
// So the search skips them and tries each offset. Neither encoding has tags, but a reading that
// starts at a wrong offset soon meets an impossible length, variant or string, and rarely ends at
// the right offset. The search has two steps, which take 0.3 ms for a real file. The first step
// finds the part after the virtio devices; in most releases the VMClock's magic number locates it.
// The second step finds virtio devices that end where that part starts.
#include "meta/vmstate/search.h"

#include <algorithm>
#include <span>
#include <string>
#include <utility>

#include "base/little_endian.h"
#include "meta/vmstate/bincode_reader.h"
#include "meta/vmstate/bitcode_reader.h"
#include "meta/vmstate/formats.h"

namespace meta::vmstate {
namespace {

// The steps and bytes that one search may use. A real file needs less than a million of them. The
// limit takes about one second.
constexpr uint64_t kSearchBudget = uint64_t{1} << 27U;

// Reads one type in either encoding, from any offset.
class Reader {
 public:
  Reader(std::string_view bytes, const Type& type, Encoding encoding, Budget& budget)
      : bytes_(bytes), type_(type), budget_(budget) {
    if (encoding == Encoding::bitcode) {
      columns_.emplace(type);
    }
    // Most of the searched bytes are zeros, which mean "no devices". They are read only once.
    const std::string zeros(kMostZeros, '\0');
    std::vector<Field> found;
    zeros_taken_ = read(zeros, 0, found);
  }

  // Works as read_bincode does. `zeros` is the number of zero bytes that start at `offset`.
  std::optional<size_t> read_at(size_t offset, size_t zeros, std::vector<Field>& found) {
    found.clear();
    return zeros_taken_ && zeros >= *zeros_taken_ ? std::optional(offset + *zeros_taken_)
                                                  : read(bytes_, offset, found);
  }

 private:
  static constexpr size_t kMostZeros = 4096;

  std::optional<size_t> read(std::string_view bytes, size_t offset, std::vector<Field>& found) {
    return columns_ ? columns_->read(bytes, offset, budget_, found)
                    : read_bincode(bytes, offset, type_, budget_, found);
  }

  std::string_view bytes_;
  const Type& type_;
  Budget& budget_;
  std::optional<BitcodeReader> columns_;
  std::optional<size_t> zeros_taken_;
};

// The number of zero bytes that start at each offset.
std::vector<uint32_t> zero_runs(std::string_view bytes) {
  std::vector<uint32_t> runs(bytes.size() + 1, 0);
  for (size_t i = bytes.size(); i > 0; --i) {
    runs[i - 1] = bytes[i - 1] == '\0' ? runs[i] + 1 : 0;
  }
  return runs;
}

// Offsets at which `tail` may start.
std::vector<size_t> tail_candidates(std::string_view body, bool has_clock) {
  std::vector<size_t> offsets;
  if (!has_clock) {
    for (size_t offset = 0; offset < body.size(); ++offset) {
      offsets.push_back(offset);
    }
    return offsets;
  }
  std::string needle;
  base::append_little_endian(needle, kClockMagic, sizeof kClockMagic);
  size_t next = 0;  // so that each offset is added only once
  for (size_t at = body.find(needle); at != std::string_view::npos;
       at = body.find(needle, at + 1)) {
    for (next = std::max(next, at - std::min(at, kClockMagicReach)); next < at; ++next) {
      offsets.push_back(next);
    }
  }
  return offsets;
}

struct Tail {
  size_t offset;
  std::vector<Field> found;
};

struct Reading {
  size_t offset;
  std::vector<Field> fields;
};

// All readings of `layout` that end at the end of `body`, ordered by their offsets.
std::vector<Reading> all_readings(std::string_view body, const DevicesLayout& layout,
                                  Encoding encoding, Budget& budget) {
  const std::vector<uint32_t> zeros = zero_runs(body);
  std::vector<Field> found;
  std::vector<Tail> tails;
  Reader tail_reader(body, *layout.tail, encoding, budget);
  for (const size_t offset : tail_candidates(body, layout.has_clock)) {
    if (tail_reader.read_at(offset, zeros[offset], found) == body.size()) {
      tails.push_back({.offset = offset, .found = found});
    }
  }
  std::vector<Reading> readings;
  if (tails.empty()) {
    return readings;
  }
  Reader virtio_reader(body, *layout.virtio, encoding, budget);
  for (size_t offset = 0; offset <= tails.back().offset && budget.left > 0; ++offset) {
    const std::optional<size_t> end = virtio_reader.read_at(offset, zeros[offset], found);
    const auto tail = end ? std::ranges::lower_bound(tails, *end, {}, &Tail::offset) : tails.end();
    if (tail != tails.end() && tail->offset == *end) {
      readings.push_back({.offset = offset, .fields = found});
      std::vector<Field>& fields = readings.back().fields;
      fields.insert(fields.end(), tail->found.begin(), tail->found.end());
    }
  }
  return readings;
}

bool is_text(Role role) {
  return role == Role::drive || role == Role::vhost_user_block || role == Role::pmem ||
         role == Role::vsock || role == Role::iface_id || role == Role::tap;
}

// Whether each path and name can exist on a host: it is not empty and has no control character.
bool is_plausible(std::string_view body, const std::vector<Field>& reading) {
  return std::ranges::all_of(reading, [&](const Field& part) {
    const std::string_view text = is_text(part.role) ? body.substr(part.offset, part.value) : "-";
    return !text.empty() && std::ranges::none_of(text, [](char c) {
      return static_cast<unsigned char>(c) < ' ' || c == '\x7f';
    });
  });
}

// Whether the first reading, which is the longest, contains all others. A reading often starts
// inside another one. For example, a zero at the end of the drives can be read as the number of
// drives, and the numbers after it as a drive whose path is one control character. Therefore each
// later reading must equal the end of the first one, or contain an implausible name.
bool first_contains_others(std::string_view body, const std::vector<Reading>& readings) {
  const std::vector<Field>& first = readings[0].fields;
  return is_plausible(body, first) && std::ranges::all_of(readings, [&](const Reading& reading) {
           const std::vector<Field>& fields = reading.fields;
           return (fields.size() <= first.size() &&
                   std::equal(fields.rbegin(), fields.rend(), first.rbegin())) ||
                  !is_plausible(body, fields);
         });
}

// Whether `text` contains at least kShortest printable characters in a row with a slash or a dot
// among them. KVM's structures may contain such bytes as well; then an assumed layout is refused.
bool may_contain_path(std::string_view text) {
  constexpr size_t kShortest = 5;
  size_t length = 0;
  bool has_separator = false;
  for (const char c : text) {
    const bool is_printable = c > ' ' && c <= '~';
    length = is_printable ? length + 1 : 0;
    has_separator = is_printable && (has_separator || c == '/' || c == '.');
    if (length >= kShortest && has_separator) {
      return true;
    }
  }
  return false;
}

// Searches with several layouts.
class Search {
 public:
  Search(std::string_view body, Encoding encoding, Arch arch)
      : body_(body), encoding_(encoding), arch_(arch) {}

  // The readings of `format`; empty if it does not fit.
  std::vector<Reading> with(const Format& format) {
    if (format.encoding != encoding_) {
      return {};
    }
    TypeArena arena;
    return all_readings(body_, devices_layout(arena, format.layout, arch_), encoding_, budget_);
  }
  bool is_exhausted() const { return budget_.left == 0; }

 private:
  std::string_view body_;
  Encoding encoding_;
  Arch arch_;
  Budget budget_{.left = kSearchBudget};
};

}  // namespace

std::optional<FoundDevices> search_devices(std::string_view body, size_t header_bytes,
                                           std::string_view version, Encoding encoding, Arch arch) {
  const bool is_newer = is_newer_version(version);
  const std::span<const Format> formats = is_newer ? all_formats() : formats_of(version);
  const std::vector<Format> newest_first(formats.rbegin(), formats.rend());
  Search search(body, encoding, arch);
  std::optional<FoundDevices> result;
  // The newest layout is tried first. Zeros at the end of a 1.14 state can be read as an empty
  // 1.13 state. Only bytes with the clock's magic number can be read as a 1.14 state.
  for (const Format& format : newest_first) {
    const std::vector<Reading> readings = search.with(format);
    if (search.is_exhausted()) {
      return std::nullopt;
    }
    if (readings.empty()) {
      continue;
    }
    if (!first_contains_others(body, readings)) {
      return std::nullopt;
    }
    const bool is_assumed = is_newer || format.is_assumed;
    const std::string_view before =
        body.substr(0, readings[0].offset).substr(std::min(header_bytes, readings[0].offset));
    if (is_assumed && may_contain_path(before)) {
      return std::nullopt;
    }
    if (!result) {
      result = {.fields = readings[0].fields,
                .offset = readings[0].offset,
                .layout = format.layout,
                .is_assumed = is_assumed};
    } else if (result->fields != readings[0].fields) {
      return std::nullopt;
    }
    if (!is_assumed) {
      break;
    }
  }
  return result;
}

std::optional<std::vector<Field>> read_devices_at(std::string_view body, size_t offset,
                                                  Layout layout, Encoding encoding, Arch arch) {
  TypeArena arena;
  Budget budget{.left = kSearchBudget};
  const DevicesLayout types = devices_layout(arena, layout, arch);
  std::vector<Field> fields;
  std::vector<Field> tail;
  const auto read = [&](const Type& type, size_t from, std::vector<Field>& found) {
    return encoding == Encoding::bitcode ? BitcodeReader(type).read(body, from, budget, found)
                                         : read_bincode(body, from, type, budget, found);
  };
  const std::optional<size_t> end = read(*types.virtio, offset, fields);
  if (!end || read(*types.tail, *end, tail) != body.size()) {
    return std::nullopt;
  }
  fields.insert(fields.end(), tail.begin(), tail.end());
  return is_plausible(body, fields) ? std::optional(std::move(fields)) : std::nullopt;
}

}  // namespace meta::vmstate
