// SPDX-License-Identifier: Apache-2.0
// Between the beginning of a state and its devices stand KVM's structures: kilobytes that depend on
// the architecture, on the host's processor and on the kernel, and that nothing announces. So we do
// not go through them, but try each offset. Neither encoding has tags, yet a reading that starts at
// a wrong place soon meets a length, a variant or a text that cannot be, and hardly ever ends where
// it must. Two steps keep this fast (0.3 ms for a real file): first what follows the virtio
// devices, which the VMClock's magic gives away in most releases, then virtio devices that end
// there.
#include "meta/vmstate/search.h"

#include <algorithm>
#include <array>
#include <span>
#include <string>

#include "meta/vmstate/bincode_reader.h"
#include "meta/vmstate/bitcode_reader.h"

namespace meta {
namespace {

// Steps and bytes that a search may take. Real files need less than a million; this is a second.
constexpr uint64_t kSearchEffort = uint64_t{1} << 27U;

// Reads one type in either encoding, from any offset.
class Reader {
 public:
  Reader(std::string_view bytes, const Type& type, Encoding encoding, Effort& effort)
      : bytes_(bytes), type_(type), effort_(effort) {
    if (encoding == Encoding::bitcode) {
      columns_.emplace(type);
    }
    // Most of what is searched are zeros, and these mean "no devices": read them once.
    const std::string zeros(kMostZeros, '\0');
    std::vector<Found> found;
    zeros_taken_ = read(zeros, 0, found);
  }

  // As read_bincode; `zeros` is how many of the bytes at `offset` are known to be 0.
  std::optional<size_t> read_at(size_t offset, size_t zeros, std::vector<Found>& found) {
    found.clear();
    return zeros_taken_ && zeros >= *zeros_taken_ ? std::optional(offset + *zeros_taken_)
                                                  : read(bytes_, offset, found);
  }

 private:
  static constexpr size_t kMostZeros = 4096;

  std::optional<size_t> read(std::string_view bytes, size_t offset, std::vector<Found>& found) {
    return columns_ ? columns_->read(bytes, offset, effort_, found)
                    : read_bincode(bytes, offset, type_, effort_, found);
  }

  std::string_view bytes_;
  const Type& type_;
  Effort& effort_;
  std::optional<BitcodeReader> columns_;
  std::optional<size_t> zeros_taken_;
};

// How many zeros there are from each offset on.
std::vector<uint32_t> zero_runs(std::string_view bytes) {
  std::vector<uint32_t> runs(bytes.size() + 1, 0);
  for (size_t i = bytes.size(); i > 0; --i) {
    runs[i - 1] = bytes[i - 1] == '\0' ? runs[i] + 1 : 0;
  }
  return runs;
}

// Offsets at which `rest` may start.
std::vector<size_t> rest_candidates(std::string_view body, bool has_clock) {
  std::vector<size_t> offsets;
  if (!has_clock) {
    for (size_t offset = 0; offset < body.size(); ++offset) {
      offsets.push_back(offset);
    }
    return offsets;
  }
  const std::array<char, 4> magic{
      static_cast<char>(kClockMagic & 0xffU), static_cast<char>(kClockMagic >> 8U & 0xffU),
      static_cast<char>(kClockMagic >> 16U & 0xffU), static_cast<char>(kClockMagic >> 24U & 0xffU)};
  const std::string_view needle(magic.data(), magic.size());
  size_t next = 0;  // each offset once
  for (size_t at = body.find(needle); at != std::string_view::npos;
       at = body.find(needle, at + 1)) {
    for (next = std::max(next, at - std::min(at, kClockMagicReach)); next < at; ++next) {
      offsets.push_back(next);
    }
  }
  return offsets;
}

struct Rest {
  size_t offset;
  std::vector<Found> found;
};

// All readings of `layout` that end at the end, in the order of their offsets.
std::vector<std::vector<Found>> all_readings(std::string_view body, const DevicesLayout& layout,
                                             Encoding encoding, Effort& effort) {
  const std::vector<uint32_t> zeros = zero_runs(body);
  std::vector<Found> found;
  std::vector<Rest> rests;
  Reader rest_reader(body, *layout.rest, encoding, effort);
  for (const size_t offset : rest_candidates(body, layout.has_clock)) {
    if (rest_reader.read_at(offset, zeros[offset], found) == body.size()) {
      rests.push_back({.offset = offset, .found = found});
    }
  }
  std::vector<std::vector<Found>> readings;
  if (rests.empty()) {
    return readings;
  }
  Reader virtio_reader(body, *layout.virtio, encoding, effort);
  for (size_t offset = 0; offset <= rests.back().offset && effort.left > 0; ++offset) {
    const std::optional<size_t> end = virtio_reader.read_at(offset, zeros[offset], found);
    const auto rest = end ? std::ranges::lower_bound(rests, *end, {}, &Rest::offset) : rests.end();
    if (rest != rests.end() && rest->offset == *end) {
      readings.push_back(found);
      readings.back().insert(readings.back().end(), rest->found.begin(), rest->found.end());
    }
  }
  return readings;
}

bool is_text(Role role) {
  return role == Role::drive || role == Role::vhost_user_block || role == Role::pmem ||
         role == Role::vsock || role == Role::tap;
}

// Whether each path and name is one that a host can have: not empty, no control character.
bool is_plausible(std::string_view body, const std::vector<Found>& reading) {
  return std::ranges::all_of(reading, [&](const Found& part) {
    const std::string_view text = is_text(part.role) ? body.substr(part.offset, part.value) : "-";
    return !text.empty() && std::ranges::none_of(text, [](char c) {
      return static_cast<unsigned char>(c) < ' ' || c == '\x7f';
    });
  });
}

// Whether the first reading, the longest, contains all others. A reading that starts within
// another is common: a zero at the end of the drives can be read as the number of drives, and the
// numbers after it as a drive whose path is one control character. Each later reading must
// therefore be what the first one ends with, or name what cannot be.
bool first_contains_others(std::string_view body, const std::vector<std::vector<Found>>& readings) {
  const std::vector<Found>& first = readings[0];
  return is_plausible(body, first) &&
         std::ranges::all_of(readings, [&](const std::vector<Found>& reading) {
           return (reading.size() <= first.size() &&
                   std::equal(reading.rbegin(), reading.rend(), first.rbegin())) ||
                  !is_plausible(body, reading);
         });
}

}  // namespace

std::optional<std::vector<Found>> search_devices(std::string_view body, std::string_view version,
                                                 Encoding encoding, Arch arch) {
  Effort effort{.left = kSearchEffort};
  const std::span<const Release> releases = releases_of(version);
  const std::vector<Release> newest_first(releases.rbegin(), releases.rend());
  // Zeros at the end of a 1.14 state can be read as an empty 1.13 one, but
  // nothing without the clock's magic as a 1.14 one.
  for (const Release release : newest_first) {
    if (encoding_of(release) != encoding) {
      continue;
    }
    TypeArena arena;
    const std::vector<std::vector<Found>> readings =
        all_readings(body, devices_layout(arena, release, arch), encoding, effort);
    if (effort.left == 0) {
      return std::nullopt;
    }
    if (!readings.empty()) {
      return first_contains_others(body, readings) ? std::optional(readings[0]) : std::nullopt;
    }
  }
  return std::nullopt;
}

}  // namespace meta
