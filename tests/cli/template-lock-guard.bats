#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# template-lock guard: the changes that the forks of a guest permit now.
# shellcheck disable=SC2154 # output, stderr, lines and status are set by run
# shellcheck disable=SC2016 # the scripts in single quotes are for other shells
# shellcheck disable=SC2030,SC2031 # each test is a subshell of its own, on purpose
load helpers
load template-lock_helpers

setup() { lock_setup; }
teardown() { common_teardown; }

@test "guard refuses to delete, demote or restore a template with forks, and names them" {
  make_fake_template base
  make_fake_fork base a1
  make_fake_fork base b7
  local intent
  for intent in delete demote restore; do
    run -1 --separate-stderr template-lock guard --for "$intent" base
    assert_equal "$output" ''
    assert_contains "$stderr" "template-lock: cannot $intent template 'base': 2 forks live (a1, b7); delete them first"
    run -1 --separate-stderr template-lock guard --for "$intent" --json base
    assert_equal "$(json '[.type, .id, .for, (.allowed | tostring), (.forks | join("+"))] | join(" ")' || true)" \
      "guard base $intent false a1+b7"
  done
}

@test "guard permits changes of a template without forks and of other guests" {
  make_fake_template base
  make_fake_guest plain
  run -0 --separate-stderr template-lock guard --for delete base
  assert_equal "$output$stderr" ''
  run -0 template-lock guard --for demote base
  run -1 template-lock guard --for restore base
  assert_contains "$output" 'demote it first'
  run -0 template-lock guard --for delete plain
  run -0 template-lock guard --for restore plain
  run -1 template-lock guard --for demote plain
  run -0 template-lock guard --for delete plain --json
  assert_equal "$output" \
    '{"type":"guard","v":1,"id":"plain","for":"delete","allowed":true,"reason":null,"forks":[],"pending":[],"stale":[],"unreadable":[]}'
  run -1 template-lock guard --for delete nobody
  assert_contains "$output" "no such guest 'nobody'"
  SNAPFORK_ROOT=$PWD/absent run -5 template-lock guard --for delete base
}

@test "guard --for demote permits a second demote after an interrupted one, but none of a fork" {
  make_fake_guest half
  chmod 0444 "$SNAPFORK_ROOT/guests/half/snapshots/snapshot-latest/memory"
  run -0 template-lock guard --for demote half
  make_fake_guest linked
  rm -r "$SNAPFORK_ROOT/guests/linked/snapshots"
  ln -s ../half/snapshots "$SNAPFORK_ROOT/guests/linked/snapshots"
  run -1 template-lock guard --for demote linked
  assert_contains "$output" 'not a template'
  run -0 template-lock guard --for delete linked
}

@test "guard --for write refuses a template and shared memory" {
  make_fake_template base
  run -1 template-lock guard --for write base
  assert_contains "$output" "cannot write template 'base': a template is never written; demote it first"
  make_fake_guest plain
  run -0 template-lock guard --for write plain
  ln "$(memory_of plain)" "$SNAPFORK_ROOT/another"
  run -1 --separate-stderr template-lock guard --for write plain --json
  assert_contains "$stderr" 'its memory has 2 links'
  assert_contains "$stderr" "reflink-clone --unshare $(memory_of plain)"
  assert_equal "$(json '.allowed | tostring' || true)" false
  run -0 template-lock guard --for restore plain
}

@test "guard counts an index entry without a fork, and drops it under the exclusive lock only" {
  make_fake_template base
  make_fake_fork base a1
  touch "$SNAPFORK_ROOT/guests/base/template/forks/gone"
  run -1 template-lock guard --for delete base
  assert_contains "$output" "1 fork live (a1), 1 fork being made or left over (gone); delete them first"
  run -1 --separate-stderr template-lock guard --for delete base --json
  assert_equal "$(json '[.forks, .pending, .stale] | map(join("+")) | join(" ")')" 'a1+gone gone '
  run -1 template-lock -v guard --for delete base
  assert_contains "$output" "fork 'a1' lives"
  rm -r "$SNAPFORK_ROOT/guests/a1" "$SNAPFORK_ROOT/guests/base/template/forks/a1"
  run -1 template-lock guard --for delete base
  run -1 template-lock --shared base -- template-lock guard --for delete base
  run -1 template-lock other -- template-lock guard --for delete base
  run -0 --separate-stderr template-lock base -- template-lock guard --for delete base --json
  assert_equal "$(json '.stale | join(" ")')" gone
  run -0 template-lock guard --for delete base
}

@test "guard counts a fork with unreadable metadata as live, even under the exclusive lock" {
  make_fake_template base
  make_fake_fork base torn
  printf '{"Id":' >"$SNAPFORK_ROOT/guests/torn/metadata.json"
  run -1 template-lock base -- template-lock guard --for delete base
  assert_contains "$output" '1 fork unreadable (torn)'
  printf '[]' >"$SNAPFORK_ROOT/guests/base/metadata.json"
  run -1 template-lock base -- template-lock guard --for demote base
  assert_contains "$output" 'it may be a template'
}

@test "guard exits with 5 if the index cannot be read" {
  make_fake_template base
  rmdir "$SNAPFORK_ROOT/guests/base/template/forks"
  touch "$SNAPFORK_ROOT/guests/base/template/forks"
  run -5 template-lock base -- template-lock guard --for delete base
}
