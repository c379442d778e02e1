// SPDX-License-Identifier: Apache-2.0
// Moves a guest out of the store in one step.
#pragma once

#include <string>

#include "base/effect.h"
#include "store/store.h"

namespace meta {

struct Trashed {
  std::string path;             // in .snapfork/trash
  std::string parent_template;  // its index still has the guest; empty if the guest is not a fork
};

// Moves the guest out of guests/ durably. The caller removes `path` and the entry in the index of
// the parent. If an interrupted call has already moved the guest, the result is the same. Throws
// base::Refused if the guest runs (VmmFinder), or if it is a template with live forks. Damaged
// metadata do not prevent the move: the guard of the parent knows the absent fork as stale.
Trashed trash_guest(const store::Store& store, const std::string& id, base::Effect effect);

}  // namespace meta
