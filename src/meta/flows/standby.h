// SPDX-License-Identifier: Apache-2.0
// The steps around a snapshot that a guest's VMM writes: make its directory, publish it.
#pragma once

#include <cstdint>
#include <string>

#include "base/effect.h"
#include "meta/flows/create_guard.h"
#include "store/store.h"

namespace meta {

// Where the VMM writes: .snapfork/tmp/standby.ID/{state,memory}.
struct StandbyFiles {
  std::string state_path;
  std::string memory_path;
};

struct BeginStandby {
  SnapshotType type = SnapshotType::full;
  // The API socket that the caller will use. Refused if a process other than the guest's VMM
  // listens there. Empty: the caller knows that it is right.
  std::string api_socket{};
};

// Removes leftovers of an earlier call and makes the directory. For a Full snapshot it reserves the
// space of the memory file, so that a paused guest never waits for a disk that is full. Flushes the
// guest's disks, so that publish_standby, while the guest is paused, finds little to flush.
//
// Throws base::Refused if the guest is not Running, is a template, or, for a Diff, if its memory
// is not its own or does not have the whole base, or if this VMM has written a snapshot before.
// Throws std::system_error (ENOSPC), with the bytes that are missing, if the filesystem has no
// space for the snapshot. Takes the guest's exclusive lock.
StandbyFiles begin_standby(const store::Store& store, const std::string& id,
                           const BeginStandby& request, base::Effect effect);

struct PublishStandby {
  std::string vmm_version;  // empty if it is not known
  bool flushes = true;      // if false, a power cut may damage the snapshot
};

// Checks that the VMM wrote a whole snapshot, flushes it and the guest's disks, and exchanges it
// with snapshots/snapshot-latest in one rename. Records the disks, the version of the VMM and the
// host, and clears the record of the page server. Other files of the old snapshot's directory
// are linked into the new one, except images of its memory. Removes the old snapshot.
//
// The VMM must be paused, or have ended. If the process is killed at any point, the guest has its
// old snapshot or the new one, with the metadata that belong to it.
//
// Throws base::Refused if begin_standby was not called, base::BadData if a file is not whole, or if
// the snapshot has drives that the guest does not have.
void publish_standby(const store::Store& store, const std::string& id,
                     const PublishStandby& request, base::Effect effect);

// Removes what begin_standby made and what an interrupted publish_standby left. Returns whether
// there was something.
bool end_standby(const store::Store& store, const std::string& id, base::Effect effect);

}  // namespace meta
