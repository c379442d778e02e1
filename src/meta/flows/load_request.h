// SPDX-License-Identifier: Apache-2.0
// Builds the body of PUT /snapshot/load for the Firecracker that will load a guest.
#pragma once

#include <string>
#include <vector>

#include "meta/guest/metadata.h"
#include "meta/guest/taps.h"
#include "meta/vmstate/vmstate.h"
#include "store/store.h"

namespace meta {

struct LoadRequest {
  std::string id;  // for messages
  std::string state_path;
  bool uses_uffd = false;
  std::string backend_path;  // the socket of the page server, or the memory file
  // The Firecracker that loads the state. If it is empty or not a release ("1.17.0-dev"), only
  // fields are used that all releases of the state's snapshot version know.
  std::string vmm_version{};
  std::string host_kernel;   // release of the kernel under the VMM
  bool keeps_clock = false;  // do not set the guest's clock forward
  std::vector<TapName> taps{};
  bool tracks_dirty_pages = false;
  bool resumes = true;
  // prepare_run has read the devices of the state, and the guest's lock has been held since.
  bool is_prepared = false;
};

// Returns the body, on one line. It has clock_realtime if the VMM knows it, the guest is x86_64,
// and the host has Linux 5.16 or later, because KVM_CLOCK_REALTIME needs it; not with keeps_clock.
//
// Throws base::Refused if the VMM cannot load the state's snapshot version, does not know
// network_overrides and the state has other taps, or the state has no such interface;
// base::UsageError for a tap name that is empty or longer than 15 bytes.
std::string load_body(const vmstate::VmState& state, const LoadRequest& request);

// Reads the state of the guest request.id and calls load_body, with the taps in its metadata
// (chosen_taps). Sets state_path, host_kernel, for
// the File back end backend_path, and, if vmm_version is empty, the recorded version. Throws also
// as require_guest and vmstate::parse_vmstate do, and base::Unsupported if the paths in the state
// are not known (require_known_paths), unless the request is prepared.
std::string load_body_of_guest(const store::Store& store, LoadRequest request);

// Throws base::Unsupported if the devices of the state could not be read, because loading it may
// open files of another guest; unless the guest was imported with --assume-no-paths. `what` is
// "cannot run 'ID'".
void require_known_paths(const vmstate::VmState& state, const Metadata& metadata,
                         const std::string& what);

}  // namespace meta
