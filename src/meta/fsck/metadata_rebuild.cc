// SPDX-License-Identifier: Apache-2.0
// Keeps the damaged file under a second name, and derives new metadata from the rest of the store.
#include "meta/fsck/metadata_rebuild.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <vector>

#include "base/error.h"
#include "base/file_status.h"
#include "meta/flows/init.h"
#include "meta/flows/promote.h"
#include "meta/forks/fork_index.h"
#include "meta/forks/fork_metadata.h"
#include "meta/guest/guest_state.h"
#include "meta/guest/guest_vmm.h"
#include "meta/guest/metadata.h"
#include "meta/image/image_record.h"
#include "store/files.h"
#include "store/seal.h"

namespace meta {
namespace {

void refuse_running(const store::Store& store, const std::string& id) {
  if (const std::optional<LiveVmm> vmm = VmmFinder(store).find_without_metadata(id)) {
    throw base::Refused("it may be running: " + vmm->reason + "; end that process first");
  }
}

// The template whose index has `id`; empty if there is none.
std::string template_of(const store::Store& store, const std::string& id) {
  std::string parent;
  for (const std::string& guest : list_guests(store)) {
    if (guest == id || !has_fork_index_entry(store, guest, id)) {
      continue;
    }
    if (!parent.empty()) {
      throw base::Refused("the indexes of both " + base::quoted(parent) + " and " +
                          base::quoted(guest) +
                          " have it as a fork; remove the wrong entry from template/forks");
    }
    parent = guest;
  }
  return parent;
}

// Whether the guest was a template: it has a live or unreadable fork, or its memory is sealed and
// has an image.json.
bool was_template(const store::Store& store, const std::string& id) {
  const std::vector<ForkRecord> forks = read_fork_index(store, id);
  if (std::ranges::any_of(forks, [](const ForkRecord& fork) {
        return fork.state == ForkState::live || fork.state == ForkState::unreadable;
      })) {
    return true;
  }
  struct stat memory {};
  if (!store::path_exists(image_record_path(store, id)) ||
      ::stat(store.memory_path(id).c_str(), &memory) != 0) {
    return false;
  }
  return store::is_sealed(memory);
}

Metadata fork_metadata(const store::Store& store, const std::string& id,
                       const std::string& parent) {
  return make_fork_metadata(Metadata::of_guest(store, parent),
                            {.id = id,
                             .name = id,
                             .source_id = parent,
                             .source_dir = store.guest_dir(parent),
                             .fork_dir = store.guest_dir(id),
                             .template_id = parent,
                             .cache_key = "",
                             .session = ""});
}

Metadata plain_metadata(const store::Store& store, const std::string& id) {
  const SnapshotFacts snapshot = inspect_snapshot(store, id);
  Metadata metadata = new_guest_metadata(id, id, snapshot.expected_bytes.value_or(0));
  metadata.set_flag("IsTemplate", was_template(store, id));
  return metadata;
}

// Gives the damaged file a second name, so that it survives an interruption of the next steps.
std::string keep_aside(const std::string& path) {
  const struct stat damaged = base::lstat_path(path);
  for (int number = 1;; ++number) {
    std::string aside = path + ".damaged-" + std::to_string(number);
    struct stat st {};
    if (::linkat(AT_FDCWD, path.c_str(), AT_FDCWD, aside.c_str(), 0) == 0 ||
        (errno == EEXIST && ::lstat(aside.c_str(), &st) == 0 && base::is_same_file(st, damaged))) {
      return aside;
    }
    if (errno != EEXIST) {
      base::throw_errno("cannot keep " + base::quoted(path) + " as " + base::quoted(aside));
    }
  }
}

}  // namespace

std::string rebuild_metadata(const store::Store& store, const std::string& id) {
  const std::string path = store.metadata_path(id);
  refuse_running(store, id);
  const std::string parent = template_of(store, id);
  const Metadata metadata =
      parent.empty() ? plain_metadata(store, id) : fork_metadata(store, id, parent);
  const std::string aside = keep_aside(path);
  metadata.write(path, base::Durable::yes);
  return "kept the damaged file as " + base::quoted(aside) + " and wrote new metadata " +
         (!parent.empty()          ? "of a fork of " + base::quoted(parent)
          : metadata.is_template() ? "of a template"
                                   : "as 'init' does") +
         (parent.empty()
              ? "; its disks are not known ('snapshot-meta set " + id + " snapfork.disks:=...')"
              : "");
}

}  // namespace meta
