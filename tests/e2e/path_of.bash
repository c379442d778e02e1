# SPDX-License-Identifier: Apache-2.0
# path_of.bash: for commands of `snapfork run`: what a VMM would open.
# shellcheck shell=bash

# Prints the path in the state that ends with that.
path_of() { # <name>
  snapshot-meta vmstate --json "$SNAPFORK_STATE" | jq -r --arg name "$1" '.paths[].path | select(endswith($name))'
}
