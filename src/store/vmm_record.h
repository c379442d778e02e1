// SPDX-License-Identifier: Apache-2.0
// The record of a VMM that a page server serves. It remains if the server is killed.
#pragma once

#include <optional>
#include <string>

#include "base/process_identity.h"

namespace store {

// Returns "PID STARTTIME BOOT-ID PID-NAMESPACE" and a newline. The pid is 0 for a VMM that the
// server cannot see. Records of older servers end after STARTTIME.
std::string vmm_record_text(const base::ProcessIdentity& vmm);

// Returns the record at `path`; nothing if the file does not exist. Throws BadData if the file is
// not a record; std::system_error.
std::optional<base::ProcessIdentity> read_vmm_record(const std::string& path);

// As base::find_process. A VMM that its server could not see counts as alive until the next boot.
base::FoundProcess find_recorded_vmm(const base::ProcessIdentity& vmm);

}  // namespace store
