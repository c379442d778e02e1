// SPDX-License-Identifier: Apache-2.0
// Taking a guest out of the store in one step.
#pragma once

#include <string>

#include "store/files.h"
#include "store/store.h"

namespace meta {

struct Trashed {
  std::string path;             // in .snapfork/trash
  std::string parent_template;  // that counts the guest still; empty when it was no fork of one
};

// Moves the guest out of guests/, durably; removing what is at `path` and telling the parent is
// left to the caller. A guest that a killed run has moved already is answered the same. Throws
// base::Refused while it runs (VmmFinder), and for a template with live forks. Damaged metadata do
// not prevent it (the parent's index then counts an absent fork, which its guard knows as stale).
Trashed trash_guest(const store::Store& store, const std::string& id, store::Effect effect);

}  // namespace meta
