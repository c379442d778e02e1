#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# snapfork standby with a real Firecracker: the guest's computation continues where its snapshot was written.
# shellcheck disable=SC2154 # variables of the helpers

load helpers
load flow_helpers
load run_helpers

setup() { flow_setup; }
teardown() { stop_everything; }

make_template() {
  take_snapshot "$BATS_TEST_TMPDIR/snapshot" 'guest.seed=7 guest.zero=50'
  snapfork import base --state "$BATS_TEST_TMPDIR/snapshot/state" --memory "$BATS_TEST_TMPDIR/snapshot/memory"
  rm -r "$BATS_TEST_TMPDIR/snapshot"
  snapfork promote base
}

# Loads a guest from its file, and records the VMM.
run_from_file() { # <id> [jq expression on the load]
  local latest=$SNAPFORK_ROOT/guests/$1/snapshots/snapshot-latest
  vm_restore "$1" "$(load_from_files "$latest/state" "$latest/memory" | jq -c "${2:-.}")"
  record_vmm "$1"
}

record_vmm() { # <id>
  snapshot-meta set "$1" HypervisorPID:="${vm_pid[$1]}" \
    HypervisorStartTime:="$(awk '{ print $22 }' "/proc/${vm_pid[$1]}/stat")" \
    "HypervisorBootID=$(</proc/sys/kernel/random/boot_id)" "SocketPath=$(vm_dir "$1")/api.sock"
}

@test "a fork in standby continues where it was: its sum and its work are those of a guest without a standby" {
  make_template
  local memory=$SNAPFORK_ROOT/guests/base/snapshots/snapshot-latest/memory digest
  digest=$(sha256sum <"$memory")
  fork_guests --backend uffd -n 2 base
  local a=${forks[0]} b=${forks[1]}
  # Without a standby.
  restore_fork "$a"
  vm_ask "$a" 'work 1 500'
  vm_ask "$a" 'work 2 500' >"$BATS_TEST_TMPDIR/expected"
  vm_ask "$a" sum >>"$BATS_TEST_TMPDIR/expected"
  vm_kill "$a"
  # With one between the two.
  restore_fork "$b"
  record_vmm "$b"
  vm_ask "$b" 'work 1 500'
  snapfork standby "$b"
  eventually vm_has_ended "${vm_pid[$b]}"
  vm_kill "$b"
  [[ $(snapshot-meta state "$b") == Standby ]]
  [[ $(sha256sum <"$memory") == "$digest" && $(stat --format=%h "$memory") == 2 ]]
  run_from_file "$b"
  vm_ask "$b" 'work 2 500' >"$BATS_TEST_TMPDIR/answers"
  vm_ask "$b" sum >>"$BATS_TEST_TMPDIR/answers"
  diff "$BATS_TEST_TMPDIR/expected" "$BATS_TEST_TMPDIR/answers"
  snapshot-meta verify --deep base
  snapfork standby "$b"
  vm_kill "$b"
  snapfork delete "$a" "$b" base
  nothing_is_left
}

@test "a Diff standby gives the memory of a Full one" {
  make_template
  snapfork fork --backend file base a >"$BATS_TEST_TMPDIR/forks"
  run_from_file a
  vm_ask a 'work 1 500'
  snapfork standby a # now the memory is its own
  vm_kill a
  run_from_file a '.track_dirty_pages = true'
  vm_ask a 'work 2 500'
  local sum
  sum=$(vm_ask a sum)
  vm_pause a
  snapfork standby --type diff a
  vm_kill a
  run_from_file a
  [[ $(vm_ask a sum) == "$sum" ]]
  vm_kill a
  snapfork delete a base
  nothing_is_left
}

@test "a standby that cannot make its files leaves the guest running" {
  make_template
  snapfork fork --backend file base a >/dev/null
  run_from_file a
  mkdir -p "$SNAPFORK_ROOT/.snapfork/tmp"
  chattr +i "$SNAPFORK_ROOT/.snapfork/tmp" 2>/dev/null || skip 'this filesystem has no immutable files'
  run ! snapfork standby a
  chattr -i "$SNAPFORK_ROOT/.snapfork/tmp"
  [[ $(vm_ask a ping) == pong* ]]
  snapfork standby a
  vm_kill a
  snapfork delete a base
  nothing_is_left
}

@test "fork --from-running: the source continues, and its fork has the sum that it had" {
  make_template
  firecracker_options
  fork_guests --backend file base a
  run_fork a
  guest_answers a 'work 1 500'
  local sum
  sum=$(guest_answers a sum)
  snapfork --json fork --from-running --backend file a b >"$BATS_TEST_TMPDIR/forks"
  printf '# outage: %s s\n' "$(jq 'select(.type == "outage").seconds' "$BATS_TEST_TMPDIR/forks")" >&3
  [[ $(guest_answers a sum) == "$sum" ]]
  restore_fork b
  [[ $(vm_ask b sum) == "$sum" ]]
  vm_kill b
  snapfork stop a
  snapfork delete a b base
  nothing_is_left
}

@test "run, standby and restore by snapfork alone" {
  make_template
  firecracker_options
  fork_guests --backend uffd base a
  run_fork a
  guest_answers a 'work 1 500'
  local sum
  sum=$(guest_answers a sum)
  snapfork standby a
  [[ $(snapshot-meta state -q a) == Standby && ! -e $BATS_TEST_TMPDIR/run/vm/$(snapshot-meta session-name a) ]]
  run_fork a
  [[ $(run_record a .backend) == file && $(guest_answers a sum) == "$sum" ]]
  snapfork standby a
  snapfork delete a base
  nothing_is_left
}
