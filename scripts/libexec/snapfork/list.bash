# SPDX-License-Identifier: Apache-2.0
# snapfork list: all guests.
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables: see scripts/snapfork

list() {
  local call=(snapshot-meta list)
  read_parts
  ((!json)) || call+=(--json)
  show "${call[@]}"
  exec "${call[@]}"
}
