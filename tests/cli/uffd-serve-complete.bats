#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Tests completions, and hot lists for a running guest.
# shellcheck disable=SC2154,SC2030,SC2031 # run sets output and status; each test is a subshell of its own

load helpers
load uffd-serve_helpers

setup() {
  serve_setup
  require_userfaultfd
  head -c 8M /dev/urandom >memory
  chmod 400 memory
}
teardown() { common_teardown; }

# Starts a service with the session "a", and a VMM that has touched some pages and still runs.
hold_session() { # <probe option>...
  serve_control
  uffd-ctl create a=memory >/dev/null
  hold_vmm s/a.sock "$@"
}

session_is_gone() {
  ! uffd-ctl session a >/dev/null 2>&1
}

session_says() { # <jq condition>
  uffd-ctl session a | jq -e "$1" >/dev/null
}

@test "complete: the guest has all of its memory and no longer needs a server" {
  hold_session --pages 100
  run -0 uffd-ctl complete a
  run uffd-ctl complete a # no error while the session exists
  ((status == 0)) || assert_contains "$output" "session not found"
  wait_until 10 session_is_gone
  kill -KILL "$server"
  wait_until 10 is_gone "$server"
  # All 2048 pages of the probe's memory are present, according to the kernel.
  local probe_pid
  probe_pid=$(pgrep -P "$vmm" || echo "$vmm")
  (($(awk '/^Rss:/ { sum += $2 } END { print sum }' /proc/"${probe_pid%%$'\n'*}"/smaps) >= 8192)) \
    || fail "some pages are missing"
  assert_equal "$(grep -c ' um ' /proc/"${probe_pid%%$'\n'*}"/smaps || true)" 0
  release_vmm
  wait_until 20 is_gone "$vmm"
}

@test "complete: reads the pagemap without pagemap-scan" {
  serve_control --without pagemap-scan
  uffd-ctl create a=memory >/dev/null
  hold_vmm s/a.sock --pages 100 --balloon 1 --write 20
  run -0 uffd-ctl complete a
  kill -KILL "$server"
  release_vmm
  wait_until 20 is_gone "$vmm"
  wait "$vmm" || fail "$(<vmm.log)"
}

@test "complete: under faults, writes and a balloon no page is wrong or stale" {
  serve_control
  local round
  for round in 1 2 3; do
    uffd-ctl create a=memory >/dev/null
    spawn_to vmm.log uffd-probe --mem memory --socket s/a.sock --jobs 4 --write 20 --balloon 4 --seed "$round" --json
    vmm=$spawned_pid
    # The VMM may end at any time. Then there is nothing to complete.
    connected() { uffd-ctl session a 2>/dev/null | grep -q '"serving"' || is_gone "$vmm"; }
    wait_until 10 connected
    run uffd-ctl complete a
    ((status == 0)) || assert_contains "$output" "session"
    wait_until 30 is_gone "$vmm"
    wait "$vmm" || fail "$(<vmm.log)"
  done
}

@test "complete: refused without a VMM, for an unknown session, with a bad body" {
  serve_control
  uffd-ctl create a=memory >/dev/null
  run -1 uffd-ctl complete b
  assert_contains "$output" "session not found"
  run -1 uffd-ctl complete a
  assert_contains "$output" "no VMM is connected"
  run -1 uffd-ctl prefetch a
  assert_contains "$output" "no VMM is connected"
  local body
  for body in '[]' '{"bytes_per_second":"fast"}' '{"bytes_per_second":-1}' '{"wait":1}'; do
    ask_for 400 POST /sessions/a/complete "$body"
  done
}

@test "complete: is limited by --rate, and can be paused and continued" {
  hold_session --pages 10
  run -0 uffd-ctl complete --no-wait --rate 65536 a
  session_says '.completion == {state: "running", bytes_per_second: 65536, waited: false, why: ""}'
  run -0 uffd-ctl pause-prefetch a
  wait_until 10 session_says '.completion.state == "paused" and .pages.copied < 2048'
  run -0 uffd-ctl prefetch a
  wait_until 10 session_says '.completion.state == "running"'
  spawn_to client.log uffd-ctl complete --rate 65536 a
  local client=$spawned_pid
  wait_until 10 session_says '.completion.waited'
  run -0 uffd-ctl pause-prefetch a
  wait_for_end "$client" 1
  assert_contains "$(<client.log)" "the completion is paused"
  run -0 uffd-ctl complete a
  release_vmm
  wait_until 20 is_gone "$vmm"
}

@test "complete: refused while another client waits; continues when that client leaves" {
  hold_session --pages 10
  spawn_to client.log uffd-ctl complete --rate 65536 a
  local client=$spawned_pid copied
  wait_until 10 session_says '.completion | .state == "running" and .waited'
  run -1 uffd-ctl complete a
  assert_contains "$output" "completion already in progress"
  run -1 uffd-ctl complete --no-wait a
  assert_contains "$output" "completion already in progress"
  kill -KILL "$client"
  wait_until 10 session_says '.completion | .state == "running" and (.waited | not)'
  copied=$(uffd-ctl session a | jq .pages.copied)
  ((copied < 2048)) || fail "the completion was done before its client left"
  wait_until 10 session_says ".pages.copied > $copied"
  run -0 uffd-ctl complete a # as fast as it can
  wait_until 10 session_is_gone
  kill -KILL "$server"
  release_vmm
  wait_until 20 is_gone "$vmm"
  wait "$vmm" || fail "$(<vmm.log)"
}

@test "complete: a waiting client gets an error when the VMM ends" {
  hold_session --pages 10
  spawn_to client.log uffd-ctl complete --rate 4096 a
  local client=$spawned_pid
  wait_until 10 session_says '.completion.waited'
  kill -KILL "$vmm"
  wait_for_end "$client" 1
  assert_contains "$(<client.log)" "session closed before completion"
}

@test "prefetch: installs a hot list in a running guest" {
  local page
  {
    echo "# snapfork-trace 1 page_size=4096 memory_bytes=8388608 regions=0+8388608"
    for ((page = 0; page < 2000; page += 2)); do
      echo "$page"
    done
  } >trace
  hotpage-record record trace >hot
  hold_session --pages 1
  run -0 uffd-ctl prefetch a hot
  wait_until 10 session_says ".pages.prefetched >= 999"
  echo nonsense >bad
  run -1 uffd-ctl prefetch a bad
  assert_contains "$output" "bad"
  release_vmm
  wait_until 20 is_gone "$vmm"
}

@test "prefetch: a fifth hot list while four are being installed is refused with 409" {
  require_cmd strace
  serve_control
  uffd-ctl create a=memory
  hold_vmm s/a.sock --pages 1
  seq 0 700 | sed '1i # snapfork-trace 1 page_size=4096 memory_bytes=8388608 regions=0+8388608' >trace
  hotpage-record record trace >hot
  # Each installing call takes a second.
  spawn_to calls strace -f -p "$server" -e trace=ioctl -e inject=ioctl:delay_enter=1000000
  wait_until 10 grep -q attached calls
  for _ in 1 2 3 4; do uffd-ctl prefetch a hot; done
  run -1 --separate-stderr uffd-ctl prefetch a hot
  assert_contains "$stderr" '(409)'
  assert_contains "$stderr" '4 hot lists of the session are being installed'
  kill "$spawned_pid"
  wait_until 20 bash -c 'uffd-ctl prefetch a hot'
  release_vmm
}
