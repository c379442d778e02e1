# SPDX-License-Identifier: Apache-2.0
# snapfork-jailer_helpers.bash: guests that run in a jail of the fake jailer.
# shellcheck shell=bash disable=SC2034,SC2154,SC2317 # variables of the tests; functions called by name

setup() {
  common_setup
  require_jails
  fake=$HELPERS/fake-firecracker
  export SNAPFORK_PAGER=$BATS_TEST_TMPDIR/run/p.sock
}

teardown() {
  local pid
  for pid in $(pgrep -f -- "$BATS_TEST_TMPDIR/(run|root|bin)/" | grep -vx "$$") $(pgrep -u "$JAIL_UID"); do
    kill -KILL "$pid" 2>/dev/null || true
  done
  [[ ! -v netns ]] || ip netns delete "$netns"
  common_teardown
}

snapfork() { # without the descriptors of bats
  command snapfork -q "$@" 3>&- 4>&-
}

make_fork() { # <id> [option of fork]...
  snapfork fork "${@:2}" base "$1" >/dev/null 2>&1
}

# The first process of the PID namespace has the same words.
runner_of() { # <id>
  pgrep -o -f "^fc-run .*--dir $(vm_dir "$1") "
}

# Starts `run --jailer` and waits until it stops at a step; see stop_run_at. The step may also be `jailer`.
stop_jailed_run_at() { # <step>
  mkdir -p bin
  cat >bin/jailer <<SH
#!/bin/bash
[[ $1 != jailer ]] || { sed 's/ .*//' /proc/self/stat >'$PWD/reached'; exec sleep infinity; }
exec '$jailer' "\$@"
SH
  chmod +x bin/jailer
  stop_run_at "$1" --jailer "$PWD/bin/jailer" --uid "$JAIL_UID" --gid "$JAIL_GID"
}
