// SPDX-License-Identifier: Apache-2.0
// Compares the snapshot, the devices and the recorded VMM with what a Diff needs.
#include "meta/flows/diff_base.h"

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/json_line.h"
#include "base/json_object.h"
#include "meta/guest/metadata_update.h"
#include "meta/vmstate/formats.h"
#include "meta/vmstate/vmstate.h"

namespace meta {
namespace {

constexpr std::string_view kBegun = "snapfork.snapshot_begun";

// The VMM in the metadata, as one value. Empty if none is recorded.
std::string vmm_key(const Metadata& metadata) {
  const int64_t pid = metadata.number("HypervisorPID").value_or(0);
  const int64_t start_time = metadata.number("HypervisorStartTime").value_or(0);
  return pid > 0 ? base::JsonLine().number("pid", pid).number("start_time", start_time).str() : "";
}

// Why the memory file cannot be the base; empty if it can.
std::string memory_problem(const SnapshotFacts& snapshot) {
  if (!snapshot.problem.empty() || !snapshot.memory_bytes) {
    return "a Diff needs a whole snapshot as its base";
  }
  if (snapshot.memory_links > 1 || snapshot.memory_sealed) {
    return "its memory file is that of a template, and a Diff needs a base of the guest's own";
  }
  return "";
}

std::string device_problem(const std::string& state_path) {
  const std::optional<vmstate::VmState> state = vmstate::try_read_vmstate(state_path);
  if (!state || !state->paths_problem.empty() || state->has_balloon) {
    return "a Diff does not have the pages that a balloon has discarded, and the guest has a "
           "balloon, or its devices are not known";
  }
  // Firecracker issue 5705.
  if (state->arch == vmstate::Arch::x86_64 && state->mem_size_mib > vmstate::kOneRegionMib &&
      vmstate::is_older_than(state->snapshot_version, {1, 15, 0})) {
    return "before Firecracker 1.15, a Diff of a guest with more than 3 GiB may be wrong";
  }
  return "";
}

std::string vmm_problem(const Metadata& metadata) {
  const std::string vmm = vmm_key(metadata);
  if (vmm.empty()) {
    return "its VMM is not recorded, so it is not known which pages a Diff needs";
  }
  const std::optional<std::string> begun = metadata.json().find_path(kBegun);
  if (begun && base::compact_json(*begun) == vmm) {
    return "its VMM may have written one that was not published, so it is not known which pages a "
           "Diff needs";
  }
  return "";
}

}  // namespace

void require_diff_base(const store::Store& store, const std::string& id, const Metadata& metadata,
                       const GuestState& state) {
  std::string problem = memory_problem(state.snapshot);
  problem = problem.empty() ? device_problem(store.state_path(id)) : problem;
  problem = problem.empty() ? vmm_problem(metadata) : problem;
  if (!problem.empty()) {
    throw base::Refused("cannot write a snapshot of " + base::quoted(id) + ": " + problem +
                        "; write a Full one");
  }
}

void record_snapshot_begun(const store::Store& store, const std::string& id, Metadata metadata) {
  const std::string vmm = vmm_key(metadata);
  if (vmm.empty()) {
    return;
  }
  const MetadataUpdate update(store, id);
  static_cast<void>(metadata.json().set_path(kBegun, vmm));
  metadata.write(store.metadata_path(id), base::Durable::yes);
}

void clear_snapshot_begun(Metadata& metadata) {
  metadata.json().erase_path(kBegun);
}

}  // namespace meta
