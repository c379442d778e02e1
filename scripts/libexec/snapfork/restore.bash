# SPDX-License-Identifier: Apache-2.0
# snapfork restore: `run --detach` of a guest in Standby, which uses its memory file from now on.
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables: see scripts/snapfork

read_file "$libexec/run.bash"

restore() {
  detach=1
  run
}

restore_locked() { # <id>
  run_locked "$1"
}
