// SPDX-License-Identifier: Apache-2.0
// Removing a file or a whole directory by descriptors.
#pragma once

#include <optional>
#include <string>

namespace file {

// Removes the entry `name` of the directory `parent`, with all that is below it. Symbolic links are
// removed and never followed. Nothing behind a mount point is touched, also where the mount shows
// the same filesystem. Needs a constant number of descriptors, whatever the depth. An absent entry
// is no error. `shown` is the path of the entry, for messages. Throws Refused, naming the mount
// point, when one is found; what was removed before that stays removed, so that callers that must
// not begin without finishing call find_mount first. Throws std::system_error.
void remove_tree(int parent, const std::string& name, const std::string& shown);

// The path (below `shown`) of the first mount point in that tree, `name` itself included; nothing
// when there is none. Changes nothing. Throws std::system_error.
std::optional<std::string> find_mount(int parent, const std::string& name,
                                      const std::string& shown);

// "cannot remove 'PATH': it is a mount point; unmount it first".
[[noreturn]] void refuse_mount(const std::string& path);

}  // namespace file
