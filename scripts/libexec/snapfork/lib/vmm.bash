# SPDX-License-Identifier: Apache-2.0
# vmm.bash: starts a Firecracker for a guest, loads the guest, and undoes that after a failure.
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables: see scripts/snapfork

# Starts a VMM, loads the guest and resumes it. The guest is Running in the store before the load, and the lock is held
# until the load is done, so no other command can start in between.
start_guest() { # <id>
  prepare_guest "$1"
  start_prepared "$1"
}

start_prepared() { # <id>
  local id=$1
  if ((prepare)); then
    if ((dry_run)); then
      show "${vmm_start[@]}" --detach
      return
    fi
    start_vmm
    release_locks
    printf '%s\n' "$vmm_record" 2>/dev/null || fail 125 "cannot write 'standard output'"
    finish_start
    return
  fi
  [[ $backend != auto ]] || backend=$vmm_backend
  [[ $backend != unsure ]] || choose_backend "$id"
  [[ -z $jailer ]] || add_jail_memory
  if ((dry_run)); then
    plan_start "$id"
    return
  fi
  # Without work to do while the guest is paused, one call loads and resumes it.
  [[ -z $after_load$mmds ]] || loads_paused=1
  if [[ $backend == uffd ]]; then open_session "$id"; else read_hot_pages; fi
  local asked_clock=$clock
  mark ''
  if [[ -n $socket ]]; then use_waiting_vmm; else start_vmm; fi
  mark start
  load_guest "$id"
  mark load
  record_options
  [[ $verb != restore ]] || use_file_from_now_on "$id"
  release_locks
  finish_loaded
}

# The checks before anything is started, and the facts of the guest.
prepare_guest() { # <id>
  local id=$1 lines call=(snapshot-meta run-prepare "${forced[@]}" "${tap_options[@]}")
  require_run_dir "run '$id'"
  [[ -z $jailer ]] || call+=(--jail)
  [[ -z $mmds || -r $mmds ]] || fail 5 "cannot read '$mmds' for --mmds"
  show "${call[@]}" "$id"
  ((!dry_run)) || call+=(--dry-run)
  ask lines "${call[@]}" "$id"
  take_facts "$id" "$lines"
}

# Takes the lines that snapshot-meta run-prepare and fc-run guest print.
take_facts() { # <id> <lines>
  local kind value more
  vmm_id=$1
  while IFS=$'\t' read -r kind value more; do
    case $kind in
      session) vmm_session=$value vmm_dir=$run_dir/vm/$value ;;
      vsock) vmm_vsock=$value ;;
      tap) vmm_taps+=(--tap "$value") ;;
      backend) vmm_backend=$value ;;
      hot-list) vmm_hot=$value ;;
      file) jail_files+=(--jail-write "$value") ;;
      shared) jail_files+=(--jail-show "$value") ;;
    esac
  done <<<"$2"
  [[ -n $socket ]] || vmm_call
  if ((!dry_run)); then
    undo=undo_start
  elif [[ -z $socket ]]; then
    attend without_output "${vmm_start[@]}" --dry-run
  fi
}

# Sets vmm_start to the call of fc-run.
vmm_call() {
  local arg
  vmm_start=(fc-run --dir "$vmm_dir" --id "$vmm_id" --guest "$root/guests/$vmm_id")
  [[ -z $firecracker ]] || vmm_start+=(--firecracker "$firecracker")
  for arg in "${firecracker_args[@]}"; do vmm_start+=(--arg "$arg"); done
  [[ -z $netns ]] || vmm_start+=(--netns "$netns")
  [[ -z $vmm_vsock ]] || vmm_start+=(--vsock "$vmm_vsock")
  vmm_start+=("${vmm_taps[@]}")
  [[ -z $jailer ]] || add_jail
}

open_session() { # <id>
  local id=$1 call=()
  check_socket_path "$run_dir/s/$vmm_session.sock"
  if [[ -n $jailer ]]; then
    call=(--peer-uid "$jail_uid" --replace)
  elif session_exists "$vmm_session"; then
    return
  fi
  [[ -z $vmm_hot ]] || call+=(--hot "$vmm_hot")
  made_session=1
  create_sessions "${call[@]}" "$vmm_session=$root/guests/$id/snapshots/snapshot-latest/memory"
}

# Starts to read the hot pages of the memory file into the page cache, in large reads, while the VMM starts.
read_hot_pages() {
  [[ -n $vmm_hot ]] || return 0
  local call=(hotpage-record readahead "$vmm_hot" --mem "$root/guests/$vmm_id/snapshots/snapshot-latest/memory")
  show "${call[@]}"
  begin_child
  "${call[@]}" <&0 {answers}<&- &
  feeder=$! starting=0
}

# The load waits for the reads to be queued, and does not fail if they fail.
await_hot_pages() {
  [[ -n $feeder ]] || return 0
  child=$feeder feeder=''
  await_child hotpage-record || step_error='' failed_step=''
}

# Starts fc-run, which stays as a child, and reads its record.
start_vmm() {
  local pipe status=0 call=("${vmm_start[@]}" --caller "$$")
  vmm_record=''
  show "${vmm_start[@]}"
  exec {pipe}>"/dev/fd/$answers"
  begin_child
  "${call[@]}" <&0 >&"$pipe" {pipe}>&- {answers}<&- &
  child=$! starting=0
  exec {pipe}>&-
  read_answer # it closes its standard output after the record
  vmm_record=${answer%$'\n'}
  if [[ -z $vmm_record ]]; then
    end_step "${call[@]}" || status=$?
    exit $((status ? status : 125))
  fi
  vmm_runner=$child child=''
  read_vmm_record
}

