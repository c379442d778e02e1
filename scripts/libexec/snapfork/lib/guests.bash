# SPDX-License-Identifier: Apache-2.0
# guests.bash: steps on guests that more than one verb needs.
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables: see scripts/snapfork

# If several ids are given, runs the verb for each, one after the other, and exits with the status of the first failure.
one_by_one() {
  local id first_failure=0
  local -A named=()
  for id in "${operands[@]}"; do
    [[ ! -v named[$id] ]] || usage_error "$verb: the id '$id' is given twice"
    named[$id]=1
  done
  require_store
  ((${#operands[@]} > 1)) || return 0
  for id in "${operands[@]}"; do
    call_self "${options[@]}" "$verb" "$id" || note_failure $?
  done
  reported=1 # by each call
  exit "$first_failure"
}

state_of() { # <variable> <id>
  ask "$1" snapshot-meta state "$2"
}

# Sets a variable to a value in the metadata of a guest; to nothing if there is none. Later steps refuse bad metadata.
get_value() { # <variable> <id> <key>
  ask "$1" without_messages snapshot-meta get "$2" "$3" || step_error='' failed_step=''
}

# Moves a guest out of guests/, then removes it and all leftovers of its id.
discard() { # <id>
  step without_output snapshot-meta trash "$1"
  step snapshot-meta purge "$1"
}

# Returns whether an interrupted command left anything of an id, such as an entry in the index of a template.
has_leftovers() { # <id>
  local left
  ask left snapshot-meta purge --dry-run "$1"
  [[ -n $left ]]
}

# Removes forks of a template that a crash interrupted. While this flow holds the lock of the template, no fork of it is
# in progress. If the lock of the fork itself is held, another flow of that id handles the leftovers.
clear_interrupted_forks() { # <template>
  local entry child_undoes=1
  for entry in "$root/guests/$1"/template/forks/*; do
    if [[ ! -e $root/guests/${entry##*/} ]]; then
      show "$self" delete "${entry##*/}"
      ((dry_run)) || attend without_messages "$BASH" "$self" -q delete "${entry##*/}" || true
    fi
  done
}

# Releases the locks of this process. Locks of an outer template-lock belong to the caller; CMD of `run` keeps them.
release_locks() {
  close_locks
  unset SNAPFORK_LOCK_FD
  [[ -z $outer_locks ]] || export SNAPFORK_LOCK_FD=$outer_locks
}

# Removes the lock files of a deleted id. `template-lock forget` takes the lock again, because another process may have
# it by then. An outer template-lock keeps its lock.
forget_lock() { # <id>
  ((dry_run)) || release_locks
  step template-lock -q forget "$1"
}
