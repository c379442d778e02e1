# SPDX-License-Identifier: Apache-2.0
# snapfork demote: makes a template an ordinary snapshot again.
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables: see scripts/snapfork

demote() {
  require_guest "${operands[0]}"
  under_locks --exclusive "${operands[0]}" ::: "${operands[0]}"
}

demote_locked() { # <id>
  local id=$1
  require_guest "$id"
  clear_interrupted_forks "$id"
  check snapshot-meta demote --dry-run "$id"
  step template-lock guard --for demote "$id"
  demoting=$id undo=undo_demote
  step snapshot-meta demote "$id"
  step template-lock unseal "$id"
  hold_signals
  undo=''
  say "'$id' is an ordinary snapshot"
}

# Undoes a demote after a signal only. After any other failure, the same command finishes it.
undo_demote() {
  local state
  [[ -n $signal ]] || return 0
  state_of state "$demoting"
  [[ $state != Template ]] || return 0
  step template-lock seal "$demoting"
  step snapshot-meta promote "$demoting"
}
