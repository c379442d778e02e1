# SPDX-License-Identifier: Apache-2.0
# pager.bash: makes and closes sessions at the page server. pager_start.bash starts it.
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables: see scripts/snapfork

readonly answer_timeout=5 # seconds that a page server may take to answer

# Sets `health` to the answer of the server. Returns 1 if there is no server; 5 if it does not answer, with the message
# in `health`.
ask_health() {
  local status=0
  health=''
  [[ -S $pager ]] || return 1
  ask health with_messages uffd-ctl --control "$pager" --timeout "$answer_timeout" health || status=$?
  step_error='' # an answer
  return "$status"
}

# Returns whether a server serves. Fails if one exists and does not answer: a second one cannot replace it.
pager_serves() {
  local status=0 health
  ask_health || status=$?
  ((status != 5)) || fail 5 "${health#*: }"
  return "$status"
}

start_pager() {
  read_file "$libexec/lib/pager_start.bash"
  start_one
}

# Sets `hot_list` to the hot list that forks of a template use; to nothing if it has none. snapshot-meta has the same rule.
find_hot_list() { # <template>
  hot_list=$root/guests/$1/template/hot.hpl2
  [[ -f $hot_list ]] || hot_list=${hot_list%2}
  [[ -f $hot_list ]] || hot_list=''
}

# Makes sessions. If the server exits in between, tries again with a new one.
create_sessions() { # <options of `uffd-ctl create`, ID=MEMORY...>
  local call=(uffd-ctl --control "$pager" create "$@") said='' status attempt
  for attempt in 1 2 3; do
    if [[ ! -S $pager ]] || ((attempt > 1)); then start_pager; fi
    show "${call[@]}"
    ((!dry_run)) || return 0
    status=0
    ask said with_only_messages "${call[@]}" || status=$?
    ((status == 1)) || break
  done
  [[ -z $said ]] || printf '%s\n' "$said" >&2
  return "$status"
}

# Sets `session` to the name of a guest's session. A guest of another store with this id has another session.
name_session() { # <id>
  ask session snapshot-meta session-name "$1"
}

has_session() { # <id>
  local session
  name_session "$1" && session_exists "$session"
}

session_exists() { # <session>
  probe uffd-ctl --control "$pager" session "$1"
}

# Closes the session of a guest that does not run, and removes files that a killed page server left of it.
close_session() { # <id>
  local session
  [[ -n $run_dir ]] || return 0
  name_session "$1"
  close_named_session "$session"
  remove_vmm "$session"
}

# Ends a VMM that waits for the load of a guest, and removes the files of one that has ended.
remove_vmm() { # <session>
  [[ ! -e $run_dir/vm/$1 ]] || step fc-run --end --dir "$run_dir/vm/$1"
}

close_named_session() { # <session>
  local session=$1
  if [[ ! -S $pager && ! -e $run_dir/s/$session.sock && ! -e $run_dir/s/$session.vmm ]]; then return; fi
  if step without_messages uffd-ctl --control "$pager" close "$session"; then
    # The files below are those of a killed server, and the guest has ended.
    if ((dry_run)) || session_exists "$session"; then return; fi
  elif session_exists "$session"; then
    fail 5 "cannot close the session '$session' at '$pager'; try again"
  fi
  step rm -f -- "$run_dir/s/$session.sock" "$run_dir/s/$session.vmm"
}

# Chooses uffd for memory that Firecracker does not load from a file, and for the first restore of a fork that was made
# so. A fork that was run but has not loaded its memory still has its session, in state waiting.
choose_backend() { # <id>
  local session wanted pid shown=''
  ask backend snapshot-meta backend "$1"
  backend=${backend%%$'\t'*}
  [[ $backend == file ]] || return 0
  get_value wanted "$1" FirecrackerUseUFFDOnNextRestore
  [[ $wanted == true ]] || return 0
  get_value pid "$1" HypervisorPID
  if [[ $pid == @(|null) ]]; then
    backend=uffd
  elif [[ -n $run_dir ]] && name_session "$1" && ask shown without_messages uffd-ctl --control "$pager" session "$session" \
    && [[ $shown == *'"state":"waiting"'* ]]; then
    backend=uffd
  else
    step snapshot-meta set "$1" FirecrackerUseUFFDOnNextRestore:=false
  fi
}

# A fork uses the page server until its memory was loaded once; a later load reads the file.
use_file_from_now_on() { # <id>
  local wanted
  get_value wanted "$1" FirecrackerUseUFFDOnNextRestore
  [[ $wanted != true ]] || step snapshot-meta set "$1" FirecrackerUseUFFDOnNextRestore:=false
}
