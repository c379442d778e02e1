# SPDX-License-Identifier: Apache-2.0
# snapfork fork: one or many forks of a guest, and their sessions at the page server.
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables: see scripts/snapfork

# shellcheck source=scripts/libexec/snapfork/lib/pager.bash
source "$libexec/lib/pager.bash"

readonly state_in_guest=/snapshots/snapshot-latest/state
# shellcheck disable=SC2016 # of a plan, not of this script
readonly plan_report='report=$(mktemp)' to_report='>"$report"' from_report='<"$report"' remove_report='rm "$report"' plan_session='%s "$(snapshot-meta session-name %q)"=%q'

fork() {
  local ids=() new
  ((!count || ${#operands[@]} == 1)) || usage_error 'fork: -n makes up the ids, NEW cannot be given'
  [[ -z $trace ]] || ((count <= 1)) || usage_error 'fork: --trace is for one fork'
  [[ -z $name ]] || ((count <= 1)) || usage_error 'fork: --name is for one fork'
  [[ -z $trace || $backend != file ]] || usage_error 'fork: --trace needs --backend uffd'
  [[ -z $trace ]] || backend=uffd # only a page server sees faults
  require_guest "${operands[0]}"
  [[ -z $trace ]] || check_trace
  ((from_running)) || [[ -z $firecracker$netns && ${#firecracker_args[@]} -eq 0 ]] \
    || usage_error 'fork: --firecracker, --firecracker-arg and --netns are for --from-running'
  if ((from_running)); then
    # shellcheck source=scripts/libexec/snapfork/lib/from_running.bash
    source "$libexec/lib/from_running.bash"
    ((!share_memory)) || usage_error 'fork: --from-running and --share-memory exclude each other: a template cannot run'
    [[ -z $trace ]] || usage_error 'fork: --trace cannot be given with --from-running'
    under_locks --exclusive "${operands[0]}" ::: "${operands[@]}"
    return
  fi
  ((!share_memory)) || promote_once "${operands[0]}"
  ids=("${operands[@]:1}")
  if ((!${#ids[@]})); then
    ask new snapshot-meta new-ids "${operands[0]}" $((count ? count : 1))
    mapfile -t ids <<<"$new"
  fi
  [[ $backend != uffd ]] || check_sockets "${ids[@]}"
  for new in "${ids[@]}"; do refuse_guest "$new"; done
  ((${#ids[@]} < 500)) || ulimit -S -n hard
  under_locks --shared "${operands[0]}" --exclusive --no-wait "${ids[@]}" ::: "${operands[0]}" "${ids[@]}"
}

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

# Refuses what the page server would refuse later.
check_sockets() { # <new...>
  local new
  require_run_dir "fork '${operands[0]}'"
  for new; do check_socket_path "$run_dir/s/$new@hhhhhhhh.sock"; done
}

# Refuses before the forks exist what the page server would refuse afterwards.
check_trace() {
  local directory=${trace%/*}
  [[ $trace == */* ]] || directory=.
  [[ -d ${directory:-/} ]] || fail 5 "cannot write trace '$trace': the directory '${directory:-/}' does not exist"
  [[ ! -L $trace && (! -e $trace || -f $trace) ]] || fail 4 "cannot write trace '$trace': it is not a regular file"
}

# Makes several forks at once: all, or with --keep-going those that can be made. Then each part continues with the forks
# that the part before it made, and the exit status is that of the first failure. Forks whose records were not printed are
# removed.
fork_locked() { # <source> <new...>
  local new
  if ((from_running)); then
    fork_from_running "$@"
    return
  fi
  fork_source=$1 made=("${@:2}") fork_count=$(($# - 1)) records=() clone_report='' chosen='' first_failure=0 undoable=()
  require_guest "$fork_source"
  for new in "${made[@]}"; do refuse_guest "$new"; done
  undoable=("${made[@]}") undo=undo_forks
  fork_clone
  fork_publish
  [[ $chosen == file ]] || fork_serve
  fork_print
  return "$first_failure"
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

is_cloned() { [[ -d $root/.snapfork/tmp/fork.$1 ]]; } # a clone gets this name when it is complete

fork_clone() {
  local begun memory=reflink begin=(snapshot-meta fork-begin --backend "$backend") call=(reflink-clone "${progress[@]}" --profile vm)
  call+=(--exclude "$state_in_guest") # fork-publish writes the fork's own
  ((!durable)) || call+=(--durable)
  show "${begin[@]}" "${forced[@]}" "$fork_source" "${made[@]}"
  ((!dry_run)) || begin+=(--dry-run)
  ask begun "${begin[@]}" "${forced[@]}" "$fork_source" "${made[@]}"
  # The last columns are the same for all forks: they depend on the source.
  chosen=${begun##*$'\t'} begun=${begun%$'\t'*}
  memory=${begun##*$'\t'}
  [[ $chosen == file || $backend == uffd ]] || check_sockets "${made[@]}"
  check_room "${#made[@]}" --profile vm --exclude "$state_in_guest" "--memory=$memory" "--reflink=$reflink" "$root/guests/$fork_source"
  ((!dry_run || !share_memory)) || memory='link' # the source of the plan is not a template yet
  ((!dry_run)) || plan_line "$plan_report"
  after=$to_report capture clone_report '' "${call[@]}" "--memory=$memory" "--reflink=$reflink" --json \
    "$root/guests/$fork_source" "${made[@]/#/$root/.snapfork/tmp/fork.}" || note_failure $?
  keep_made is_cloned
}

fork_publish() {
  local call=(snapshot-meta fork-publish "${forced[@]}" "$fork_source" "${made[@]}" --backend "$backend")
  [[ $chosen == file ]] || call+=(--socket-dir "$run_dir/s")
  [[ -z $name ]] || call+=(--name "$name")
  call+=("${tap_options[@]}")
  after=$from_report capture _ '' "${call[@]}" --clone-report - <<<"$clone_report" || note_failure $?
  if ((dry_run)); then
    plan_line "$remove_report"
    return
  fi
  # Each complete line is the record of a fork, in the order of `made`. A fork without one is undone.
  # mapfile would read the pipe byte by byte.
  local - IFS=$'\n'
  set -o noglob
  # shellcheck disable=SC2206 # split at newlines
  records=(${answer%"${answer##*$'\n'}"})
  ((${#records[@]} == ${#made[@]})) || note_failure 5
  made=("${made[@]:0:${#records[@]}}")
  require_made
}

fork_serve() {
  local call=() hot=$root/guests/$fork_source/template/hot.hpl i
  [[ ! -f $hot ]] || call+=(--hot "$hot")
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

undo_forks() {
  local id unmade=()
  ((!dry_run)) || return 0
  for id in "${undoable[@]}"; do
    if has_name "$id"; then
      (close_session "$id") && discard "$id"
    else
      unmade+=("$id")
    fi
  done
  ((!${#unmade[@]})) || step snapshot-meta fork-end "$fork_source" "${unmade[@]}"
}
