// SPDX-License-Identifier: Apache-2.0
// Inspects the snapshot, the VMM and the disks of a guest, and derives its state from them.
#include "meta/guest/guest_state.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/file_status.h"
#include "base/process_identity.h"
#include "meta/guest/disks.h"
#include "meta/guest/recorded_vmm.h"
#include "store/files.h"
#include "store/seal.h"

namespace meta {
namespace {

constexpr int64_t kMib = int64_t{1} << 20U;

// Whether the directory exists and has an entry.
bool has_entries(const std::string& path) {
  const std::optional<std::vector<std::string>> names = store::list_names(path);
  return names && !names->empty();
}

// Reads the state file into `facts` and `bytes`. Returns what is wrong with it; empty for nothing.
std::string inspect_vmstate(const std::string& path, SnapshotFacts& facts, std::string& bytes) {
  if (!base::try_stat_path(path)) {
    return "it has no state file";
  }
  try {
    bytes = vmstate::read_vmstate_file(path);
    facts.vmstate = vmstate::parse_vmstate(bytes, path);
  } catch (const base::BadData& error) {
    return error.what();
  }
  return facts.vmstate->crc_ok ? "" : "the CRC of its state file is wrong";
}

std::string compressed_text(const SnapshotFacts& snapshot) {
  return snapshot.compressed.empty() ? ""
                                     : "its memory is compressed (" + snapshot.compressed + ")";
}

// Why the disks no longer belong to the snapshot; empty if they do. If the list of disks cannot be
// read, the error is the reason.
std::string change_of_disks(const Metadata& metadata, const std::string& dir) {
  try {
    const std::vector<std::string> changes = changed_disks(metadata, dir);
    return changes.empty() ? "" : changes.front();
  } catch (const base::BadData& error) {
    return error.what();
  }
}

}  // namespace

std::string mib_text(int64_t bytes) {
  return bytes % kMib == 0 ? std::to_string(bytes / kMib) + " MiB"
                           : std::to_string(bytes) + " bytes";
}

const char* state_name(State state) {
  switch (state) {
    case State::stopped:
      return "Stopped";
    case State::running:
      return "Running";
    case State::standby:
      return "Standby";
    case State::stale:
      return "Stale";
    case State::template_:
      return "Template";
    case State::broken:
      break;
  }
  return "Broken";
}

namespace {

// Returns a problem if a part of the snapshot is a symbolic link, else an empty string. A clone of
// such a guest would copy the link, and the link count of the target would not count the clone.
std::string link_problem(const store::Store& store, std::string_view id) {
  for (const std::string_view part :
       {"snapshots", "snapshots/snapshot-latest", "snapshots/snapshot-latest/state",
        "snapshots/snapshot-latest/memory"}) {
    struct stat st {};
    if (::lstat((store.guest_dir(id) + "/" + std::string(part)).c_str(), &st) == 0 &&
        S_ISLNK(st.st_mode)) {
      return "its " + base::quoted(part) +
             " is a symbolic link; replace it by the file or directory that it points to";
    }
  }
  return "";
}

}  // namespace

SnapshotFacts inspect_snapshot(const store::Store& store, std::string_view id) {
  SnapshotFacts facts;
  facts.problem = link_problem(store, id);
  if (!facts.problem.empty()) {
    facts.exists = true;
    return facts;
  }
  const std::string memory_path = store.memory_path(id);
  const std::string dir = memory_path.substr(0, memory_path.rfind('/'));
  const std::optional<struct stat> memory = base::try_stat_path(memory_path);
  std::string bytes;
  facts.problem = inspect_vmstate(store.state_path(id), facts, bytes);
  if (!facts.vmstate && !memory && !has_entries(dir)) {
    facts.problem.clear();
    return facts;
  }
  facts.exists = true;
  if (memory) {
    facts.memory_bytes = memory->st_size;
    facts.memory_links = memory->st_nlink;
    facts.memory_sealed = store::is_sealed(*memory);
  } else {
    constexpr std::array<std::string_view, 2> kCompressed{"memory.zst", "memory.lz4"};
    const auto* const found = std::ranges::find_if(kCompressed, [&](std::string_view name) {
      return base::try_stat_path(dir + "/" + std::string(name)).has_value();
    });
    facts.compressed = found != kCompressed.end() ? *found : "";
  }
  if (!facts.problem.empty()) {
    return facts;
  }
  facts.expected_bytes = static_cast<int64_t>(facts.vmstate->mem_size_mib) * kMib;
  if (!memory) {
    facts.problem = facts.compressed.empty() ? "it has no memory file" : "";
    return facts;
  }
  if (*facts.memory_bytes > *facts.expected_bytes) {
    // Hot-plug memory follows the boot memory. Only the devices contain its size.
    vmstate::read_devices(bytes, *facts.vmstate);
    *facts.expected_bytes += static_cast<int64_t>(facts.vmstate->hotplug_bytes);
  }
  if (!S_ISREG(memory->st_mode)) {
    facts.problem = "its memory file is not a regular file";
  } else if (*facts.memory_bytes != *facts.expected_bytes) {
    facts.problem = "its memory file has " + mib_text(*facts.memory_bytes) +
                    ", but its state file requires " + mib_text(*facts.expected_bytes);
  }
  return facts;
}

GuestState derive_state(const store::Store& store, std::string_view id, const Metadata& metadata) {
  VmmFinder finder(store);
  return derive_state(store, id, metadata, finder);
}

GuestState derive_state(const store::Store& store, std::string_view id, const Metadata& metadata,
                        VmmFinder& finder) {
  GuestState result;
  result.snapshot = inspect_snapshot(store, id);
  const base::FoundProcess recorded = base::find_process(recorded_vmm(metadata).process);
  result.vmm = {.pid = metadata.number("HypervisorPID"),
                .start_time = metadata.number("HypervisorStartTime"),
                .recorded_lives = recorded.alive,
                .live = finder.find(std::string(id), metadata)};
  if (recorded.start_time) {
    result.vmm.process_start_time = static_cast<int64_t>(*recorded.start_time);
  }
  const SnapshotFacts& snapshot = result.snapshot;
  const bool is_template = metadata.is_template();
  if (result.vmm.live) {
    result.state = State::running;
    result.reason = result.vmm.live->reason;
  } else if (!snapshot.problem.empty()) {
    result.state = State::broken;
    result.reason = snapshot.problem;
  } else if (!snapshot.exists) {
    result.state = is_template ? State::broken : State::stopped;
    result.reason = is_template ? "it is a template without a snapshot" : "";
  } else if (const std::string change = change_of_disks(metadata, store.guest_dir(id));
             !change.empty()) {
    result.state = State::stale;
    result.reason = change;
  } else {
    result.state = is_template ? State::template_ : State::standby;
    result.reason = compressed_text(snapshot);
  }
  return result;
}

void require_whole_snapshot(const GuestState& state, std::string_view id, std::string_view verb,
                            Force force) {
  const std::string what = "cannot " + std::string(verb) + " " + base::quoted(id) + ": ";
  if (state.state == State::stale && force == Force::no) {
    throw base::Refused(what + "it is Stale: " + state.reason +
                        ", so memory and disks do not belong together; delete the guest, use "
                        "--force, or if they do belong together, run 'snapshot-meta accept " +
                        std::string(id) + "'");
  }
  if (state.state != State::standby && state.state != State::template_ &&
      state.state != State::stale) {
    throw base::Refused(what + "it is " + state_name(state.state) +
                        (state.reason.empty() ? "" : " (" + state.reason + ")") +
                        "; it must be in Standby, with a whole snapshot");
  }
  if (!state.snapshot.compressed.empty()) {
    throw base::Refused(what + compressed_text(state.snapshot) +
                        "; decompress it to 'memory' first");
  }
}

}  // namespace meta
