// SPDX-License-Identifier: Apache-2.0
// snapshot-meta: reads and changes metadata, states, templates and forks; holds the table of verbs.
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
    Verb{"backend", meta::backend_command},
    Verb{"taps", meta::taps_command},
    Verb{"host-check", meta::host_check_command},
    Verb{"load-request", meta::load_request_command},
    Verb{"run-prepare", meta::run_prepare_command},
    Verb{"run-begin", meta::run_begin_command},
    Verb{"stop", meta::stop_command},
    Verb{"standby-begin", meta::standby_begin_command},
    Verb{"standby-publish", meta::standby_publish_command},
    Verb{"standby-end", meta::standby_end_command},
    Verb{"trash", meta::trash_command},
    Verb{"purge", meta::purge_command},
    Verb{"verify", meta::verify_command},
    Verb{"lint", meta::lint_command},
    Verb{"fsck", meta::fsck_command},
    Verb{"vmstate", meta::vmstate_command},
    Verb{"rewrite-paths", meta::rewrite_paths_command},
    Verb{"merge-diff", meta::merge_diff_command},
    Verb{"install-list", meta::install_list_command},
    Verb{"own-paths", meta::own_paths_command},
    Verb{"session-name", meta::session_name_command},
    Verb{"new-ids", meta::new_ids_command},
};

constexpr const char* kFooter =
    R"(Verbs, each with its own --help:
  init ID --state F --memory F     make a guest of files that Firecracker wrote
  list [--state S] [--sort KEY]    list guests with their states
  show ID, get ID KEY, state ID    print metadata, one value, the state
  set ID KEY=STRING KEY:=JSON...   change metadata; unset ID KEY... removes keys
  promote ID, demote ID            make a template of a guest, and undo that
  forks ID                         list the live forks of a template
  fork-begin SOURCE NEW...         add forks to the index of their template
  fork-publish SOURCE NEW...       make guests of their clones
  fork-end TEMPLATE FORK...        remove clones and index entries of forks
  accept ID                        accept the changed disks of a Stale guest
  host-check ID                    compare this host with that of the snapshot
  load-request ID                  print the body of PUT /snapshot/load
  taps ID, backend ID              print the taps that it will use, its back end
  run-prepare ID                   check that it can run; print what it needs
  run-begin ID, stop ID            record the VMM of a guest, end it
  standby-begin ID                 make the directory for a new snapshot
  standby-publish ID               make it the snapshot of the guest
  standby-end ID                   remove what an interrupted standby left
  trash ID, purge ID               move a guest out; remove leftovers of an id
  guard-create ID --type full|diff check whether a snapshot may be written now
  verify ID                        check that the parts of a guest agree
  lint ID                          print what its forks share, but should not
  fsck [--repair]                  find and repair what killed programs left
  vmstate FILE                     print the facts of a state file
  rewrite-paths IN OUT             copy a state file and change its paths
  merge-diff DIFF MEMORY           write a Diff memory file into its base
  install-list ID LIST             put a hot list into a template
  own-paths ID                     make its state name its own files
  session-name ID...               print its session name at the page server
  new-ids BASE COUNT               print ids that no guest has

SNAPFORK_ROOT is the directory of the store (default: /var/lib/snapfork).
Exit status: 0 done, 1 the answer is no, 2 usage, 3 unsupported, 4 bad data,
5 system error. See snapshot-meta(1).)";

int run(int argc, char** argv) {
  const std::string_view word = argc > 1 ? argv[1] : "";
  const auto* const verb = std::ranges::find(kVerbs, word, &Verb::name);
  if (verb != kVerbs.end()) {
    return verb->run(argc - 1, argv + 1);
  }
  base::Options options("snapshot-meta", "VERB [OPTION]... [OPERAND]...",
                        "Read and change the metadata of guests and their snapshots.");
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
