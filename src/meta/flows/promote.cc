// SPDX-License-Identifier: Apache-2.0
// Promotes and demotes guests in steps that each leave a valid state after a crash.
#include "meta/flows/promote.h"

#include <fcntl.h>

#include <optional>
#include <utility>

#include "base/effect.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/file_status.h"
#include "base/message.h"
#include "hot/region.h"
#include "meta/forks/fork_guard.h"
#include "meta/forks/fork_index.h"
#include "meta/guest/disks.h"
#include "meta/guest/guest_state.h"
#include "meta/guest/metadata.h"
#include "meta/guest/metadata_update.h"
#include "meta/image/image_record.h"
#include "meta/image/make_record.h"
#include "store/files.h"
#include "store/seal.h"

namespace meta {
namespace {

bool is_unchanged(const struct stat& a, const struct stat& b) {
  return base::is_same_file(a, b) && a.st_size == b.st_size &&
         a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec == b.st_mtim.tv_nsec;
}

void require_seal(const std::string& id, const struct stat& memory, store::Links links) {
  if (const std::string problem = store::seal_problem(memory, links); !problem.empty()) {
    throw base::Refused("cannot promote " + base::quoted(id) + ": its memory is not sealed: " +
                        problem + "; run 'template-lock seal " + id + "' first");
  }
}

// Whether image.json exists, can be read, and has the size of this memory.
bool has_good_record(const std::string& path, const struct stat& memory) {
  try {
    const std::optional<ImageRecord> record = read_image_record(path);
    return record && record->memory_bytes == static_cast<uint64_t>(memory.st_size);
  } catch (const base::BadData& error) {
    base::say_warning(std::string(error.what()) + "; it will be replaced");
    return false;
  }
}

// The directory template/ during promote. If promote fails, the destructor removes the directory,
// unless it existed before.
class NewTemplateDir {
 public:
  NewTemplateDir(const store::Store& store, const std::string& id)
      : store_(store), path_(store.template_dir(id)), is_new_(!store::path_exists(path_)) {}
  NewTemplateDir(const NewTemplateDir&) = delete;
  NewTemplateDir(NewTemplateDir&&) = delete;
  NewTemplateDir& operator=(const NewTemplateDir&) = delete;
  NewTemplateDir& operator=(NewTemplateDir&&) = delete;
  ~NewTemplateDir() {
    try {
      if (is_new_) {
        store::remove_tree(store_, path_);
      }
    } catch (const std::exception&) {
      // The first failure is reported. fsck --repair removes the directory.
    }
  }
  void keep() { is_new_ = false; }

 private:
  const store::Store& store_;
  std::string path_;
  bool is_new_;
};

uint64_t bytes_of(vmstate::PageSize page_size) {
  return page_size == vmstate::PageSize::huge_2m ? hot::kHugePage : hot::kSmallPage;
}

}  // namespace

void promote(const store::Store& store, const std::string& id, Force force, base::Effect effect) {
  require_guest(store, id);
  std::optional<store::GuestLocks> lock;
  if (effect == base::Effect::real) {
    lock.emplace(store, id);
  }
  Metadata metadata = Metadata::of_guest(store, id);
  const GuestState state = derive_state(store, id, metadata);
  require_whole_snapshot(state, id, "promote", force);
  const bool is_template = metadata.is_template();
  const std::string memory_path = store.memory_path(id);
  const base::Fd memory = base::open_file(memory_path, O_RDONLY);
  const store::Links links = is_template ? store::Links::many : store::Links::one;
  const struct stat before = base::stat_fd(memory.get(), memory_path);
  require_seal(id, before, links);
  const std::string record_path = image_record_path(store, id);
  if (base::is_dry_run(effect) ||
      (is_template && state.state != State::stale && has_good_record(record_path, before))) {
    return;
  }
  NewTemplateDir made(store, id);
  create_fork_index(store, id);
  const ImageRecord record =
      make_image_record(memory.get(), memory_path, bytes_of(state.snapshot.vmstate->page_size));
  base::say_detail("read the memory of " + base::quoted(id) + ": " +
                   std::to_string(record.data_pages) + " pages of data, " +
                   std::to_string(record.zero_pages) + " of zeros, " + record.digest);
  base::write_file_atomic(record_path, to_json(record), 0644, base::Durable::yes);

  const base::Fd again = base::open_file(memory_path, O_RDONLY);
  const struct stat after = base::stat_fd(again.get(), memory_path);
  require_seal(id, after, links);
  if (!is_unchanged(before, after)) {
    throw base::Refused("cannot promote " + base::quoted(id) +
                        ": its memory changed while it was read; seal it and try again");
  }
  // The metadata are read again, because a process that inherited the same lock may have changed
  // them while the memory was read.
  const MetadataUpdate update(store, id);
  metadata = Metadata::of_guest(store, id);
  if (force == Force::yes) {
    record_disks(metadata, store.guest_dir(id));  // otherwise the template stays Stale
  }
  metadata.set_flag("IsTemplate", true);
  made.keep();  // a write that fails may still have set IsTemplate
  metadata.write(store.metadata_path(id), base::Durable::yes);
}

void demote(const store::Store& store, const std::string& id, base::Effect effect) {
  require_guest(store, id);
  std::optional<store::GuestLocks> lock;
  if (effect == base::Effect::real) {
    lock.emplace(store, id);
  }
  if (base::is_dry_run(effect)) {
    store::require_free(store, id);
  }
  const GuardAnswer answer = guard(store, id, Intent::demote, true);
  if (!answer.allowed) {
    throw base::Refused(answer.reason);
  }
  if (base::is_dry_run(effect)) {
    return;
  }
  const MetadataUpdate update(store, id);
  Metadata metadata = Metadata::of_guest(store, id);
  metadata.set_flag("IsTemplate", false);
  metadata.set_text("HotPagesPath", "");
  metadata.write(store.metadata_path(id), base::Durable::yes);
  store::remove_tree(store, store.template_dir(id));
}

}  // namespace meta
