// SPDX-License-Identifier: Apache-2.0
// Declares the verbs of hotpage-record that need only files. hotpage-record(1) describes them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/options.h"

namespace hot {

// How much the faults of a session differ from its hot list.
struct SessionDrift {
  std::string list{};    // the path of its hot list; empty if it has none
  std::string record{};  // the JSON object of the server
  uint64_t pages = 0;    // of the list
  uint64_t faults_listed = 0;
  uint64_t faults_unlisted = 0;
  uint64_t drift_percent = 0;
};
// Asks the server of --control about the session --session. The verbs themselves know no servers.
using FindDrift = std::function<SessionDrift(const base::ParsedOptions& parsed)>;

// Each function parses the command line of its verb, where argv[0] is the verb, and returns the
// exit status.
int show_verb(int argc, char** argv);
int stat_verb(int argc, char** argv, const FindDrift& find_drift);
int merge_verb(int argc, char** argv);
int diff_verb(int argc, char** argv);
int check_verb(int argc, char** argv, const FindDrift& find_drift);
int convert_verb(int argc, char** argv);
int pack_verb(int argc, char** argv);
int unpack_verb(int argc, char** argv);
int heatmap_verb(int argc, char** argv);
int warm_verb(int argc, char** argv);
int readahead_verb(int argc, char** argv);

}  // namespace hot
