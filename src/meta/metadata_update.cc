// SPDX-License-Identifier: Apache-2.0
#include "meta/metadata_update.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>

#include <cerrno>
#include <chrono>

#include "base/deadline.h"
#include "base/error.h"

namespace meta {

MetadataUpdate::MetadataUpdate(const base::Store& store, const std::string& id)
    : dir_(base::open_file(store.guest_dir(id), O_RDONLY | O_DIRECTORY | O_NOFOLLOW)) {
  const base::Deadline deadline = base::Deadline::after(std::chrono::seconds(10));
  while (::flock(dir_.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    if (deadline.passed()) {
      throw base::Refused("cannot change " + base::quoted(id) +
                          ": another process under the same lock has been changing it for 10 s");
    }
    ::poll(nullptr, 0, 1);
  }
}

}  // namespace meta
