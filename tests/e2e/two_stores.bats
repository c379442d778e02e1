#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Two stores share one page server and have equal ids for different guests.
# shellcheck disable=SC2154 # stderr is set by run

load helpers

setup() {
  require_root
  make_store xfs
  make_template
  ours=$SNAPFORK_ROOT
  theirs=$BATS_TEST_TMPDIR/fs/other
  mkdir "$theirs"
  make_other_template
}

teardown() {
  drop_store
}

# Makes a template with the same id and size in the other store, whose memory has other bytes in each page.
make_other_template() {
  other_memory=$BATS_TEST_TMPDIR/other.memory
  # Each page begins with its number, and has no zeros.
  python3 - "$SNAPSHOT/memory" "$other_memory" <<'PYTHON'
import os, struct, sys
pages = os.stat(sys.argv[1]).st_size // 4096
with open(sys.argv[2], "wb") as out:
    for page in range(pages):
        out.write(struct.pack("<Q", page + 1) + b"o" * 4088)
PYTHON
  in_theirs import base --state "$SNAPSHOT/state" --memory "$other_memory"
  in_theirs promote base
}

in_theirs() { # <arguments of snapfork...>
  SNAPFORK_ROOT=$theirs snapfork -q "$@"
}

assert_served() { # <record> <memory file>
  run -0 uffd-probe --socket "$(jq -r .uffd_socket_path <<<"$1")" --mem "$2" --deadline 60 --json
  assert_equal "$(field 'select(.type == "summary") | [.good_vmms, .wrong_pages, .touched] | @csv')" '1,0,32768'
}

@test "forks with one id in two stores read the memory of their own store, whichever was first" {
  local mine other
  mine=$(snapfork -q fork --backend uffd base x)
  other=$(in_theirs fork --backend uffd base x)
  [[ $(jq -r .session_id <<<"$mine") != "$(jq -r .session_id <<<"$other")" ]]
  run -0 uffd-ctl sessions
  ((${#lines[@]} == 2))
  assert_served "$other" "$other_memory"
  assert_served "$mine" "$SNAPSHOT/memory"
  # `run` makes new sessions, each for its own store.
  local root memory
  for root in "$theirs" "$ours"; do
    memory=$SNAPSHOT/memory
    [[ $root == "$ours" ]] || memory=$other_memory
    # shellcheck disable=SC2016 # of the command
    SNAPFORK_ROOT=$root run -0 --separate-stderr snapfork run --backend uffd x -- \
      sh -c 'exec uffd-probe --socket "$SNAPFORK_UFFD_SOCKET" --mem "$0" --pages 20000 --json' "$memory"
    assert_equal "$(field 'select(.type == "summary") | [.good_vmms, .wrong_pages] | @csv')" '1,0'
  done
}

@test "delete, and a fork that fails, close only the sessions of their own store" {
  local other
  snapfork -q fork --backend uffd base x >/dev/null
  other=$(in_theirs fork --backend uffd base x)
  snapfork -q delete x
  run -0 uffd-ctl sessions
  assert_equal "$output" "$(jq -r .session_id <<<"$other")"$'\twaiting\t0'
  # The record cannot be written, so the fork is undone.
  run -5 --separate-stderr bash -c 'exec snapfork -q fork --backend uffd base x >/dev/full'
  run -0 uffd-ctl sessions
  assert_equal "${#lines[@]}" 1
  assert_served "$other" "$other_memory"
}
