# SPDX-License-Identifier: Apache-2.0
# usage.bash: prints --help and --list-options from the table of verbs and options. A fork does not read it.
# shellcheck shell=bash disable=SC2154 # the table is table.bash

declare -grA verb_operands=(
  [import]='ID --state FILE --memory FILE' [promote]=ID [demote]=ID [fork]='ID [NEW]' [run]='FORK [-- CMD...]'
  [restore]=ID [standby]=ID [stop]='ID...' [delete]='ID...' [record]=ID [export]='ID DIR' [push]='ID REF' [pull]='ID REF' [list]='' [status]=''
)
declare -grA verb_help=(
  [import]='clone a snapshot into the store'
  [promote]='make it a template: verified, sealed, not written again'
  [demote]='make a template an ordinary snapshot again'
  [fork]='a copy, ready to run; prints a JSON record for each'
  [run]='start a Firecracker for the fork, or a CMD that does'
  [restore]='run it in the background, from its memory file'
  [standby]='write a snapshot of it, and end its virtual machine'
  [stop]='end their virtual machines'
  [delete]='refused for a template with live forks'
  [export]='a template as an OCI image layout (-: a tar of it)'
  [push]='a template to a registry, with skopeo'
  [pull]='a template from a registry, with skopeo'
  [record]='record the hot pages of a template, and install them'
  [list]='all guests'
  [status]='the page server, its sessions, guests that hang'
)
declare -grA option_help=(
  [--state]='the vmstate that Firecracker wrote'
  [--memory]='the memory that Firecracker wrote'
  [--disk]="a disk; PATH: the vmstate's name of it"
  ['--shared-file']='a read-only drive that all forks open'
  ['--assume-no-paths']='it has no drives, if its vmstate is unknown'
  [--base]='the memory is a Diff, to be merged over this file'
  [--oci]='a template from an OCI image layout (-: a tar)'
  [--tag]='its name in the layout (default latest)'
  [--share]='share blocks with: auto, never, or a template'
  [--layout]='keep the layout here; the next push is smaller'
  [--force]='also when it is Stale'
  [--backend]='where its memory comes from (default auto)'
  [-n]='this many, with generated ids'
  ['--keep-going']='with -n: keep the forks that succeed; default: none'
  ['--share-memory']='promote ID first, unless it is a template'
  ['--from-running']='put ID in standby, fork it, and restore it'
  [--type]='a Diff is quicker; it needs dirty-page tracking'
  [--sync]='no: a power cut may damage the snapshot'
  [--name]='its name; its id when not given'
  [--reflink]='always: fail rather than copy disks and memory'
  [--durable]='flush it to the disk: it survives a power cut'
  [--trace]='record the pages that the guest reads'
  [--detach]='return once the guest runs'
  [--prepare]='start a Firecracker that waits, and load nothing'
  [--socket]='load into the Firecracker that waits at SOCK'
  [--firecracker]='the program (import: or its version)'
  ['--firecracker-arg']='an argument for it; may be repeated'
  [--jailer]='start Firecracker by this jailer'
  [--uid]='with --jailer: the user of the VMM, a number'
  [--gid]='with --jailer: its group, a number'
  ['--jailer-arg']='an argument for the jailer; may be repeated'
  [--netns]='start it in this network namespace'
  [--tap]='use TAP for the interface IFACE; may be repeated'
  [--clock]='keep: do not set the clock of the guest forward'
  [--mmds]='fill MMDS with this JSON'
  ['--after-load']='a command, while the guest is loaded and paused'
  ['--on-ready']='a command, once the guest runs'
  ['--load-timeout']='limit for the load (default 30)'
  ['--track-dirty-pages']='so that a Diff snapshot can be made'
  [--graceful]='first press Ctrl-Alt-Del, and wait that long'
  [--stop]='end its virtual machine first'
  [--timeout]='limit of the wait for locks that others hold'
  [--wait]='wait for locks without a limit'
  ['fork --tap']='its tap for IFACE; {n}: 0, 1...; {id}: its id'
  ['standby --socket']='the API socket of its VMM, if not recorded'
  ['--ready-cmd']='record until this command succeeds'
  [--seconds]='record for at most that long'
  ['record --tap']='the tap of the fork that is made'
  ['stop --timeout']='from SIGTERM to SIGKILL (default 5)'
)

# Prints what an option asks for, and ends.
print_usage() { # <option>
  local status=0
  case $1 in
    -h | --help) usage "$verb" 2>/dev/null || status=$? ;;
    -V | --version) printf 'snapfork %s\n' "$version" 2>/dev/null || status=$? ;;
    --list-options) list_options 2>/dev/null || status=$? ;;
  esac
  verb='' # the exit statuses of `run` are others
  ((!status)) || fail 5 "cannot write 'standard output'"
  exit 0
}

usage() {
  local verb rest allowed
  if find_verb "${1-}"; then
    usage_of "$1"
    return
  fi
  cat <<'USAGE'
Usage: snapfork [options] VERB [operands]
Fork Firecracker snapshots, and run the forks: disks and memory are shared.

USAGE
  while read -r verb rest; do
    printf '  %-21s %s\n' "$verb${verb_operands[$verb]:+ ${verb_operands[$verb]%% --state*}}" "${verb_help[$verb]}"
  done <<<"${verb_table:1:-1}"
  cat <<'USAGE'

'snapfork VERB --help' lists the options of a verb.
Common options: -v show each call; --dry-run only show them;
  -q no informational messages;
  --json records, of failures too; -h --help; -V --version
  --timeout SECONDS or --wait: for locks that others hold
Environment: SNAPFORK_ROOT (/var/lib/snapfork), SNAPFORK_PAGER (its socket)
Exit status: 0 done, 1 refused, 2 usage, 3 unsupported, 4 bad data, 5 system;
  run: that of Firecracker or CMD, or 125, 126, 127.
Manual: snapfork(1), snapfork(7)
USAGE
}

# The caller has found the verb in the table.
usage_of() { # <verb>
  local option values
  printf 'Usage: snapfork %s [options]%s\n' "$1" "${verb_operands[$1]:+ ${verb_operands[$1]}}"
  printf '%s.\n' "${verb_help[$1]^}"
  [[ -z $allowed ]] || printf '\n'
  for option in $allowed; do
    find_option "$option"
    printf '  %-24s %s\n' "$option${values:+ $values}" "${option_help["$1 $option"]-${option_help[$option]}}"
  done
  printf "\nCommon options: %s\nManual: snapfork(1)\n" "$common_options"
}

# Prints the table for completions/snapfork, as lines "verb NAME new|guest|none OPTION...", "value OPTION VALUE" and
# "common OPTION...".
list_options() {
  local verb kind option values
  while read -r verb _ _ kind option; do printf 'verb %s %s %s\n' "$verb" "$kind" "$option"; done <<<"${verb_table:1:-1}"
  while read -r option _ values; do
    [[ -z $values ]] || printf 'value %s %s\n' "$option" "$values"
  done <<<"${option_table:1:-1}"
  printf 'common %s\n' "$common_options"
}
