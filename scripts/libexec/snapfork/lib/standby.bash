# SPDX-License-Identifier: Apache-2.0
# standby.bash: writes a snapshot of a guest that runs, publishes it, and ends the VMM.
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables: see scripts/snapfork

readonly slowest_disk=$((32 << 20)) # bytes per second that a snapshot is written with, at least
readonly vsock_survives=1.16.2      # the first release in which vsock survives a pause and a resume (issue 6100)

standby_api=''     # the API socket of the VMM
standby_version='' # the release of the VMM
standby_jail=''    # RUN/vm/SESSION/jail, if the VMM is in a jail
standby_phase=''   # running, paused, written
paused_at=0        # microseconds

# Until the snapshot is published, a failure or a signal resumes the guest, and its old snapshot stays. The VMM ends after
# the new snapshot is published.
put_in_standby() { # <id>
  local id=$1 written
  standby_id=$id
  ask_vmm "$id"
  [[ $type == full ]] || require_tracking "$id"
  show snapshot-meta standby-begin --type "$type" "$id"
  complete_session "$id"
  standby_phase=running undo=undo_standby
  begin_standby "$id"
  ((dry_run)) || paused_at=${EPOCHREALTIME/[.,]/}
  standby_phase=paused
  step fc-api "$standby_api" PATCH /vm '{"state":"Paused"}' || fail 1 "cannot pause '$id'"
  write_snapshot "$id"
  standby_phase=written
  hold_signals # a standby whose snapshot is written is finished, not undone
  publish_snapshot "$id"
  seconds_since_pause
  undo=''
  end_vmm "$id"
}

