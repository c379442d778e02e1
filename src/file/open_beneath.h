// SPDX-License-Identifier: Apache-2.0
// Opens files below a directory without following a symbolic link in any component.
#pragma once

#include <optional>
#include <string>

#include "base/fd.h"

namespace file {

// Opens `path`, relative to `dir`, with O_CLOEXEC and O_NOCTTY added (openat2(2),
// RESOLVE_NO_SYMLINKS). `shown` is the name of the directory in messages. Throws BadData, with the
// name of the file, if a component of `path` is a symbolic link; std::system_error for every other
// failure.
base::Fd open_beneath(int dir, const std::string& path, int flags, const std::string& shown,
                      mode_t mode = 0);
// The same; nothing if the file does not exist (ENOENT).
std::optional<base::Fd> try_open_beneath(int dir, const std::string& path, int flags,
                                         const std::string& shown);

}  // namespace file
