#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Tests that output files that block delay neither a guest nor a request.
# shellcheck disable=SC2154,SC2030,SC2031 # run sets output and status; each test is a subshell

load helpers
load uffd-serve_helpers

setup() { serve_setup; }
teardown() { common_teardown; }

# Starts a server with these streams; returns when it serves.
serve_with() { # <redirections> <option>...
  local redirections=$1
  shift
  rm -f ready
  mkfifo ready
  # shellcheck disable=SC2016 # expanded by the inner shell
  spawn_to server.log bash -c 'exec uffd-serve --ready-fd 9 "$@" 9>ready '"$redirections" _ "$@"
  server=$spawned_pid
  read -r <ready || fail "the server did not start: $(<server.log)"
}

# Creates a pipe that is full (64 KiB) and is not read.
make_full_pipe() {
  mkfifo "$1"
  exec 7<>"$1"
  head -c 65536 /dev/zero >&7
}

@test "an unread standard error blocks no guest, and dropped lines are counted" {
  local sessions
  make_full_pipe log
  export SNAPFORK_PAGER=$PWD/c.sock
  serve_with '2>log' -v --control c.sock
  mapfile -t sessions < <(yes vm=memory | head -n 4000)
  timeout 120 uffd-ctl create "${sessions[@]}" >/dev/null || fail 'a request hangs'
  timeout 60 uffd-ctl health || fail 'a request hangs'
  run -0 probe --socket s/vm.sock --deadline 20
  cat <&7 >said 3>&- 4>&- &
  reader=$!
  spawned+=("$reader")
  # The queue has space again: the next line reports the dropped ones.
  more_is_said() { uffd-ctl create vm=memory >/dev/null && grep -qaE 'warning: [0-9]+ lines were dropped' said; }
  wait_until 10 more_is_said
  kill "$reader"
}

@test "SIGTERM ends a server whose standard error is not read" {
  make_full_pipe log
  serve_with '2>log' -v --mem memory --socket s.sock
  run -0 probe --socket s.sock --deadline 20
  kill "$server"
  wait_for_end "$server" 0
}

@test "a log file has timestamps; standard error that is a pipe has none" {
  local line
  serve_control -v
  uffd-ctl create vm=memory
  wait_until 10 grep -q 'waiting for its VMM' server.log
  while read -r line; do
    [[ $line =~ ^20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{3}Z\ uffd-serve:\  ]] || fail "no time: $line"
  done <server.log
  kill "$server"
  wait_for_end "$server" 0
  # shellcheck disable=SC2016 # expanded by the inner shell
  serve_with '2> >(cat >piped)' -v --control c.sock
  uffd-ctl create vm=memory
  wait_until 10 grep -q '^uffd-serve: .*waiting for its VMM' piped
}

@test "a trace into an unread pipe ends with a warning, and the guest gets every page" {
  make_full_pipe stuck
  serve_with '1>stuck' --mem memory --socket s.sock --trace - --once
  run -0 probe --socket s.sock --deadline 20
  wait_for_end "$server" 0
  assert_logged 'trace on standard output ends: '
}

@test "a trace on a full disk ends with a warning, and the guest is still served" {
  serve_with '1>/dev/full' --mem memory --socket s.sock --trace - --once
  run -0 probe --socket s.sock
  wait_for_end "$server" 0
  assert_logged 'trace on standard output ends: '
  assert_logged 'No space left'
}

@test "a trace path that is a fifo, link, device or directory is refused and left unchanged" {
  local trace
  mkfifo fifo
  mkdir directory
  echo precious >victim
  ln -s victim link
  serve_control
  for trace in fifo link directory /dev/null /dev/full; do
    run -1 --separate-stderr uffd-ctl create --trace "$trace" "vm=memory"
    assert_contains "$stderr" 'refused the request (400)'
    run -4 --separate-stderr uffd-serve --mem memory --socket s.sock --trace "$trace"
    assert_contains "$stderr" "$trace'"
  done
  assert_equal "$(uffd-ctl sessions)" ''
  [[ ! -e s.sock ]] || fail 'the server listens'
  # A fifo that gets the name later ends the trace, and blocks no thread.
  uffd-ctl create --trace late vm=memory
  mkfifo late
  run -0 probe --socket s/vm.sock --deadline 20
  wait_until 10 grep -q "trace '$PWD/late' ends: .*not a regular file" server.log
  [[ -p late ]] || fail 'the fifo was replaced'
  assert_equal "$(<victim)" precious
  assert_equal "$(find . -name '*.snapfork-tmp')" ''
}

@test "an older trace is not truncated, by a refused command or under the session that writes it" {
  echo precious >trace
  serve_memory
  run -1 --separate-stderr uffd-serve --mem memory --socket s.sock --trace trace
  assert_equal "$(<trace)" precious
  kill "$server"
  wait_for_end "$server" 0
  serve_control
  uffd-ctl create --trace trace vm=memory
  assert_equal "$(<trace)" precious
  hold_vmm s/vm.sock --pattern seq --pages 100
  wait_until 10 grep -qx 99 trace
  uffd-ctl create --replace --trace trace vm=memory # the id and the trace of a guest that lives
  assert_equal "$(grep -cx '[0-9]*' trace)" 100
  run -0 probe --socket s/vm.sock --pattern seq --pages 5
  wait_until 10 grep -qx 4 trace
  release_vmm
  wait_for_end "$vmm" 0
  wait_until 10 serves_nobody
  hotpage-record record trace >/dev/null || fail 'holes in the trace' "$(od -c trace | head)"
  assert_equal "$(grep -cx '[0-9]*' trace)" 5
}
