# SPDX-License-Identifier: Apache-2.0
# other_verb.bash: verbs that users add, as programs snapfork-NAME. Read only if the verb is not one of snapfork.
# shellcheck shell=bash disable=SC2154 # shared variables: see scripts/snapfork

# Becomes the program snapfork-NAME, as git does. Returns if there is none.
become_other_verb() { # <name> <argument...>  # without traps: catch_signals comes later
  local program=$libexec/snapfork-$1
  [[ $1 =~ ^[A-Za-z0-9][A-Za-z0-9._-]*$ ]] || return 0
  prefer_neighbors
  [[ -f $program && -x $program ]] || program=$(type -P "snapfork-$1") || return 0
  [[ -x $program ]] || return 0 # type -P also prints a file that is not executable, if it finds no other
  set_root
  ((!ignore_int)) || trap '' INT
  exec -- "$program" "${@:2}"
}
