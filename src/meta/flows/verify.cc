// SPDX-License-Identifier: Apache-2.0
#include "meta/flows/verify.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/fd.h"
#include "base/message.h"
#include "base/open_files.h"
#include "meta/flows/template_flow.h"
#include "meta/flows/verify_files.h"
#include "meta/forks/fork_index.h"
#include "meta/guest/disks.h"
#include "meta/guest/guest_state.h"
#include "meta/guest/metadata.h"
#include "meta/image/image_record.h"
#include "meta/image/image_scan.h"
#include "store/files.h"

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
    add(check_disks(store_, id_, metadata_));
    if (force_ == Force::no) {
      for (const std::string& change : changed_disks(metadata_, store_.guest_dir(id_))) {
        add_once(change);
      }
    }
    add(check_memory_links(store_, id_, metadata_));
    check_parent();
    if (metadata_.is_template()) {
      check_template();
      add(check_hot_list(store_, id_, metadata_, state));
    } else if (depth_ == Depth::deep) {
      check_contents();
    }
    return std::move(problems_);
  }

 private:
  void problem(const std::string& text) { problems_.push_back(base::quoted(id_) + ": " + text); }

  // A disk that is missing is a problem of the disks as well.
  void add_once(const std::string& text) {
    const std::string whole = base::quoted(id_) + ": " + text;
    if (std::ranges::find(problems_, whole) == problems_.end()) {
      problems_.push_back(whole);
    }
  }

  void add(const std::vector<std::string>& texts) {
    std::ranges::for_each(texts, [&](const std::string& text) { problem(text); });
  }

  void check_snapshot(const GuestState& state) {
    if (!state.snapshot.problem.empty()) {
      problem(state.snapshot.problem);
    } else if (state.state == State::broken) {
      problem(state.reason);
    }
    if (state.snapshot.vmstate && releases_of(state.snapshot.vmstate->snapshot_version).empty()) {
      problem("the snapshot version " + base::quoted(state.snapshot.vmstate->snapshot_version) +
              " of its state file is not known");
    }
  }

  void check_parent() {
    const std::string parent = metadata_.fork_of_template();
    if (parent.empty()) {
      return;
    }
    if (!store::is_valid_id(parent) || !guest_exists(store_, parent)) {
      problem("its template " + base::quoted(parent) + " is gone");
    } else if (has_fork_index(store_, parent) && !has_fork_index_entry(store_, parent, id_)) {
      problem("its template " + base::quoted(parent) + " does not count it");
    }
  }

  void check_template() {
    for (const ForkRecord& fork : read_fork_index(store_, id_)) {
      if (fork.state == ForkState::unreadable) {
        problem("its fork " + base::quoted(fork.id) + " cannot be read: " + fork.problem);
      } else if (fork.state == ForkState::foreign) {
        problem("its index counts " + base::quoted(fork.id) +
                ", which is not a fork of it; 'snapshot-meta fsck --repair' removes the entry");
      }
    }
    const std::string path = store_.memory_path(id_);
    const std::optional<base::Fd> memory = base::try_open(path, O_RDONLY);
    struct stat st {};
    if (!memory || ::fstat(memory->get(), &st) != 0) {
      return;  // said with the snapshot
    }
    if (const std::string why = seal_problem(st, true); !why.empty()) {
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
      problem("its template/image.json speaks of " + std::to_string(record->memory_bytes) +
              " bytes of memory");
    } else if (depth_ == Depth::deep) {
      if (scan_image(fd, path).digest != record->digest) {
        problem("its memory is not what was promoted: the digest differs");
      }
    } else if (is_newer_than_record(st)) {
      problem(
          "its memory was written to after it was promoted; 'snapshot-meta verify --deep' compares "
          "the contents");
    }
  }

  // The memory of a guest that is not a template. A fork that has its template's file is compared
  // with the template's digest; of other memory no digest is recorded.
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
      base::say_info("the contents of the memory of " + base::quoted(id_) +
                     " were not compared: no digest of them is recorded");
      return;
    }
    const base::Fd memory = base::open_file(path, O_RDONLY | O_NOFOLLOW);
    if (scan_image(memory.get(), path).digest != record->digest) {
      problem("its memory is not what its template " + base::quoted(parent) +
              " was promoted with: the digest differs");
    }
  }

  // Nothing writes into sealed memory, so promote's record is never older. uffd-serve uses the same
  // rule to decide whether the record describes the memory.
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
