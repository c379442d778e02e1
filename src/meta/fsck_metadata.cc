// The part of fsck that looks after metadata.json.
#include <sys/stat.h>

#include <cerrno>
#include <string>
#include <system_error>

#include "base/error.h"
#include "meta/fsck_suspect.h"
#include "meta/metadata.h"
#include "meta/metadata_rebuild.h"

namespace meta {
namespace {

// What is wrong with it as JSON, or with the keys that forks are counted by; empty when nothing is.
// Throws std::system_error when it cannot be read at all.
std::string problem_of(const base::Store& store, const std::string& id) {
  try {
    const Metadata metadata = Metadata::read(store.metadata_path(id));
    metadata.is_template();
    metadata.fork_of_template();
    return "";
  } catch (const base::BadData& error) {
    return error.what();
  }
}

void check_guest(const FsckRun& run, const std::string& id) {
  const base::Store& store = run.store();
  const std::string path = store.metadata_path(id);
  std::string problem;
  try {
    problem = problem_of(store, id);
  } catch (const std::system_error& error) {
    if (guest_exists(store, id)) {  // else it was deleted just now
      const bool is_missing = error.code() == std::errc::no_such_file_or_directory;
      run.leave(
          is_missing ? "no_metadata" : "unreadable", id, path,
          std::string(error.what()) +
              (is_missing ? "; another program may be making this guest, else delete it" : ""));
    }
    return;
  }
  if (problem.empty()) {
    return;
  }
  run.settle({.problem = "bad_metadata",
              .id = id,
              .path = path,
              .text = problem,
              .locks = exclusively(id),
              .is_there = [&] { return !problem_of(store, id).empty(); },
              .mend = [&] { return rebuild_metadata(store, id); }});
}

}  // namespace

void check_metadata(const FsckRun& run) {
  for (const std::string& id : list_ids(run.store().guests_dir())) {
    check_guest(run, id);
  }
}

}  // namespace meta
