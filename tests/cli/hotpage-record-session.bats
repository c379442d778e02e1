#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# hotpage-record with a running page server: the trace of a session, marks, and the drift from a list.
# shellcheck disable=SC2154,SC2034 # output, stderr and lines are set by run

setup() {
  load helpers
  load uffd-serve_helpers
  serve_setup
}
teardown() { common_teardown; }

entries() { hotpage-record stat --json "$1" | jq .entries; }

@test "record --session: the trace of a session up to a mark, while the guest is served" {
  serve_control
  uffd-ctl create --trace trace a=memory
  hold_vmm s/a.sock --pages 60 --seed 3
  run --separate-stderr -0 uffd-ctl mark a ready
  run --separate-stderr -0 timeout 30 hotpage-record record --session a --mark ready -o list.hpl2
  assert_equal "$(entries list.hpl2)" "$(grep -vc '^#' trace)"
  (($(entries list.hpl2) >= 50))
  grep -q '^# mark ready$' trace
  release_vmm
}

@test "record --session: without a trace, one is begun, has the pages that are installed, and is removed" {
  serve_control
  uffd-ctl create --lazy a=memory
  hold_vmm s/a.sock --pages 60 --seed 3
  assert_equal "$(uffd-ctl session a | jq .trace_path)" null
  run --separate-stderr -0 timeout 30 hotpage-record record --session a --seconds 0.2 -o list.hpl2
  (($(entries list.hpl2) >= 50)) || fail "$(entries list.hpl2) pages"
  no_trace() { [[ $(uffd-ctl session a | jq .trace_path) == null && -z $(find . -name 'hotpage-record.*') ]]; }
  wait_until 10 no_trace
  run --separate-stderr -0 timeout 30 hotpage-record record --session a --seconds 0.1 -o list.hpl2
  release_vmm
}

@test "record --session ends with its session, and refuses one that does not exist" {
  serve_control
  uffd-ctl create --trace trace a=memory
  hold_vmm s/a.sock --pages 20
  spawn_to recorder hotpage-record record --session a -o list.hpl2
  reads_trace() { readlink "/proc/$spawned_pid/fd/"* | grep -q '/trace$'; }
  wait_until 20 reads_trace
  release_vmm
  wait_for_end "$spawned_pid" 0
  assert_equal "$(entries list.hpl2)" "$(grep -vc '^#' trace)"
  run --separate-stderr -1 hotpage-record record --session b -o other
  run --separate-stderr -1 hotpage-record record --control nothing.sock --session a -o other
}

# Starts a recorder of session a that ends with the trace; returns when it reads the trace.
start_recorder() {
  spawn_to recorder hotpage-record record --session a -o list.hpl2
  recorder=$spawned_pid
  begun() { compgen -G 'hotpage-record.*.trace' >/dev/null && readlink "/proc/$recorder/fd/"* | grep -q '/hotpage-record'; }
  wait_until 20 begun
}
is_not_traced() { [[ $(uffd-ctl session a | jq .trace_path) == null && -z $(find . -name 'hotpage-record.*') ]]; }

@test "record --session: an interrupted recorder ends its trace, and the next one ends that of a killed one" {
  serve_control
  uffd-ctl create --lazy a=memory
  hold_vmm s/a.sock --pages 60 --seed 3
  start_recorder
  kill -TERM "$recorder"
  wait_for_end "$recorder" 143
  wait_until 10 is_not_traced
  [[ ! -e list.hpl2 ]]
  start_recorder
  kill -KILL "$recorder"
  wait_for_end "$recorder" 137
  compgen -G 'hotpage-record.*.trace'
  run --separate-stderr -0 timeout 30 hotpage-record record --session a --seconds 0.1 -o list.hpl2
  (($(entries list.hpl2) >= 50))
  wait_until 10 is_not_traced
  release_vmm
}

@test "record --session: a second recorder leaves the trace to the first one, and both end when it ends" {
  serve_control
  uffd-ctl create --lazy a=memory
  hold_vmm s/a.sock --pages 60 --seed 3
  start_recorder
  run --separate-stderr -0 timeout 30 hotpage-record record --session a --seconds 0.1 -o second.hpl2
  compgen -G 'hotpage-record.*.trace'
  uffd-ctl trace a
  wait_for_end "$recorder" 0
  assert_equal "$(entries list.hpl2)" "$(entries second.hpl2)"
  wait_until 10 is_not_traced
  run --separate-stderr -2 hotpage-record record --session 'a/close' -o list.hpl2
  assert_contains "$stderr" "bad session id 'a/close'"
  run --separate-stderr -2 hotpage-record stat --session ''
  release_vmm
}

@test "mark and trace: refused without a trace, with two, with a wrong name, and for an unknown session" {
  serve_control
  uffd-ctl create a=memory
  ask_for 409 POST /sessions/a/mark '{"name":"x"}'
  hold_vmm s/a.sock --pages 5
  ask_for 404 POST /sessions/b/mark '{"name":"x"}'
  ask_for 409 POST /sessions/a/mark '{"name":"x"}'
  ask_for 409 POST /sessions/a/trace
  ask_for 400 POST /sessions/a/mark '{"name":"a b"}'
  ask_for 400 POST /sessions/a/trace '{"trace_path":"-"}'
  uffd-ctl trace a first
  ask_for 409 POST /sessions/a/trace "{\"trace_path\":\"$PWD/second\"}"
  uffd-ctl mark a x
  uffd-ctl trace a
  wait_until 10 grep -q '^# mark x$' first
  ask_for 409 POST /sessions/a/mark '{"name":"x"}'
  release_vmm
}

@test "stat and check --session: the drift of a guest from its list, also in GET /sessions and the metrics" {
  seq 0 39 | sed '1i # snapfork-trace 2 page_size=4096 memory_bytes=8388608 regions=0+8388608' \
    | hotpage-record record --format hpl2 -o list.hpl2
  serve_control
  uffd-ctl create --lazy --hot list.hpl2 a=memory
  uffd-ctl create b=memory
  seq 100 109 >touched
  hold_vmm s/a.sock --pattern trace:touched
  run -0 hotpage-record stat --session a
  assert_contains "$output" 'faults outside: 10'
  assert_contains "$output" 'drift: 20 %'
  run -0 hotpage-record check --session a --max-drift 20
  run --separate-stderr -1 hotpage-record check --session a --max-drift 19
  assert_contains "$stderr" 'record it again'
  run -1 --separate-stderr hotpage-record check --json --session a
  assert_equal "$(json '[.type, .ok, .hot_list.drift_percent] | @csv')" '"hot_list_check",false,20'
  assert_equal "$(uffd-ctl --json sessions | jq -c 'select(.session_id == "a").hot_list.drift_percent')" 20
  uffd-ctl metrics | grep -qx 'uffd_serve_hot_list_drift_percent_max 20'
  run --separate-stderr -1 hotpage-record check --session b
  assert_contains "$stderr" 'it has no hot list'
  release_vmm
}
