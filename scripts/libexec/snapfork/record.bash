# SPDX-License-Identifier: Apache-2.0
# snapfork record: records the hot pages of a template with a scratch fork, or with a fork that runs, and installs them.
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables: see scripts/snapfork

parts+=(pager_path pager)

readonly ready_interval=0.2 # seconds between two calls of --ready-cmd
scratch=''                  # the fork that this flow makes
recorded=''                 # the list that this flow writes

record() {
  local id=${operands[0]} is_template template
  read_parts
  require_guest "$id"
  require_run_dir "record '$id'"
  get_value is_template "$id" IsTemplate
  if [[ $is_template == true ]]; then
    template=$id
  else
    get_value template "$id" ForkOfTemplate
    [[ -n $template && $template != null ]] \
      || fail 1 "cannot record '$id': it is neither a template nor a fork of one; run 'snapfork promote $id' first"
    [[ -z $firecracker$netns && ${#firecracker_args[@]} -eq 0 && ${#tap_options[@]} -eq 0 ]] \
      || usage_error 'record: --firecracker, --firecracker-arg, --netns and --tap are for a template, whose fork is made'
  fi
  undo=undo_record
  [[ $is_template != true ]] || make_scratch "$template"
  record_session "${scratch:-$id}"
  remove_scratch
  step snapshot-meta install-list "$template" "$recorded"
  hold_signals
  undo=''
  ((dry_run)) || rm -f -- "$recorded"
  say "recorded the hot pages of '$template'"
}

# A fork whose faults are traced from its first one. It runs in the background.
make_scratch() { # <template>
  local fork=(fork --backend uffd) run=(run --detach)
  [[ -d $run_dir ]] || step mkdir -p -m 0700 -- "$run_dir"
  ask scratch snapshot-meta new-ids "$1" 1
  fork+=(--trace "$run_dir/record.$scratch.trace" "${forced[@]}" "${tap_options[@]}" "$1" "$scratch")
  [[ -z $firecracker ]] || run+=(--firecracker "$firecracker")
  local arg
  for arg in "${firecracker_args[@]}"; do run+=(--firecracker-arg "$arg"); done
  [[ -z $netns ]] || run+=(--netns "$netns")
  show snapfork "${fork[@]}"
  if ((dry_run)); then return; fi
  call_self -q "${fork[@]}" >/dev/null
  show snapfork "${run[@]}" "$scratch"
  call_self -q "${run[@]}" "$scratch" >/dev/null
}

# Writes the list to `recorded`.
record_session() { # <guest>
  local session call=(hotpage-record record --control "$pager" --format hpl2)
  recorded=$run_dir/record.$1.hpl2
  if ((dry_run)) && [[ -n $scratch ]]; then
    session='SESSION'
  else
    name_session "$1"
  fi
  [[ -z $seconds ]] || call+=(--seconds "$seconds")
  if [[ -n $ready_cmd ]]; then
    wait_until_ready "$1"
    step uffd-ctl --control "$pager" mark "$session" ready
    call+=(--mark ready)
  else
    call+=(--settled)
  fi
  step without_output "${call[@]}" -o "$recorded" --session "$session"
}

wait_until_ready() { # <guest>
  show "$BASH" -c "$ready_cmd"
  ((!dry_run)) || return 0
  export SNAPFORK_FORK=$1
  until probe "$BASH" -c "$ready_cmd"; do
    session_exists "$session" || fail 1 "cannot record '$1': its session has ended before --ready-cmd succeeded"
    attend sleep "$ready_interval"
  done
}

remove_scratch() {
  [[ -n $scratch ]] || return 0
  show snapfork delete --stop "$scratch"
  ((dry_run)) || call_self -q delete --stop "$scratch"
  ((dry_run)) || rm -f -- "$run_dir/record.$scratch.trace"
  scratch=''
}

undo_record() {
  [[ -z $recorded ]] || rm -f -- "$recorded"
  [[ -z $scratch ]] || ! has_name "$scratch" || (call_self -q delete --stop "$scratch")
  [[ -z $scratch ]] || rm -f -- "$run_dir/record.$scratch.trace"
}
