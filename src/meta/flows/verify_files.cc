// SPDX-License-Identifier: Apache-2.0
// Compares disks, hot list and links of the memory with the metadata and the state file.
#include "meta/flows/verify_files.h"

#include <sys/stat.h>

#include <algorithm>
#include <optional>
#include <string_view>

#include "base/error.h"
#include "base/fd.h"
#include "base/file_status.h"
#include "meta/flows/fork_lifecycle.h"
#include "meta/forks/fork_count.h"
#include "meta/guest/disks.h"
#include "meta/guest/guest_paths.h"
#include "meta/image/hot_list_bounds.h"
#include "meta/image/image_record.h"
#include "meta/image/template_lists.h"
#include "meta/vmstate/vmstate.h"
#include "store/files.h"

namespace meta {
namespace {

constexpr uint64_t kPmemUnit = uint64_t{2} << 20U;

std::optional<struct stat> stat_of(const std::string& path) {
  struct stat st {};
  return ::stat(path.c_str(), &st) == 0 ? std::optional(st) : std::nullopt;
}

class DiskChecker {
 public:
  // A state file that cannot be read is a problem of the snapshot, which check_snapshot reports.
  DiskChecker(const store::Store& store, const std::string& id, const Metadata& metadata)
      : dir_(store.guest_dir(id)),
        disks_(disks_of(metadata)),
        paths_(metadata),
        vmstate_(vmstate::try_read_vmstate(store.state_path(id))) {}

  std::vector<std::string> run() {
    for (const Disk& disk : disks_) {
      check_listed(disk);
    }
    if (vmstate_) {
      check_named();
    }
    return std::move(problems_);
  }

 private:
  void problem(const std::string& text) { problems_.push_back(text); }

  void check_listed(const Disk& disk) {
    const std::string name = "its disk " + base::quoted(disk.file);
    const std::optional<struct stat> st = stat_of(dir_ + "/" + disk.file);
    if (!st) {
      problem(name + " is missing");
    } else if (!S_ISREG(st->st_mode)) {
      problem(name + " is not a regular file");
    } else if (st->st_size == 0) {
      problem(name + " is empty");
    } else if (!disk.mtime_ns && disk.bytes && *disk.bytes != st->st_size) {
      problem(name + " has " + std::to_string(st->st_size) + " bytes, but it had " +
              std::to_string(*disk.bytes) + " when the snapshot was published");
    }
    if (vmstate_ && vmstate_->paths_problem.empty() &&
        std::ranges::find(vmstate_->paths, disk.embedded_path, &vmstate::EmbeddedText::text) ==
            vmstate_->paths.end()) {
      problem("its state file has no path " + base::quoted(disk.embedded_path) +
              ", which snapfork.disks has for " + base::quoted(disk.file));
    }
  }

  // The guest's own file for a path of the state. Returns nothing if the path belongs to the host.
  std::optional<std::string> own_file(const std::string& path) const {
    const std::optional<std::string> file = paths_.file_for(path);
    return file && !paths_.is_shared(path) ? std::optional(dir_ + "/" + *file) : std::nullopt;
  }

  void check_named() {
    size_t pmems = 0;
    for (const vmstate::EmbeddedText& path : vmstate_->paths) {
      const std::optional<std::string> file = own_file(path.text);
      const std::optional<struct stat> st = file ? stat_of(*file) : std::nullopt;
      if (path.role == vmstate::Role::pmem && pmems < vmstate_->pmem_bytes.size()) {
        check_pmem(path.text, st, vmstate_->pmem_bytes[pmems++]);
      } else if (path.role == vmstate::Role::drive && file && !st) {
        problem("its drive " + base::quoted(path.text) + " is missing");
      }
    }
  }

  // The size of the device is the size of its file, rounded up to 2 MiB.
  void check_pmem(const std::string& path, const std::optional<struct stat>& st, uint64_t bytes) {
    if (st &&
        (static_cast<uint64_t>(st->st_size) + kPmemUnit - 1) / kPmemUnit * kPmemUnit != bytes) {
      problem("its pmem file " + base::quoted(path) + " has " + std::to_string(st->st_size) +
              " bytes, but its state file requires " + std::to_string(bytes));
    }
  }

  std::string dir_;
  std::vector<Disk> disks_;
  GuestPaths paths_;
  std::optional<vmstate::VmState> vmstate_;
  std::vector<std::string> problems_;
};

}  // namespace

std::vector<std::string> disk_problems(const store::Store& store, const std::string& id,
                                       const Metadata& metadata) {
  return DiskChecker(store, id, metadata).run();
}

std::vector<std::string> hot_list_problems(const store::Store& store, const std::string& id,
                                           const Metadata& metadata, const GuestState& state) {
  std::vector<std::string> problems;
  const std::string named = metadata.text("HotPagesPath");
  if (!named.empty() &&
      !stat_of(named.starts_with('/') ? named : store.guest_dir(id) + "/" + named)) {
    problems.push_back("its hot list " + base::quoted(named) + " is missing");
  }
  hot::ImageFacts image{.memory_bytes =
                            static_cast<uint64_t>(state.snapshot.memory_bytes.value_or(0))};
  try {
    if (const auto record = read_image_record(image_record_path(store, id))) {
      image.digest = record->digest;
      image.page_size = record->page_size;
    }
  } catch (const base::BadData&) {
    // The check of the memory reports it. The lists are compared with the size alone.
  }
  for (const std::string& path : {hpl1_path(store, id), hpl2_path(store, id)}) {
    if (const std::optional<base::Fd> fd = base::try_open(path, O_RDONLY)) {
      const std::string why = hot_list_problem(fd->get(), path, image);
      if (!why.empty()) {
        problems.push_back("its hot list " + base::quoted(path) +
                           " is not for this memory: " + why);
      }
    }
  }
  return problems;
}

std::vector<std::string> memory_link_problems(const store::Store& store, const std::string& id,
                                              const Metadata& metadata) {
  const std::optional<struct stat> memory = stat_of(store.memory_path(id));
  if (!memory || memory->st_nlink < 2) {
    return {};
  }
  const std::string links = "its memory file has " + std::to_string(memory->st_nlink) + " links";
  const auto shares = [&](const std::string& path) {
    const std::optional<struct stat> other = stat_of(path);
    return other && base::is_same_file(*other, *memory);
  };
  if (!metadata.is_template()) {
    const std::string parent = metadata.fork_of_template();
    if (store::is_valid_id(parent) && shares(store.memory_path(parent))) {
      return {};
    }
    return {
        links +
        ", but it is not the memory file of its template; unshare it (reflink-clone --unshare " +
        store.memory_path(id) + ")"};
  }
  nlink_t known = 1;
  constexpr std::string_view kMemory = "/snapshots/snapshot-latest/memory";
  for (const ForkRecord& fork : forks_of(store, id, metadata)) {
    // A fork, a fork that is being made, or a fork that is being deleted.
    const bool is_known = shares(store.memory_path(fork.id)) ||
                          shares(clone_dir(store, fork.id).append(kMemory)) ||
                          shares(store::path_in(store.trash_dir(), fork.id).append(kMemory));
    known += is_known ? 1 : 0;
  }
  if (known >= memory->st_nlink) {
    return {};
  }
  return {links + ", but it and its forks have only " + std::to_string(known) + "; 'find -inum " +
          std::to_string(memory->st_ino) + "' prints the others"};
}

}  // namespace meta
