// SPDX-License-Identifier: Apache-2.0
#include "meta/flows/create_guard.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <optional>

#include "base/error.h"
#include "base/open_files.h"
#include "base/process.h"
#include "meta/flows/template_flow.h"
#include "meta/guest/guest_state.h"
#include "meta/guest/metadata.h"
#include "meta/vmstate/vmstate.h"
#include "store/files.h"

namespace meta {
namespace {

// Above this, x86 guests have two memory regions, whose Diffs were wrong before 1.15
// (Firecracker's issue 5705), the first release of snapshot version 9.
constexpr uint64_t kOneRegionMib = 3072;

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
  // While a guest of hypeman runs, its snapshot is called snapshot-base; it gets its old name back
  // before the next one is written.
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
      refuse("it is a template, whose memory is never written; demote it first (snapfork demote " +
             id_ + "), or write to another directory");
    }
    try {
      static_cast<void>(store_.try_open_below(answer_.memory_path, O_PATH));
    } catch (const base::BadData& link) {  // to the memory of another guest, perhaps
      refuse(link.what());
      return;
    }
    struct stat memory {};
    if (::stat(answer_.memory_path.c_str(), &memory) != 0) {
      if (errno != ENOENT) {
        base::throw_errno("cannot look at " + base::quoted(answer_.memory_path));
      }
      refuse_diff_without_base();
      return;
    }
    answer_.memory_links = memory.st_nlink;
    if (memory.st_nlink > 1) {
      refuse("its memory file has " + std::to_string(memory.st_nlink) +
             " links, so other guests would be overwritten; make it its own first (reflink-clone "
             "--unshare " +
             answer_.memory_path + ")");
    }
    check_readers(memory);
    if (const std::string why = seal_problem(memory, true); why.empty()) {
      refuse("its memory file is sealed; unseal it first (template-lock unseal " + id_ + ")");
    }
    check_length(memory);
  }

  void refuse_diff_without_base() {
    if (type_ != SnapshotType::diff) {
      return;
    }
    const std::string& compressed = state_.snapshot.compressed;
    refuse(
        compressed.empty()
            ? "there is no memory file that a Diff could be merged into, and pages that have not "
              "been written since the restore would read as zero; write a Full one"
            : "the base of a Diff is compressed (" + compressed +
                  "); unpack it to 'memory' first, or write a Full one");
  }

  void check_readers(const struct stat& memory) {
    for (const base::OpenFile& open : base::find_open_files(memory)) {
      if (open.pid == state_.vmm.pid.value_or(0)) {
        continue;
      }
      const std::string name = base::process_name(open.pid);
      const bool is_server =
          name.ends_with("uffd-serve") || name.find("pager") != std::string::npos;
      refuse(std::string(is_server ? "a page server serves its memory file"
                                   : "another process has its memory file open") +
             ", " + std::to_string(open.pid) + " (" + name +
             "), and would read what is being written; write to another name and rename it over "
             "the old one when the guest has ended");
    }
  }

  // Of another length than the guest's memory, Firecracker cuts the file to nothing first.
  void check_length(const struct stat& memory) {
    const std::optional<int64_t> expected = state_.snapshot.expected_bytes;
    if (type_ == SnapshotType::diff && expected && memory.st_size != *expected) {
      refuse("its memory file has " + mib_text(memory.st_size) + " and not " + mib_text(*expected) +
             ", so Firecracker would empty it first and a Diff would lose the rest; write a Full "
             "one");
    }
  }

  void warn_of_page_server(const std::string& session) {
    if (type_ == SnapshotType::full) {
      warn(
          "a Full snapshot reads all memory, and a page server (session " + base::quoted(session) +
          ") has to bring each page that is not there yet; write a Diff of a guest that was loaded "
          "with track_dirty_pages, or let the session be completed first");
    } else if (has_hot_list()) {
      warn(
          "pages that were prefetched from the hot list count as written unless the guest was "
          "loaded with track_dirty_pages, so the Diff holds them all; load it with that");
    }
  }

  bool has_hot_list() const {
    const std::string parent = metadata_.fork_of_template();
    return !metadata_.text("HotPagesPath").empty() ||
           (store::is_valid_id(parent) &&
            store::path_exists(store_.template_dir(parent) + "/hot.hpl"));
  }

  void warn_of_diff() {
    std::optional<VmState> vmstate = read_vmstate();
    if (!vmstate || !vmstate->paths_problem.empty()) {
      warn(
          "it is not known whether the guest has a balloon: a Diff misses the pages that one has "
          "discarded; write a Full one if it has");
    } else if (vmstate->has_balloon) {
      warn(
          "a Diff misses the pages that the guest's balloon has discarded: base and Diff together "
          "hold their old contents where a Full snapshot holds zeros; deflate it before, or write "
          "a Full one");
    }
    if (vmstate && vmstate->arch == Arch::x86_64 && vmstate->mem_size_mib > kOneRegionMib &&
        vmstate->encoding == Encoding::bincode) {
      warn(
          "before Firecracker 1.15 a Diff of a guest of more than 3 GiB may be wrong; write a Full "
          "one");
    }
  }

  // Of the memory's own directory; nothing when there is none that can be read.
  std::optional<VmState> read_vmstate() const {
    const std::string& memory = answer_.memory_path;
    const std::string path = memory.substr(0, memory.rfind('/')) + "/state";
    try {
      const std::string bytes = read_vmstate_file(path);
      VmState vmstate = parse_vmstate(bytes, path);
      read_devices(bytes, vmstate);
      return vmstate;
    } catch (const base::BadData&) {
      return std::nullopt;
    } catch (const std::system_error&) {
      return std::nullopt;
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
