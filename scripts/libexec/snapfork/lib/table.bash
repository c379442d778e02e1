# SPDX-License-Identifier: Apache-2.0
# table.bash: the verbs and options of snapfork. Parsing, checks, --help and completions/snapfork read this table only;
# a test compares it with snapfork(1). To add a verb: a word in `verbs`, its entries below, and a file NAME.bash.
# shellcheck shell=bash disable=SC2034 # the readers are options.bash and usage.bash

readonly verbs=(import promote demote fork run delete list status)
readonly common_options=(--verbose --quiet --json --dry-run --help --version)

# The least and the most ids, and what they are: new, of a guest, or none.
declare -rA verb_ids=(
  [import]='1 1 new' [promote]='1 1 guest' [demote]='1 1 guest' [fork]='1 2 guest'
  [run]='1 1 guest' [delete]='1 100000 guest' [list]='0 0 none' [status]='0 0 none'
)

declare -rA verb_options=(
  [import]='--state --memory --disk --base --name --timeout --wait'
  [promote]='--force --timeout --wait'
  [demote]='--timeout --wait'
  [fork]='--backend -n --name --reflink --durable --trace --force --timeout --wait'
  [run]='--backend --force --timeout --wait'
  [delete]='--stop --timeout --wait'
  [list]='' [status]=''
)

# Options with a value, and what it is: a name for it, or the words that it can be.
declare -rA option_value=(
  [--state]=FILE [--memory]=FILE [--disk]='FILE[=PATH]' [--base]=FILE [--trace]=FILE [--name]=NAME [-n]=COUNT
  [--timeout]=SECONDS [--backend]='uffd|file' [--reflink]='auto|always|never'
)

# The variable that an option sets, to its value or to 1.
declare -rA option_variable=(
  [--state]=state_file [--memory]=memory_file [--disk]=disk [--base]=base_file [--trace]=trace [--name]=name [-n]=count
  [--timeout]=lock_patience [--backend]=backend [--reflink]=reflink
  [--wait]=waits [--force]=force [--stop]=stop [--durable]=durable
  [--verbose]=verbose [--quiet]=quiet [--json]=json ['--dry-run']=dry_run
  # Of calls of the driver by itself. --records: records as with --json, see with_error_record. --ignore-int: SIGINT was
  # ignored when the driver started.
  [--locked]=locked [--records]=as_records ['--ignore-int']=ignore_int
)

declare -rA option_letter=([-v]=--verbose [-q]=--quiet [-h]=--help [-V]=--version)

# For --help, which lists the options of a verb that have a line in option_help.
declare -rA verb_operands=(
  [import]='ID --state FILE --memory FILE [--disk FILE[=PATH]]... [--name NAME]'
  [promote]=ID [demote]=ID [fork]='ID [NEW]' [run]='FORK -- CMD...' [delete]='ID...' [list]='' [status]=''
)
declare -rA verb_help=(
  [import]="clone a snapshot into the store; PATH: the vmstate's name"
  [promote]='make it a template: verified, sealed, not written again'
  [demote]='make a template an ordinary snapshot again'
  [fork]='a copy, ready to run; prints a JSON record for each'
  [run]="CMD with the fork's files at the paths of the vmstate"
  [delete]='refused for a template with live forks'
  [list]='all guests'
  [status]='the page server, its sessions, guests that hang'
)
declare -rA option_help=(
  ['import --base']='the memory is a Diff, to be merged over this file'
  ['promote --force']='promote, fork, run: also when it is Stale'
  ['fork --backend']='where its memory comes from (default uffd)'
  ['fork -n']='this many, with generated ids'
  ['fork --name']='its name; its id when not given'
  ['fork --reflink']='fail rather than copy disks and memory'
  ['fork --durable']='flush it to the disk: it survives a power cut'
  ['fork --trace']='record the pages that the guest reads'
  ['run --backend']='default: uffd the first time, the file later'
  ['delete --stop']='end its virtual machine first'
)
declare -rA option_shown=([--reflink]='--reflink=always')

is_verb() { # <word>
  [[ $1 =~ ^[a-z]+$ && -n ${verb_ids[$1]-} ]]
}

# For completions/snapfork, a line for each: "verb NAME new|guest|none OPTION...", "value OPTION VALUE", "common OPTION...".
list_options() {
  local verb option
  for verb in "${verbs[@]}"; do printf 'verb %s %s %s\n' "$verb" "${verb_ids[$verb]##* }" "${verb_options[$verb]}"; done
  for option in "${!option_value[@]}"; do printf 'value %s %s\n' "$option" "${option_value[$option]}"; done
  printf 'common %s\n' "${common_options[*]}"
}
