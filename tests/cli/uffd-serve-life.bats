#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Tests the lifetime of sessions: when resources are freed, and which users may connect.
# shellcheck disable=SC2154,SC2030,SC2031 # run sets output and status; each test is a subshell of its own

load helpers
load uffd-serve_helpers

setup() { serve_setup; }
teardown() { common_teardown; }

# Prints the private memory of the server, in KiB.
private_kib() { awk '/^Private_Dirty/ {print $2}' "/proc/$server/smaps_rollup"; }

# Creates a session, kills its VMM halfway, and waits for the end of the session.
kill_one_vmm() { # <id>
  uffd-ctl create "$1=memory" >/dev/null
  run uffd-probe --mem memory --socket "s/$1.sock" --kill-after 100
  wait_for_session_end "$1"
}

@test "50 killed VMMs leave no session, thread, descriptor, file or memory" {
  require_userfaultfd
  require_plain_build
  serve_control
  local i
  for i in {1..5}; do kill_one_vmm "w$i"; done
  wait_until 5 serves_nobody
  local descriptors_before threads_before kib_before
  descriptors_before=$(descriptors) threads_before=$(threads) kib_before=$(private_kib)
  for i in {1..50}; do kill_one_vmm "v$i"; done
  wait_until 5 is_back_to "$descriptors_before" "$threads_before"
  run -0 uffd-ctl sessions
  assert_equal "$output" ""
  assert_equal "$(ls s)" ""
  # The buffers of 50 sessions would be 12 MiB.
  (($(private_kib) < kib_before + 1024)) || fail "$(($(private_kib) - kib_before)) KiB are kept"
}

@test "the end of a VMM is an event; the wait for it has no timeout" {
  require_userfaultfd
  require_cmd strace
  serve_control
  uffd-ctl create a=memory
  hold_vmm "$PWD/s/a.sock" --pages 50
  local thread vmm_pid
  read -r vmm_pid _ <s/a.vmm
  for thread in "/proc/$server/task/"*; do
    [[ $(<"$thread/comm") != "vm a" ]] || break
  done
  spawn_to trace strace -p "${thread##*/}" -e trace=epoll_wait,epoll_pwait2,read,ioctl
  wait_until 10 grep -q epoll_wait trace
  kill -KILL "$vmm_pid"
  wait_for_session_end a
  wait_until 10 grep -q exited trace
  # The pidfd ends the wait without a timeout. The server then checks the memory, which no longer exists.
  grep epoll_wait trace | head -n 1 | grep -Eq ', 4, -1\) += [12]$' || fail "$(<trace)"
  grep -Eq 'ioctl.*ESRCH' trace || fail "$(<trace)"
}

@test "a session uses at most 256 KiB and 2 bits per page" {
  require_userfaultfd
  require_plain_build
  serve_control
  local i ids=() sockets=()
  for i in {1..32}; do
    ids+=("m$i=memory")
    sockets+=(--socket "$PWD/s/m$i.sock")
  done
  serve_one_guest
  local before after
  before=$(private_kib)
  run -0 uffd-ctl create "${ids[@]}"
  rm -f hold && mkfifo hold
  spawn_to hold tail -f /dev/null
  # shellcheck disable=SC2016 # expanded by the inner shell
  spawn_to vmm.log bash -c 'exec uffd-probe --mem memory --hold "$@" <hold' _ "${sockets[@]}"
  wait_until 20 grep -q ready vmm.log
  after=$(private_kib)
  # 2048 pages need half a KiB of bitmaps.
  (((after - before) <= 32 * 257)) || fail "$(((after - before) / 32)) KiB a session"
}

@test "a silent client is refused after --handshake-timeout, and its VMM can still connect" {
  require_userfaultfd
  serve_control --handshake-timeout 0.9
  uffd-ctl create a=memory
  run -0 uffd-probe --mem memory --socket s/a.sock --misbehave silent
  assert_logged "no complete handshake within 900 ms"
  run -0 probe --socket s/a.sock --pages 10
}

