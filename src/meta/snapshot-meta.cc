// SPDX-License-Identifier: Apache-2.0
// snapshot-meta: reads and changes metadata, states, templates and forks; holds the table of verbs.
#include <array>

#include "base/options.h"
#include "base/program.h"
#include "base/verbs.h"
#include "meta/verbs/commands.h"

namespace {

constexpr std::array kVerbs{
    base::Verb{"init", meta::init_command},
    base::Verb{"show", meta::show_command},
    base::Verb{"get", meta::get_command},
    base::Verb{"set", meta::set_command},
    base::Verb{"unset", meta::unset_command},
    base::Verb{"guard-create", meta::guard_create_command},
    base::Verb{"list", meta::list_command},
    base::Verb{"state", meta::state_command},
    base::Verb{"promote", meta::promote_command},
    base::Verb{"demote", meta::demote_command},
    base::Verb{"forks", meta::forks_command},
    base::Verb{"fork-begin", meta::fork_begin_command},
    base::Verb{"fork-publish", meta::fork_publish_command},
    base::Verb{"fork-end", meta::fork_end_command},
    base::Verb{"accept", meta::accept_command},
    base::Verb{"backend", meta::backend_command},
    base::Verb{"taps", meta::taps_command},
    base::Verb{"host-check", meta::host_check_command},
    base::Verb{"load-request", meta::load_request_command},
    base::Verb{"run-prepare", meta::run_prepare_command},
    base::Verb{"run-begin", meta::run_begin_command},
    base::Verb{"stop", meta::stop_command},
    base::Verb{"standby-begin", meta::standby_begin_command},
    base::Verb{"standby-publish", meta::standby_publish_command},
    base::Verb{"standby-end", meta::standby_end_command},
    base::Verb{"trash", meta::trash_command},
    base::Verb{"purge", meta::purge_command},
    base::Verb{"verify", meta::verify_command},
    base::Verb{"lint", meta::lint_command},
    base::Verb{"fsck", meta::fsck_command},
    base::Verb{"vmstate", meta::vmstate_command},
    base::Verb{"rewrite-paths", meta::rewrite_paths_command},
    base::Verb{"merge-diff", meta::merge_diff_command},
    base::Verb{"install-list", meta::install_list_command},
    base::Verb{"own-paths", meta::own_paths_command},
    base::Verb{"session-name", meta::session_name_command},
    base::Verb{"new-ids", meta::new_ids_command},
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
  base::Options options("snapshot-meta", "VERB [OPTION]... [OPERAND]...",
                        "Read and change the metadata of guests and their snapshots.");
  options.footer(kFooter);
  return base::run_verb(kVerbs, options, argc, argv);
}

}  // namespace

int main(int argc, char** argv) {
  return base::run_program("snapshot-meta", argc, argv, run);
}
