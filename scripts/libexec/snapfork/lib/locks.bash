# SPDX-License-Identifier: Apache-2.0
# locks.bash: runs a flow under the locks of its guests, with template-lock.
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables: see scripts/snapfork

# Becomes `snapfork --locked VERB OPERANDS` under locks. The locks end with the last process of the flow, so an orphaned
# step of a killed driver still excludes all other flows. The process id stays the same, so a signal reaches the flow.
under_locks() { # <template-lock call, "--" at its end...> ::: <operands...>
  local call=()
  until [[ $1 == ::: ]]; do
    [[ $1 == --no-wait && -n $lock_patience ]] || call+=("$1")
    shift
  done
  shift
  ((!quiet)) || call=("${call[0]}" -q "${call[@]:1}")
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
  # If template-lock itself fails, for example on a full disk, nothing has begun: status 5, not 125 as of a wrapper.
  [[ $verb == run ]] || call=("${call[0]}" --failure-exit-code 5 "${call[@]:1}")
  call+=("$BASH" "$self" --locked "--outer-locks=${SNAPFORK_LOCK_FD-}" "${options[@]}" "$verb" "$@")
  [[ $verb != run ]] || call+=(-- "${command[@]}")
  exec "${call[@]}"
}

# Refuses --locked from anybody but `under_locks`: a flow without its locks could delete what another flow uses.
require_locks() {
  local fd fds=()
  IFS=, read -ra fds <<<"${SNAPFORK_LOCK_FD-}"
  for fd in "${fds[@]}"; do
    [[ ! /proc/self/fd/$fd -ef $root/.snapfork/locks ]] || return 0 # see id_lock.h, "A full disk"
    [[ ! /proc/self/fd/$fd -ef $root/.snapfork/locks/${operands[0]}.lock ]] || return 0
  done
  usage_error "unknown option '--locked'"
}

# Closes the locks that this run took. Locks of an outer template-lock belong to the caller; CMD keeps them.
release_locks() {
  local fd fds=()
  IFS=, read -ra fds <<<"${SNAPFORK_LOCK_FD-}"
  for fd in "${fds[@]}"; do
    [[ ,$outer_locks, == *,$fd,* ]] || exec {fd}>&-
  done
  unset SNAPFORK_LOCK_FD
  [[ -z $outer_locks ]] || export SNAPFORK_LOCK_FD=$outer_locks
}

# Removes the lock files of a deleted id. `template-lock forget` takes the lock again, because another process may have
# it by then. An outer template-lock keeps its lock.
forget_lock() { # <id>
  ((dry_run)) || release_locks
  step template-lock -q forget "$1"
}
