// SPDX-License-Identifier: Apache-2.0
// Seals and unseals the memory file of a guest.
#include "lock/memory_seal.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <csignal>
#include <optional>

#include "base/error.h"
#include "base/fd.h"
#include "base/file_status.h"
#include "base/open_files.h"
#include "base/process.h"
#include "file/file_lease.h"
#include "meta/forks/fork_guard.h"
#include "meta/guest/guest.h"
#include "store/seal.h"

namespace lock {
namespace {

constexpr mode_t kPermissionBits = 07777;

// The open memory file of a guest, and its state now.
class MemoryFile {
 public:
  MemoryFile(const store::Store& store, std::string_view id, const char* verb)
      : path_(store.memory_path(id)),
        refusal_("cannot " + std::string(verb) + " " + base::quoted(id)) {
    store::check_id(id);
    meta::require_guest(store, id);
    std::optional<base::Fd> fd = store.try_open_below(path_, O_RDONLY | O_NONBLOCK);
    if (!fd) {
      refuse("it has no snapshot memory (" + path_ + ")");
    }
    fd_ = std::move(*fd);
    stat_ = base::stat_fd(fd_.get(), path_);
    if (!S_ISREG(stat_.st_mode)) {
      throw base::BadData("cannot use " + base::quoted(path_) + ": it is not a regular file");
    }
  }

  int fd() const { return fd_.get(); }
  const std::string& path() const { return path_; }
  const struct stat& stat() const { return stat_; }
  mode_t mode() const { return stat_.st_mode & kPermissionBits; }
  bool is_sealed() const { return store::is_sealed(stat_); }

  [[noreturn]] void refuse(const std::string& why) const {
    throw base::Refused(refusal_ + ": " + why);
  }
  void refuse_links() const {
    refuse("its memory has " + std::to_string(stat_.st_nlink) +
           " links, so other guests share it; give it its own file first (reflink-clone "
           "--unshare " +
           path_ + ")");
  }
  // The mode is durable when this returns, because later steps depend on the seal. The file is
  // flushed even if the mode is right already: an earlier run may have been killed between chmod
  // and fsync.
  void set_mode(mode_t mode) const {
    if (mode != this->mode() && ::fchmod(fd_.get(), mode) != 0) {
      base::throw_errno("cannot change the mode of " + base::quoted(path_));
    }
    base::sync_fd(fd_.get(), path_);
  }

 private:
  std::string path_;
  std::string refusal_;
  base::Fd fd_;
  struct stat stat_ {};
};

// Returns "4711 (firecracker), 4712 (cp)": the visible processes that have the file open for
// writing.
std::string visible_writers(const MemoryFile& file) {
  std::string text;
  pid_t last = 0;
  for (const base::OpenFile& open : base::find_open_files(file.stat())) {
    if (open.pid != last && base::is_writable(open)) {
      text += (text.empty() ? "" : ", ") + std::to_string(open.pid) + " (" +
              base::process_name(open.pid) + ")";
      last = open.pid;
    }
  }
  return text;
}

[[noreturn]] void refuse_writers(const MemoryFile& file) {
  const std::string writers = visible_writers(file);
  file.refuse("its memory is open for writing by " +
              (writers.empty() ? "a process that cannot be seen" : writers) + "; stop it first");
}

SealReport report_of(const MemoryFile& file, mode_t new_mode) {
  return {.path = file.path(),
          .old_mode = file.mode(),
          .new_mode = new_mode,
          .links = file.stat().st_nlink,
          .lease_checked = false};
}

}  // namespace

SealReport seal_memory(const store::Store& store, std::string_view id, base::Effect effect) {
  const MemoryFile file(store, id, "seal");
  if (!file.is_sealed() && file.stat().st_nlink > 1) {
    file.refuse_links();
  }
  SealReport report = report_of(file, file.mode() & ~store::kWriteBits);
  const file::FileLease lease(file.fd(), file::FileLease::Kind::read);
  if (lease.state() == file::FileLease::State::denied) {
    base::throw_error_number(EACCES, "cannot take a lease on " + base::quoted(file.path()));
  }
  report.lease_checked = lease.is_proof();
  if (lease.state() == file::FileLease::State::refused ||
      (!lease.is_proof() && !visible_writers(file).empty())) {
    refuse_writers(file);
  }
  if (!base::is_dry_run(effect)) {
    file.set_mode(report.new_mode);
    if (lease.state() == file::FileLease::State::refused) {
      ::fchmod(file.fd(), report.old_mode);
      refuse_writers(file);
    }
  }
  return report;
}

SealReport unseal_memory(const store::Store& store, std::string_view id, base::Effect effect) {
  const MemoryFile file(store, id, "unseal");
  const meta::GuardAnswer answer = meta::guard(store, id, meta::Intent::unseal, true);
  if (!answer.allowed) {
    throw base::Refused(answer.reason);
  }
  if (file.is_sealed() && file.stat().st_nlink > 1) {
    file.refuse_links();
  }
  SealReport report = report_of(file, file.mode() | S_IWUSR);
  if (!base::is_dry_run(effect)) {
    file.set_mode(report.new_mode);
  }
  return report;
}

}  // namespace lock
