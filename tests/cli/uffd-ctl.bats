#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Tests uffd-ctl: its verbs, the options of each, and its messages.
# shellcheck disable=SC2154,SC2030,SC2031 # run sets output and status; each test is a subshell of its own

load helpers
load uffd-serve_helpers

setup() { serve_setup; }
teardown() { common_teardown; }

@test "uffd-ctl: help, version, unknown options, closed streams" {
  standard_cases uffd-ctl
}

@test "uffd-serve ctl runs the uffd-ctl in the same directory" {
  run -0 uffd-serve ctl --version
  assert_equal "$output" "$(uffd-ctl --version)"
  run --separate-stderr -1 env PATH=/nowhere "$(type -P uffd-serve)" ctl --control none.sock health
  assert_contains "$stderr" 'uffd-ctl: '
  cp "$(type -P uffd-serve)" alone
  run --separate-stderr -5 ./alone ctl health
  assert_equal "$stderr" "uffd-serve: cannot run '$PWD/uffd-ctl': No such file or directory"
}

@test "uffd-ctl: create, sessions, session, close, health, stats and drain work" {
  serve_control
  assert_equal "$(stat -c %a c.sock)" 600
  assert_equal "$(stat -c %a s)" 700
  run -0 uffd-ctl create a=memory b=memory
  assert_equal "$output" "a"$'\t'"$PWD/s/a.sock"$'\n'"b"$'\t'"$PWD/s/b.sock"
  assert_equal "$(stat -c %a s/a.sock)" 600
  run -0 uffd-ctl sessions
  assert_equal "$output" "a"$'\t'"waiting"$'\t'"0"$'\n'"b"$'\t'"waiting"$'\t'"0"
  run -0 probe --socket s/a.sock
  wait_for_session_end a
  run -0 uffd-ctl sessions
  assert_equal "$output" "b"$'\t'"waiting"$'\t'"0"
  run -0 uffd-ctl session b
  assert_equal "$(json '.memory_path')" "$PWD/memory"
  run -0 uffd-ctl close a b b
  run -0 uffd-ctl health
  assert_equal "$(json '.active_sessions')" 0
  run -0 uffd-ctl stats
  (($(json '.faults') > 0)) || fail "no faults counted"
  run -0 uffd-ctl --json create c=memory
  assert_equal "$(json '.type + .uffd_socket_path')" "session$PWD/s/c.sock"
  run -0 uffd-ctl close c
  run -0 uffd-ctl drain
  wait_for_end "$server" 0
  [[ ! -e c.sock ]] || fail "the socket is left"
}

@test "uffd-ctl: reports no server, an unknown session, a refusal, bad operands" {
  run --separate-stderr -1 uffd-ctl --control none.sock health
  assert_contains "$stderr" "no server listens at 'none.sock'"
  run --separate-stderr -1 env SNAPFORK_PAGER="$PWD/none.sock" uffd-ctl health
  serve_memory # its socket is not an HTTP server
  run --separate-stderr -1 uffd-ctl --control s.sock health
  assert_contains "$stderr" "ended before it answered"
  serve_control
  run --separate-stderr -1 uffd-ctl session none
  assert_contains "$stderr" "session not found"
  run --separate-stderr -1 uffd-ctl create "a=absent"
  assert_contains "$stderr" "absent"
  run --separate-stderr -1 uffd-ctl create "a=."
  assert_contains "$stderr" "not a regular file"
  run --separate-stderr -2 uffd-ctl
  run --separate-stderr -2 uffd-ctl explode
  assert_contains "$stderr" "'explode'"
  run --separate-stderr -2 uffd-ctl close
  assert_contains "$stderr" "too few operands: 'close ID...' is needed"
  run --separate-stderr -2 uffd-ctl create memory
  run --separate-stderr -2 uffd-ctl create a=
  run --separate-stderr -2 uffd-ctl close "a/../b"
  run --separate-stderr -2 uffd-ctl create --trace t a=memory b=memory
  run --separate-stderr -2 uffd-ctl sessions operand
  run --separate-stderr -2 uffd-ctl close --hot hot a
  run -0 uffd-ctl sessions
  assert_equal "$output" ""
}

@test "uffd-ctl: each field of a request has an option" {
  serve_control
  run -0 uffd-ctl create --instance-id i-7 --cache-key k --on-failure kill a=memory
  run -0 uffd-ctl session a
  assert_equal "$(json '.instance_id + " " + .cache_key')" "i-7 k"
  run -0 uffd-ctl create b=memory
  run -0 uffd-ctl session b
  assert_equal "$(json '.instance_id + " " + .cache_key')" "b "
  local option
  for option in --hot=x --trace=x --window=4 --lazy --on-failure=kill --peer-uid=0 --cache-key=k --instance-id=i; do
    run --separate-stderr -2 uffd-ctl complete "$option" a
    assert_contains "$stderr" "${option%%=*} applies only to create"
  done
  for option in --rate=4 --no-wait; do
    run --separate-stderr -2 uffd-ctl create "$option" a=memory
    assert_contains "$stderr" "${option%%=*} applies only to complete"
  done
  for option in --rate=0 --rate=-1 --rate=fast; do
    run --separate-stderr -2 uffd-ctl complete "$option" a
    assert_contains "$stderr" "--rate"
  done
}

@test "uffd-ctl create: hot list, trace and memory may be relative paths" {
  mkdir there
  hot_list 0 1 2 3 >there/hot
  serve_control
  run -0 env -C there uffd-ctl create --hot hot --trace trace a=../memory
  printf '%s\n' 0 1 9 >touched
  run -0 probe --socket s/a.sock --pattern trace:touched
  wait_until 5 grep -qx 9 there/trace
  (($(faults_of_probe) >= 1)) || fail "nothing was served on demand"
}

@test "uffd-ctl: distinguishes no server from a server that does not answer" {
  export SNAPFORK_PAGER=$PWD/c.sock
  run --separate-stderr -1 uffd-ctl health
  assert_contains "$stderr" "no server listens at"
  serve_control
  kill -STOP "$server"
  run --separate-stderr -5 uffd-ctl --timeout 0.2 health
  assert_contains "$stderr" "does not answer within 200 ms; it is running"
  kill -CONT "$server"
  run -0 uffd-ctl -t 20 health
}
