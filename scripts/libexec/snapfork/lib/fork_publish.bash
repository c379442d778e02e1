# SPDX-License-Identifier: Apache-2.0
# fork_publish.bash: the steps of a fork from its clone on: records, sessions; and its undo.
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables: see scripts/snapfork

# shellcheck disable=SC2016 # of a plan, not of this script
readonly plan_session='%s "$(snapshot-meta session-name %q)"=%q'

# Makes the source a template, unless it is one. It stays one if the fork fails.
promote_once() { # <source>
  local state child_undoes=1 call=("$BASH" "$self" -q "${forced[@]}")
  ask state snapshot-meta state -q "$1"
  [[ $state != Template ]] || return 0
  [[ -z $lock_timeout ]] || call+=(--timeout "$lock_timeout")
  if ((dry_run)); then
    attend without_output "${call[@]}" --dry-run promote "$1"
    show snapfork -q "${forced[@]}" promote "$1"
    return
  fi
  show snapfork -q "${forced[@]}" promote "$1"
  attend without_output "${call[@]}" promote "$1"
}

# Refuses before the forks exist what the page server would refuse afterwards.
check_trace() {
  local directory=${trace%/*}
  [[ $trace == */* ]] || directory=.
  [[ -d ${directory:-/} ]] || fail 5 "cannot write trace '$trace': the directory '${directory:-/}' does not exist"
  [[ ! -L $trace && (! -e $trace || -f $trace) ]] || fail 4 "cannot write trace '$trace': it is not a regular file"
}

keep_made() { # <test of an id...>: leaves in `made` (and `records`) those that pass; none: the end
  local ids=() lines=() i
  for i in "${!made[@]}"; do
    if ((dry_run)) || "$@" "${made[i]}"; then
      ids+=("${made[i]}")
      [[ ! -v records[i] ]] || lines+=("${records[i]}")
    fi
  done
  made=("${ids[@]}") records=("${lines[@]}")
  require_made
}

# `first_failure` is 0 if no step failed, but another process removed clones.
require_made() {
  ((keep_going ? ${#made[@]} : !first_failure && ${#made[@]} == fork_count)) && return
  ((first_failure)) || fail 5 "cannot fork '$fork_source': what was being made was removed by another process"
  ((fork_count == 1 || !${#made[@]})) || say "one of $fork_count forks failed, so none is made; --keep-going keeps the others"
  exit "$first_failure"
}

# Each complete line of `answer` is the record of a fork. A fork without one is undone.
take_records() {
  local record
  # mapfile would read the pipe of a here-string byte by byte.
  local - IFS=$'\n'
  set -o noglob
  # shellcheck disable=SC2206 # split at newlines
  records=(${answer%"${answer##*$'\n'}"})
  ((${#records[@]} == ${#made[@]})) || note_failure 5
  made=()
  for record in "${records[@]}"; do
    [[ $record == '{"type":"fork","v":1,"id":"'* ]] || fail 5 "cannot read the record of a fork: $record"
    record=${record#*'"id":"'}
    made+=("${record%%'"'*}")
  done
  require_made
}

fork_serve() {
  local call=() hot_list i
  find_hot_list "$fork_source"
  [[ -z $hot_list ]] || call+=(--hot "$hot_list")
  [[ -z $trace ]] || call+=(--trace "$trace")
  if ((dry_run)); then
    plan_sessions "${call[@]}"
    return
  fi
  for i in "${!made[@]}"; do
    [[ ${records[i]} =~ \"session_id\":\"([^\"]+)\" ]] || fail 5 "cannot read the session of '${made[i]}': ${records[i]}"
    call+=("${BASH_REMATCH[1]}=$root/guests/${made[i]}/snapshots/snapshot-latest/memory")
  done
  create_sessions "${call[@]}" || note_failure $?
  ((!first_failure)) || keep_made has_session
}

# The plan asks for the names of the sessions: they are known only once the forks exist.
plan_sessions() { # <options of create...>
  local line id
  printf -v line ' %q' uffd-ctl --control "$pager" create "$@"
  for id in "${made[@]}"; do
    # shellcheck disable=SC2059
    printf -v line "$plan_session" "$line" "$id" "$root/guests/$id/snapshots/snapshot-latest/memory"
  done
  pager_serves || start_pager
  plan_line "${line# }"
}

# The reader of the records owns the forks. If they cannot be written, no fork remains.
fork_print() {
  local id i
  ((!dry_run)) || return 0
  hold_signals
  trap '' PIPE
  printf '%s\n' "${records[@]}" 2>/dev/null || fail 5 "cannot write 'standard output'"
  for id in "${made[@]}"; do
    for i in "${!undoable[@]}"; do
      [[ ${undoable[i]} != "$id" ]] || unset "undoable[$i]"
    done
  done
  ((${#undoable[@]})) || undo=''
}

# A flow that was ended while template-lock ran may have begun forks, but made none. If another process has the locks now,
# it has begun none.
undo_forks() {
  local id unmade=()
  ((!dry_run)) || return 0
  if ((!locked)); then
    attend without_both template-lock --timeout 0 "${lock_words[@]}" || return 0
    pass_locks_on
  fi
  for id in "${undoable[@]}"; do
    if ((!locked)); then
      has_name "$id" || unmade+=("$id")
    elif has_name "$id"; then
      (close_session "$id") && discard "$id"
    else
      unmade+=("$id")
    fi
  done
  ((!${#unmade[@]})) || step snapshot-meta fork-end "$fork_source" "${unmade[@]}"
}
