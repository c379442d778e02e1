// SPDX-License-Identifier: Apache-2.0
// Whether something may be done to an instance now, as far as its forks are concerned.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "store/store.h"

namespace meta {

enum class Intent { remove, demote, restore, unseal, write };

struct GuardAnswer {
  bool allowed = false;
  std::string reason;  // when refused: "cannot delete template 'base': 3 forks live (a1, b7, c2);
                       // delete them first"
  std::vector<std::string> forks;      // live, and (without the exclusive lock) under way
  std::vector<std::string> under_way;  // those of them that do not exist yet, or any more
  std::vector<std::string> stale;      // entries without such a fork, seen under the exclusive lock
  std::vector<std::string> unreadable;  // count as live
};

// Reads the template flag and the index; takes no lock and changes nothing. An absent or foreign
// entry is stale only when this process has inherited, or holds (`holds_exclusive`), the exclusive
// lock on `id`: forks under way hold it shared. Restore, unseal and write of a template are always
// refused (demote first). Demote of what is no template is refused. A template without an index
// costs a scan of all guests. Throws as require_guest does, and std::system_error when the index
// cannot be read.
//
// Metadata that cannot be read: the instance may be a template. It may not be demoted, restored,
// unsealed or written; it may be deleted when neither index nor scan shows a fork that names it.
GuardAnswer guard(const store::Store& store, std::string_view id, Intent intent,
                  bool holds_exclusive = false);

}  // namespace meta
