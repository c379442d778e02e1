# SPDX-License-Identifier: Apache-2.0
# fork_clone.bash: the steps of a fork until its clone is made. fork_publish.bash has those after it.
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables: see scripts/snapfork

readonly state_in_guest=/snapshots/snapshot-latest/state

# Makes several forks at once: all, or with --keep-going those that can be made. Then each part continues with the forks
# that the part before it made, and the exit status is that of the first failure. Forks whose records were not printed are
# removed.
fork_locked() { # <source> <new...>
  if ((from_running)); then
    fork_from_running "$@"
    return
  fi
  fork_count=${#made[@]} records=() clone_memory='' chosen='' first_failure=0
  fork_begin
  fork_clone
  [[ $chosen == file ]] || fork_serve
  fork_print
  return "$first_failure"
}

# template-lock has run fork-begin, once it had the locks; see `first_step`.
fork_begin() {
  local begun=$first_answer
  if ((dry_run)); then
    show "${begin[@]}"
    ask begun "${begin[@]:0:2}" --dry-run "${begin[@]:2}"
  fi
  # The last columns are the same for all forks: they depend on the source.
  chosen=${begun##*$'\t'} begun=${begun%$'\t'*}
  clone_memory=${begun##*$'\t'}
  [[ $chosen == file || $backend == uffd ]] || check_sockets "${made[@]}"
}

# Clones the guest, and publishes the forks whose clones reflink-clone reports.
fork_clone() {
  local clone=(reflink-clone "${progress[@]}" --profile vm --exclude "$state_in_guest")
  local reader publish=(snapshot-meta fork-publish "${forced[@]}" "$fork_source" "${made[@]}" --backend "$backend")
  ((!durable)) || clone+=(--durable)
  clone+=("--memory=$clone_memory" "--reflink=$reflink")
  ((!dry_run)) || check_room "${#made[@]}" "${clone[@]:1}" "$root/guests/$fork_source"
  # The source of the plan is not a template yet.
  ((!dry_run || !share_memory)) || clone=("${clone[@]/--memory=*/--memory=link}")
  clone+=(--json "$root/guests/$fork_source" "${made[@]/#/$root/.snapfork/tmp/fork.}")
  [[ $chosen == file ]] || publish+=(--socket-dir "$run_dir/s")
  [[ -z $name ]] || publish+=(--name "$name")
  if ((keep_going)); then publish+=(--reported some); else publish+=(--reported all); fi
  publish+=("${tap_options[@]}" --clone-report -)
  printf -v reader ' %q' "${publish[@]}"
  after="|$reader" show "${clone[@]}"
  ((!dry_run)) || return 0
  ask_pipeline "${clone[@]}" '|' "${publish[@]}" --caller "$$" || note_failure $?
  ((keep_going || !feeder_status || fork_count == 1)) \
    || say "not all of $fork_count forks can be made, so none is made; --keep-going keeps those that can"
  take_records
}
