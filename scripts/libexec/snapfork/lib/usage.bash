# SPDX-License-Identifier: Apache-2.0
# usage.bash: what --help prints, from the table of verbs and options.
# shellcheck shell=bash disable=SC2154 # the table is table.bash

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
