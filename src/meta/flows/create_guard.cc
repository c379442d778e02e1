// SPDX-License-Identifier: Apache-2.0
// Collects the reasons against a snapshot, and the warnings about its cost and contents.
#include "meta/flows/create_guard.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <optional>

#include "base/error.h"
#include "base/file_status.h"
#include "base/open_files.h"
#include "base/process.h"
#include "meta/flows/promote.h"
#include "meta/guest/guest_state.h"
#include "meta/guest/metadata.h"
#include "meta/vmstate/formats.h"
#include "meta/vmstate/vmstate.h"
#include "store/files.h"
#include "store/seal.h"

namespace meta {
namespace {

class CreateGuard {
 public:
  CreateGuard(const store::Store& store, const std::string& id, SnapshotType type)
      : store_(store),
        id_(id),
        type_(type),
        metadata_(Metadata::of_guest(store, id)),
        state_(derive_state(store, id, metadata_)) {}

  CreateAnswer run() {
    find_memory();
    check_file();
    if (const std::string session = metadata_.text("FirecrackerUFFDSessionID"); !session.empty()) {
      warn_of_page_server(session);
    }
    if (type_ == SnapshotType::diff) {
      warn_of_diff();
    }
    return std::move(answer_);
  }

 private:
  // While a guest of hypeman runs, its snapshot directory is named snapshot-base. hypeman restores
  // the name snapshot-latest before it writes the next snapshot.
  void find_memory() {
    answer_.memory_path = store_.memory_path(id_);
    const std::string base = store_.guest_dir(id_) + "/snapshots/snapshot-base/memory";
    if (!store::path_exists(answer_.memory_path) && store::path_exists(base)) {
      answer_.memory_path = base;
    }
  }

  void refuse(const std::string& why) {
    if (answer_.refusal.empty()) {
      answer_.refusal = "cannot write a snapshot of " + base::quoted(id_) + ": " + why;
    }
  }
  void warn(const std::string& text) { answer_.warnings.push_back(text); }

  void check_file() {
    if (metadata_.is_template()) {
      refuse(
          "it is a template, and a template is never written; demote it first (snapfork demote " +
          id_ + "), or write to another directory");
    }
    try {
      static_cast<void>(store_.try_open_below(answer_.memory_path, O_PATH));
    } catch (const base::BadData& link) {  // it may lead to the memory of another guest
      refuse(link.what());
      return;
    }
    const std::optional<struct stat> memory = base::try_stat_path(answer_.memory_path);
    if (!memory) {
      refuse_diff_without_base();
      return;
    }
    answer_.memory_links = memory->st_nlink;
    if (memory->st_nlink > 1) {
      refuse("its memory file has " + std::to_string(memory->st_nlink) +
             " links, so the snapshot would overwrite other guests; unshare it first "
             "(reflink-clone --unshare " +
             answer_.memory_path + ")");
    }
    check_readers(*memory);
    if (store::is_sealed(*memory)) {
      refuse("its memory file is sealed; unseal it first (template-lock unseal " + id_ + ")");
    }
    check_length(*memory);
  }

  void refuse_diff_without_base() {
    if (type_ != SnapshotType::diff) {
      return;
    }
    const std::string& compressed = state_.snapshot.compressed;
    refuse(compressed.empty()
               ? "a Diff needs a memory file as its base, and the guest has none; write a Full "
                 "snapshot"
               : "the base of a Diff is compressed (" + compressed +
                     "); decompress it to 'memory' first, or write a Full snapshot");
  }

  void check_readers(const struct stat& memory) {
    for (const base::OpenFile& open : base::find_open_files(memory)) {
      if (open.pid == state_.vmm.pid.value_or(0)) {
        continue;
      }
      const std::string name = base::process_name(open.pid);
      refuse(std::string(is_page_server(name) ? "a page server serves its memory file"
                                              : "another process has its memory file open") +
             ", " + std::to_string(open.pid) + " (" + name +
             "), and would read a partly written file; write to another name, and rename that over "
             "the old file when the guest has ended");
    }
  }

  // Firecracker truncates a memory file whose size differs from the guest's memory.
  void check_length(const struct stat& memory) {
    const std::optional<int64_t> expected = state_.snapshot.expected_bytes;
    if (type_ == SnapshotType::diff && expected && memory.st_size != *expected) {
      refuse("its memory file has " + mib_text(memory.st_size) + " instead of " +
             mib_text(*expected) +
             ", so Firecracker would truncate it and a Diff would lose its base; write a Full "
             "snapshot");
    }
  }

  void warn_of_page_server(const std::string& session) {
    if (type_ == SnapshotType::full) {
      warn("a Full snapshot reads all memory, and the page server (session " +
           base::quoted(session) +
           ") must install each missing page; write a Diff of a guest that was loaded with "
           "track_dirty_pages, or complete the session first");
    } else if (has_hot_list()) {
      warn(
          "unless the guest was loaded with track_dirty_pages, pages prefetched from the hot list "
          "count as written, and the Diff contains them all; load the guest with "
          "track_dirty_pages");
    }
  }

  bool has_hot_list() const {
    const std::string parent = metadata_.fork_of_template();
    return !metadata_.text("HotPagesPath").empty() ||
           (store::is_valid_id(parent) &&
            store::path_exists(store_.template_dir(parent) + "/hot.hpl"));
  }

  void warn_of_diff() {
    // The state file that belongs to the memory file.
    const std::string& memory = answer_.memory_path;
    const std::optional<vmstate::VmState> state =
        vmstate::try_read_vmstate(memory.substr(0, memory.rfind('/')) + "/state");
    if (!state || !state->paths_problem.empty()) {
      warn(
          "it is not known whether the guest has a balloon, and a Diff does not contain the pages "
          "that a balloon has discarded; if the guest has one, write a Full snapshot");
    } else if (state->has_balloon) {
      warn(
          "a Diff does not contain the pages that the guest's balloon has discarded, so base and "
          "Diff together have their old contents where a Full snapshot has zeros; deflate the "
          "balloon first, or write a Full snapshot");
    }
    // Firecracker issue 5705.
    if (state && state->arch == vmstate::Arch::x86_64 &&
        state->mem_size_mib > vmstate::kOneRegionMib &&
        vmstate::is_older_than(state->snapshot_version, {1, 15, 0})) {
      warn(
          "before Firecracker 1.15, a Diff of a guest with more than 3 GiB may be wrong; write a "
          "Full snapshot");
    }
  }

  const store::Store& store_;
  const std::string& id_;
  SnapshotType type_;
  Metadata metadata_;
  GuestState state_;
  CreateAnswer answer_;
};

}  // namespace

CreateAnswer guard_create(const store::Store& store, const std::string& id, SnapshotType type) {
  return CreateGuard(store, id, type).run();
}

}  // namespace meta
