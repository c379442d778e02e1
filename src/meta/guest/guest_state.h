// SPDX-License-Identifier: Apache-2.0
// Derives the state of a guest from its files and live processes. The state is never stored.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "meta/guest/guest_vmm.h"
#include "meta/guest/metadata.h"
#include "meta/vmstate/vmstate.h"
#include "store/store.h"

namespace meta {

enum class State { stopped, running, standby, stale, template_, broken };
const char* state_name(State state);  // "Stopped", ..., "Template", "Broken"

// The facts that a state was derived from.
struct SnapshotFacts {
  bool exists = false;                      // snapshot-latest/ is not empty
  std::optional<vmstate::VmState> vmstate;  // when it could be read; without its devices
  std::optional<int64_t> memory_bytes;
  std::optional<int64_t> expected_bytes;
  nlink_t memory_links = 0;
  bool memory_sealed = false;  // the memory file has no write bits
  std::string compressed;      // "memory.zst" or "memory.lz4" if it replaces `memory`
  std::string problem;         // why the snapshot is incomplete; empty if complete or absent
};
struct VmmFacts {
  std::optional<int64_t> pid;
  std::optional<int64_t> start_time;            // as recorded
  std::optional<int64_t> process_start_time{};  // of the process that has that pid now
  bool recorded_lives = false;                  // result of base::find_process
  std::optional<LiveVmm> live{};                // result of VmmFinder::find; set if the guest runs
};
struct GuestState {
  State state = State::stopped;
  std::string reason;  // always set for Broken; may be set for other states
  SnapshotFacts snapshot;
  VmmFacts vmm;
};

// A snapshot is complete if its state file is a Firecracker state with a correct CRC, and `memory`
// has the size that the state file requires. Reads the state file and the size of `memory`.
SnapshotFacts inspect_snapshot(const store::Store& store, std::string_view id);

// The first row that applies is the state:
//
//| Running   VmmFinder::find found a process
//| Broken    the snapshot is incomplete, or IsTemplate is set and there is no snapshot
//| Stopped   there is no snapshot
//| Stale     the disks changed after the snapshot was published (changed_disks)
//| Template  IsTemplate is set
//| Standby   otherwise
GuestState derive_state(const store::Store& store, std::string_view id, const Metadata& metadata);
// The same. A caller with many guests uses one finder for all.
GuestState derive_state(const store::Store& store, std::string_view id, const Metadata& metadata,
                        VmmFinder& finder);

// "128 MiB", or "1000 bytes" if `bytes` is not a multiple of 1 MiB.
std::string mib_text(int64_t bytes);

// Whether a flow accepts a Stale guest (--force).
enum class Force { no, yes };

// A flow calls this before it reads the memory. Throws base::Refused with the reason if `id` has no
// complete snapshot, if its memory is compressed, or if it is Stale. `verb` is "promote", "fork" or
// "run".
void require_whole_snapshot(const GuestState& state, std::string_view id, std::string_view verb,
                            Force force);

}  // namespace meta
