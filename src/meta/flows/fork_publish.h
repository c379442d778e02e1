// SPDX-License-Identifier: Apache-2.0
// The last step of a fork: a clone becomes a guest.
#pragma once

#include <exception>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "meta/guest/guest_state.h"
#include "store/files.h"
#include "store/store.h"

namespace meta {

struct PublishOptions {
  bool uses_uffd = true;    // else the fork's first restore maps its memory file
  std::string socket_dir;   // of the page server's session sockets
  std::string name;         // of the only fork; empty: its id
  Force force = Force::no;  // yes: the source may be Stale
  std::map<std::string, std::string, std::less<>> clone_reports;  // JSON by clone_name
};

struct PublishResult {
  std::vector<std::string> records;  // JSON lines of type fork: of those that are guests now
  std::exception_ptr failure;        // the first; null when all are guests, durably
};

// Makes guests of the clones in clone_dir of each id: checks them, rewrites their metadata, flushes
// it, renames them into guests/ (never over something) and flushes that. Throws when nothing was
// published: base::Refused when begin_forks was not called, or the source is no longer what it was
// then; base::UsageError for a socket path that is too long; base::BadData for a clone that is no
// copy of the source's snapshot.
PublishResult publish_forks(const store::Store& store, const std::string& source_id,
                            const std::vector<std::string>& fork_ids, const PublishOptions& options,
                            store::Effect effect);

}  // namespace meta
