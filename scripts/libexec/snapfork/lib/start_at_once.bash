# SPDX-License-Identifier: Apache-2.0
# start_at_once.bash: starts a guest with one call of fc-run.
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables: see scripts/snapfork

# Starting a program takes a millisecond or two, and loading a guest from the page cache ten. So fc-run takes the lock,
# checks the guest, and records and loads it.

# Returns 1 if the guest is to be started step by step: with the facts of the guest in `answer`, and then its lock is held;
# or without, if its lock file cannot be opened.
start_at_once() { # <id>
  local id=$1 pipe opened unusable=0 attempt status call=()
  check_programs fc-run
  require_run_dir "run '$id'"
  [[ -z $mmds || -r $mmds ]] || fail 5 "cannot read '$mmds' for --mmds"
  [[ -z $after_load$mmds ]] || loads_paused=1
  undo=undo_start
  for ((attempt = 0; attempt < most_attempts; attempt++)); do
    status=0
    open_lock "$id"
    lock_fds=("$opened")
    if ((unusable)); then
      close_locks
      return 1
    fi
    load_call
    show "${call[@]}"
    exec {pipe}>"/dev/fd/$answers"
    begin_child
    "${call[@]}" --caller "$$" <&0 >&"$pipe" {pipe}>&- {answers}<&- &
    child=$! starting=0
    exec {pipe}>&-
    # Hooks can take days.
    [[ -z $after_load$mmds$on_ready ]] || read_parts
    read_answer # it closes its standard output after the record
    if [[ $answer == *$'\n{'* ]]; then
      vmm_runner=$child child=''
      finish_at_once
      return
    fi
    end_step "${call[@]}" || status=$?
    ((status == lock_file_replaced)) || break
    close_locks
  done
  ((status != lock_file_replaced)) || fail 5 "cannot lock $id: other processes remove the lock file again and again"
  ((!status)) || exit "$status"
  locked=1
  pass_locks_on
  return 1
}

# The guest needs the page server: starts it step by step. fc-run has checked it.
start_with_facts() { # <id>
  take_facts "$1" "${answer%$'\n'}"
  start_prepared "$1"
}

# Sets `call` to the call of fc-run.
load_call() {
  local arg
  call=(fc-run guest "$id" --lock-fd "$opened" --backend "$backend" --clock "$clock" --load-timeout "$load_timeout"
    "${forced[@]}" "${tap_options[@]}")
  [[ -z $firecracker ]] || call+=(--firecracker "$firecracker")
  for arg in "${firecracker_args[@]}"; do call+=(--arg "$arg"); done
  [[ -z $netns ]] || call+=(--netns "$netns")
  ((!track_dirty_pages)) || call+=(--track-dirty-pages)
  ((!loads_paused)) || call+=(--no-resume)
}

# The guest is loaded, and paused if there is work to do before it runs.
finish_at_once() {
  local kind value more
  vmm_id=$id
  while IFS=$'\t' read -r kind value more; do
    case $kind in
      session) vmm_dir=$run_dir/vm/$value ;;
      vsock) vmm_vsock=$value ;;
      '{'*) vmm_record=$kind ;;
    esac
  done <<<"$answer"
  local asked_backend=$backend asked_clock=$clock
  backend='file'
  read_vmm_record
  [[ $vmm_record =~ \"start\":([0-9.]+),\"load\":([0-9.]+) ]] || fail 125 "cannot read the record of the VMM: $vmm_record"
  seconds_start=${BASH_REMATCH[1]} seconds_load=${BASH_REMATCH[2]}
  record_options
  [[ $verb$asked_backend != restorefile ]] || use_file_from_now_on "$id"
  close_locks
  mark ''
  finish_loaded
}
