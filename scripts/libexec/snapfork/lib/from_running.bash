# SPDX-License-Identifier: Apache-2.0
# from_running.bash: fork --from-running: standby of a guest that runs, its forks, and its restore. The exclusive lock of
# the guest is held in all of that time; the verbs that are called inherit it.
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables: see scripts/snapfork

restore_call=()  # starts the source again
mmds_contents='' # of the source: no snapshot has them
restored=0

fork_from_running() { # <source> [new]
  local source=$1 status=0 call=(-q fork --backend "$backend" --reflink "$reflink" "${tap_options[@]}")
  [[ -z $name ]] || call+=(--name "$name")
  ((!durable)) || call+=(--durable)
  ((!count)) || call+=(-n "$count")
  ((!keep_going)) || call+=(--keep-going)
  plan_restore "$source"
  put_in_standby "$source"
  undo=undo_from_running
  catch_signals
  show "$self" "${call[@]}" "$@"
  ((dry_run)) || call_self "${call[@]}" "$@" || status=$?
  restore_source "$source"
  ((!status)) || exit "$status"
}

# Sets restore_call to a call that starts the VMM as it was started: the same program, with the same arguments, and the
# same options of `run` or `restore`.
plan_restore() { # <id>
  local pid program words=() i
  restore_call=(-q restore)
  ask_vmm "$1"
  recorded_options "$1"
  get_value pid "$1" HypervisorPID
  # The options of a jail name its program and arguments.
  if [[ -n $standby_jail ]]; then
    [[ " ${restore_call[*]} " == *' --jailer '* ]] \
      || fail 1 "cannot restore '$1': the options of its jail are not known; use standby, fork and run --jailer"
  elif [[ $pid == +([0-9]) && -r /proc/$pid/cmdline ]]; then
    [[ -n $netns || /proc/$pid/ns/net -ef /proc/self/ns/net || " ${restore_call[*]} " == *' --netns '* ]] \
      || fail 1 "cannot restore '$1': its VMM is in another network namespace; give --netns NAME"
    ask program readlink -- "/proc/$pid/exe" || program=''
    if [[ -z $firecracker && $program == *firecracker* && -x $program ]]; then
      restore_call+=(--firecracker "$program")
      mapfile -d '' -t words <"/proc/$pid/cmdline"
      for ((i = 1; i < ${#words[@]}; i++)); do
        case ${words[i]} in
          --id | --api-sock | --config-file) ((++i)) ;;
          *) restore_call+=(--firecracker-arg "${words[i]}") ;;
        esac
      done
    fi
  fi
  [[ -z $firecracker ]] || restore_call+=(--firecracker "$firecracker")
  for i in "${firecracker_args[@]}"; do restore_call+=(--firecracker-arg "$i"); done
  [[ -z $netns ]] || restore_call+=(--netns "$netns")
  if tracks_dirty_pages; then restore_call+=(--track-dirty-pages); fi
  read_mmds
}

# Adds the options that the driver recorded when it started the VMM.
recorded_options() { # <id>
  local session words=()
  [[ -n $run_dir ]] || return 0
  name_session "$1"
  [[ ($standby_api -ef $run_dir/vm/$session/api.sock || $standby_jail == "$run_dir/vm/$session/jail") && -f $run_dir/vm/$session/options ]] || return 0
  mapfile -d '' -t words <"$run_dir/vm/$session/options"
  restore_call+=("${words[@]}")
}

# A VMM without MMDS answers with an error or an empty object. The contents may be secret, so they are not shown.
read_mmds() {
  local call=(fc-api --timeout "$answer_timeout" "$standby_api" GET /mmds)
  ask mmds_contents without_messages "${call[@]}" || mmds_contents=''
  step_error='' failed_step=''
  [[ $mmds_contents != @('{}'|null) ]] || mmds_contents=''
  ((!dry_run)) || [[ -z $mmds_contents ]] || plan_line "mmds=\$(${call[*]})"
}

restore_source() { # <id>
  local child_undoes=1
  local mmds_fd
  if [[ -n $mmds_contents ]]; then
    exec {mmds_fd}<<<"$mmds_contents"
    restore_call+=(--mmds "/dev/fd/$mmds_fd")
    after="$mmds_fd<<<\"\$mmds\""
  fi
  show "$self" "${restore_call[@]}" "$1"
  after=''
  ((!dry_run)) || return 0
  attend without_output "$BASH" "$self" "${restore_call[@]}" "$1" \
    || fail $? "'$1' is in standby, and cannot be restored; try 'snapfork restore $1'"
  restored=1 undo=''
  seconds_since_pause
  say "'$1' runs again; it was paused for $seconds_paused s"
  ((!json)) || printf '{"type":"outage","v":1,"source":"%s","seconds":%s}\n' "$1" "$seconds_paused"
}

undo_from_running() {
  ((!dry_run && !restored)) || return 0
  restored=1
  restore_source "$standby_id"
}
