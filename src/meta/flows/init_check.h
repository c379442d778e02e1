// SPDX-License-Identifier: Apache-2.0
// Checks the files of an import against each other before the guest is made.
#pragma once

#include <string>
#include <vector>

#include "meta/flows/init.h"
#include "meta/guest/disks.h"
#include "meta/vmstate/vmstate.h"
#include "store/store.h"

namespace meta {

struct CheckedImport {
  vmstate::VmState state;
  std::vector<Disk> disks;  // in the order of the request, without times
};

// Prints warnings of a state whose layout is assumed or whose devices cannot be read. Throws what
// init_guest documents for the files.
CheckedImport check_import(const store::Store& store, const InitRequest& request);

// Divides FILE[=PATH] at the first "=" that leaves the name of an existing file. Without one, FILE
// is the whole text if that is a file, or what precedes the first "=".
InitDisk divide_disk(const std::string& text);

}  // namespace meta
