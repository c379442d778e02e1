#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Tests what scripts need: input from pipes, output to pipes, and failures as JSON records.
# shellcheck disable=SC2154 # output, stderr, lines and status are set by run

load helpers

setup() {
  common_setup
  plain=$BATS_TEST_DIRNAME/../fixtures/plain
}

teardown() {
  common_teardown
}

@test "a state file may come from standard input, a FIFO or a process substitution" {
  mkfifo fifo
  snapshot-meta vmstate "$plain/state" >expected
  snapshot-meta vmstate - <"$plain/state" >from-stdin
  snapshot-meta vmstate <(cat "$plain/state") >from-substitution
  spawn cp "$plain/state" fifo
  snapshot-meta vmstate fifo >from-fifo
  cmp from-stdin expected
  cmp from-substitution expected
  cmp from-fifo expected
  run --separate-stderr -4 snapshot-meta vmstate - </dev/null
  assert_contains "$stderr" "'standard input'"
  run --separate-stderr -4 snapshot-meta vmstate - < <(head -c 11M /dev/zero)
  assert_contains "$stderr" 'longer than 10485760 bytes'
  run --separate-stderr -4 snapshot-meta vmstate /dev/zero
  assert_contains "$stderr" 'not a regular file'
}

@test "rewrite-paths is a filter: - is standard input, and standard output" {
  "$HELPERS/write-vmstate" state 10.0.0 1 drive=/d/root.img
  snapshot-meta rewrite-paths --from /d --to /elsewhere state expected >/dev/null
  snapshot-meta rewrite-paths --from /d --to /elsewhere - - <state >filtered
  cmp filtered expected
  snapshot-meta rewrite-paths --from /d --to /elsewhere - made >/dev/null < <(cat state)
  cmp made expected
  assert_equal "$(stat -c %a made)" 600
  [[ ! -e ./- ]]
  run --separate-stderr -2 snapshot-meta rewrite-paths --json --from /d --to /elsewhere state -
  assert_contains "$stderr" 'requires that OUT is a file'
  run -5 bash -c 'snapshot-meta rewrite-paths --from /d --to /elsewhere state - >/dev/full'
  require_cmd script
  run script -qec 'snapshot-meta rewrite-paths --from /d --to /elsewhere state -' /dev/null
  assert_contains "$output" 'cannot write a state file to a terminal'
}

@test "a trace and a hot list may come from a FIFO or a process substitution" {
  printf '# snapfork-trace 1 page_size=4096 memory_bytes=16384 regions=0+16384\n3\n0\n' >trace
  hotpage-record record trace >expected
  hotpage-record record <(cat trace) >from-substitution
  cmp from-substitution expected
  mkfifo fifo
  spawn cp trace fifo
  hotpage-record record fifo >from-fifo
  cmp from-fifo expected
  hotpage-record show expected >shown
  hotpage-record show <(cat expected) | cmp - shown
}

@test "with --json a usage error is a record, too" {
  local words
  for words in 'reflink-clone --json' 'reflink-clone --no-such --json' 'snapshot-meta --json frobnicate' \
    'snapshot-meta list --json --no-such' 'template-lock --no-such --json a -- true' \
    'uffd-serve --json --no-such' 'uffd-probe --json --no-such' 'hotpage-record record --json --no-such'; do
    # shellcheck disable=SC2086 # words
    run --separate-stderr -2 $words
    assert_equal "$(json '[.type, .v, .program, .exit_code, .code] | @csv')" "\"error\",1,\"${words%% *}\",2,\"usage\""
  done
  # A word after "--" belongs to the command, not to template-lock.
  run --separate-stderr -2 template-lock --no-such a -- true --json
  assert_equal "$output" ''
}
