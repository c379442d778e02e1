# SPDX-License-Identifier: Apache-2.0
# table.bash: the verbs and options of snapfork. Parsing, checks, --help and completions/snapfork read this table; a test
# compares it with snapfork(1). A new verb needs a word in `verbs`, entries here and in usage.bash, and a file VERB.bash.
# shellcheck shell=bash disable=SC2034 # the readers are options.bash and usage.bash

readonly verbs=(import promote demote fork run standby delete list status)
readonly common_options=(--verbose --quiet --json --dry-run --help --version)

# The least and the greatest number of ids, and their kind: a new id, an existing guest, or none.
declare -rA verb_ids=(
  [import]='1 1 new' [promote]='1 1 guest' [demote]='1 1 guest' [fork]='1 2 guest'
  [run]='1 1 guest' [standby]='1 1 guest' [delete]='1 100000 guest' [list]='0 0 none' [status]='0 0 none'
)

declare -rA verb_options=(
  [import]='--state --memory --disk --base --name --timeout --wait'
  [promote]='--force --timeout --wait'
  [demote]='--timeout --wait'
  [fork]='--backend -n --keep-going --name --reflink --durable --trace --share-memory --force --timeout --wait'
  [run]='--backend --force --timeout --wait'
  [standby]='--type --sync --socket --timeout --wait'
  [delete]='--stop --timeout --wait'
  [list]='' [status]=''
)

# Options with a value: the name of the value, or the possible words.
declare -rA option_value=(
  [--state]=FILE [--memory]=FILE [--disk]='FILE[=PATH]' [--base]=FILE [--trace]=FILE [--name]=NAME [-n]=COUNT
  [--timeout]=SECONDS [--backend]='auto|uffd|file' [--reflink]='auto|always|never'
  [--type]='full|diff' [--sync]='yes|no' [--socket]=SOCK
)

# The variable that each option sets, to its value or to 1.
declare -rA option_variable=(
  [--state]=state_file [--memory]=memory_file [--disk]=disk [--base]=base_file [--trace]=trace [--name]=name [-n]=count
  [--timeout]=lock_patience [--backend]=backend [--reflink]=reflink
  ['--share-memory']=share_memory [--type]=type [--sync]=sync [--socket]=socket
  [--wait]=waits [--force]=force [--stop]=stop [--durable]=durable ['--keep-going']=keep_going
  [--verbose]=verbose [--quiet]=quiet [--json]=json ['--dry-run']=dry_run
  # The driver calls itself with this one: SIGINT was ignored when the driver started.
  ['--ignore-int']=ignore_int
)

declare -rA option_letter=([-v]=--verbose [-q]=--quiet [-h]=--help [-V]=--version)

is_verb() { # <word>
  [[ $1 =~ ^[a-z]+$ && -n ${verb_ids[$1]-} ]]
}
