// SPDX-License-Identifier: Apache-2.0
// Decides whether a guest's next snapshot may be a Diff.
#pragma once

#include <string>

#include "meta/guest/guest_state.h"
#include "meta/guest/metadata.h"
#include "store/store.h"

namespace meta {

// Throws base::Refused unless a Diff that the guest's VMM writes over a copy of the memory file
// gives the guest's whole memory: the snapshot is whole and the guest's own, the guest has no
// balloon, and this VMM has written no snapshot yet.
void require_diff_base(const store::Store& store, const std::string& id, const Metadata& metadata,
                       const GuestState& state);

// Records, as snapfork.snapshot_begun, that the recorded VMM may write a snapshot from now on. A
// snapshot, also one that is not published, ends the count of changed pages from which the VMM
// makes its next Diff. Does nothing if no VMM is recorded. The caller holds the guest's lock.
void record_snapshot_begun(const store::Store& store, const std::string& id, Metadata metadata);
void clear_snapshot_begun(Metadata& metadata);

}  // namespace meta
