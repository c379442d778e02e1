// SPDX-License-Identifier: Apache-2.0
// Reads mapped files without dying of the SIGBUS that an unreadable page raises.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace pager {

// Reads the first word at each address. Returns false if one of them cannot be read; `words` is
// then undefined. (process_vm_readv needs no signal handler but costs 600 ns a page; the COPY that
// follows costs 1000 ns.) The first call installs a SIGBUS handler for the process. A SIGBUS from
// any other code still ends the process.
bool fetch_words(std::span<const std::byte* const> addresses, std::span<uint64_t> words);

}  // namespace pager
