# SPDX-License-Identifier: Apache-2.0
# snapfork promote: makes a guest a template.
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables: see scripts/snapfork

promote() {
  require_guest "${operands[0]}"
  under_locks --exclusive "${operands[0]}" ::: "${operands[0]}"
}

promote_locked() { # <id>
  local id=$1 call=(snapshot-meta promote "${forced[@]}" "$1") is_template state links memory=$root/guests/$1/snapshots/snapshot-latest/memory
  require_guest "$id"
  # Checked before the seal: undo_promote removes the seal, and so would unseal a guest that is a template already.
  get_value is_template "$id" IsTemplate
  [[ $is_template != true ]] || fail 1 "cannot promote '$id': its state is Template, not Standby"
  state_of state "$id"
  [[ $state != Running ]] || fail 1 "cannot promote '$id': its state is Running, not Standby"
  step snapshot-meta purge "$id" # leftovers may hold a link to the memory
  look without_output snapshot-meta verify "${forced[@]}" "$id"
  # Refuses a guest that cannot be forked, for example one with a disk that is a symbolic link.
  look without_output reflink-clone -q --dry-run --profile vm "$root/guests/$id" "$root/.dry-run"
  check reflink-clone --dry-run --unshare --dig "$memory"
  step without_output reflink-clone "${progress[@]}" --durable --unshare --dig "$memory"
  ask links stat --format=%h -- "$memory"
  [[ $links != 1 ]] || check template-lock seal --dry-run "$id"
  promoting=$id undo=undo_promote
  step template-lock seal "$id"
  ((!quiet)) || call+=(-q)
  step "${call[@]}"
  hold_signals
  undo=''
  say "'$id' is a template"
}

undo_promote() {
  local state
  state_of state "$promoting"
  [[ $state != Template ]] || step snapshot-meta demote "$promoting"
  step template-lock unseal "$promoting"
}
