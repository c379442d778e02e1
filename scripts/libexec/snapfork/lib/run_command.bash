# SPDX-License-Identifier: Apache-2.0
# run_command.bash: run with a command of the user, which loads the guest itself.
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables: see scripts/snapfork

# shellcheck disable=SC2016 # of a plan, not of this script
readonly plan_release='for fd in ${SNAPFORK_LOCK_FD//,/ }; do exec {fd}>&-; done; unset SNAPFORK_LOCK_FD'

check_command() {
  local program=${command[0]-}
  [[ -n $program ]] || usage_error "run: a command after '--' is needed"
  require_guest "${operands[0]}"
  if ! type -P -- "$program" >/dev/null; then
    [[ $program != */* || ! -e $program ]] || fail 126 "cannot run '$program': it is not executable"
    fail 127 "cannot run '$program': no such program"
  fi
}

# Runs in one process, which becomes CMD. The guest is Running in the store before the lock is released, so that no
# second run and no delete can start in between.
become_command() { # <id>
  local id=$1
  attend without_output snapshot-meta run-begin "${forced[@]}" --pid "$$" --dry-run "$id"
  # The state of an imported guest, or of one whose store was moved, may name files of the host.
  check snapshot-meta own-paths --dry-run "${tap_options[@]}" "$id"
  step without_output snapshot-meta own-paths "${tap_options[@]}" "$id"
  export_load_call "$id"
  if ((dry_run)); then
    plan_run "$id" "${command[@]}"
    return
  fi
  step snapshot-meta run-begin "${forced[@]}" --pid "$$" "$id"
  show "${command[@]}"
  release_locks
  ((!ignore_int)) || trap '' INT
  [[ -z $answers ]] || exec {answers}<&-
  exec "${command[@]}"
}

# The shell that reads the plan becomes CMD, so run-begin records that shell.
plan_run() { # <id> <command...>
  local line
  printf -v line ' %q' "${@:2}"
  plan_line "snapshot-meta run-begin${forced:+ $forced} --pid \$\$ $1"
  plan_line "$plan_release"
  plan_line "exec$line"
}

# Exports the variables that CMD needs to load the fork, and makes its session at the page server if it uses one.
export_load_call() { # <id>
  local id=$1 state memory session load=(--clock "$clock" "${tap_options[@]}") call=() template
  state=$root/guests/$id/snapshots/snapshot-latest/state
  memory=${state%/state}/memory
  export SNAPFORK_FORK=$id SNAPFORK_STATE=$state SNAPFORK_MEMORY=$memory
  [[ $backend != auto ]] || choose_backend "$id"
  if [[ $backend == uffd ]]; then
    require_run_dir "run '$id'"
    name_session "$id"
    export SNAPFORK_UFFD_SOCKET=$run_dir/s/$session.sock
    check_socket_path "$SNAPFORK_UFFD_SOCKET"
    get_value template "$id" ForkOfTemplate
    find_hot_list "$template"
    [[ -z $hot_list ]] || call+=(--hot "$hot_list")
    if ! session_exists "$session"; then
      run_made=$id undo=undo_run
      create_sessions "${call[@]}" "$session=$memory"
    fi
    load+=(--socket "$SNAPFORK_UFFD_SOCKET")
  else
    unset SNAPFORK_UFFD_SOCKET
  fi
  ((!track_dirty_pages)) || load+=(--track-dirty-pages)
  export SNAPFORK_LOAD
  ask SNAPFORK_LOAD snapshot-meta load-request --backend "$backend" "${load[@]}" "$id"
  show export SNAPFORK_FORK="$id" SNAPFORK_STATE="$state" SNAPFORK_MEMORY="$memory" \
    ${SNAPFORK_UFFD_SOCKET+SNAPFORK_UFFD_SOCKET="$SNAPFORK_UFFD_SOCKET"} SNAPFORK_LOAD="$SNAPFORK_LOAD"
}

undo_run() {
  ((dry_run)) || close_session "$run_made"
}
