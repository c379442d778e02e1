// SPDX-License-Identifier: Apache-2.0
// What a template's image.json says of the zero pages of the memory file that is served.
#pragma once

#include <optional>
#include <string>

#include "pager/image/data_map.h"

struct stat;

namespace pager {

struct ZeroKnowledge {
  DataMap data;          // what is left of it without the zero pages
  bool complete = true;  // no other page of it is zero
};

// `memory` is ID/snapshots/snapshot-latest/memory of a guest: the record is ID/template/image.json,
// or that of the template that ID is a fork of. It counts only when the template's memory, which it
// describes, is the very file that is served (`st`), sealed, as long as it says, and not written to
// since (else that is said). Nothing when there is none that counts.
std::optional<ZeroKnowledge> zero_knowledge(const std::string& memory, const struct stat& st,
                                            const DataMap& data);

}  // namespace pager
