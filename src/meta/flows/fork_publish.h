// SPDX-License-Identifier: Apache-2.0
// Publishes forks: makes guests of their clones. This is the last step of a fork.
#pragma once

#include <exception>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/effect.h"
#include "meta/flows/backend.h"
#include "meta/flows/source_state.h"
#include "meta/guest/guest_state.h"
#include "meta/guest/taps.h"
#include "store/store.h"

namespace meta {

struct PublishOptions {
  BackendChoice backend;        // of the fork's first restore
  std::string socket_dir;       // directory of the page server's session sockets
  std::string name;             // of a single fork; if empty, its id
  Force force = Force::no;      // if yes, the source may be Stale
  std::vector<TapName> taps{};  // patterns, see taps_of_fork
  std::map<std::string, std::string, std::less<>> clone_reports;  // JSON by clone_name
  std::optional<SourceState> early_state{};  // used if it is current under the locks

  bool uses_uffd() const { return backend.backend == Backend::uffd; }
};

struct PublishResult {
  std::vector<std::string> records;  // JSON lines of type "fork", one for each published fork
  std::exception_ptr failure;        // the first failure; null if all forks are durably published
};

// Makes guests of the clones of all ids (clone_dir). Checks each clone, writes the source's state
// into it with the paths of the fork's own files, rewrites its metadata, flushes it, and renames it
// into guests/, never over an existing name; then flushes guests/. If nothing was published,
// throws: base::Refused if begin_forks was not called, the source has changed since, or its state
// names a path that the fork has no file for (GuestPaths::own_paths); base::UsageError if a socket
// path is too long; base::BadData if a clone is not a copy of the source's memory;
// base::Unsupported if the devices of the state cannot be read.
PublishResult publish_forks(const store::Store& store, const std::string& source_id,
                            const std::vector<std::string>& fork_ids, const PublishOptions& options,
                            base::Effect effect);

}  // namespace meta
