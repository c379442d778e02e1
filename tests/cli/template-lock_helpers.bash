# SPDX-License-Identifier: Apache-2.0
# template-lock_helpers.bash: functions that hold locks and wait for lock requests.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154,SC2317 # locks, for the tests; spawned_pid is set by spawn; functions called by name

lock_setup() {
  common_setup
  locks=$SNAPFORK_ROOT/.snapfork/locks
}

# Holds locks in the background until it is killed: hold [OPTION]... ID...
hold() {
  rm -f held
  spawn template-lock "$@" -- bash -c 'touch held; exec tail -f /dev/null'
  wait_until 10 test -e held
  wait_until 10 runs_as "$spawned_pid" tail
}

# Returns whether a process is blocked on the file: /proc/locks shows such requests with an arrow.
has_waiter() { # <file>
  grep -q -- "->.*:$(stat -c %i "$1") " /proc/locks
}

# The process may be stopped, or be about to stop: it gets SIGCONT until it has ended.
continue_until_gone() { # <pid>
  has_ended() {
    kill -CONT "$1" 2>/dev/null
    is_gone "$1"
  }
  wait_until 20 has_ended "$1"
}

mode_of() { stat -c %a "$SNAPFORK_ROOT/guests/$1/snapshots/snapshot-latest/memory"; }
memory_of() { printf '%s\n' "$SNAPFORK_ROOT/guests/$1/snapshots/snapshot-latest/memory"; }
