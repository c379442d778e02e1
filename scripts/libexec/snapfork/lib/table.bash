# SPDX-License-Identifier: Apache-2.0
# table.bash: the verbs and options of snapfork. Parsing, checks, --help and completions/snapfork read this table; a test
# compares it with snapfork(1). A new verb needs a word in `verbs`, entries here and in usage.bash, and a file VERB.bash.
# shellcheck shell=bash disable=SC2034 # the readers are options.bash and usage.bash

readonly verbs=(import promote demote fork run restore standby stop delete list status)
readonly common_options=(--verbose --quiet --json --dry-run --help --version)

# The least and the greatest number of ids, and their kind: a new id, an existing guest, or none.
declare -rA verb_ids=(
  [import]='1 1 new' [promote]='1 1 guest' [demote]='1 1 guest' [fork]='1 2 guest'
  [run]='1 1 guest' [restore]='1 1 guest' [standby]='1 1 guest' [stop]='1 100000 guest' [delete]='1 100000 guest' [list]='0 0 none' [status]='0 0 none'
)

declare -rA verb_options=(
  [import]='--state --memory --disk --shared-file --assume-no-paths --firecracker --base --name --timeout --wait'
  [promote]='--force --timeout --wait'
  [demote]='--timeout --wait'
  [fork]='--backend -n --keep-going --name --reflink --durable --trace --tap --share-memory --from-running --firecracker --firecracker-arg --netns --force --timeout --wait'
  [run]='--backend --detach --prepare --socket --firecracker --firecracker-arg --netns --tap --clock --mmds --after-load --on-ready --load-timeout --track-dirty-pages --force --timeout --wait'
  [restore]='--backend --firecracker --firecracker-arg --netns --tap --clock --mmds --after-load --on-ready --load-timeout --track-dirty-pages --force --timeout --wait'
  [standby]='--type --sync --socket --timeout --wait'
  [stop]='--graceful --timeout'
  [delete]='--stop --timeout --wait'
  [list]='' [status]=''
)

# Options with a value: the name of the value, or the possible words.
declare -rA option_value=(
  [--state]=FILE [--memory]=FILE [--disk]='FILE[=PATH]' ['--shared-file']=PATH [--base]=FILE [--trace]=FILE [--name]=NAME [-n]=COUNT
  [--timeout]=SECONDS [--backend]='auto|uffd|file' [--reflink]='auto|always|never'
  [--type]='full|diff' [--sync]='yes|no'
  [--firecracker]=PATH ['--firecracker-arg']=ARG [--socket]=SOCK [--netns]=NAME [--tap]='IFACE=TAP' [--clock]='auto|keep'
  [--mmds]=FILE ['--after-load']=CMD ['--on-ready']=CMD ['--load-timeout']=SECONDS [--graceful]=SECONDS
)

# The variable that each option sets, to its value or to 1.
declare -rA option_variable=(
  [--state]=state_file [--memory]=memory_file [--disk]=disk ['--shared-file']=shared_file ['--assume-no-paths']=assume_no_paths
  [--base]=base_file [--trace]=trace [--name]=name [-n]=count
  [--timeout]=lock_timeout [--backend]=backend [--reflink]=reflink
  ['--share-memory']=share_memory ['--from-running']=from_running [--type]=type [--sync]=sync
  [--firecracker]=firecracker ['--firecracker-arg']=firecracker_arg [--socket]=socket [--netns]=netns [--tap]=tap
  [--clock]=clock [--mmds]=mmds ['--after-load']=after_load ['--on-ready']=on_ready ['--load-timeout']=load_timeout
  [--graceful]=graceful [--detach]=detach [--prepare]=prepare ['--track-dirty-pages']=track_dirty_pages
  [--wait]=waits [--force]=force [--stop]=stop [--durable]=durable ['--keep-going']=keep_going
  [--verbose]=verbose [--quiet]=quiet [--json]=json ['--dry-run']=dry_run
  # The driver calls itself with this one: SIGINT was ignored when the driver started.
  ['--ignore-int']=ignore_int
)

declare -rA option_letter=([-v]=--verbose [-q]=--quiet [-h]=--help [-V]=--version)

is_verb() { # <word>
  [[ $1 =~ ^[a-z]+$ && -n ${verb_ids[$1]-} ]]
}
