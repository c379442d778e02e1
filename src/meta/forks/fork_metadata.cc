// SPDX-License-Identifier: Apache-2.0
// Clears the keys of the source's last run, moves its paths, and sets the identity of the fork.
#include "meta/forks/fork_metadata.h"

#include <array>

#include "base/json_line.h"
#include "base/version.h"
#include "meta/guest/recorded_vmm.h"

namespace meta {
namespace {

// Keys that belong to one run of the source. In a fork they would make it look alive, or stopped
// for the source's reason.
constexpr std::array<std::string_view, 16> kCleared{
    "StartedAt",
    "StoppedAt",
    "ProgramStartedAt",
    "GuestAgentReadyAt",
    "HypervisorPID",
    "HypervisorStartTime",
    "HypervisorBootID",
    "ExitCode",
    "ExitMessage",
    "RestartStatus",
    "PendingStandbyCompression",
    "Phases",
    "auto_standby_runtime",
    "health_check_runtime",
    "IP",
    "MAC",
};

constexpr std::array<std::string_view, 3> kPaths{"DataDir", "SocketPath", "VsockSocket"};

// The path of the fork for `path` of the source. A path below a directory of `old_dirs` keeps its
// relative path below `new_dir`. Any other path keeps only its last component.
std::string moved_path(std::string_view path, const std::array<std::string, 2>& old_dirs,
                       const std::string& new_dir) {
  for (const std::string& old_dir : old_dirs) {
    if (!old_dir.empty() && path.starts_with(old_dir) &&
        (path.size() == old_dir.size() || path[old_dir.size()] == '/')) {
      return new_dir + std::string(path.substr(old_dir.size()));
    }
  }
  return new_dir + "/" + std::string(path.substr(path.rfind('/') + 1));
}

}  // namespace

Metadata make_fork_metadata(const Metadata& source, const ForkIdentity& fork) {
  Metadata metadata = source;
  metadata.set_text("Id", fork.id);
  metadata.set_text("Name", fork.name);
  metadata.set_text("CreatedAt", now_rfc3339());
  for (const std::string_view key : kCleared) {
    metadata.clear(key);
  }
  static_cast<void>(metadata.json().erase_path(kPidNamespaceKey));
  static_cast<void>(metadata.json().erase_path(kApiSocketKey));
  // The paths of a source that was moved still start with its old directory, which is in DataDir.
  const std::array<std::string, 2> old_dirs{source.text("DataDir"), fork.source_dir};
  for (const std::string_view key : kPaths) {
    if (const std::string path = source.text(key); !path.empty()) {
      metadata.set_text(key, moved_path(path, old_dirs, fork.fork_dir));
    }
  }
  metadata.set_flag("IsTemplate", false);
  metadata.set_text("ForkOfTemplate", fork.template_id);
  metadata.set_text("HotPagesPath", "");
  if (source.text("FirecrackerSnapshotCacheKey").empty()) {
    metadata.set_text("FirecrackerSnapshotCacheKey", fork.cache_key);
  }
  if (!fork.backend.empty()) {
    auto& json = metadata.json();
    static_cast<void>(json.set_path("snapfork.backend", base::json_string(fork.backend)));
    static_cast<void>(
        json.set_path("snapfork.backend_reason", base::json_string(fork.backend_reason)));
  }
  metadata.set_flag("FirecrackerUseUFFDOnNextRestore", !fork.session.empty());
  metadata.set_text("FirecrackerUFFDSessionID", fork.session);
  metadata.set_text("FirecrackerUFFDPagerVersion", fork.session.empty() ? "" : base::kVersion);
  return metadata;
}

}  // namespace meta
