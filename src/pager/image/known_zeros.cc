// SPDX-License-Identifier: Apache-2.0
// Finds the image.json of a served memory file and subtracts its zero pages from the data map.
#include "pager/image/known_zeros.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file_status.h"
#include "base/message.h"
#include "hot/region.h"
#include "meta/guest/metadata.h"
#include "meta/image/image_record.h"
#include "store/seal.h"

namespace pager {
namespace {

namespace fs = std::filesystem;

// Returns the directory of the guest whose record may describe this memory. Empty if the file does
// not belong to a guest.
fs::path template_of(const std::string& memory) {
  const fs::path snapshot = fs::absolute(memory).parent_path();
  if (snapshot.filename() != "snapshot-latest" ||
      snapshot.parent_path().filename() != "snapshots") {
    return {};
  }
  fs::path guest = snapshot.parent_path().parent_path();
  std::error_code ignored;
  if (fs::exists(guest / "template/image.json", ignored)) {
    return guest;
  }
  const fs::path metadata = guest / "metadata.json";
  if (!fs::exists(metadata, ignored)) {
    return {};
  }
  const std::string id = meta::Metadata::read(metadata.string()).fork_of_template();
  const bool plain = !id.empty() && id.find('/') == std::string::npos && id[0] != '.';
  return plain ? guest.parent_path() / id : fs::path();
}

bool is_older(const struct timespec& a, const struct timespec& b) {
  return a.tv_sec != b.tv_sec ? a.tv_sec < b.tv_sec : a.tv_nsec < b.tv_nsec;
}

bool is_path_of(const fs::path& path, const struct stat& st) {
  struct stat found {};
  return ::stat(path.c_str(), &found) == 0 && base::is_same_file(found, st);
}

// Returns why the record does not count, or "" if it does.
std::string objection(const meta::ImageRecord& record, const fs::path& record_path,
                      const struct stat& served) {
  struct stat written {};
  if (record.memory_bytes != static_cast<uint64_t>(served.st_size)) {
    return "it describes " + std::to_string(record.memory_bytes) + " bytes";
  }
  if (!store::is_sealed(served)) {
    return "the memory is not sealed";
  }
  if (::stat(record_path.c_str(), &written) != 0 || is_older(written.st_mtim, served.st_mtim)) {
    return "the memory was written to after it";
  }
  return "";
}

file::ByteRange bytes_of(const meta::ZeroRun& run) {
  return {.begin = static_cast<off_t>(run.first * hot::kSmallPage),
          .end = static_cast<off_t>((run.first + run.count) * hot::kSmallPage)};
}

DataMap without(const DataMap& data, const std::vector<meta::ZeroRun>& zero_runs) {
  std::vector<file::ByteRange> left;
  auto run = zero_runs.begin();
  for (file::ByteRange range : data.ranges()) {
    while (run != zero_runs.end() && bytes_of(*run).end <= range.begin) {
      ++run;
    }
    for (auto next = run; next != zero_runs.end() && range.begin < range.end; ++next) {
      const file::ByteRange zeros = bytes_of(*next);
      if (zeros.begin >= range.end) {
        break;
      }
      if (zeros.begin > range.begin) {
        left.push_back({.begin = range.begin, .end = zeros.begin});
      }
      range.begin = std::max(range.begin, zeros.end);
    }
    if (range.begin < range.end) {
      left.push_back(range);
    }
  }
  return DataMap(std::move(left));
}

}  // namespace

std::optional<KnownZeros> known_zeros(const std::string& memory, const struct stat& st,
                                      const DataMap& data) {
  try {
    const fs::path guest = template_of(memory);
    const fs::path record_path = guest / "template/image.json";
    const std::optional<meta::ImageRecord> record =
        guest.empty() ? std::nullopt : meta::read_image_record(record_path.string());
    if (!record) {
      return std::nullopt;
    }
    const fs::path described = guest / "snapshots/snapshot-latest/memory";
    if (!is_path_of(described, st)) {
      return std::nullopt;  // the fork now has memory of its own
    }
    if (const std::string why = objection(*record, record_path, st); !why.empty()) {
      base::say_warning("not using " + base::quoted(record_path.string()) + " for " +
                        base::quoted(memory) + ": " + why);
      return std::nullopt;
    }
    return KnownZeros{.data = without(data, record->zero_runs),
                      .complete = record->zero_runs_from_pages <= 1,
                      .digest = record->digest};
  } catch (const std::exception& error) {
    base::say_warning("serving " + base::quoted(memory) +
                      " without its list of zero pages: " + error.what());
    return std::nullopt;
  }
}

}  // namespace pager