# Uses a VMM that waits for a snapshot. It is not a child of this process.
use_waiting_vmm() {
  capture vmm_record '' fc-run --socket "$socket" "${vmm_taps[@]}"
  read_vmm_record
}

# Loads the guest, paused. If the clock in the state cannot be set forward, Firecracker says so only when it loads, and it
# is dead then: a new one loads without that.
load_guest() { # <id>
  local id=$1
  if try_load "$id"; then return; fi
  if [[ -z $socket && $load_messages == *'clock_realtime requested'* ]]; then
    printf "snapfork: warning: '%s' continues with the clock of its snapshot: its state has no time of the host\n" "$id" >&2
    end_runner
    [[ $backend == file ]] || renew_session "$id"
    start_vmm
    clock=keep
    if try_load "$id"; then return; fi
  fi
  load_messages=${load_messages##*$'\n'}
  [[ $load_messages == *': 400: '* ]] || add_last_lines
  fail 125 "cannot run '$id': its VMM did not load it${socket:+, and cannot be used again}: $load_messages"
}

# Adds the last lines of the console to load_messages: the console is removed with the VMM.
add_last_lines() {
  local lines
  [[ -z $socket && -s $vmm_dir/console ]] || return 0
  ask lines tail --lines=3 -- "$vmm_dir/console" || return 0
  lines=${lines//$'\r'/}
  load_messages+="; the last lines of its console: ${lines//$'\n'/ | }"
}

# Returns 1 if Firecracker refuses the load, with the messages in load_messages. Called in a condition, so no failure
# ends the flow by itself.
try_load() { # <id>
  local id=$1 body call=()
  call=(snapshot-meta run-begin "${forced[@]}" --prepared --pid "$vmm_pid" --api-socket "$vmm_api" --load-request)
  call+=(--backend "$backend" --clock "$clock" "${tap_options[@]}")
  ((!loads_paused)) || call+=(--no-resume)
  [[ -z $vmm_version ]] || call+=(--vmm-version "$vmm_version")
  ((!track_dirty_pages)) || call+=(--track-dirty-pages)
  show "${call[@]}" "$id"
  ask body "${call[@]}" "$id" || fail_begin $?
  vmm_recorded=1
  await_hot_pages
  call=(fc-api --timeout "$load_timeout" "$vmm_api" PUT /snapshot/load "$body")
  show "${call[@]}"
  ask load_messages with_messages "${call[@]}" && return
  step_error='' failed_step=''
  return 1
}

fail_begin() { # <status of run-begin>
  local stat=''
  { IFS= read -r stat <"/proc/$vmm_pid/stat"; } 2>/dev/null || true
  [[ -n $stat && $stat != *') '[ZX]' '* ]] || fail 125 "cannot run '$vmm_id': its VMM, process $vmm_pid, ended before it was loaded"
  exit "$1"
}

# The session of a VMM that has ended.
renew_session() { # <id>
  close_named_session "$vmm_session"
  open_session "$1"
}

# Ends the VMM that fc-run started, and removes its directory.
end_runner() {
  step fc-run --end --dir "$vmm_dir"
  vmm_runner=''
}

# Undoes a start: no VMM, socket, session or directory is left. The guest may be deleted by now.
undo_start() {
  ((dry_run)) && return
  if [[ -n $vmm_runner ]]; then
    fc-run --end --dir "$vmm_dir"
  elif [[ -n $socket ]] && ((vmm_recorded)); then
    without_both snapshot-meta stop "$vmm_id" &
    wait $!
  fi
  # The session that `fork` made waits for the next run, unless a VMM has used it.
  if [[ $backend == uffd ]] && ((made_session || vmm_recorded)); then
    (close_named_session "$vmm_session") || true
  fi
}

# The VMM of the plan is detached: the shell that reads the plan has no such child.
plan_start() { # <id>
  local id=$1 api=$vmm_dir/api.sock call=() line
  [[ -z $socket ]] || api=$socket
  [[ -z $jailer ]] || api=$vmm_dir/jail/api.sock
  [[ $backend == file ]] || open_session "$id"
  [[ -n $socket ]] || show "${vmm_start[@]}" --detach
  # shellcheck disable=SC2016 # of the plan
  plan_line "snapshot-meta run-begin${forced:+ $forced} --pid \"\$(cut -d ' ' -f 1 $vmm_dir/pid)\" $id"
  vmm_version=''
  printf -v line ' %q' snapshot-meta load-request --no-resume --backend "$backend" --clock "$clock" "${tap_options[@]}" "$id"
  printf -v api '%q' "$api"
  plan_line "fc-api $api PUT /snapshot/load \"\$(${line# })\""
  [[ -z $mmds ]] || plan_line "fc-api $api PUT /mmds - <$mmds"
  [[ -z $after_load ]] || show bash -c "$after_load"
  plan_line "fc-api $api PATCH /vm '{\"state\":\"Resumed\"}'"
  [[ -z $on_ready ]] || show bash -c "$on_ready"
}
