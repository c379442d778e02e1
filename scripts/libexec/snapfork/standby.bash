# SPDX-License-Identifier: Apache-2.0
# snapfork standby: writes a snapshot of a guest that runs, and ends its virtual machine.
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables: see scripts/snapfork

parts+=(pager_path pager standby)

standby() {
  require_guest "${operands[0]}"
  under_locks --exclusive "${operands[0]}" ::: "${operands[0]}"
}

standby_locked() { # <id>
  require_guest "$1"
  put_in_standby "$1"
  say "'$1' is in standby; it was paused for $seconds_paused s until its snapshot was published"
}
