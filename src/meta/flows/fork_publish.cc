// SPDX-License-Identifier: Apache-2.0
// Checks the clones, writes their states and metadata, flushes them, renames each into guests/.
#include "meta/flows/fork_publish.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <map>
#include <optional>
#include <utility>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/file_status.h"
#include "base/hex.h"
#include "base/json_line.h"
#include "base/kernel_release.h"
#include "base/message.h"
#include "base/unix_socket.h"
#include "file/sync_files.h"
#include "meta/flows/fork_lifecycle.h"
#include "meta/flows/load_request.h"
#include "meta/flows/source_state.h"
#include "meta/forks/fork_index.h"
#include "meta/forks/fork_metadata.h"
#include "meta/guest/disks.h"
#include "meta/guest/guest_paths.h"
#include "meta/guest/guest_state.h"
#include "meta/guest/metadata.h"
#include "meta/guest/snapshot_record.h"
#include "meta/guest/vsock_socket.h"
#include "meta/vmstate/rewrite_paths.h"
#include "meta/vmstate/vmstate.h"
#include "store/files.h"
#include "store/session_name.h"

namespace meta {
namespace {

constexpr const char* kSnapshotInGuest = "/snapshots/snapshot-latest";
constexpr const char* kStateInGuest = "/snapshots/snapshot-latest/state";
constexpr const char* kMemoryInGuest = "/snapshots/snapshot-latest/memory";

// The CRC of the state, its last eight bytes, in hexadecimal. It distinguishes two snapshots.
std::string cache_key_of(std::string_view state_bytes) {
  std::string key = "snapfork-";
  for (const char c : state_bytes.substr(state_bytes.size() - 8)) {
    key += base::hex_text(static_cast<unsigned char>(c), 2);
  }
  return key;
}

bool is_same_time(const struct timespec& a, const struct timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}
bool is_before(const struct timespec& a, const struct timespec& b) {
  return a.tv_sec != b.tv_sec ? a.tv_sec < b.tv_sec : a.tv_nsec < b.tv_nsec;
}

class Publisher {
 public:
  Publisher(const store::Store& store, const std::string& source_id, const PublishOptions& options)
      : store_(store), source_id_(source_id), options_(options), state_(options.early_state) {}

  // Reads the source under the locks. Throws if it is no longer what it was at fork-begin.
  void read_source() {
    metadata_ = Metadata::of_guest(store_, source_id_);
    require_whole_snapshot(derive_state(store_, source_id_, metadata_), source_id_, "fork",
                           options_.force);
    is_template_ = metadata_.is_template();
    if (!state_ || !is_current(*state_)) {
      state_ = read_source_state(store_, source_id_);
    }
    source_paths_.emplace(metadata_);
  }

  // Throws if the clone of `id` cannot become a guest.
  void check_clone(const std::string& id) const {
    const std::string clone = clone_dir(store_, id);
    const std::string what = "cannot publish fork " + base::quoted(id) + ": ";
    if (!store::path_exists(clone)) {
      throw base::Refused(what + "the clone " + base::quoted(clone) +
                          " does not exist; start with fork-begin and reflink-clone");
    }
    if (is_template_ && !has_fork_index_entry(store_, source_id_, id)) {
      throw base::Refused(what + "the index of template " + base::quoted(source_id_) +
                          " does not have it; start again with fork-begin");
    }
    const struct stat memory = base::lstat_path(clone + kMemoryInGuest);
    const struct stat source_memory = base::lstat_path(store_.memory_path(source_id_));
    if (!S_ISREG(memory.st_mode) || memory.st_size != source_memory.st_size) {
      throw base::BadData(what + base::quoted(clone + kMemoryInGuest) +
                          " is not a whole copy of the source's memory");
    }
    if (!is_template_) {
      require_unchanged(memory, source_memory, what);
    }
  }

  // Decides the paths in the state of the fork. Throws if it would open files that are not its own.
  void plan_paths(const std::string& id) {
    paths_[id] = source_paths_->own_paths(store_, state_->vmstate,
                                          fork_place(store_, id, clone_dir(store_, id)),
                                          "cannot fork " + base::quoted(source_id_));
  }

