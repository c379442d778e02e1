#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The main flow on a real Firecracker: one snapshot becomes several running guests.
# shellcheck disable=SC2154 # variables of the helpers

load helpers
load flow_helpers

setup() { flow_setup; }
teardown() { stop_everything; }

# Makes a template `base` of a guest with zeros in half of its pages.
make_template() { # [json: more of the guest's configuration]
  take_snapshot "$BATS_TEST_TMPDIR/snapshot" 'guest.seed=7 guest.zero=50' "$@"
  snapfork import base --state "$BATS_TEST_TMPDIR/snapshot/state" \
    --memory "$BATS_TEST_TMPDIR/snapshot/memory"
  rm -r "$BATS_TEST_TMPDIR/snapshot"
  snapfork promote base
}

@test "three forks of a template read every page, compute the same result, and leave nothing" {
  make_template
  local vm
  fork_guests --backend file base mapped
  restore_fork mapped
  vm_ask mapped 'work 1 2000' >"$BATS_TEST_TMPDIR/answers"
  vm_kill mapped

  fork_guests -n 3 base
  ((${#forks[@]} == 3))
  for vm in "${forks[@]}"; do
    restore_fork "$vm"
    [[ $(vm_ask "$vm" sum) == "$sum" ]]
    vm_ask "$vm" 'work 1 2000' >>"$BATS_TEST_TMPDIR/answers"
    vm_pause "$vm"
    [[ $(session "$vm" .vmm_pid) == "${vm_pid[$vm]}" ]]
  done
  [[ $(wc -l <"$BATS_TEST_TMPDIR/answers") -eq 4 ]]
  run -0 uniq "$BATS_TEST_TMPDIR/answers"
  [[ $output == 'work 1 OK '* && ${#lines[@]} -eq 1 ]]

  run -1 snapfork delete base
  for vm in "${forks[@]}"; do [[ $output == *"$vm"* ]]; done
  vm_kill "${forks[@]}"
  snapfork delete mapped "${forks[@]}"
  snapfork delete base
  nothing_is_left
}

@test "a Firecracker killed during a fault frees its session and does not affect others" {
  make_template
  fork_guests -n 2 base
  local killed=${forks[0]} other=${forks[1]}
  restore_fork "$killed"
  restore_fork "$other"
  printf 'sum\n' >"$(vm_dir "$killed")/input"
  vm_ask "$other" 'work 1 2000'
  vm_kill "$killed"
  eventually no_session "$killed"
  [[ $(vm_ask "$other" sum) == 'sum OK '* ]]
  vm_kill "$other"
  snapfork delete "${forks[@]}"
  snapfork delete base
  nothing_is_left
}

@test "pages that a balloon removed read as zeros, and other pages are unchanged" {
  make_template '{"balloon": {"amount_mib": 0, "deflate_on_oom": false}}'
  fork_guests base a
  restore_fork a
  vm_ask a 'reads on'
  vm_ask a 'work 1 200'
  vm_api a PATCH /balloon '{"amount_mib": 48}'
  run -0 vm_hear a 'balloon *'
  [[ $output == 'balloon 12288 OK '* ]]
  [[ $(vm_ask a sum) == 'sum OK '*' ballooned=12288 '* ]]
  (($(session a .pages.removed) == 12288))
  vm_api a PATCH /balloon '{"amount_mib": 0}'
  run -0 vm_hear a 'balloon *'
  [[ $output == 'balloon 0 OK '* ]]
  [[ $(vm_ask a sum) == 'sum OK '*' ballooned=0 '* ]]
  vm_kill a
  snapfork delete a base
  nothing_is_left
}

# Firecracker's own write() reads all guest memory, so each page is a fault of the kernel. Between 640 KiB and 1 MiB,
# Firecracker notifies the guest that it was restored: VMGenID and VMClock.
@test "snapshot of a fork that never ran equals its template's memory, byte for byte" {
  make_template
  local memory=$SNAPFORK_ROOT/guests/base/snapshots/snapshot-latest/memory
  fork_guests base a
  vm_restore a "$(fork_record a '.snapshot_load + {resume_vm: false}')"
  vm_snapshot a "$BATS_TEST_TMPDIR/again"
  cmp --bytes=$((640 << 10)) "$BATS_TEST_TMPDIR/again/memory" "$memory"
  cmp --ignore-initial=$((1 << 20)) "$BATS_TEST_TMPDIR/again/memory" "$memory"
  vm_kill a
  snapfork delete a base
  nothing_is_left
}

@test "closed session continues to serve its guest" {
  make_template
  fork_guests base a
  restore_fork a
  vm_ask a ping
  uffd-ctl close "$(snapshot-meta session-name a)"
  [[ $(vm_ask a sum) == "$sum" ]]
  vm_kill a
  snapfork delete a base
  nothing_is_left
}

no_server() {
  ! uffd-ctl health >/dev/null 2>&1
}

@test "status names a guest that hangs because its page server was killed" {
  export SNAPFORK_KEEPER=0 # by design
  make_template
  fork_guests base a
  restore_fork a
  vm_ask a ping
  run -0 snapfork status
  kill -KILL "$(pgrep -f "^uffd-serve --control $SNAPFORK_PAGER ")"
  eventually no_server
  run -1 snapfork status
  [[ $output == *"a hangs: pid ${vm_pid[a]} "* ]]
  vm_kill a
  run -0 snapfork status
  snapfork delete a base
}

# guest.every=33: the guest has written the last page below 3 GiB. Firecracker before 1.15 writes a wrong Diff if that page is
# not resident (its issue 5705). A Diff of a guest that was booted is a complete image, and sparse.
@test "memory in two regions, below and above the devices, is served correctly" {
  vm_boot source 3200 'guest.seed=7 guest.every=33'
  sum=$(vm_ask source sum)
  vm_pause source
  vm_snapshot source "$BATS_TEST_TMPDIR/snapshot" Diff
  vm_kill source
  snapfork import base --state "$BATS_TEST_TMPDIR/snapshot/state" \
    --memory "$BATS_TEST_TMPDIR/snapshot/memory"
  snapfork promote base
  fork_guests base a
  restore_fork a
  (($(session a '.regions | length') == 2))
  [[ $(vm_ask a sum) == "$sum" ]]
  vm_kill a
  snapfork delete a base
  nothing_is_left
}

prefetched() { # <fork> <pages>
  (($(session "$1" '.pages.prefetched + .pages.zeroed + .faults.demand') >= $2))
}

@test "fork with the hot list of another has almost no demand faults" {
  make_template
  local first answer
  fork_guests --trace "$BATS_TEST_TMPDIR/trace" base a
  restore_fork a
  answer=$(vm_ask a 'work 1 2000')
  first=$(session a .faults.demand)
  vm_kill a
  eventually no_session a
  hotpage-record record "$BATS_TEST_TMPDIR/trace" >"$SNAPFORK_ROOT/guests/base/template/hot.hpl"

  fork_guests base b
  vm_restore b "$(fork_record b '.snapshot_load + {resume_vm: false}')"
  eventually prefetched b "$(grep -vc '^#' "$BATS_TEST_TMPDIR/trace")"
  vm_resume b
  [[ $(vm_ask b 'work 1 2000') == "$answer" ]]
  (($(session b .faults.demand) < first / 10))
  vm_kill b
  snapfork delete a b base
  nothing_is_left
}
