# SPDX-License-Identifier: Apache-2.0
# snapfork delete: removes guests, and leftovers of interrupted commands.
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables: see scripts/snapfork

parts+=(pager_path pager)

delete() {
  read_parts
  one_by_one
  has_name "${operands[0]}" || has_leftovers "${operands[0]}" || require_guest "${operands[0]}"
  under_locks --exclusive --no-wait "${operands[0]}" ::: "${operands[0]}"
  ((!dry_run)) || forget_lock "${operands[0]}" # after the END of the plan
}

delete_locked() { # <id>
  local id=$1
  if ! has_name "$id"; then
    has_leftovers "$id" || require_guest "$id"
    hold_signals
    step snapshot-meta purge "$id"
    say "removed leftovers of an interrupted command for '$id'"
    ((dry_run)) || forget_lock "$id"
    return
  fi
  clear_interrupted_forks "$id"
  step template-lock guard --for delete "$id"
  ((!stop)) || step snapshot-meta stop "$id"
  # A running guest is refused before its session is closed.
  ((stop && dry_run)) || attend without_output snapshot-meta trash --dry-run "$id"
  close_session "$id"
  hold_signals # a delete that has begun is finished, not undone
  discard "$id"
  say "'$id' is deleted"
  ((dry_run)) || forget_lock "$id"
}