  // Decides the taps of fork number `index`. Throws for a tap that it cannot have.
  void plan_taps(const std::string& id, size_t index, size_t count) {
    taps_[id] = taps_of_fork(options_.taps, id, index, count);
    const std::string what = "cannot fork " + base::quoted(source_id_);
    check_taps(taps_[id], state_->vmstate, what);
    state_taps_[id] = taps_in_state(taps_[id], state_->vmstate, what);
  }

  // Writes the state into the clone. A template's state never changes, so it is the source of all
  // its forks' states.
  void write_state(const std::string& id) const {
    const std::string clone = clone_dir(store_, id);
    const auto& paths = paths_.at(id);
    const GuestPlace place = fork_place(store_, id, clone);
    if (paths && uses_vsock_dir(place, *paths)) {
      make_vsock_dir(place.vsock_dir);
    }
    // The name of this directory is not a link that leads elsewhere.
    static_cast<void>(store_.open_below(clone + kSnapshotInGuest, O_PATH | O_DIRECTORY));
    const std::string path = store_.state_path(source_id_);
    base::write_file_like(
        clone + kStateInGuest,
        paths ? vmstate::set_paths(state_->bytes, path, state_->vmstate, *paths, state_taps_.at(id))
                    .bytes
              : state_->bytes,
        path, base::Durable::no);
  }

  void write_metadata(const std::string& id) const {
    const std::string clone = clone_dir(store_, id);
    store::remove_tree(store_, clone + "/template");  // copied from the source
    Metadata metadata =
        make_fork_metadata(metadata_, {.id = id,
                                       .name = name_of(id),
                                       .source_id = source_id_,
                                       .source_dir = store_.guest_dir(source_id_),
                                       .fork_dir = store_.guest_dir(id),
                                       .template_id = is_template_ ? source_id_ : "",
                                       .backend = backend_name(options_.backend.backend),
                                       .backend_reason = options_.backend.reason,
                                       .cache_key = cache_key_of(state_->bytes),
                                       .session = options_.uses_uffd() ? session_of(id) : ""});
    record_disks(metadata, clone);  // the clone's times may differ from the source's
    if (const auto& paths = paths_.at(id)) {
      record_own_paths(metadata, state_->vmstate, *paths, store_.guest_dir(id));
    }
    record_taps(metadata, taps_.at(id));
    metadata.write(clone + "/metadata.json", base::Durable::no);
  }

  bool is_template() const { return is_template_; }

  std::string session_of(const std::string& id) const {
    return store::session_name(id, clone_dir(store_, id));
  }
  std::string socket_of(const std::string& id) const {
    return options_.socket_dir + "/" + session_of(id) + ".sock";
  }

  std::string record(const std::string& id) const {
    const std::string state_path = store_.state_path(id);
    const std::string memory_path = store_.memory_path(id);
    base::JsonLine line("fork");
    line.text("id", id).text("name", name_of(id));
    is_template_ ? line.text("template", source_id_) : line.null("template");
    line.text("source", source_id_)
        .path("dir", store_.guest_dir(id))
        .path("state_path", state_path)
        .path("memory_path", memory_path)
        .text("backend", backend_name(options_.backend.backend))
        .text("backend_reason", options_.backend.reason);
    if (options_.uses_uffd()) {
      line.path("uffd_socket_path", socket_of(id)).text("session_id", session_of(id));
    } else {
      line.null("uffd_socket_path").null("session_id");
    }
    line.boolean("needs_run", false);
    line.raw(
        "snapshot_load",
        load_body(state_->vmstate,
                  {.id = id,
                   .state_path = state_path,
                   .uses_uffd = options_.uses_uffd(),
                   .backend_path = options_.uses_uffd() ? socket_of(id) : memory_path,
                   .vmm_version = snapshot_vmm(metadata_),
                   .host_kernel = base::kernel_release(),
                   .taps = state_taps_.at(id).empty() ? taps_.at(id) : std::vector<TapName>()}));
    const auto report = options_.clone_reports.find(clone_name(id));
    report != options_.clone_reports.end() ? line.raw("clone", report->second) : line.null("clone");
    return line.str();
  }

 private:
  std::string name_of(const std::string& id) const {
    return options_.name.empty() ? id : options_.name;
  }

