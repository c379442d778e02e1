# SPDX-License-Identifier: Apache-2.0
# jail.bash: what tests of `run --jailer` share: VMMs in a jail of fake_jailer.sh, or of the jailer in $jailer.
# shellcheck shell=bash disable=SC2034,SC2154 # variables for, and of, the tests

# No other test runs as this user.
readonly JAIL_UID=$((100000 + $$)) JAIL_GID=64322

require_jails() {
  require_root
  require_namespaces --mount --pid --fork
  [[ -r /dev/userfaultfd ]] || skip "needs '/dev/userfaultfd'"
  jailer=${BASH_SOURCE[0]%/*}/fake_jailer.sh
  jailer=$(realpath "$jailer")
}

run_jailed() { # <id> [option]...
  snapfork run --detach --firecracker "$fake" --jailer "$jailer" --uid "$JAIL_UID" --gid "$JAIL_GID" "${@:2}" "$1"
}

jail_dir() { # <id>
  printf '%s/.snapfork/tmp/jail.%s' "$SNAPFORK_ROOT" "$1"
}

no_vmm() {
  ! pgrep -f -- "--api-sock (/jail|$BATS_TEST_TMPDIR)/|fc-run .*--dir $BATS_TEST_TMPDIR/" >/dev/null \
    && [[ -z $(pgrep -u "$JAIL_UID") ]]
}

# The fork is as before the run: no VMM, session, socket, directory, jail or file of the jail's user.
assert_clean() { # <id>
  wait_until 20 no_vmm
  assert_equal "$(snapshot-meta state "$1" 2>/dev/null)" Standby
  [[ ! -e $(vm_dir "$1") ]] || fail "left: $(find "$(vm_dir "$1")")"
  assert_equal "$(find "$BATS_TEST_TMPDIR/run/s" -name "$1@*" 2>/dev/null)" ''
  assert_equal "$(find "$SNAPFORK_ROOT" -uid "$JAIL_UID" -o -path '*/.snapfork/tmp/*' -o -type s)" ''
  assert_equal "$(grep -F snapfork-jail /proc/self/mountinfo || true)" ''
}
