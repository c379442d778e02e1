// SPDX-License-Identifier: Apache-2.0
// Formats the facts of a guest's state as one JSON object and as sentences.
#include "meta/guest/guest_facts.h"

#include <sys/stat.h>

#include <optional>

#include "base/error.h"
#include "base/fd.h"
#include "base/json_line.h"
#include "store/id_lock_file.h"
#include "store/id_lock_holders.h"

namespace meta {
namespace {

const char* mode_name(store::LockMode mode) {
  return mode == store::LockMode::exclusive ? "exclusive" : "shared";
}

// The processes that hold the lock. lock_holders searches all of /proc, so it is called only if
// /proc/locks has the lock's inode.
std::vector<store::LockHolder> holders_of(const store::Store& store, std::string_view id) {
  struct stat lock {};
  if (::stat(store::lock_path(store, id).c_str(), &lock) != 0 &&
      ::stat(store.locks_dir().c_str(), &lock) != 0) {  // see store/id_lock.h, "A full disk"
    return {};
  }
  constexpr size_t kMostBytes = size_t{16} << 20U;
  const std::optional<base::Fd> locks = base::try_open("/proc/locks", O_RDONLY);
  if (locks && base::read_all(locks->get(), kMostBytes, "/proc/locks")
                       .find(":" + std::to_string(lock.st_ino) + " ") == std::string::npos) {
    return {};
  }
  return store::lock_holders(store, id);
}

void number_or_null(base::JsonLine& line, std::string_view key, std::optional<int64_t> value) {
  value ? line.number(key, *value) : line.null(key);
}

std::string holders_json(const std::vector<store::LockHolder>& holders) {
  std::string list = "[";
  for (const store::LockHolder& holder : holders) {
    base::JsonLine line;
    line.number("pid", holder.pid)
        .text("mode", mode_name(holder.mode))
        .text("command", holder.name);
    number_or_null(line, "since_ms", holder.since_ms);
    list += list.size() > 1 ? "," : "";
    list += line.str();
  }
  return list + "]";
}

std::string memory_text(const SnapshotFacts& snapshot) {
  if (!snapshot.compressed.empty()) {
    return "memory: compressed (" + snapshot.compressed + ")";
  }
  if (!snapshot.memory_bytes) {
    return "memory: none";
  }
  return "memory: " + mib_text(*snapshot.memory_bytes) +
         (snapshot.expected_bytes ? " of " + mib_text(*snapshot.expected_bytes) : "") + ", " +
         (snapshot.memory_sealed ? "sealed" : "not sealed") + ", " +
         std::to_string(snapshot.memory_links) + (snapshot.memory_links == 1 ? " link" : " links");
}

std::string vmm_text(const VmmFacts& vmm) {
  if (vmm.pid.value_or(0) <= 0) {
    return "recorded VMM: none";
  }
  const std::string process = "recorded VMM: process " + std::to_string(*vmm.pid) +
                              ", start time " + std::to_string(vmm.start_time.value_or(0));
  if (vmm.recorded_lives) {
    return process + ", alive";
  }
  return process + ", ended" +
         (vmm.process_start_time ? "; another process has its pid, with start time " +
                                       std::to_string(*vmm.process_start_time)
                                 : "");
}

std::string live_json(const std::optional<LiveVmm>& live) {
  base::JsonLine line;
  live && live->pid != 0 ? line.number("pid", live->pid) : line.null("pid");
  return live ? line.text("reason", live->reason).str() : "null";
}

}  // namespace

std::string facts_json(const store::Store& store, std::string_view id, const GuestState& state,
                       const Metadata& metadata) {
  base::JsonLine facts;
  facts.boolean("is_template", metadata.is_template());
  const SnapshotFacts& snapshot = state.snapshot;
  facts.boolean("snapshot_exists", snapshot.exists);
  if (snapshot.vmstate) {
    base::JsonLine vmstate;
    vmstate.text("snapshot_version", snapshot.vmstate->snapshot_version)
        .boolean("crc_ok", snapshot.vmstate->crc_ok)
        .number("mem_size_mib", static_cast<int64_t>(snapshot.vmstate->mem_size_mib));
    facts.raw("vmstate", vmstate.str());
  } else {
    facts.null("vmstate");
  }
  number_or_null(facts, "memory_bytes", snapshot.memory_bytes);
  number_or_null(facts, "expected_memory_bytes", snapshot.expected_bytes);
  facts.number("memory_links", static_cast<int64_t>(snapshot.memory_links))
      .boolean("memory_sealed", snapshot.memory_sealed);
  snapshot.compressed.empty() ? facts.null("compressed")
                              : facts.text("compressed", snapshot.compressed);
  number_or_null(facts, "vmm_pid", state.vmm.pid);
  number_or_null(facts, "vmm_start_time", state.vmm.start_time);
  number_or_null(facts, "process_start_time", state.vmm.process_start_time);
  return facts.boolean("vmm_alive", state.vmm.recorded_lives)
      .raw("live_vmm", live_json(state.vmm.live))
      .raw("lock_holders", holders_json(holders_of(store, id)))
      .str();
}

std::vector<std::string> facts_text(const store::Store& store, std::string_view id,
                                    const GuestState& state, const Metadata& metadata) {
  const SnapshotFacts& snapshot = state.snapshot;
  std::vector<std::string> facts{
      metadata.is_template() ? "flag: it is a template" : "flag: it is not a template",
      snapshot.vmstate ? "state file: snapshot version " + snapshot.vmstate->snapshot_version +
                             ", CRC " + (snapshot.vmstate->crc_ok ? "right" : "wrong")
      : snapshot.exists ? "state file: cannot be read"
                        : "state file: none, the guest has no snapshot",
      memory_text(snapshot), vmm_text(state.vmm),
      "VMM: " + (state.vmm.live ? state.vmm.live->reason : "no process was found")};
  const std::vector<store::LockHolder> holders = holders_of(store, id);
  for (const store::LockHolder& holder : holders) {
    facts.push_back("lock: held " + std::string(mode_name(holder.mode)) + " by " +
                    std::to_string(holder.pid) + " (" + holder.name + ")");
  }
  if (holders.empty()) {
    facts.emplace_back("lock: no holder was found");
  }
  return facts;
}

}  // namespace meta
