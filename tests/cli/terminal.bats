#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Foreign names never command the terminal: no program prints a control character or a
# bidirectional override of theirs.
# shellcheck disable=SC2154 # output, stderr, lines and status are set by run

load helpers

setup() {
  common_setup
}

teardown() {
  common_teardown
}

# ESC [, C1 CSI (U+009B), right-to-left override, isolate, mark, DEL, and a byte that is not UTF-8.
hostile=$'a\e[31m\xc2\x9b31m\xe2\x80\xaeb\xe2\x81\xa6c\xe2\x80\x8f\x7f\xffz'

# A guest with such a name, as far as it is UTF-8.
name=$'x\e[2J\xc2\x9b2J\xe2\x80\xaey'
make_guest_with_hostile_name() {
  make_fake_guest a
  sed -i 's/"Name":"a"/"Name":"x\\u001b[2J\\u009b2J\\u202ey"/' "$SNAPFORK_ROOT/guests/a/metadata.json"
}

# The text contains none of these byte sequences.
assert_harmless() { # <text>
  local LC_ALL=C bad
  for bad in $'\e' $'\xc2\x9b' $'\xe2\x80\xae' $'\xe2\x81\xa6' $'\xe2\x80\x8f' $'\x7f' $'\xff'; do
    [[ $1 != *"$bad"* ]] || fail "$(printf 'the bytes %q are in:' "$bad")" "$(cat -v <<<"$1")"
  done
}

# Sets `output` to what the command prints on a terminal, without carriage returns.
on_terminal() { # <command>
  run -0 script -qec "$1" /dev/null
  output=${output//$'\r'/}
}

@test "messages of every program show hostile names harmlessly" {
  local words
  for words in 'reflink-clone' 'reflink-clone --stat' 'snapshot-meta vmstate' 'snapshot-meta get' \
    'template-lock guard --for delete' 'uffd-serve --socket s --mem' 'uffd-probe --socket s --mem' \
    'hotpage-record stat' 'snapfork delete' 'snapfork import --state' 'uffd-ctl'; do
    # shellcheck disable=SC2086 # words
    run --separate-stderr $words "$hostile" "$hostile"
    ((status != 0 && status != 126 && status != 127)) || fail "$words: status $status"
    assert_harmless "$output$stderr"
    [[ $stderr == *'a?[31m?31m?b?c'* || $stderr == *'usage'* ]] || fail "$words: $stderr"
  done
}

@test "a table shows hostile names harmlessly, also in a pipe" {
  make_guest_with_hostile_name
  run -0 snapshot-meta list
  assert_harmless "$output"
  assert_contains "$output" '"x\u001b[2J\u009b2J\u202ey"'
}

@test "records escape every control character, and mean the same name" {
  make_guest_with_hostile_name
  run --separate-stderr -0 snapshot-meta list --json
  assert_harmless "$output"
  assert_equal "$(json .name)" "$name"
}

@test "values in a pipe are exact, on a terminal harmless" {
  require_cmd script
  make_guest_with_hostile_name
  run -0 snapshot-meta get a Name
  assert_equal "$output" "$name"
  on_terminal 'snapshot-meta get a Name'
  assert_equal "$output" 'x?[2J?2J?y'
  on_terminal 'snapshot-meta show a'
  assert_harmless "$output"
}

@test "holders shows a hostile command line harmlessly" {
  mkfifo fifo
  # shellcheck disable=SC2016 # expands there
  spawn template-lock a -- bash -c 'read -r -t 60 <>"$1"' _ fifo "$hostile"
  # shellcheck disable=SC2016 # expands there
  wait_until_held a
  run -0 template-lock holders a
  assert_harmless "$output"
  assert_contains "$output" 'a?[31m?31m?b?c'
}

@test "snapfork -v shows each call with hostile words quoted or harmless" {
  run --separate-stderr snapfork -v import a --state "$hostile" --memory m
  assert_harmless "$output$stderr"
}

@test "snapfork on a terminal lets a clone show its progress, and with -q does not" {
  require_cmd script
  local fixture
  fixture=$(realpath "$BATS_TEST_DIRNAME/../fixtures/plain")
  zstd -q -d --long=27 "$fixture/memory.zst" -o memory
  mkdir stand-ins
  printf '#!/bin/sh\necho "$*" >>%q\nexec %q "$@"\n' "$PWD/calls" "$(type -P reflink-clone)" >stand-ins/reflink-clone
  chmod +x stand-ins/reflink-clone
  PATH=$PWD/stand-ins:$PATH on_terminal "snapfork import a --state '$fixture/state' --memory memory"
  assert_contains "$output" "snapfork: 'a' is imported"
  refute_contains "$(<calls)" '--progress never'
  rm calls
  PATH=$PWD/stand-ins:$PATH on_terminal "snapfork -q import b --state '$fixture/state' --memory memory"
  # A warning, for example that ext4 cannot share blocks, is not an informational message.
  refute_contains "$(grep -v ': warning: ' <<<"$output")" ' '
  assert_equal "$(grep -cv -e '--progress never' calls)" 0
}
