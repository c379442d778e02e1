# SPDX-License-Identifier: Apache-2.0
# snapfork fork: checks the call, and takes the locks. The steps of the flow are in lib/fork_clone.bash and lib/fork_publish.bash.
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables: see scripts/snapfork

parts+=(fork_clone fork_publish pager)
((!from_running)) || parts+=(standby from_running)
read_file "$libexec/lib/pager_path.bash"

fork() {
  local ids=() new
  ((!count || ${#operands[@]} == 1)) || usage_error 'fork: -n makes up the ids, NEW cannot be given'
  [[ -z $trace ]] || ((count <= 1)) || usage_error 'fork: --trace is for one fork'
  [[ -z $name ]] || ((count <= 1)) || usage_error 'fork: --name is for one fork'
  [[ -z $trace || $backend != file ]] || usage_error 'fork: --trace needs --backend uffd'
  [[ -z $trace ]] || backend=uffd # only a page server sees faults
  require_guest "${operands[0]}"
  if [[ -n $trace ]]; then read_parts && check_trace; fi
  ((from_running)) || [[ -z $firecracker$netns && ${#firecracker_args[@]} -eq 0 ]] \
    || usage_error 'fork: --firecracker, --firecracker-arg and --netns are for --from-running'
  if ((from_running)); then
    ((!share_memory)) || usage_error 'fork: --from-running and --share-memory exclude each other: a template cannot run'
    [[ -z $trace ]] || usage_error 'fork: --trace cannot be given with --from-running'
    under_locks --exclusive "${operands[0]}" ::: "${operands[@]}"
    return
  fi
  if ((share_memory)); then read_parts && promote_once "${operands[0]}"; fi
  ids=("${operands[@]:1}")
  if ((!${#ids[@]})); then
    read_parts
    ask new snapshot-meta new-ids "${operands[0]}" $((count ? count : 1))
    mapfile -t ids <<<"$new"
  fi
  [[ $backend != uffd ]] || check_sockets "${ids[@]}"
  for new in "${ids[@]}"; do refuse_guest "$new"; done
  ((${#ids[@]} < 500)) || ulimit -S -n hard
  fork_source=${operands[0]} made=("${ids[@]}") undoable=("${ids[@]}") undo=undo_forks
  begin=(snapshot-meta fork-begin --backend "$backend" "${forced[@]}" "$fork_source" "${made[@]}")
  ((dry_run)) || first_step=("${begin[@]}")
  under_locks --shared "$fork_source" --exclusive --no-wait "${ids[@]}" ::: "$fork_source" "${ids[@]}"
}

# Refuses what the page server would refuse later.
check_sockets() { # <new...>
  local new
  require_run_dir "fork '${operands[0]}'"
  for new; do check_socket_path "$run_dir/s/$new@hhhhhhhh.sock"; done
}