# Finds the API socket of the VMM, asks for its release, and refuses a guest that does not run or that hangs. Sets
# standby_api, standby_version and was_paused.
ask_vmm() { # <id>
  local id=$1 state reply
  ask state snapshot-meta state -q "$id"
  [[ $state == Running ]] || fail 1 "cannot write a snapshot of '$id': its state is $state, not Running"
  find_api "$id"
  refuse_hung "$id"
  ask reply fc-api --timeout "$answer_timeout" "$standby_api" GET /version \
    || fail $? "cannot write a snapshot of '$id': its VMM does not answer"
  [[ $reply =~ \"firecracker_version\":\"([^\"\\]*)\" ]] || fail 4 "cannot read the version of the VMM of '$id': $reply"
  standby_version=${BASH_REMATCH[1]}
  ask reply fc-api --timeout "$answer_timeout" "$standby_api" GET / || exit $?
  was_paused=0
  [[ $reply != *'"state":"Paused"'* ]] || was_paused=1
}

find_api() { # <id>
  local id=$1 session
  standby_api=$socket
  [[ -n $standby_api ]] || get_value standby_api "$id" snapfork.api_socket
  [[ -n $standby_api ]] || get_value standby_api "$id" SocketPath
  [[ -z $standby_api || $standby_api == /* || -n $socket ]] || standby_api=$root/guests/$id/$standby_api
  if [[ -z $standby_api && -n $run_dir ]]; then
    name_session "$id"
    standby_api=$run_dir/vm/$session/api.sock
    [[ ! -L $run_dir/vm/$session/jail ]] || standby_api=$run_dir/vm/$session/jail/api.sock
  fi
  standby_jail=${standby_api%/api.sock}
  [[ $standby_jail == */jail && -L $standby_jail ]] || standby_jail=''
  [[ -S $standby_api ]] \
    || fail 1 "cannot write a snapshot of '$id': the API socket of its VMM is not known; give --socket SOCK"
}

# A VMM whose page server was killed would never finish its snapshot.
refuse_hung() { # <id>
  local hung session
  [[ -n $run_dir ]] || return 0
  name_session "$1"
  ask hung uffd-ctl --control "$pager" hung || exit $?
  [[ $'\n'$hung != *$'\n'"$session"$'\t'* ]] \
    || fail 1 "cannot write a snapshot of '$1': it hangs, because its page server was killed; see 'snapfork status'"
}

require_tracking() { # <id>
  tracks_dirty_pages \
    || fail 1 "cannot write a Diff of '$1': it was not loaded with dirty-page tracking; write a Full snapshot (--type full)"
}

tracks_dirty_pages() {
  local reply
  ask reply fc-api --timeout "$answer_timeout" "$standby_api" GET /machine-config || exit $?
  [[ $reply == *'"track_dirty_pages":true'* ]]
}

# Installs the memory that the page server has not yet sent, while the guest runs: a Full snapshot reads all of it, and
# each page would be a fault while the guest is paused.
complete_session() { # <id>
  local session report='' status=0
  [[ $type == full && -S $pager ]] || return 0
  name_session "$1"
  ask report without_messages uffd-ctl --control "$pager" session "$session" || status=$?
  step_error='' failed_step=''
  ((status != 5)) || fail 5 "cannot write a snapshot of '$1': the page server at '$pager' does not answer"
  [[ $report == *'"state":"serving"'* ]] || return 0
  step uffd-ctl --control "$pager" complete "$session"
}

# Sets new_state and new_memory. A Diff is written over a clone of the base.
begin_standby() { # <id>
  local id=$1 begin=(snapshot-meta standby-begin --type "$type") new=$root/.snapfork/tmp/standby.$1
  new_state=$new/state new_memory=$new/memory
  [[ -z $socket ]] || begin+=(--api-socket "$socket")
  ((!dry_run)) || begin+=(--dry-run)
  attend without_output "${begin[@]}" "$id"
  if [[ $type == diff ]]; then
    step without_output reflink-clone "${progress[@]}" "$root/guests/$id/snapshots/snapshot-latest/memory" "$new_memory"
  fi
  [[ -z $standby_jail ]] || step fc-run --dir "${standby_jail%/jail}" --into-jail "$new_memory"
}

write_snapshot() { # <id>
  local body state memory kind=Full bytes=0 place=${new_state%/*} dir=${new_state%/*}
  [[ -z $standby_jail ]] || place=/jail dir=$standby_jail
  json_string state "$place/state"
  json_string memory "$place/memory"
  [[ $type == full ]] || kind=Diff
  body="{\"snapshot_type\":\"$kind\",\"snapshot_path\":$state,\"mem_file_path\":$memory"
  if [[ $sync == no ]] && ! is_before "$standby_version" 1.17.0; then body+=',"sync_snapshot_files":false'; fi
  ((dry_run)) || ask bytes stat --format=%s -- "$dir/memory"
  step fc-api --timeout $((60 + bytes / slowest_disk)) "$standby_api" PUT /snapshot/create "$body}"
  # The state is copied: the VMM still has it open, and it decides what the next VMM opens.
  [[ -z $standby_jail ]] \
    || step fc-run --dir "${standby_jail%/jail}" --copy-from-jail "$new_state" --from-jail "$new_memory"
}

publish_snapshot() { # <id>
  local call=(snapshot-meta standby-publish --vmm-version "$standby_version")
  [[ $sync != no ]] || call+=(--no-flush)
  step "${call[@]}" "$1"
}

seconds_since_pause() {
  local microseconds=$((${EPOCHREALTIME/[.,]/} - paused_at))
  printf -v seconds_paused '%d.%03d' $((microseconds / 1000000)) $((microseconds / 1000 % 1000))
}

end_vmm() { # <id>
  step snapshot-meta stop "$1" \
    || fail $? "the new snapshot of '$1' is published, but its VMM exists, paused; end it, and do not resume it"
  close_session "$1"
}

# Resumes the guest, unless it was paused before. It is not known here whether the old snapshot or the new one is
# published, and this does not matter: the guest continues, and both are older than it.
undo_standby() {
  ((!dry_run)) || return 0
  if [[ $standby_phase != running ]] && ((!was_paused)); then
    if step fc-api --timeout 30 "$standby_api" PATCH /vm '{"state":"Resumed"}'; then
      printf "snapfork: '%s' is resumed\n" "$standby_id" >&2
      warn_of_vsock
    else
      printf "snapfork: warning: '%s' may be paused: its VMM does not resume it\n" "$standby_id" >&2
    fi
  fi
  [[ -z $standby_jail ]] || step rm -f -- "$standby_jail/state" "$standby_jail/memory"
  step snapshot-meta standby-end "$standby_id"
}

# Firecracker issue 6100.
warn_of_vsock() {
  local facts
  [[ $standby_phase == paused ]] && is_before "$standby_version" "$vsock_survives" || return 0
  ask facts without_messages snapshot-meta vmstate "$root/guests/$standby_id/snapshots/snapshot-latest/state" || return 0
  [[ $'\n'$facts == *$'\nvsock:'* ]] || return 0
  printf "snapfork: warning: connections from the host to the vsock of '%s' no longer work: Firecracker %s loses them when a guest is paused and resumed without a snapshot (issue 6100)\n" \
    "$standby_id" "$standby_version" >&2
}

# Returns whether a release is older than another. A suffix such as -dev does not count.
is_before() { # <release> <release>
  local a b i
  IFS=. read -ra a <<<"${1%%-*}"
  IFS=. read -ra b <<<"${2%%-*}"
  for i in 0 1 2; do
    ((10#${a[i]:-0} == 10#${b[i]:-0})) || return $((10#${a[i]:-0} > 10#${b[i]:-0}))
  done
  return 1
}
