// SPDX-License-Identifier: Apache-2.0
// Removes a file or a whole directory by descriptors.
#pragma once

#include <optional>
#include <string>

namespace file {

// Removes the entry `name` of the directory `parent` with everything below it. Symbolic links are
// removed and never followed. Nothing behind a mount point is touched, even if the mount shows the
// same filesystem. The number of descriptors does not depend on the depth. An absent entry is not
// an error. `shown` is the path of the entry, for messages.
//
// Throws Refused, with the path of the mount point, if the walk finds one; entries removed before
// that stay removed. A caller that must not begin without finishing calls find_mount first. Throws
// std::system_error.
void remove_tree(int parent, const std::string& name, const std::string& shown);

// Returns the path (below `shown`) of the first mount point in that tree, `name` itself included;
// nothing if there is none. Changes nothing. Throws std::system_error.
std::optional<std::string> find_mount(int parent, const std::string& name,
                                      const std::string& shown);

// Throws Refused "cannot remove 'PATH': it is a mount point; unmount it first".
[[noreturn]] void refuse_mount(const std::string& path);

}  // namespace file
