// SPDX-License-Identifier: Apache-2.0
// The capabilities that the keeper needs.
#pragma once

namespace pager {

// Keeps at most CAP_KILL (to end a VMM that cannot be served) and CAP_SYS_PTRACE (to take the
// userfaultfd out of a VMM) of the capabilities of root. Programs that root executes get theirs
// again; if no_new_privs forbids that, the keeper stays permitted to have them and does not use
// them. Does nothing for another user, whose servers could not get them again.
void keep_least_privilege();

}  // namespace pager
