// SPDX-License-Identifier: Apache-2.0
// The state of a guest, derived from what is there and never stored.
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
  bool exists = false;             // snapshot-latest/ has something in it
  std::optional<VmState> vmstate;  // when it could be read; without its devices
  std::optional<int64_t> memory_bytes;
  std::optional<int64_t> expected_bytes;
  nlink_t memory_links = 0;
  bool memory_sealed = false;  // nobody has a write bit
  std::string compressed;      // "memory.zst" or "memory.lz4" where it stands in for `memory`
  std::string problem;         // why it is not complete; empty when it is, or when there is none
};
struct VmmFacts {
  std::optional<int64_t> pid;
  std::optional<int64_t> start_time;            // as recorded
  std::optional<int64_t> process_start_time{};  // of the process that has that number now
  bool recorded_lives = false;                  // base::find_process
  std::optional<LiveVmm> live{};                // VmmFinder::find: the guest runs
};
struct GuestState {
  State state = State::stopped;
  std::string reason;  // of Broken always; of others where there is something to say
  SnapshotFacts snapshot;
  VmmFacts vmm;
};

// A snapshot is complete when its state file is a Firecracker state with a right CRC, and `memory`
// is as long as that says. Reads the state file, and of `memory` the length only.
SnapshotFacts look_at_snapshot(const store::Store& store, std::string_view id);

// Running: VmmFinder::find has an answer. Else a complete snapshot is Standby, or Template when
// flagged; Stale, flagged or not, when the disks changed since it was published (changed_disks); an
// incomplete one is Broken; none Stopped (Broken when flagged as a template).
GuestState derive_state(const store::Store& store, std::string_view id, const Metadata& metadata);
// The same, for many guests with one finder.
GuestState derive_state(const store::Store& store, std::string_view id, const Metadata& metadata,
                        VmmFinder& finder);

// "128 MiB", or "1000 bytes" for what is no whole number of MiB.
std::string mib_text(int64_t bytes);

// Whether a flow takes a snapshot whose disks changed since (--force).
enum class Force { no, yes };

// What a flow needs before it reads the raw memory. Throws base::Refused saying that `id` has no
// complete snapshot with memory that is not compressed, or is Stale, and why: `verb` is "promote",
// "fork", "run".
void require_whole_snapshot(const GuestState& state, std::string_view id, std::string_view verb,
                            Force force);

}  // namespace meta
