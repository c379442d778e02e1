#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Three rules of the programs that the driver repeats, because asking a program for each would cost a fork a millisecond.
# shellcheck disable=SC2154 # output, stderr and status are set by run

load helpers

setup() {
  common_setup
  mkdir -p "$SNAPFORK_ROOT/guests"
}
teardown() { common_teardown; }

@test "the driver accepts the ids that snapshot-meta accepts" {
  local id long
  printf -v long 'x%.0s' {1..64}
  for id in a A 0 a.b a_b a-b a..b a- "$long" "${long}x" '' . .. .a -a _a 'a b' a/b a+ ä 'a*' $'a\n' a@b; do
    run snapshot-meta state -- "$id"
    local expected=$status
    ((expected == 1 || expected == 2)) || fail "snapshot-meta state '$id': $expected"
    run snapfork promote -- "$id"
    ((status == expected)) || fail "'$id': snapshot-meta $expected, snapfork $status" "$output"
  done
}

@test "the driver looks for the page server where uffd-ctl does" {
  local call path
  as_user() { env -u SNAPFORK_PAGER -u XDG_RUNTIME_DIR "$@"; }
  for call in SNAPFORK_PAGER="$PWD/own.sock" SNAPFORK_PAGER=relative.sock XDG_RUNTIME_DIR="$PWD/run"; do
    if [[ $call == XDG* ]]; then # root has a directory of its own
      ((EUID == 0)) || continue
      as_user() { setpriv --reuid 12345 --clear-groups env -u SNAPFORK_PAGER "$@"; }
      chmod 755 . "$BATS_RUN_TMPDIR" "$BATS_TEST_TMPDIR"
      mkdir -p run/snapfork
    fi
    run -1 --separate-stderr as_user "$call" uffd-ctl health
    path=${stderr#*listens at \'}
    path=${path%%\'*}
    [[ $path == /* ]] || path=$PWD/$path
    run --separate-stderr as_user "$call" snapfork status
    assert_contains "$output" "at $path;"
  done
}

@test "the driver names exit statuses as the programs do" {
  run -2 --separate-stderr snapshot-meta state --json /
  local name
  name=$(json .code)
  run -2 --separate-stderr snapfork --json promote /
  assert_equal "$(json .code)" "$name"
  run -1 --separate-stderr snapshot-meta state --json absent
  name=$(json .code)
  run -1 --separate-stderr snapfork --json promote absent
  assert_equal "$(json .code)" "$name"
}
