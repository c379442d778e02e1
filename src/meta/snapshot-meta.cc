// SPDX-License-Identifier: Apache-2.0
// snapshot-meta: what a snapshot is. Metadata, states, templates, the records of forks, state
// files.
#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/options.h"
#include "base/program.h"
#include "meta/verbs/commands.h"

namespace {

struct Verb {
  std::string_view name;
  int (*run)(int argc, char** argv);
};

constexpr std::array kVerbs{
    Verb{"init", meta::init_command},
    Verb{"show", meta::show_command},
    Verb{"get", meta::get_command},
    Verb{"set", meta::set_command},
    Verb{"unset", meta::unset_command},
    Verb{"guard-create", meta::guard_create_command},
    Verb{"list", meta::list_command},
    Verb{"state", meta::state_command},
    Verb{"promote", meta::promote_command},
    Verb{"demote", meta::demote_command},
    Verb{"forks", meta::forks_command},
    Verb{"fork-begin", meta::fork_begin_command},
    Verb{"fork-publish", meta::fork_publish_command},
    Verb{"fork-end", meta::fork_end_command},
    Verb{"accept", meta::accept_command},
    Verb{"run-begin", meta::run_begin_command},
    Verb{"stop", meta::stop_command},
    Verb{"trash", meta::trash_command},
    Verb{"purge", meta::purge_command},
    Verb{"verify", meta::verify_command},
    Verb{"fsck", meta::fsck_command},
    Verb{"vmstate", meta::vmstate_command},
    Verb{"rewrite-paths", meta::rewrite_paths_command},
    Verb{"merge-diff", meta::merge_diff_command},
    Verb{"host-paths", meta::host_paths_command},
    Verb{"session-name", meta::session_name_command},
};

constexpr const char* kFooter =
    R"(Verbs, each with its own --help:
  init ID --state F --memory F     make a guest of files that Firecracker wrote
  list [--state S] [--sort KEY]    guests, with their derived states
  show ID, get ID KEY, state ID    metadata, one value of it, the state
  set ID KEY=STRING KEY:=JSON...   change metadata; unset ID KEY... removes it
  promote ID, demote ID            Standby to Template and back
  forks ID                         live forks of a template
  fork-begin SOURCE NEW...         announce forks
  fork-publish SOURCE NEW...       make guests of their clones
  fork-end TEMPLATE FORK...        take back what is gone
  accept ID                        the disks of a Stale guest are right
  run-begin ID, stop ID            record a guest's VMM, end it
  trash ID                         take a guest out of the store
  purge ID                         remove what is left of an id
  guard-create ID --type full|diff may a snapshot be written there now
  verify ID                        check that its parts agree
  fsck [--repair]                  find and mend what killed programs left
  vmstate FILE                     what a state file says
  rewrite-paths IN OUT             a state file with other paths
  merge-diff DIFF MEMORY           a Diff memory file over its base
  host-paths ID                    what loading it opens elsewhere
  session-name ID...               its session at the page server

SNAPFORK_ROOT names the store (default: /var/lib/snapfork).
Exit status: 0 done, 1 the answer is no, 2 usage, 3 unsupported, 4 bad data,
5 system error. See snapshot-meta(1).)";

int run(int argc, char** argv) {
  const std::string_view word = argc > 1 ? argv[1] : "";
  const auto* const verb = std::ranges::find(kVerbs, word, &Verb::name);
  if (verb != kVerbs.end()) {
    return verb->run(argc - 1, argv + 1);
  }
  base::Options options("snapshot-meta", "VERB [OPTION]... [OPERAND]...",
                        "Read and change what the store knows of guests and their snapshots.");
  options.footer(kFooter);
  if (!options.parse(argc, argv)) {
    return 0;
  }
  throw base::UsageError(word.empty() ? "a verb is missing" : "unknown verb " + base::quoted(word));
}

}  // namespace

int main(int argc, char** argv) {
  return base::run_program("snapshot-meta", argc, argv, run);
}
