# SPDX-License-Identifier: Apache-2.0
# wait_until.bash: how tests wait. A file that loads it has a function `fail`.
# shellcheck shell=bash

# Polls until the command succeeds; fails after four times SECONDS: these are for an idle machine, but CI runs test files
# in parallel, on slower processors. Only a test that fails waits until the limit. An argument must not be the output of
# a command, because the caller evaluates "$(...)" once.
wait_until() { # <seconds> <command> [argument]...
  local deadline=$((SECONDS + $1 * 4)) poll_fd
  shift
  exec {poll_fd}<> <(:) # a descriptor for read -t that never has data
  while ! "$@"; do
    if ((SECONDS > deadline)); then
      exec {poll_fd}>&-
      fail "still not true at the deadline: $*"
      return 1
    fi
    read -rt 0.01 -u "$poll_fd" || true
  done
  exec {poll_fd}>&-
}
