#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# If the last step of a fork fails half way, each fork that exists has a record, or is undone.
# shellcheck disable=SC2154 # stderr is set by run

load helpers

setup() {
  require_root
  require_cmd strace
  make_store xfs
  make_template
}

teardown() {
  drop_store
}

# Uses strace for the calls of fork-publish only.
inject() { # <syscall> <what> <arguments of snapfork...>
  local bin=$BATS_TEST_TMPDIR/bin real
  real=$(type -P snapshot-meta)
  mkdir -p "$bin"
  cat >"$bin/snapshot-meta" <<STAND_IN
#!/bin/bash
[[ \$1 == fork-publish ]] || exec "$real" "\$@"
exec strace -f -qq -o /dev/null -e trace=$1 -e inject=$1:$2 -- "$real" "\$@"
STAND_IN
  chmod +x "$bin/snapshot-meta"
  PATH=$bin:$PATH run --separate-stderr snapfork -q "${@:3}"
}

assert_records_are_the_forks() {
  assert_equal "$(jq -r .id <<<"$output" | sort)" "$(snapshot-meta forks base)"
  assert_equal "$(find "$SNAPFORK_ROOT"/.snapfork/{tmp,trash} -mindepth 1)" ''
}

# On XFS, a publish of three forks writes five files without a flush, and flushes seven times: the last file, the clones, the
# index, guests/ and tmp/.
@test "fork-publish that fails at each flush leaves no unreported fork, and never succeeds without one" {
  local n back_end call
  for back_end in file uffd; do
    for ((n = 1; n <= 12; n++)); do
      call=fsync:when=$n
      ((n <= 7)) || call=sync_file_range:when=$((n - 7))
      inject "${call%%:*}" "error=EIO:${call#*:}" fork --backend "$back_end" -n 3 base
      ((status == 5)) || fail "status $status at $call"
      assert_equal "$output" ''
      assert_records_are_the_forks
      inject "${call%%:*}" "error=EIO:${call#*:}" fork --backend "$back_end" -n 3 --keep-going base
      ((status == 5)) || fail "status $status at $call with --keep-going"
      assert_records_are_the_forks
      # shellcheck disable=SC2046 # ids
      [[ -z $output ]] || snapfork -q delete $(snapshot-meta forks base)
    done
  done
}

@test "fork-publish killed at each rename and after it leaves no fork and no session, status 5" {
  local n call
  for call in renameat2 fsync sync_file_range; do
    for n in 1 2 3 6 7; do
      inject "$call" "signal=KILL:when=$n" fork -n 3 base
      [[ $status == 0 && $call != fsync && $n -gt 3 ]] || {
        ((status == 5)) || fail "status $status at $call $n"
        assert_equal "$output" ''
        assert_contains "$stderr" 'was killed by signal 9'
      }
      assert_records_are_the_forks
      # shellcheck disable=SC2046 # ids
      [[ -z $output ]] || snapfork -q delete $(snapshot-meta forks base)
      assert_equal "$(uffd-ctl sessions 2>/dev/null || true)" ''
    done
  done
}

@test "fork whose clone disappears is refused with a message, and prints no empty line" {
  local bin=$BATS_TEST_TMPDIR/bin
  mkdir -p "$bin"
  cat >"$bin/reflink-clone" <<STAND_IN
#!/bin/bash
"$(type -P reflink-clone)" "\$@" && rm -rf "$SNAPFORK_ROOT/.snapfork/tmp/fork.f"
STAND_IN
  chmod +x "$bin/reflink-clone"
  PATH=$bin:$PATH run -1 --separate-stderr snapfork -q fork --backend file base f
  assert_equal "$output" ''
  assert_contains "$stderr" "cannot publish fork 'f'"
  assert_records_are_the_forks
}

@test "fork whose record cannot be written leaves no fork" {
  run -5 --separate-stderr bash -c 'exec snapfork -q fork --backend file -n 3 base >/dev/full'
  assert_contains "$stderr" "cannot write 'standard output'"
  assert_equal "$(snapshot-meta forks base)" ''
}

@test "snapshot-meta fork-publish itself names the forks whose records it cannot write" {
  snapshot-meta fork-begin base f >/dev/null
  reflink-clone --profile vm --memory=link "$SNAPFORK_ROOT/guests/base" "$SNAPFORK_ROOT/.snapfork/tmp/fork.f" >/dev/null
  run -5 --separate-stderr bash -c 'exec snapshot-meta fork-publish base f --backend file >/dev/full'
  assert_contains "$stderr" "fork 'f' exists, but its record cannot be written"
}
