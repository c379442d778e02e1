# SPDX-License-Identifier: Apache-2.0
# vmm_result.bash: what follows once a guest is loaded: its hooks, its record, the wait for its VMM.
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables: see scripts/snapfork

# The record that fc-run prints.
readonly vmm_record_form='"pid":([0-9]+),"api_socket":.*,"console":("([^"\]|\\.)*"|null),"version":"([^"\]*)","firecracker_id":("[^"\]*")'

vmm_id=''      # the guest
vmm_session='' # its session name
vmm_dir=''     # RUN/vm/SESSION
vmm_runner=''  # the process fc-run, a child of this process
vmm_pid=''     # of the Firecracker
vmm_recorded=0 # 1: run-begin has recorded it
vmm_vsock=''   # the socket that the load makes
vmm_taps=()    # the taps that the guest will use, as options of fc-run
vmm_backend='' # what --backend auto means for it
vmm_hot=''     # the hot list of its template, if there is one
loads_paused=0 # 1: the guest is loaded paused, and resumed by a later call
made_session=0 # 1: this flow has made the session
passed=''      # the last signal that was passed on to the VMM
marked=0       # see `mark`

read_vmm_record() {
  [[ $vmm_record =~ $vmm_record_form ]] || fail 125 "cannot read the record of the VMM: $vmm_record"
  vmm_pid=${BASH_REMATCH[1]} vmm_console=${BASH_REMATCH[2]}
  vmm_version=${BASH_REMATCH[4]} vmm_firecracker_id=${BASH_REMATCH[5]}
  vmm_api=${socket:-$vmm_dir/api.sock}
  [[ $vmm_api == /* ]] || vmm_api=$PWD/$vmm_api
  [[ -n $jailer ]] || return 0
  vmm_api=$vmm_dir/jail/api.sock
  [[ -z $vmm_vsock ]] || vmm_vsock=$vmm_dir/jail/${vmm_vsock##*/}
}

# Sets seconds_NAME to the seconds since the last call.
mark() { # <name>
  local now=${EPOCHREALTIME/[.,]/}
  printf -v "seconds_$1" '%d.%06d' $(((now - marked) / 1000000)) $(((now - marked) % 1000000))
  marked=$now
}

# The guest is loaded, and the lock is released.
finish_loaded() {
  fill_mmds
  run_hook --after-load "$after_load"
  mark hooks
  ((!loads_paused)) || resume_guest
  mark resume
  run_hook --on-ready "$on_ready"
  print_run_record
  finish_start
}

# For `fork --from-running`, which restores its source with the options that it was started with.
record_options() {
  local words=("${tap_options[@]}")
  [[ -z $netns ]] || words+=(--netns "$netns")
  [[ $asked_clock == auto ]] || words+=(--clock "$asked_clock")
  [[ -z $after_load ]] || words+=(--after-load "$after_load")
  [[ -z $on_ready ]] || words+=(--on-ready "$on_ready")
  words+=(--load-timeout "$load_timeout")
  [[ -z $jailer ]] || add_jail_options
  [[ ! -d $vmm_dir ]] || printf '%s\0' "${words[@]}" >"$vmm_dir/options"
}

resume_guest() {
  step fc-api --timeout "$load_timeout" "$vmm_api" PATCH /vm '{"state":"Resumed"}' \
    || fail 125 "cannot run '$vmm_id': its VMM does not resume it"
}

# No snapshot has the contents of MMDS.
fill_mmds() {
  [[ -n $mmds ]] || return 0
  show fc-api "$vmm_api" PUT /mmds - "<$mmds"
  attend mmds_call || fail 125 "cannot run '$vmm_id': its VMM does not take '$mmds' for MMDS"
}

mmds_call() {
  exec fc-api --timeout "$load_timeout" "$vmm_api" PUT /mmds - <"$mmds"
}

# Runs a command of the user with the facts of the guest in its environment.
run_hook() { # <option> <command>
  local status=0
  [[ -n $2 ]] || return 0
  show bash -c "$2"
  attend become_hook "$2" || status=$?
  ((!status)) || fail 125 "cannot run '$vmm_id': the command of $1 ended with status $status"
}

become_hook() { # <command>
  export SNAPFORK_FORK=$vmm_id SNAPFORK_VMM_PID=$vmm_pid SNAPFORK_API_SOCKET=$vmm_api SNAPFORK_VMM_VERSION=$vmm_version \
    SNAPFORK_STATE=$root/guests/$vmm_id/snapshots/snapshot-latest/state SNAPFORK_NETNS=$netns SNAPFORK_VSOCK=$vmm_vsock \
    SNAPFORK_MEMORY=$root/guests/$vmm_id/snapshots/snapshot-latest/memory SNAPFORK_BACKEND=$backend
  exec bash -c "$1" >&2
}

# Sets a variable to a path as a JSON string. json.bash is read only for a path that needs it.
quote_path() { # <variable> <path>
  if [[ $2 == +([A-Za-z0-9/._@-]) ]]; then
    printf -v "$1" '"%s"' "$2"
  else
    read_parts
    json_string "$1" "$2"
  fi
}

print_run_record() {
  local api vsock=null
  quote_path api "$vmm_api"
  [[ -z $vmm_vsock ]] || quote_path vsock "$vmm_vsock"
  trap '' HUP INT TERM PIPE
  printf '{"type":"run","v":1,"id":"%s","pid":%d,"api_socket":%s,"vsock_path":%s,"console":%s,"version":"%s","firecracker_id":%s,"backend":"%s","seconds":{"start":%s,"load":%s,"hooks":%s,"resume":%s}}\n' \
    "$vmm_id" "$vmm_pid" "$api" "$vsock" "$vmm_console" "$vmm_version" "$vmm_firecracker_id" "$backend" \
    "$seconds_start" "$seconds_load" "$seconds_hooks" "$seconds_resume" 2>/dev/null \
    || fail 125 "cannot write 'standard output'"
}

# The guest runs: leaves it, or stays until its VMM ends, and exits with its status.
finish_start() {
  undo=''
  if [[ -n $socket ]]; then return; fi
  if ((detach)); then
    kill -s USR1 "$vmm_runner" 2>/dev/null || true # it may have ended by now
    return
  fi
  local status=0 waited signal
  for signal in HUP INT TERM; do
    # shellcheck disable=SC2064 # the signal of now
    trap "passed=$signal; kill -s $signal $vmm_runner 2>/dev/null || true" "$signal"
  done
  # A signal ends `wait` as well, with a status of its own. 127: the status was returned by the call before.
  while
    passed='' waited=0
    wait "$vmm_runner" 2>/dev/null || waited=$?
    ((waited == 127)) || status=$waited
    ((waited != 127)) && [[ -n $passed ]]
  do :; done
  trap - EXIT
  exit "$status"
}
