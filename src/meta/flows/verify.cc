// SPDX-License-Identifier: Apache-2.0
// Runs the checks of one guest, and collects a sentence for each problem.
#include "meta/flows/verify.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/fd.h"
#include "base/file_status.h"
#include "base/message.h"
#include "meta/flows/promote.h"
#include "meta/flows/verify_files.h"
#include "meta/forks/fork_index.h"
#include "meta/guest/disks.h"
#include "meta/guest/guest_state.h"
#include "meta/guest/metadata.h"
#include "meta/image/image_record.h"
#include "meta/image/image_scan.h"
#include "meta/vmstate/formats.h"
#include "meta/vmstate/vmstate.h"
#include "store/seal.h"

namespace meta {
namespace {

class Verifier {
 public:
  Verifier(const store::Store& store, const std::string& id, Depth depth, Force force)
      : store_(store),
        id_(id),
        depth_(depth),
        force_(force),
        metadata_(Metadata::of_guest(store, id)) {}

  std::vector<std::string> run() {
    const GuestState state = derive_state(store_, id_, metadata_);
    check_snapshot(state);
    add(disk_problems(store_, id_, metadata_));
    if (force_ == Force::no) {
      for (const std::string& change : changed_disks(metadata_, store_.guest_dir(id_))) {
        add_once(change);
      }
    }
    add(memory_link_problems(store_, id_, metadata_));
    check_parent();
    if (metadata_.is_template()) {
      check_template();
      add(hot_list_problems(store_, id_, metadata_, state));
    } else if (depth_ == Depth::deep) {
      check_contents();
    }
    return std::move(problems_);
  }

 private:
  void problem(const std::string& text) { problems_.push_back(base::quoted(id_) + ": " + text); }

  // disk_problems also reports a missing disk.
  void add_once(const std::string& text) {
    const std::string whole = base::quoted(id_) + ": " + text;
    if (std::ranges::find(problems_, whole) == problems_.end()) {
      problems_.push_back(whole);
    }
  }

  void add(const std::vector<std::string>& sentences) {
    std::ranges::for_each(sentences, [&](const std::string& text) { problem(text); });
  }

  void check_snapshot(const GuestState& state) {
    if (!state.snapshot.problem.empty()) {
      problem(state.snapshot.problem);
    } else if (state.state == State::broken) {
      problem(state.reason);
    }
    if (state.snapshot.vmstate) {
      check_version(state.snapshot.vmstate->snapshot_version);
    }
  }

  void check_version(const std::string& version) {
    if (vmstate::is_newer_version(version)) {
      const std::optional<vmstate::VmState> vmstate =
          vmstate::try_read_vmstate(store_.state_path(id_));
      if (vmstate && vmstate->layout_is_assumed) {
        base::say_warning(base::quoted(id_) + ": " + vmstate::assumed_layout_warning(*vmstate));
        return;
      }
    }
    if (vmstate::formats_of(version).empty()) {
      problem("the snapshot version " + base::quoted(version) + " of its state file is not known");
    }
  }

  void check_parent() {
    const std::string parent = metadata_.fork_of_template();
    if (parent.empty()) {
      return;
    }
    if (!store::is_valid_id(parent) || !guest_exists(store_, parent)) {
      problem("its template " + base::quoted(parent) + " does not exist");
    } else if (has_fork_index(store_, parent) && !has_fork_index_entry(store_, parent, id_)) {
      problem("the index of its template " + base::quoted(parent) + " does not have it");
    }
  }

  void check_template() {
    for (const ForkRecord& fork : read_fork_index(store_, id_)) {
      if (fork.state == ForkState::unreadable) {
        problem("its fork " + base::quoted(fork.id) + " cannot be read: " + fork.problem);
      } else if (fork.state == ForkState::foreign) {
        problem("its index has " + base::quoted(fork.id) +
                ", which is not a fork of it; 'snapshot-meta fsck --repair' removes the entry");
      }
    }
    const std::string path = store_.memory_path(id_);
    const std::optional<base::Fd> memory = base::try_open(path, O_RDONLY);
    struct stat st {};
    if (!memory || ::fstat(memory->get(), &st) != 0) {
      return;  // check_snapshot reports it
    }
    if (const std::string why = store::seal_problem(st, store::Links::many); !why.empty()) {
      problem("its memory is not sealed: " + why);
    }
    try {
      check_record(memory->get(), path, st);
    } catch (const base::BadData& error) {
      problem(error.what());
    }
  }

  void check_record(int fd, const std::string& path, const struct stat& st) {
    const std::optional<ImageRecord> record = read_image_record(image_record_path(store_, id_));
    if (!record) {
      problem("it has no template/image.json; promote it again");
    } else if (record->memory_bytes != static_cast<uint64_t>(st.st_size)) {
      problem("its template/image.json is for " + std::to_string(record->memory_bytes) +
              " bytes of memory, but its memory file has " + std::to_string(st.st_size));
    } else if (depth_ == Depth::deep) {
      if (scan_image(fd, path).digest != record->digest) {
        problem("its memory changed after it was promoted: the digest differs");
      }
    } else if (is_newer_than_record(st)) {
      problem(
          "its memory file was modified after it was promoted; 'snapshot-meta verify --deep' "
          "compares the contents");
    }
  }

  // Checks the memory of a guest that is not a template. If a fork shares the memory file of its
  // template, its digest must be the template's. No digest is recorded for other memory.
  void check_contents() {
    const std::string parent = metadata_.fork_of_template();
    const std::string path = store_.memory_path(id_);
    struct stat own {};
    struct stat of_parent {};
    std::optional<ImageRecord> record;
    try {
      if (store::is_valid_id(parent)) {
        record = read_image_record(image_record_path(store_, parent));
      }
    } catch (const base::BadData& error) {
      problem(error.what());
      return;
    }
    if (!record || ::lstat(path.c_str(), &own) != 0 ||
        ::lstat(store_.memory_path(parent).c_str(), &of_parent) != 0 ||
        !base::is_same_file(own, of_parent)) {
      base::say_info("did not compare the contents of the memory of " + base::quoted(id_) +
                     ": no digest of it is recorded");
      return;
    }
    const base::Fd memory = base::open_file(path, O_RDONLY | O_NOFOLLOW);
    if (scan_image(memory.get(), path).digest != record->digest) {
      problem("its memory changed after its template " + base::quoted(parent) +
              " was promoted: the digest differs");
    }
  }

  // Nothing writes into sealed memory, so image.json is never older than the memory. uffd-serve
  // uses the same rule to decide whether image.json describes the memory.
  bool is_newer_than_record(const struct stat& memory) const {
    struct stat record {};
    if (::stat(image_record_path(store_, id_).c_str(), &record) != 0) {
      return false;
    }
    return std::pair(memory.st_mtim.tv_sec, memory.st_mtim.tv_nsec) >
           std::pair(record.st_mtim.tv_sec, record.st_mtim.tv_nsec);
  }

  const store::Store& store_;
  const std::string& id_;
  Depth depth_;
  Force force_;
  Metadata metadata_;
  std::vector<std::string> problems_;
};

}  // namespace

std::vector<std::string> verify_guest(const store::Store& store, const std::string& id, Depth depth,
                                      Force force) {
  return Verifier(store, id, depth, force).run();
}

}  // namespace meta
