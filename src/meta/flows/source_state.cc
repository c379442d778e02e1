// SPDX-License-Identifier: Apache-2.0
// Reads the state of a guest that is forked, perhaps before it is needed.
#include "meta/flows/source_state.h"

#include <ctime>
#include <exception>

#include "base/file_status.h"

namespace meta {
namespace {

bool is_same_time(const struct timespec& a, const struct timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

// The clock of which the kernel takes the times of files (inode_set_ctime_current).
struct timespec time_of_files() {
  struct timespec now = {};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return now;
}

bool is_before(const struct timespec& a, const struct timespec& b) {
  return a.tv_sec != b.tv_sec ? a.tv_sec < b.tv_sec : a.tv_nsec < b.tv_nsec;
}

}  // namespace

SourceState read_source_state(const store::Store& store, const std::string& id) {
  SourceState state;
  state.path = store.state_path(id);
  // Before the bytes: a write in between makes the state not current.
  const struct timespec now = time_of_files();
  state.file = base::lstat_path(state.path);
  state.is_settled = is_before(state.file.st_ctim, now);
  state.bytes = vmstate::read_vmstate_file(state.path);
  state.vmstate = vmstate::parse_vmstate(state.bytes, state.path);
  vmstate::read_devices(state.bytes, state.vmstate);
  return state;
}

std::optional<SourceState> try_read_source_state(const store::Store& store, const std::string& id) {
  try {
    return read_source_state(store, id);
  } catch (const std::exception&) {
    return std::nullopt;  // the caller reads it again, and reports why it cannot
  }
}

bool is_current(const SourceState& state) {
  const std::optional<struct stat> now = base::try_lstat_path(state.path);
  // A write or a rename sets the change time; no program can set it to a chosen value.
  return state.is_settled && now && base::is_same_file(*now, state.file) &&
         now->st_size == state.file.st_size && is_same_time(now->st_ctim, state.file.st_ctim);
}

}  // namespace meta
