// SPDX-License-Identifier: Apache-2.0
// Chooses how the VMM of a fork gets its memory: from the file, or from the page server.
#pragma once

#include <string>
#include <string_view>

#include "store/store.h"

namespace meta {

enum class Backend { file, uffd };
const char* backend_name(Backend backend);  // "file", "uffd"

struct BackendChoice {
  Backend backend = Backend::file;
  std::string reason;  // "its memory has 2 MiB pages", for example
};

// The back end for a guest and its forks. `requested` is "auto", "file" or "uffd"; the reason of
// the last two is that they were requested. "auto" decides by the guest's state file;
// docs/backend.md has the rule and the measurements. Throws base::Refused if "file" is requested
// and Firecracker would refuse it, and what reading the state throws.
BackendChoice choose_backend(const store::Store& store, std::string_view id,
                             std::string_view requested);

}  // namespace meta
