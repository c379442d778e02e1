// SPDX-License-Identifier: Apache-2.0
// Looks at mapped files, where a page that cannot be read is SIGBUS.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace pager {

// Fetches the first word behind each address; false when one of them cannot be read, and `words`
// then holds nothing of use. (process_vm_readv, which needs no signal, costs 600 ns a page; the
// COPY that follows costs 1000.) The first call takes SIGBUS for the process; one that comes from
// anywhere else ends the process as it would have.
bool fetch_words(std::span<const std::byte* const> addresses, std::span<uint64_t> words);

}  // namespace pager
