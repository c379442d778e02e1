// SPDX-License-Identifier: Apache-2.0
// What a guest's metadata will be when its next snapshot takes the place of the present one.
#pragma once

#include <sys/types.h>

#include <span>
#include <string>
#include <string_view>

#include "base/effect.h"
#include "meta/guest/metadata.h"
#include "store/store.h"

namespace meta {

// A snapshot is published by one rename, but what the metadata record about it (disks, VMM) is in
// another file. So these values are written before the rename, as snapfork.standby:
//
//   {"snapshot_inode":N,"set":{"snapfork.disks":[...],"FirecrackerUFFDSessionID":"",...}}
//
// N is the inode of the new directory snapshots/snapshot-latest. If the guest's directory has that
// inode, the values of "set" apply, otherwise they do not. Metadata::of_guest resolves this for
// all readers, so a process killed between the two steps leaves a whole guest.
//
// Records the values that the keys `keys` have in `after`. A key is "a.b" for a member. Keys that
// `after` does not have are left out.
void record_snapshot_change(Metadata& metadata, const Metadata& after,
                            std::span<const std::string_view> keys, ino_t snapshot_inode);

// Applies the values of snapfork.standby if they apply to the guest, and removes snapfork.standby.
// Throws base::BadData if it has another form.
void resolve_snapshot_change(const store::Store& store, std::string_view id, Metadata& metadata);

// Writes the metadata of a guest, resolved, if they have snapfork.standby. Returns whether they
// had. With Effect::dry_run only returns that. The caller holds the guest's lock.
bool settle_metadata(const store::Store& store, const std::string& id, base::Effect effect);

}  // namespace meta
