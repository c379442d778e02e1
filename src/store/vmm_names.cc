// SPDX-License-Identifier: Apache-2.0
// Recognizes the files that a running VMM creates.
#include "store/vmm_names.h"

namespace store {

bool is_socket_name(std::string_view name) {
  return name.ends_with(".sock");
}

bool is_half_compressed_name(std::string_view name) {
  return name.ends_with(".lz4.tmp") || name.ends_with(".zst.tmp");
}

}  // namespace store
