// SPDX-License-Identifier: Apache-2.0
// The record of a VMM that a page server serves. It outlives a server that is killed.
#pragma once

#include <optional>
#include <string>

#include "base/process_identity.h"

namespace store {

// "PID STARTTIME BOOT-ID PID-NAMESPACE" and a newline; the pid is 0 for a VMM that the server
// cannot see. Records of older servers end after STARTTIME.
std::string vmm_record_text(const base::ProcessIdentity& vmm);

// What the record at `path` holds; nothing when it is gone. Throws BadData for what is not a
// record, std::system_error.
std::optional<base::ProcessIdentity> read_vmm_record(const std::string& path);

// As find_process. A VMM that its server could not see lives, as far as anybody knows, until the
// next boot.
base::FoundProcess find_recorded_vmm(const base::ProcessIdentity& vmm);

}  // namespace store