@test "--connect-timeout: a session without a VMM is closed and named; the default waits" {
  serve_control --connect-timeout 0.2 --exit-when-idle
  uffd-ctl create lonely=memory >/dev/null
  wait_for_end "$server" 0
  assert_logged "session 'lonely': closed: no VMM connected within 200 ms"
  [[ ! -e s/lonely.sock ]] || fail "the socket is left"
  local option
  for option in --connect-timeout=soon --connect-timeout=-1; do
    run --separate-stderr -2 uffd-serve --control c.sock "$option"
    assert_contains "$stderr" "--connect-timeout"
  done
  run --separate-stderr -2 uffd-serve --mem memory --socket s.sock --connect-timeout 1
  assert_contains "$stderr" "--connect-timeout needs --control"
}

@test "peer_uid: that user is served through a link in its jail, and cannot read the directory" {
  require_root
  require_cmd setpriv curl
  chmod 755 . "$BATS_RUN_TMPDIR" "$BATS_TEST_TMPDIR"
  serve_control
  run -0 uffd-ctl create --peer-uid 12345 a=memory
  assert_equal "$(stat -c '%u %a' s/a.sock)" "12345 600"
  assert_equal "$(stat -c %a s)" 700
  mkdir -m 755 jail
  ln s/a.sock jail/a.sock
  chmod 644 memory
  # A connection is enough to test this: the server sends nothing, and closes those of other users.
  as() { setpriv --reuid "$1" --clear-groups curl -s -m 20 -o /dev/null --unix-socket jail/a.sock http://x/; }
  run as 12346
  ((status == 7)) || fail "a third user could connect: $status"
  run as 12345
  ((status != 7)) || fail "the user cannot connect"
  run -0 env SNAPFORK_PAGER="$PWD/c.sock" uffd-ctl session a
  assert_equal "$(json .state)" waiting
}

@test "the control socket answers only root and the server's user" {
  require_root
  require_cmd setpriv curl
  chmod 755 . "$BATS_RUN_TMPDIR" "$BATS_TEST_TMPDIR"
  serve_control
  run setpriv --reuid 12345 --clear-groups curl -s -m 20 --unix-socket c.sock http://x/health
  ((status == 7)) || fail "another user could connect"
  chmod 666 c.sock # now any user can connect
  run -0 setpriv --reuid 12345 --clear-groups curl -s -m 20 --unix-socket c.sock http://x/health
  assert_contains "$output" "only root and the server's user may use this socket"
  run -0 setpriv --reuid 12345 --clear-groups curl -s -m 20 -X POST --unix-socket c.sock http://x/drain
  assert_contains "$output" "only root and the server's user may use this socket"
  run -0 uffd-ctl health
  assert_equal "$(json .draining)" false
}

@test "a directory s of another user is refused; too wide a mode is set to 0700" {
  require_root
  mkdir -m 777 s
  serve_control
  assert_equal "$(stat -c %a s)" 700
  kill "$server"
  wait_for_end "$server" 0
  chown 12345 s
  run --separate-stderr -1 uffd-serve --control c.sock
  assert_contains "$stderr" "belongs to user 12345"
}

@test "4 clients create, close, replace and kill sessions at once; no guest gets wrong bytes or hangs" {
  require_userfaultfd
  serve_control -q
  serve_one_guest
  local before threads_before
  before=$(descriptors) threads_before=$(threads)
  run -0 "$HELPERS/session-storm" --control c.sock --make storm-memory --clients 4 --sessions 1000
  assert_equal "$output" '{"type":"storm","v":1,"sessions":1000,"wrong":0,"hung":0,"broken":0}'
  wait_until 5 is_back_to "$before" "$threads_before"
  run -0 uffd-ctl sessions
  assert_equal "$output" ""
  assert_equal "$(<server.log)" ""
}

@test "close while a guest is served: it reads every page correctly, then its session ends" {
  require_userfaultfd
  serve_control --window 1
  uffd-ctl create a=memory
  spawn_to probe.log uffd-probe --mem memory --json --socket s/a.sock --jobs 2 --overlap
  local vmm=$spawned_pid
  wait_until 10 test -e s/a.vmm
  uffd-ctl close a
  wait_until 20 is_gone "$vmm"
  wait "$vmm"
  assert_equal "$(jq -s '.[1].wrong_pages' probe.log)" 0
  wait_for_session_end a
}

@test "SIGTERM removes sockets and the pid file" {
  serve --data-dir data --version-key 1
  local api=$PWD/data/uffd/1
  uffd-ctl --control "$api/control.sock" create --cache-key k a=memory
  kill -TERM "$server"
  wait_for_end "$server" 0
  assert_equal "$(find data ! -type d -printf '%f\n')" control.sock.lock
}
