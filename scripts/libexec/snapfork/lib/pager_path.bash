# SPDX-License-Identifier: Apache-2.0
# pager_path.bash: where the page server listens.
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables: see scripts/snapfork

# Sets `pager` and `run_dir`, with absolute paths: the page server works elsewhere.
find_pager() {
  pager='' run_dir=''
  pager=${SNAPFORK_PAGER-}
  if [[ -z $pager && $EUID == 0 ]]; then
    pager=/run/snapfork/pager.sock
  elif [[ -z $pager && -n ${XDG_RUNTIME_DIR-} ]]; then
    pager=$XDG_RUNTIME_DIR/snapfork/pager.sock
  elif [[ -z $pager ]]; then
    return # see require_run_dir
  fi
  [[ $pager == /* ]] || pager=$PWD/$pager
  run_dir=${pager%/*}
}

require_run_dir() { # <what for>
  [[ -n $run_dir ]] || fail 5 "cannot $1: no run directory for a page server; set XDG_RUNTIME_DIR or SNAPFORK_PAGER, or give --backend file"
}

check_socket_path() { # <path>
  local LC_ALL=C
  ((${#1} <= 107)) || usage_error \
    "the socket path '$1' has ${#1} bytes, and 107 are the most: set SNAPFORK_PAGER to a shorter one"
}

find_pager
