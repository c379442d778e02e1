// SPDX-License-Identifier: Apache-2.0
// Reads the new state, and compares it with the memory file and with the guest's present state.
#include "meta/flows/written_snapshot.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "base/file_status.h"
#include "meta/guest/guest_state.h"
#include "meta/vmstate/vmstate.h"
#include "store/files.h"

namespace meta {
namespace {

std::string what(const std::string& id) {
  return "cannot write a snapshot of " + base::quoted(id) + ": ";
}

// Opens a file that the VMM wrote. Another name of it could be used to write to it later.
base::Fd open_written(const store::Store& store, const std::string& id, const std::string& dir,
                      const char* name) {
  const std::string path = store::path_in(dir, name);
  std::optional<base::Fd> file = store.try_open_below(path, O_RDONLY | O_NONBLOCK);
  if (!file) {
    throw base::BadData(what(id) + base::quoted(path) + " does not exist");
  }
  const struct stat st = base::stat_fd(file->get(), path);
  if (!S_ISREG(st.st_mode) || st.st_nlink != 1) {
    throw base::BadData(what(id) + base::quoted(path) + " is not a regular file with one link");
  }
  return std::move(*file);
}

// The paths of drives and pmem devices. Taps and the vsock socket may differ from those of the
// state that was loaded.
std::vector<std::string> drives_of(const vmstate::VmState& state) {
  std::vector<std::string> drives;
  for (const vmstate::EmbeddedText& path : state.paths) {
    if (path.role == vmstate::Role::drive || path.role == vmstate::Role::pmem) {
      drives.push_back(path.text);
    }
  }
  std::ranges::sort(drives);
  return drives;
}

// Throws base::BadData if the new state has other drives or another size of the memory than the
// guest's present state, if that can be read.
void check_same_guest(const store::Store& store, const std::string& id,
                      const vmstate::VmState& written) {
  const std::optional<vmstate::VmState> old = vmstate::try_read_vmstate(store.state_path(id));
  if (!old) {
    return;
  }
  if (old->mem_size_mib != written.mem_size_mib) {
    throw base::BadData(what(id) + "it has " + std::to_string(written.mem_size_mib) +
                        " MiB of memory, and the guest has " + std::to_string(old->mem_size_mib));
  }
  if (!old->paths_problem.empty() || !written.paths_problem.empty()) {
    return;
  }
  const std::vector<std::string> known = drives_of(*old);
  for (const std::string& drive : drives_of(written)) {
    if (!std::ranges::binary_search(known, drive)) {
      throw base::BadData(what(id) + "its VMM uses the drive " + base::quoted(drive) +
                          ", which the guest does not have");
    }
  }
}

}  // namespace

void check_written_snapshot(const store::Store& store, const std::string& id,
                            const std::string& dir) {
  const base::Fd state_file = open_written(store, id, dir, "state");
  const base::Fd memory_file = open_written(store, id, dir, "memory");
  const std::string path = store::path_in(dir, "state");
  const std::string bytes = base::read_regular(state_file.get(), vmstate::kMaxVmStateBytes, path);
  vmstate::VmState state = vmstate::parse_vmstate(bytes, path);
  if (!state.crc_ok) {
    throw base::BadData(what(id) + "the CRC of " + base::quoted(path) + " is wrong");
  }
  vmstate::read_devices(bytes, state);
  constexpr unsigned kMib = 20;
  const auto expected = static_cast<int64_t>((state.mem_size_mib << kMib) + state.hotplug_bytes);
  const std::string memory = store::path_in(dir, "memory");
  const int64_t actual = base::stat_fd(memory_file.get(), memory).st_size;
  if (actual != expected) {
    throw base::BadData(what(id) + base::quoted(memory) + " has " + mib_text(actual) +
                        " instead of " + mib_text(expected));
  }
  check_same_guest(store, id, state);
}

}  // namespace meta
