// SPDX-License-Identifier: Apache-2.0
// Makes the state of a guest name the guest's own files; `snapshot-meta own-paths` calls this.
#pragma once

#include <string>
#include <vector>

#include "base/effect.h"
#include "meta/guest/taps.h"
#include "meta/vmstate/rewrite_paths.h"
#include "meta/vmstate/vmstate.h"
#include "store/store.h"

namespace meta {

struct OwnPaths {
  struct Path {
    vmstate::Role role;
    std::string path;
  };
  std::vector<Path> paths;                    // those that loading opens from now on
  std::vector<vmstate::ChangedPath> changes;  // of this call; empty if the state was right
  vmstate::VmState state;                     // with its devices; as it was before the changes
};

// Rewrites the state of a guest that is not a template, durably and in one step, so that loading it
// opens only the guest's own files (GuestPaths::own_paths). It is needed after an import, and after
// the store was moved. If the state is right, it is not written. Then removes a vsock socket on
// which no process listens, and creates `vsock_dir` if the guest's socket belongs there.
//
// Takes the exclusive lock. If it is killed, the state is the old or the new one, and the next call
// completes snapfork.disks.
//
// Firecracker before 1.12 takes the taps from the state only. So a state that such a release wrote
// also gets the names of the taps that the guest will use (chosen_taps with `taps`). Throws
// base::Refused for a template, for a guest whose VMM runs (unless nothing is to be done), and as
// GuestPaths::own_paths does.
OwnPaths own_paths(const store::Store& store, const std::string& id, const std::string& vsock_dir,
                   const std::vector<TapName>& taps, base::Effect effect);
// The same for a caller that holds the lock.
OwnPaths own_paths_locked(const store::Store& store, const std::string& id,
                          const std::string& vsock_dir, const std::vector<TapName>& taps,
                          base::Effect effect);

// Whether the state of a guest that is not a template names the guest's directory in another store,
// such as the place where this store was before it was moved. False if the state cannot be read.
bool names_another_store(const store::Store& store, const std::string& id);

}  // namespace meta
