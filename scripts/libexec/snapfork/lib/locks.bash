# SPDX-License-Identifier: Apache-2.0
# locks.bash: a flow under the locks of its guests, by template-lock.
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables: see scripts/snapfork

# Becomes `snapfork --locked VERB OPERANDS` under locks. They end with the last process of the flow, so
# that an orphaned step of a killed driver still keeps everybody else out. It stays this process, so
# that a signal to it reaches the flow.
under_locks() { # <template-lock call, "--" at its end...> ::: <operands...>
  local call=()
  until [[ $1 == ::: ]]; do
    [[ $1 == --no-wait && -n $lock_patience ]] || call+=("$1")
    shift
  done
  shift
  [[ -z $lock_patience ]] || call=("${call[0]}" --timeout "$lock_patience" "${call[@]:1}")
  if ((dry_run)); then
    attend "${call[0]}" --dry-run "${call[@]:1}" true
    after="-euo pipefail <<'END'" show "${call[@]}" bash
    room_needed=0
    "${verb}_locked" "$@"
    plan_line END
    return
  fi
  show "${call[@]}" bash
  # Nothing has begun when template-lock itself fails, say on a full disk: 5. It is a wrapper: 125.
  [[ $verb == run ]] || call=("${call[0]}" --failure-exit-code 5 "${call[@]:1}")
  call+=("$BASH" "$self" --locked "--outer-locks=${SNAPFORK_LOCK_FD-}" "${options[@]}" "$verb" "$@")
  [[ $verb != run ]] || call+=(-- "${command[@]}")
  exec "${call[@]}"
}

# Closes the locks that this run took. Those of an outer template-lock are the caller's: CMD keeps them.
release_locks() {
  local fd fds=()
  IFS=, read -ra fds <<<"${SNAPFORK_LOCK_FD-}"
  for fd in "${fds[@]}"; do
    [[ ,$outer_locks, == *,$fd,* ]] || exec {fd}>&-
  done
  unset SNAPFORK_LOCK_FD
  [[ -z $outer_locks ]] || export SNAPFORK_LOCK_FD=$outer_locks
}

# Removes the lock files of an id that is deleted. The program takes the lock anew, as another process may
# by then; an outer template-lock keeps its own.
forget_lock() { # <id>
  ((dry_run)) || release_locks
  step template-lock -q forget "$1"
}
