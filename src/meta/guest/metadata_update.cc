// SPDX-License-Identifier: Apache-2.0
// Serializes changes with flock(2) on the guest's directory.
#include "meta/guest/metadata_update.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>

#include <cerrno>
#include <chrono>
#include <optional>

#include "base/deadline.h"
#include "base/error.h"
#include "store/files.h"

namespace meta {

MetadataUpdate::MetadataUpdate(const store::Store& store, const std::string& id)
    : dir_(base::open_file(store.guest_dir(id), O_RDONLY | O_DIRECTORY | O_NOFOLLOW)) {
  const base::Deadline deadline = base::Deadline::after(std::chrono::seconds(10));
  while (::flock(dir_.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    if (deadline.passed()) {
      throw base::Refused("cannot change " + base::quoted(id) +
                          ": another process that inherited the same lock has been changing it for "
                          "10 s");
    }
    ::poll(nullptr, 0, 1);
  }
}

void change_metadata(const store::Store& store, const std::string& id, base::Effect effect,
                     const std::function<void(Metadata&)>& change, base::Durable durable) {
  require_guest(store, id);
  std::optional<store::GuestLocks> lock;
  std::optional<MetadataUpdate> update;
  if (effect == base::Effect::real) {
    lock.emplace(store, id);
    update.emplace(store, id);
  }
  Metadata metadata = Metadata::of_guest(store, id);
  change(metadata);
  if (effect == base::Effect::real) {
    metadata.write(store.metadata_path(id), durable);
  }
}

}  // namespace meta