  // The clone has the source's memory at the time of reflink-clone, and the fork gets the source's
  // state as it is now. Throws if another program may have written a snapshot in between.
  void require_unchanged(const struct stat& memory, const struct stat& source_memory,
                         const std::string& what) const {
    if (base::is_same_file(memory, source_memory)) {
      throw base::Refused(what + "its memory is a link to that of " + base::quoted(source_id_) +
                          ", which is not a template; start again with fork-begin");
    }
    const struct stat state = base::lstat_path(store_.state_path(source_id_));
    if (!is_same_time(memory.st_mtim, source_memory.st_mtim) ||
        is_before(memory.st_ctim, state.st_ctim)) {
      throw base::Refused(what + "the snapshot of " + base::quoted(source_id_) +
                          " was written after the memory was cloned; start again with fork-begin");
    }
  }

  const store::Store& store_;
  const std::string& source_id_;
  const PublishOptions& options_;
  Metadata metadata_;
  bool is_template_ = false;
  std::optional<SourceState> state_;  // set by read_source
  std::optional<GuestPaths> source_paths_;
  // By id. Nothing: the state stays as it is (GuestPaths::own_paths).
  std::map<std::string, std::optional<std::vector<std::string>>> paths_;
  std::map<std::string, std::vector<TapName>> taps_;
  std::map<std::string, std::vector<std::string>> state_taps_;  // taps_in_state
};

// Renames the clones in order until one fails. Returns the number of renamed clones.
size_t rename_clones(const store::Store& store, const std::vector<std::string>& fork_ids,
                     std::exception_ptr& failure) {
  size_t done = 0;
  try {
    for (const std::string& id : fork_ids) {
      if (!store::rename_new(store, clone_dir(store, id), store.guest_dir(id))) {
        throw base::Refused("cannot publish fork " + base::quoted(id) +
                            ": the guest already exists");
      }
      base::say_detail("published fork " + base::quoted(id));
      ++done;
    }
  } catch (const std::exception&) {
    failure = std::current_exception();
  }
  return done;
}

}  // namespace

PublishResult publish_forks(const store::Store& store, const std::string& source_id,
                            const std::vector<std::string>& fork_ids, const PublishOptions& options,
                            base::Effect effect) {
  require_guest(store, source_id);
  require_new_forks(store, source_id, fork_ids);
  Publisher publisher(store, source_id, options);
  if (options.uses_uffd()) {
    for (const std::string& id : fork_ids) {
      // This name has the length of the real name, which is known only after the clone exists.
      const std::string name = store::session_name(id, (struct stat){});
      base::check_socket_path(options.socket_dir + "/" + name + ".sock");
    }
  }
  std::optional<store::GuestLocks> locks;
  if (effect == base::Effect::real) {
    locks.emplace(lock_for_forks(store, source_id, fork_ids));
  }
  publisher.read_source();
  require_new_forks(store, source_id, fork_ids);
  std::vector<std::string> records;
  for (const std::string& id : fork_ids) {
    publisher.check_clone(id);
    publisher.plan_paths(id);
    publisher.plan_taps(id, records.size(), fork_ids.size());
    records.push_back(publisher.record(id));
  }
  if (base::is_dry_run(effect)) {
    return {.records = std::move(records), .failure = nullptr};
  }
  // Everything is written before the first flush, including the index entries. Then the journal
  // writes it in one transaction. Flushes of the device are the largest cost of a fork.
  std::vector<std::string> files;
  std::vector<std::string> directories;
  for (const std::string& id : fork_ids) {
    publisher.write_state(id);
    publisher.write_metadata(id);
    directories.push_back(clone_dir(store, id));
    files.push_back(clone_dir(store, id) + kStateInGuest);
    files.push_back(clone_dir(store, id) + "/metadata.json");
  }
  file::sync_files(files, directories);
  if (publisher.is_template()) {
    sync_fork_index(store, source_id);
  }
  PublishResult result;
  const size_t done = rename_clones(store, fork_ids, result.failure);
  if (done == 0 && result.failure) {
    std::rethrow_exception(result.failure);
  }
  try {
    store::sync_dir(store.guests_dir());
    store::sync_dir(store.tmp_dir());
  } catch (const std::exception&) {
    // The forks exist in spite of the failure, and the caller must print their records.
    result.failure = std::current_exception();
  }
  records.resize(done);
  result.records = std::move(records);
  return result;
}

}  // namespace meta
