# SPDX-License-Identifier: Apache-2.0
# run_helpers.bash: guests whose Firecracker snapfork starts. A file that loads it also loads helpers and flow_helpers.
# shellcheck shell=bash disable=SC2154 # variables of the helpers

# Makes a template `base` of a guest that computes, and removes its snapshot.
make_base_template() {
  take_snapshot "$BATS_TEST_TMPDIR/snapshot" 'guest.seed=7 guest.zero=50'
  snapfork import base --state "$BATS_TEST_TMPDIR/snapshot/state" --memory "$BATS_TEST_TMPDIR/snapshot/memory"
  rm -r "$BATS_TEST_TMPDIR/snapshot"
  snapfork promote base
}

# Sets the array of that name: the options by which snapfork starts this Firecracker.
firecracker_options() {
  local arg
  firecracker_options=(--firecracker "$firecracker")
  for arg in "${firecracker_args[@]}"; do firecracker_options+=(--firecracker-arg "$arg"); done
}

run_fork() { # <fork> [option of run]...
  snapfork run --detach "${firecracker_options[@]}" "${@:2}" "$1" >"$BATS_TEST_TMPDIR/$1.run"
}

run_record() { # <fork> <jq expression>
  jq -r "$2" "$BATS_TEST_TMPDIR/$1.run"
}

# Sets `answers` to the whole lines of a console that begin with a word. The serial line writes byte by byte.
read_answers() { # <console> <word>
  local line
  answers=()
  while IFS= read -r line; do
    [[ $line != "$2"* ]] || answers+=("${line%$'\r'}")
  done <"$1"
}

has_answers() { # <console> <word> <count>
  read_answers "$1" "$2"
  ((${#answers[@]} >= $3))
}

# Prints the answer of a guest to a line on its serial line.
guest_answers() { # <fork> <line>
  local dir word=${2%% *} answers
  dir=$(dirname "$(run_record "$1" .api_socket)")
  [[ $word != ping ]] || word=pong
  read_answers "$dir/console" "$word"
  printf '%s\n' "$2" >"$dir/input"
  eventually has_answers "$dir/console" "$word" $((${#answers[@]} + 1))
  printf '%s\n' "${answers[-1]}"
}
