// SPDX-License-Identifier: Apache-2.0
// Finds the devices at the end of a state file. Their offset is not stored in the file.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "meta/vmstate/layout.h"

namespace meta::vmstate {

struct FoundDevices {
  std::vector<Field> fields;  // the parts with a role
  size_t offset = 0;          // of the first device
  Layout layout = Layout::v1_10;
  bool is_assumed = false;  // the layout is not known to be that of the snapshot version
};

// Finds the offsets from which a reading of the devices of snapshot version `version` ends exactly
// at the end of `body`, a state file without its CRC, whose header has `header_bytes`. Returns
// nothing if no layout fits, two readings disagree, or the search exceeds its budget.
//
// For a version that is newer than all known ones, all layouts are tried, and the result is
// assumed. It then has to pass more tests: all layouts that fit give the same parts, and no text
// that may be a path precedes the devices. A layout that lacks a new member of a drive could
// otherwise be read after the drives, as "no drives".
std::optional<FoundDevices> search_devices(std::string_view body, size_t header_bytes,
                                           std::string_view version, Encoding encoding, Arch arch);

// The parts of devices of this layout that start at `offset` and end at the end of `body`, without
// a search. Returns nothing if they do not, or if a path or name cannot exist on a host.
std::optional<std::vector<Field>> read_devices_at(std::string_view body, size_t offset,
                                                  Layout layout, Encoding encoding, Arch arch);

}  // namespace meta::vmstate
