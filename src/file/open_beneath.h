// SPDX-License-Identifier: Apache-2.0
// Opening files below a directory without following a symbolic link in any component.
#pragma once

#include <optional>
#include <string>

#include "base/fd.h"

namespace file {

// Opens `path`, relative to `dir`, with O_CLOEXEC and O_NOCTTY added (openat2(2),
// RESOLVE_NO_SYMLINKS). `shown` is what messages call the directory. Throws BadData, naming the
// file, when a component of `path` is a symbolic link; std::system_error for every other failure.
base::Fd open_beneath(int dir, const std::string& path, int flags, const std::string& shown,
                      mode_t mode = 0);
// The same; nothing where the file does not exist (ENOENT).
std::optional<base::Fd> try_open_beneath(int dir, const std::string& path, int flags,
                                         const std::string& shown);

}  // namespace file
