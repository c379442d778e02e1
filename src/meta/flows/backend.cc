// SPDX-License-Identifier: Apache-2.0
// The rule of --backend auto.
#include "meta/flows/backend.h"

#include "base/error.h"
#include "base/message.h"
#include "meta/vmstate/vmstate.h"

namespace meta {

const char* backend_name(Backend backend) {
  return backend == Backend::uffd ? "uffd" : "file";
}

BackendChoice choose_backend(const store::Store& store, std::string_view id,
                             std::string_view requested) {
  if (requested == "uffd") {
    return {.backend = Backend::uffd, .reason = "requested"};
  }
  const std::string path = store.state_path(id);
  const vmstate::VmState state = vmstate::parse_vmstate(vmstate::read_vmstate_file(path), path);
  const bool huge = state.page_size == vmstate::PageSize::huge_2m;
  if (requested == "file") {
    if (huge) {
      throw base::Refused("cannot use the file back end for " + base::quoted(id) +
                          ": its memory has 2 MiB pages, which Firecracker loads only from a page "
                          "server; use --backend uffd");
    }
    return {.backend = Backend::file, .reason = "requested"};
  }
  return huge ? BackendChoice{.backend = Backend::uffd, .reason = "its memory has 2 MiB pages"}
              : BackendChoice{.backend = Backend::file, .reason = "its memory is a local file"};
}

}  // namespace meta
