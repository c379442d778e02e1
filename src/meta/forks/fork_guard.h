// SPDX-License-Identifier: Apache-2.0
// Decides whether the forks of a guest allow an operation on it now.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "store/store.h"

namespace meta {

enum class Intent { remove, demote, restore, unseal, write };

struct GuardAnswer {
  bool allowed = false;
  // If refused: "cannot delete template 'base': 3 forks live (a1, b7, c2); delete them first".
  std::string reason;
  std::vector<std::string> forks;       // live; without the exclusive lock also `pending`
  std::vector<std::string> pending;     // the forks that do not exist yet, or no longer exist
  std::vector<std::string> stale;       // entries without a fork, seen under the exclusive lock
  std::vector<std::string> unreadable;  // count as live
};

// Reads IsTemplate and the index. Takes no lock and changes nothing. An absent or foreign entry is
// stale only if this process inherited or holds (`holds_exclusive`) the exclusive lock on `id`,
// because a process that makes a fork holds it shared. Restore, unseal and write of a template are
// always refused; demote it first. Demote of a guest that is not a template is refused. A template
// without an index takes a scan of all guests. Throws as require_guest does, and std::system_error
// if the index cannot be read.
//
// A guest whose metadata cannot be read may be a template. Demote, restore, unseal and write are
// refused. Delete is allowed if neither the index nor a scan shows a fork of it.
GuardAnswer guard(const store::Store& store, std::string_view id, Intent intent,
                  bool holds_exclusive = false);

}  // namespace meta
