#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Firecracker loads states whose paths snapshot-meta rewrote to other lengths, and opens the files at the new paths.
# shellcheck disable=SC2154 # variables of the helpers

load helpers

setup() {
  require_firecracker
}

teardown() {
  vm_kill_all
}

# Makes a snapshot of a guest with a vsock and drives of these names in $machine; drive N contains "drive-N".
take_with_drives() { # <name>...
  local devices i answer
  machine=$BATS_TEST_TMPDIR/machine
  snapshot=$BATS_TEST_TMPDIR/snapshot
  mkdir -p "$machine"
  devices=$(jq -nc --arg dir "$machine" '{
    drives: $ARGS.positional | map({drive_id: "d\(.)" | gsub("[^a-z0-9]"; "") | .[:60],
      path_on_host: "\($dir)/\(.)", is_root_device: false, is_read_only: false}),
    vsock: {guest_cid: 3, uds_path: "\($dir)/v.sock"}}' --args "$@")
  for i in "$@"; do truncate -s 1M "$machine/$i"; done
  vm_boot source 96 'guest.seed=7 guest.zero=50' "$devices"
  for ((i = 0; i < $#; ++i)); do
    answer=$(vm_ask source "disk $i write 1 drive-$i")
    [[ $answer == "disk $i 1 OK drive-$i" ]] || fail "$answer" || return
  done
  sum=$(vm_ask source sum)
  vm_pause source
  vm_snapshot source "$snapshot"
  vm_kill source
  rm -f "$machine/v.sock"
}

# Loads the rewritten state with the drives at TO and nothing at the old paths.
load_moved() { # <to> <count>
  local to=$1 i answer
  mkdir -p "${to%/*}"
  cp -r "$machine" "$to"
  mv "$machine" "$machine.away"
  rm -f "$snapshot/state.new"
  snapshot-meta rewrite-paths --from "$machine" --to "$to" "$snapshot/state" "$snapshot/state.new"
  vm_restore "moved" "$(load_from_files "$snapshot/state.new" "$snapshot/memory")"
  answer=$(vm_ask moved sum)
  [[ $answer == "$sum" ]] || fail "$answer" || return
  for ((i = 0; i < $2; ++i)); do
    answer=$(vm_ask moved "disk $i read 1")
    [[ $answer == "disk $i 1 OK drive-$i" ]] || fail "$answer" || return
    vm_ask moved "disk $i write 1 moved-$i" >/dev/null
  done
  [[ -S $to/v.sock ]] || fail "no socket $to/v.sock" || return
  vm_kill moved
  rm "$to/v.sock"
  # The data that the guest wrote is only in the files at the new paths.
  [[ $(grep -al 'moved-' "$to"/* | wc -l) == "$2" ]] || fail 'not all drives were written to' || return
  rm -rf "$to"
  mv "$machine.away" "$machine"
}

@test "paths of one, three, four and six drives become shorter and longer" {
  local names long
  long=$BATS_TEST_TMPDIR/a-directory-with-a-longer-name
  for names in 'a' 'a ab abc' 'a ab abc abcd' 'a ab abc abcd abcde abcdef'; do
    # shellcheck disable=SC2086 # words
    set -- $names
    take_with_drives "$@"
    load_moved "$BATS_TEST_TMPDIR/m" $#
    load_moved "$long" $#
    rm -r "$machine" "$snapshot"
  done
}

@test "paths become longer than 255 bytes, and short again" {
  local long
  long=$(printf 'x%.0s' {1..200})
  take_with_drives a b c
  local to="$BATS_TEST_TMPDIR/$long/$long"
  mkdir -p "$to"
  cp "$machine"/* "$to/"
  mv "$machine" "$machine.away"
  local state=$snapshot/state name
  for name in a b c; do
    snapshot-meta rewrite-paths --force --from "$machine/$name" --to "$to/$name" "$state" "$snapshot/state.new"
    state=$snapshot/state.new
  done
  mkdir "$machine" # for the socket
  vm_restore long "$(load_from_files "$state" "$snapshot/memory")"
  [[ $(vm_ask long sum) == "$sum" ]]
  for i in 0 1 2; do [[ $(vm_ask long "disk $i read 1") == "disk $i 1 OK drive-$i" ]]; done
  vm_kill long
  rm "$machine/v.sock"
  snapshot-meta rewrite-paths --from "$to" --to "$machine" "$state" "$snapshot/state.back"
  cmp "$snapshot/state" "$snapshot/state.back"
}
