// SPDX-License-Identifier: Apache-2.0
// Finds metadata.json files that are damaged, missing, or of another guest.
#include <optional>
#include <string>
#include <system_error>

#include "base/error.h"
#include "meta/fsck/fsck_candidate.h"
#include "meta/fsck/metadata_rebuild.h"
#include "meta/guest/fork_relation.h"
#include "meta/guest/guest.h"
#include "meta/guest/snapshot_change.h"

namespace meta {
namespace {

// What is wrong with the JSON, or with the keys that the counting of forks relies on. Empty if
// nothing is, or if the guest does not exist. Throws std::system_error if the file cannot be read.
std::string problem_of(const store::Store& store, const std::string& id) {
  try {
    if (const std::optional<std::string> text = read_metadata_text(store, id)) {
      parse_fork_relation(*text, store.metadata_path(id));
    }
    return "";
  } catch (const base::BadData& error) {
    return error.what();
  }
}

// Reports a directory that is a copy of a guest, or was renamed.
void check_id(const FsckRun& run, const std::string& id) {
  try {
    require_guest(run.store(), id);
  } catch (const base::BadData& error) {
    run.leave("wrong_id", id, run.store().metadata_path(id), error.what());
  } catch (const base::Refused&) {
    return;  // deleted at the same time
  }
}

// Metadata that a killed standby-publish did not finish. Readers resolve them the same way.
void check_standby(const FsckRun& run, const std::string& id) {
  const store::Store& store = run.store();
  const auto is_left = [&] { return settle_metadata(store, id, base::Effect::dry_run); };
  if (is_left()) {
    run.resolve({.problem = "unfinished_standby",
                 .id = id,
                 .path = store.metadata_path(id),
                 .text = "left by a killed standby",
                 .locks = exclusively(id),
                 .is_present = is_left,
                 .repair = [&] {
                   settle_metadata(store, id, base::Effect::real);
                   return "finished";
                 }});
  }
}

void check_guest(const FsckRun& run, const std::string& id) {
  const store::Store& store = run.store();
  const std::string path = store.metadata_path(id);
  std::string problem;
  try {
    problem = problem_of(store, id);
  } catch (const std::system_error& error) {
    const bool is_missing = error.code() == std::errc::no_such_file_or_directory;
    run.leave(is_missing ? "no_metadata" : "unreadable", id, path,
              std::string(error.what()) +
                  (is_missing ? "; if no other program is making this guest, delete it" : ""));
    return;
  }
  check_id(run, id);
  if (problem.empty()) {
    check_standby(run, id);
    return;
  }
  run.resolve({.problem = "bad_metadata",
               .id = id,
               .path = path,
               .text = problem,
               .locks = exclusively(id),
               .is_present = [&] { return !problem_of(store, id).empty(); },
               .repair = [&] { return rebuild_metadata(store, id); }});
}

}  // namespace

void check_metadata(const FsckRun& run) {
  for (const std::string& id : list_guests(run.store())) {
    check_guest(run, id);
  }
}

}  // namespace meta
