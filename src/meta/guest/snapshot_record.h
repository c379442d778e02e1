// SPDX-License-Identifier: Apache-2.0
// What a guest's metadata record about its snapshot: its VMM, shared files, and an assumption.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "meta/guest/metadata.h"

namespace meta {

// snapfork.vmm.version: the Firecracker that made the snapshot, such as "1.16.0". Empty if it is
// not recorded.
std::string snapshot_vmm(const Metadata& metadata);
// `from` says how the version is known: "import" or "standby".
void set_snapshot_vmm(Metadata& metadata, std::string_view version, std::string_view from);

// snapfork.shared_files: host files that the guest and its forks open read-only. Throws
// base::BadData if the value is not a list of strings.
std::vector<std::string> shared_files(const Metadata& metadata);
void set_shared_files(Metadata& metadata, const std::vector<std::string>& paths);

// snapfork.assume_no_paths: the devices of the state could not be read, and the caller of the
// import said that loading the state opens no file of the host.
bool assumes_no_paths(const Metadata& metadata);
void set_assumes_no_paths(Metadata& metadata);

}  // namespace meta
