# SPDX-License-Identifier: Apache-2.0
# wait_until.bash: how tests wait. A file that loads it has a function `fail`.
# shellcheck shell=bash

# Polls until the command succeeds; fails after SECONDS. Never sleeps for a fixed time.
wait_until() { # <seconds> <command> [argument]...
  local deadline=$((SECONDS + $1)) poll_fd
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
