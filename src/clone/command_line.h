// SPDX-License-Identifier: Apache-2.0
// The command line of reflink-clone.
#pragma once

#include <string>
#include <vector>

#include "base/options.h"
#include "clone/progress.h"
#include "clone/request.h"

namespace cloning {

enum class Job { clone, in_place, stat, clean };

struct CommandLine {
  Job job = Job::clone;
  cloning::Request request;
  bool unshare = false;
  cloning::ProgressMode progress = cloning::ProgressMode::automatic;
  std::string path;  // the argument of --clean
  std::vector<std::string> operands;
};

base::Options make_options();
// Throws base::UsageError if options exclude each other.
CommandLine command_line_of(const base::ParsedOptions& options);

}  // namespace cloning
