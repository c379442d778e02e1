// SPDX-License-Identifier: Apache-2.0
// What a clone into a directory could do: the filesystem, and whether it really reflinks.
#pragma once

#include <optional>
#include <string>

#include "clone/filesystem.h"

namespace cloning {

struct ProbeReport {
  std::string path;
  FilesystemInfo filesystem;
  std::optional<bool> reflink;  // nothing: it could not be tried
  std::string why;              // of no and of nothing: the errno's text
};

// `path` is a directory, or a file whose directory is meant. Two unnamed files are made there and
// one is cloned to the other: what the filesystem's type promises is not believed. Throws what
// filesystem_of throws.
ProbeReport probe(const std::string& path);

// The record {"type":"probe",...} without a newline, and lines "key: value".
std::string probe_record(const ProbeReport& report);
std::string probe_lines(const ProbeReport& report);

}  // namespace cloning
