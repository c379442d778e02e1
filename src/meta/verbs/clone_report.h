// SPDX-License-Identifier: Apache-2.0
// The output of reflink-clone --json that fork-publish reads.
#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <optional>
#include <string>

namespace meta {

// The `total` records of reflink-clone --json, by the last component of the destination.
using CloneReports = std::map<std::string, std::string, std::less<>>;

// Reads them from a file; "-" is standard input. Other records are skipped. If process `caller`
// ends before the end of the file, throws base::Refused: a reflink-clone may still write to the
// pipe, but nobody would ask for the forks.
CloneReports read_clone_reports(const std::string& path, std::optional<pid_t> caller);

}  // namespace meta
