# SPDX-License-Identifier: Apache-2.0
# usage.bash: prints --help and --list-options from the table of verbs and options. A fork does not read it.
# shellcheck shell=bash disable=SC2154 # the table is table.bash

# --help lists the options of a verb that have a line in option_help.
declare -grA verb_operands=(
  [import]='ID --state FILE --memory FILE [--disk FILE[=PATH]]... [--name NAME]'
  [promote]=ID [demote]=ID [fork]='ID [NEW]' [run]='FORK -- CMD...' [standby]=ID [delete]='ID...' [list]='' [status]=''
)
declare -grA verb_help=(
  [import]="clone a snapshot into the store; PATH: the vmstate's name"
  [promote]='make it a template: verified, sealed, not written again'
  [demote]='make a template an ordinary snapshot again'
  [fork]='a copy, ready to run; prints a JSON record for each'
  [run]="CMD with the fork's files at the paths of the vmstate"
  [standby]='write a snapshot of it, and end its virtual machine'
  [delete]='refused for a template with live forks'
  [list]='all guests'
  [status]='the page server, its sessions, guests that hang'
)
declare -grA option_help=(
  ['import --base']='the memory is a Diff, to be merged over this file'
  ['promote --force']='promote, fork, run: also when it is Stale'
  ['fork --backend']='where its memory comes from: auto, uffd or file'
  ['fork -n']='this many, with generated ids'
  ['fork --keep-going']='with -n: keep the forks that succeed; default: none'
  ['fork --name']='its name; its id when not given'
  ['fork --reflink']='fail rather than copy disks and memory'
  ['fork --durable']='flush it to the disk: it survives a power cut'
  ['fork --share-memory']='promote ID first, unless it is a template'
  ['fork --trace']='record the pages that the guest reads'
  ['run --backend']='auto (as recorded, the file later), uffd or file'
  ['standby --type']='a Diff is quicker; it needs dirty-page tracking'
  ['standby --sync']='no: a power cut may damage the snapshot'
  ['standby --socket']='the API socket of its VMM, if not recorded'
  ['delete --stop']='end its virtual machine first'
)
declare -grA option_shown=([--reflink]='--reflink=always' [--backend]='--backend WHICH')

usage() {
  cat <<'USAGE'
Usage: snapfork [options] VERB [operands]
Fork Firecracker snapshots: disks by reflink, memory page by page on demand.

USAGE
  local verb
  for verb in "${verbs[@]}"; do usage_of "$verb"; done
  cat <<'USAGE'

Common options: -v show each call; --dry-run only show them;
  -q no informational messages;
  --json records, of failures too; -h --help; -V --version
  --timeout SECONDS or --wait: for locks that others hold
Environment: SNAPFORK_ROOT (/var/lib/snapfork), SNAPFORK_PAGER (its socket)
Exit status: 0 done, 1 refused, 2 usage, 3 unsupported, 4 bad data, 5 system;
  run: that of CMD, or 125, 126, 127.   Manual: snapfork(1), snapfork(7)
USAGE
}

usage_of() { # <verb>
  local head="$1${verb_operands[$1]:+ ${verb_operands[$1]}}" option help
  if ((${#head} > 20)); then
    printf '  %s\n' "$head"
    head=''
  fi
  printf '  %-20s %s\n' "$head" "${verb_help[$1]}"
  for option in ${verb_options[$1]}; do
    help=${option_help["$1 $option"]-}
    option=${option_shown[$option]-$option ${option_value[$option]-}}
    [[ -z $help ]] || printf '    %-20s %s\n' "${option% }" "$help"
  done
}

# Prints the table for completions/snapfork, as lines "verb NAME new|guest|none OPTION...", "value OPTION VALUE" and
# "common OPTION...".
list_options() {
  local verb option
  for verb in "${verbs[@]}"; do printf 'verb %s %s %s\n' "$verb" "${verb_ids[$verb]##* }" "${verb_options[$verb]}"; done
  for option in "${!option_value[@]}"; do printf 'value %s %s\n' "$option" "${option_value[$option]}"; done
  printf 'common %s\n' "${common_options[*]}"
}
