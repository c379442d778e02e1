// SPDX-License-Identifier: Apache-2.0
// Checks both files, and copies the data of the Diff over the memory file in place.
#include "meta/flows/merge_diff.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <optional>
#include <vector>

#include "base/effect.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/file_status.h"
#include "base/is_zero.h"
#include "base/message.h"
#include "base/open_files.h"
#include "file/file_lease.h"
#include "file/next_data.h"
#include "hot/region.h"
#include "meta/guest/guest_vmm.h"
#include "store/files.h"
#include "store/seal.h"
#include "store/store_path.h"

namespace meta {
namespace {

constexpr size_t kCopyBytes = size_t{1} << 20U;

struct stat stat_regular(const base::Fd& fd, const std::string& path) {
  const struct stat st = base::stat_fd(fd.get(), path);
  if (!S_ISREG(st.st_mode)) {
    throw base::BadData("cannot merge " + base::quoted(path) + ": it is not a regular file");
  }
  return st;
}

// Copies with copy_file_range(2). If that fails or stops, copies the rest with read and write.
void copy_extent(const base::Fd& from, const base::Fd& to, const file::ByteRange& extent,
                 const std::string& diff, const std::string& memory) {
  off_t at = extent.begin;
  while (at < extent.end) {
    off_t in = at;
    off_t out = at;
    const ssize_t copied =
        ::copy_file_range(from.get(), &in, to.get(), &out, static_cast<size_t>(extent.end - at), 0);
    if (copied == 0 || (copied < 0 && errno != EINTR)) {
      break;
    }
    at += std::max<ssize_t>(copied, 0);
  }
  std::vector<std::byte> buffer(at < extent.end ? kCopyBytes : 0);
  while (at < extent.end) {
    const size_t wanted = std::min(buffer.size(), static_cast<size_t>(extent.end - at));
    const size_t got = base::pread_full(from.get(), std::span(buffer).first(wanted), at, diff);
    if (got == 0) {
      throw base::BadData("cannot merge " + base::quoted(diff) +
                          ": its size changed while it was read");
    }
    base::pwrite_full(to.get(), std::span(buffer).first(got), at, memory);
    at += static_cast<off_t>(got);
  }
}

void check_lengths(const std::string& diff, const struct stat& diff_st, const std::string& memory,
                   const struct stat& memory_st) {
  if (diff_st.st_size != memory_st.st_size) {
    throw base::BadData("cannot merge " + base::quoted(diff) + " into " + base::quoted(memory) +
                        ": their sizes are " + std::to_string(diff_st.st_size) + " and " +
                        std::to_string(memory_st.st_size) +
                        " bytes, so they do not belong to the same guest");
  }
}

void require_own_memory(const std::string& diff, const struct stat& diff_st,
                        const std::string& memory, const struct stat& memory_st) {
  const std::string what = "cannot merge " + base::quoted(diff) + " into " + base::quoted(memory);
  if (base::is_same_file(diff_st, memory_st)) {
    throw base::Refused(what + ": they are the same file");
  }
  if (memory_st.st_nlink > 1) {
    throw base::Refused(what + ": it has " + std::to_string(memory_st.st_nlink) +
                        " links, and other guests would see the change; merge into a copy");
  }
  if (store::is_sealed(memory_st)) {
    throw base::Refused(what + ": it is sealed; merge into a copy");
  }
}

// Takes the lock on the guest that owns the memory file. Throws base::Refused if the guest runs.
// Returns nothing if the file does not belong to a guest.
std::optional<store::GuestLocks> lock_guest(const store::Store& store, const std::string& memory,
                                            base::Effect effect) {
  const std::optional<std::string> id = store::guest_of_path(store, memory);
  if (!id || !store::is_valid_id(*id)) {
    return std::nullopt;
  }
  std::optional<store::GuestLocks> lock;
  if (effect == base::Effect::real) {
    lock.emplace(store, *id);
  } else {
    store::require_free(store, *id);
  }
  VmmFinder finder(store);
  std::optional<LiveVmm> vmm;
  try {
    vmm = finder.find(*id, Metadata::of_guest(store, *id));
  } catch (const base::BadData&) {
    vmm = finder.find_without_metadata(*id);
  }
  if (vmm) {
    throw base::Refused("cannot merge into " + base::quoted(memory) + ": the guest " +
                        base::quoted(*id) + " is Running: " + vmm->reason + "; stop it first");
  }
  return lock;
}

// Throws base::Refused if a process has the file open, such as a VMM that maps it or a page server.
// That process would read a partly written file.
void require_unused(const base::Fd& fd, const std::string& path, const struct stat& st) {
  if (file::FileLease(fd.get(), file::FileLease::Kind::write).state() !=
      file::FileLease::State::refused) {
    return;
  }
  pid_t user = 0;
  for (const base::OpenFile& open : base::find_open_files(st)) {
    user = open.pid != ::getpid() && user == 0 ? open.pid : user;
  }
  throw base::Refused("cannot merge into " + base::quoted(path) + ": " + process_text(user) +
                      " has it open; end that process first, or merge into a copy");
}

bool has_zero_page(const base::Fd& fd, const file::ByteRange& extent, const std::string& path) {
  std::vector<std::byte> buffer(kCopyBytes);
  for (off_t at = extent.begin; at < extent.end;) {
    const size_t wanted = std::min(buffer.size(), static_cast<size_t>(extent.end - at));
    const size_t got = base::pread_full(fd.get(), std::span(buffer).first(wanted), at, path);
    for (size_t page = 0; page + hot::kSmallPage <= got; page += hot::kSmallPage) {
      if (base::is_zero(std::span(buffer).subspan(page, hot::kSmallPage))) {
        return true;
      }
    }
    if (got < wanted) {
      break;
    }
    at += static_cast<off_t>(got);
  }
  return false;
}

// A guest writes zeros into pages, so a Diff usually has zero pages that are data. Programs that
// turn zeros into holes (zstd, tar --sparse, cp --sparse=always, rsync -S) destroy that
// information, because a hole means "as in the base".
void warn_without_zeros(const base::Fd& from, const std::vector<file::ByteRange>& extents,
                        const std::string& diff) {
  const bool found = std::ranges::any_of(
      extents, [&](const file::ByteRange& extent) { return has_zero_page(from, extent, diff); });
  if (!found && !extents.empty()) {
    base::say_warning(
        base::quoted(diff) +
        " has no zero page that is data: if a program that turns zeros into holes packed or copied "
        "it, the merged memory is wrong; compare it with a Full snapshot");
  }
}

}  // namespace

MergedDiff merge_diff(const store::Store& store, const std::string& diff, const std::string& memory,
                      Target target, base::Effect effect) {
  const bool writes_memory = target == Target::memory;
  const base::Fd from = base::open_file(diff, O_RDONLY | O_NONBLOCK);
  const struct stat diff_st = stat_regular(from, diff);
  std::optional<store::GuestLocks> lock;
  if (writes_memory) {
    lock = lock_guest(store, memory, effect);
  }
  struct stat named {};
  if (::stat(memory.c_str(), &named) == 0 && !S_ISREG(named.st_mode)) {
    throw base::BadData("cannot merge " + base::quoted(memory) + ": it is not a regular file");
  }
  // The file is opened only once, so that the checked file is the one that is written.
  base::Fd to = base::open_file(memory, (writes_memory ? O_RDWR : O_RDONLY) | O_NONBLOCK);
  const struct stat memory_st = stat_regular(to, memory);
  if (writes_memory) {
    require_own_memory(diff, diff_st, memory, memory_st);
  }
  check_lengths(diff, diff_st, memory, memory_st);
  if (writes_memory) {
    require_unused(to, memory, memory_st);
  }
  const std::vector<file::ByteRange> extents = file::list_data(from.get(), diff_st.st_size, diff);
  MergedDiff result{.bytes = 0, .extents = extents.size()};
  for (const file::ByteRange& extent : extents) {
    result.bytes += static_cast<uint64_t>(extent.size());
  }
  if (result.bytes == static_cast<uint64_t>(diff_st.st_size)) {
    throw base::BadData(
        "cannot merge " + base::quoted(diff) +
        ": it has no holes, so it is a Full memory file, or a Diff whose holes were "
        "lost in a copy, and it would overwrite the whole base");
  }
  warn_without_zeros(from, extents, diff);
  if (base::is_dry_run(effect)) {
    return result;
  }
  for (const file::ByteRange& extent : extents) {
    copy_extent(from, to, extent, diff, memory);
  }
  base::sync_fd(to.get(), memory);
  to.close_checked(memory);
  return result;
}

}  // namespace meta
