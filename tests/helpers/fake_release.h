// SPDX-License-Identifier: Apache-2.0
// The release that fake-firecracker plays, and the fields that its requests may have. The lists
// share nothing with meta/vmstate/load_fields.h, which they test.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "meta/vmstate/formats.h"

struct FakeRelease {
  meta::vmstate::ReleaseNumber number;

  std::string text() const { return number.text(); }
  bool is_before(unsigned major, unsigned minor, unsigned patch) const {
    return number < meta::vmstate::ReleaseNumber{major, minor, patch};
  }

  // Parses "1.16.1". Throws base::UsageError.
  static FakeRelease parse(std::string_view text) {
    const std::optional<meta::vmstate::ReleaseNumber> number = meta::vmstate::parse_release(text);
    if (!number) {
      throw base::UsageError("bad value " + base::quoted(text) + " of FAKE_VERSION");
    }
    return {.number = *number};
  }

  // The fields of PUT /snapshot/load, in the order in which Firecracker lists them.
  std::vector<std::string_view> load_fields() const {
    std::vector<std::string_view> fields{"snapshot_path", "mem_file_path", "mem_backend",
                                         "enable_diff_snapshots"};
    const auto add_from = [&](std::string_view field, bool unknown) {
      if (!unknown) {
        fields.push_back(field);
      }
    };
    add_from("track_dirty_pages", is_before(1, 13, 0));
    add_from("resume_vm", false);
    add_from("network_overrides", is_before(1, 12, 0));
    add_from("vsock_override", is_before(1, 16, 0));
    add_from("clock_realtime", is_before(1, 14, 4));
    add_from("huge_pages", is_before(1, 17, 0));
    return fields;
  }

  // The fields of PUT /snapshot/create.
  std::vector<std::string_view> create_fields() const {
    std::vector<std::string_view> fields{"snapshot_type", "snapshot_path", "mem_file_path"};
    if (!is_before(1, 17, 0)) {
      fields.emplace_back("sync_snapshot_files");
    }
    return fields;
  }

  // Releases from 1.12 on keep the connection to the page server open.
  bool keeps_handshake_open() const { return !is_before(1, 12, 0); }
};
