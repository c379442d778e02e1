// SPDX-License-Identifier: Apache-2.0
// Probes a directory: its filesystem, and whether it really supports reflinks.
#pragma once

#include <optional>
#include <string>

#include "clone/filesystem.h"

namespace cloning {

struct ProbeReport {
  std::string path;
  FilesystemInfo filesystem;
  std::optional<bool> reflink;  // nothing if the test was not possible
  std::string why;              // errno text for `false` and for nothing
};

// `path` is a directory, or a file in the directory to probe. Creates two unnamed files there and
// clones one to the other, because the type of the filesystem proves nothing. Throws what
// filesystem_of throws.
ProbeReport probe(const std::string& path);

// The record {"type":"probe",...} without a newline, and lines "key: value".
std::string probe_record(const ProbeReport& report);
std::string probe_lines(const ProbeReport& report);

}  // namespace cloning
