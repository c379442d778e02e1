# SPDX-License-Identifier: Apache-2.0
# snapfork-run_helpers.bash: a small guest and its runs with the fake Firecracker.
# shellcheck shell=bash disable=SC2034,SC2154,SC2317 # variables of the tests; functions called by name

setup() {
  common_setup
  require_root
  fake=$HELPERS/fake-firecracker
  export SNAPFORK_PAGER=$BATS_TEST_TMPDIR/run/p.sock FAKE_OPENED=$BATS_TEST_TMPDIR/opened
}

teardown() {
  local pid
  for pid in $(processes); do kill -KILL "$pid" 2>/dev/null || true; done
  [[ ! -v netns ]] || ip netns delete "$netns"
  common_teardown
}

# Page servers, VMMs and drivers of this test.
processes() {
  pgrep -f -- "$BATS_TEST_TMPDIR/(run|root|bin)/" | grep -vx "$$" || true
}

snapfork() { # without the descriptors of bats
  command snapfork -q "$@" 3>&- 4>&-
}

# Makes a template `base` with a memory of 4 MiB.
make_template() { # [device of write-vmstate]...
  "$HELPERS/write-vmstate" state 10.0.0 4 "$@"
  head -c 4M /dev/urandom >memory
  snapfork import base --state state --memory memory
  snapfork promote base
}

make_fork() { # <id> [option of fork]...
  snapfork fork --backend file "${@:2}" base "$1" >/dev/null 2>&1
}

run_fork() { # <id> [option]...
  snapfork run --detach --firecracker "$fake" "${@:2}" "$1"
}

no_vmm() {
  ! pgrep -f -- "--api-sock $BATS_TEST_TMPDIR/|fc-run .*--dir $BATS_TEST_TMPDIR/" >/dev/null
}

# The fork is as before the run: no VMM, session, socket or directory.
assert_clean() { # <id>
  wait_until 20 no_vmm
  assert_equal "$(snapshot-meta state "$1")" Standby
  [[ ! -e $(vm_dir "$1") ]] || fail "left: $(find "$(vm_dir "$1")")"
  assert_equal "$(find "$BATS_TEST_TMPDIR/run/s" -name "$1@*" 2>/dev/null)" ''
}
