// SPDX-License-Identifier: Apache-2.0
// Declares the verbs of snapshot-meta, which docs/interfaces.md and the man page describe.
#pragma once

namespace meta {

// Each function parses the command line of its verb, where argv[0] is the verb, and returns the
// exit status.
int init_command(int argc, char** argv);
int show_command(int argc, char** argv);
int get_command(int argc, char** argv);
int set_command(int argc, char** argv);
int unset_command(int argc, char** argv);
int guard_create_command(int argc, char** argv);
int list_command(int argc, char** argv);
int state_command(int argc, char** argv);
int promote_command(int argc, char** argv);
int demote_command(int argc, char** argv);
int forks_command(int argc, char** argv);
int fork_begin_command(int argc, char** argv);
int fork_publish_command(int argc, char** argv);
int fork_end_command(int argc, char** argv);
int accept_command(int argc, char** argv);
int backend_command(int argc, char** argv);
int taps_command(int argc, char** argv);
int host_check_command(int argc, char** argv);
int load_request_command(int argc, char** argv);
int run_prepare_command(int argc, char** argv);
int run_begin_command(int argc, char** argv);
int stop_command(int argc, char** argv);
int standby_begin_command(int argc, char** argv);
int standby_publish_command(int argc, char** argv);
int standby_end_command(int argc, char** argv);
int trash_command(int argc, char** argv);
int purge_command(int argc, char** argv);
int verify_command(int argc, char** argv);
int lint_command(int argc, char** argv);
int fsck_command(int argc, char** argv);
int vmstate_command(int argc, char** argv);
int rewrite_paths_command(int argc, char** argv);
int merge_diff_command(int argc, char** argv);
int install_list_command(int argc, char** argv);
int own_paths_command(int argc, char** argv);
int session_name_command(int argc, char** argv);
int new_ids_command(int argc, char** argv);

}  // namespace meta
