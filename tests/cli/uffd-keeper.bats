#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# uffd-keeper: page servers die, and their guests notice nothing.
# shellcheck disable=SC2154,SC2030,SC2031 # run sets output and status; each test is a subshell of its own

load helpers
load uffd-serve_helpers
load ../keeper

setup() { serve_setup; }
teardown() { keeper_teardown; }

@test "uffd-keeper: options are checked, and the exit status is that of the server" {
  run -2 uffd-keeper
  assert_contains "$output" "the options of uffd-serve are needed, after '--'"
  run -2 uffd-keeper -- --control
  run -2 uffd-serve --keep --nonsense
  run -4 uffd-keeper -- --mem /dev/null --socket s.sock
  run -5 uffd-keeper --server /nonexistent -- --mem memory --socket s.sock
  assert_contains "$output" "cannot open '/nonexistent'"
  run -5 uffd-serve --keep --control missing/c.sock
  assert_contains "$output" "no directory"
}

@test "uffd-keeper: a second server in the same directory is refused, with its exit status" {
  serve_control --keep
  run -1 uffd-serve --keep --control c.sock
  assert_contains "$output" 'another server uses it'
}

@test "uffd-keeper: SIGTERM ends server and keeper, and leaves no socket and no state" {
  serve_control --keep
  local pid
  pid=$(serving_pid)
  wait_for_successor
  kill -TERM "$server"
  wait_for_end "$server" 0
  [[ ! -e /proc/$pid && ! -e c.sock ]]
  run -0 find s -mindepth 1
  assert_equal "$output" ''
}

@test "uffd-keeper: a server ends by itself after its last session, and so does the keeper" {
  require_userfaultfd
  serve_control --keep --exit-when-idle
  uffd-ctl create vm=memory
  run -0 probe --socket s/vm.sock
  wait_for_end "$server" 0
}

@test "uffd-keeper: sessions, endpoints and their labels survive kill -9 of the server" {
  require_userfaultfd
  serve_control --keep --window 4
  uffd-ctl create --instance-id label --trace "$PWD/trace" --on-failure kill waits=memory
  uffd-ctl create --instance-id other served=memory
  hold_vmm s/served.sock --pages 100
  local before after
  before=$(uffd-ctl --json session served | jq -S 'del(.latency_ns)')
  kill_server
  after=$(uffd-ctl --json session served | jq -S 'del(.latency_ns)')
  assert_equal "$after" "$before"
  run -0 uffd-ctl --json session waits
  assert_equal "$(jq -r '.instance_id + .state + .memory_path' <<<"$output")" "labelwaiting$PWD/memory"
  run -0 probe --socket s/waits.sock
  assert_contains "$(head -n 1 trace)" 'snapfork-trace'
  release_vmm
}

@test "uffd-keeper: a VMM that connects while no server runs is served" {
  require_userfaultfd
  serve_control --keep
  uffd-ctl create vm=memory
  wait_for_successor
  local servers
  # Stopped: the keeper starts no server. The VMM waits in the queue of the socket that the keeper holds.
  kill -STOP "$server"
  mapfile -t servers < <(server_pids)
  kill -KILL "${servers[@]}"
  spawn_to probe.out uffd-probe --json --mem memory --socket s/vm.sock
  wait_until 10 has_queued
  kill -CONT "$server"
  wait_for_end "$spawned_pid" 0
}

@test "uffd-keeper: both servers are killed at once, and a guest continues" {
  require_userfaultfd
  serve_control --keep
  uffd-ctl create vm=memory
  hold_vmm s/vm.sock --pages 10
  local servers
  for _ in 1 2 3; do
    wait_for_successor
    mapfile -t servers < <(server_pids)
    kill -KILL "${servers[@]}"
    wait_until 10 is_served vm
  done
  release_vmm
}

@test "uffd-keeper: successors that die at once are started later and later" {
  serve_control --keep
  local deaths=0 end=$((${EPOCHREALTIME/./} + 2000000)) pids
  while ((${EPOCHREALTIME/./} < end)); do
    mapfile -t pids < <(server_pids)
    ((${#pids[@]} < 2)) || { kill -KILL "${pids[1]}" && ((++deaths)); }
    wait_until 5 has_successor_but "${pids[1]-}"
  done
  # After 2, 4, 8, ... 1024 ms.
  ((deaths > 3 && deaths < 14)) || fail "$deaths"
}

@test "uffd-keeper: no descriptor stays in the queue of the socket of a VMM that is served" {
  require_userfaultfd
  serve_control --keep
  uffd-ctl create vm=memory
  hold_vmm s/vm.sock --pages 10
  run -0 grep -h scm_fds "/proc/$(serving_pid)/fdinfo/"*
  assert_equal "$(sort -u <<<"$output")" $'scm_fds: 0'
  kill_server
  is_served vm
  release_vmm
}

@test "uffd-keeper: a keeper that has no descriptor left: the server warns and serves, and earlier guests survive" {
  require_userfaultfd
  require_cmd prlimit
  serve_control --keep
  uffd-ctl create vm=memory late=memory
  hold_vmm s/vm.sock --pages 10
  wait_for_successor
  # Three are free: a session needs five, and the connection before it needs one.
  local fd free=3
  for ((fd = 0; free > 0; fd++)); do
    [[ -e /proc/$server/fd/$fd || -L /proc/$server/fd/$fd ]] || free=$((free - 1))
  done
  prlimit --pid "$server" --nofile="$fd:" # the soft limit
  run probe --socket s/late.sock
  # The keeper also uses a descriptor now and then, and may have none for the connection.
  if ((status == 0)); then
    assert_logged 'the keeper cannot hold more'
  else
    assert_logged 'cannot accept'
  fi
  prlimit --pid "$server" --nofile=1024:
  kill_server
  is_served vm
  release_vmm
}

@test "uffd-keeper: a server that speaks another version of the messages is ended, and the next one serves" {
  require_userfaultfd
  require_cmd python3
  serve_control --keep
  uffd-ctl create vm=memory
  hold_vmm s/vm.sock --pages 10
  local pid
  wait_for_successor
  pid=$(serving_pid)
  # Sends a packet of version 99 over the server's own socket to the keeper.
  python3 -c 'import os, socket, struct, sys, ctypes
pid = int(sys.argv[1])
fd = int(next(a for a in open(f"/proc/{pid}/cmdline").read().split("\0") if a.startswith("--keeper-fd=")).split("=")[1])
pidfd = os.pidfd_open(pid)
taken = ctypes.CDLL(None).syscall(438, pidfd, fd, 0)
socket.socket(fileno=taken).send(struct.pack("IIIIQQQ", 99, 0, 0, 0, 0, 0, 0))' "$pid"
  wait_until 10 is_replaced "$pid"
  assert_logged 'killing the page server'
  wait_until 10 is_served vm
  release_vmm
}

@test "uffd-keeper: a completion continues after kill -9, and a client that asks again waits for it" {
  require_userfaultfd
  serve_control --keep
  uffd-ctl create vm=memory
  hold_vmm s/vm.sock --pages 1
  # 8 MiB at 128 KiB/s would take a minute.
  spawn_to complete.out uffd-ctl complete --rate 131072 vm
  wait_until 10 has_installed vm 500000
  kill_server
  wait_until 10 is_gone "$spawned_pid"
  local before
  before=$(resident vm)
  wait_until 10 has_installed vm $((before + 200000))
  run -0 uffd-ctl complete vm
  release_vmm
}

@test "uffd-keeper: the states of keeper and servers that were killed together are removed by the next server" {
  require_userfaultfd
  mkdir -m 700 run
  mount -t tmpfs none run 2>/dev/null || skip 'needs to mount a tmpfs'
  serve --keep --control run/c.sock
  uffd-ctl --control run/c.sock create vm=memory
  hold_vmm run/s/vm.sock --pages 10
  compgen -G 'run/s/*.state' >/dev/null || fail 'no state on tmpfs'
  local pid
  kill_keeper_and_servers
  for pid in "${killed[@]}"; do wait_until 10 is_gone "$pid"; done
  release_vmm
  kill -KILL "$vmm" 2>/dev/null || true
  serve --control run/c.sock
  run ! compgen -G 'run/s/*.state'
  kill -KILL "$server"
  wait_until 10 is_gone "$server"
  server=''
  umount run
}

@test "uffd-keeper: drain, counters and totals survive kill -9" {
  require_userfaultfd
  serve_control --keep
  uffd-ctl create one=memory two=memory
  run -0 probe --socket s/one.sock
  wait_until 10 is_forgotten one
  local faults
  faults=$(uffd-ctl metrics | grep -F 'uffd_serve_faults_total{kind="demand"}')
  [[ $faults != *' 0' ]]
  uffd-ctl drain
  kill_server
  assert_equal "$(uffd-ctl metrics | grep -F 'uffd_serve_faults_total{kind="demand"}')" "$faults"
  assert_equal "$(uffd-ctl --json health | jq .draining)" true
  run -1 uffd-ctl create three=memory
  assert_contains "$output" draining
}

@test "uffd-keeper: random kill -9 under VMMs that read, write, remove and fork: every word is right" {
  require_userfaultfd
  "$HELPERS/pager-model" --make --mem memory --seed 1
  serve_memory --keep -q
  kill_servers_under_the_model "${KEEPER_KILLS:-200}" --socket s.sock --vmms 4
}

@test "uffd-keeper: random kill -9 while VMMs create sessions, send hot lists, complete and close: every word is right" {
  require_userfaultfd
  serve_control --keep -q
  kill_servers_under_the_model "${KEEPER_KILLS:-100}" --control c.sock --vmms 4 --repeat
}

@test "uffd-keeper: a server that is stopped while a guest waits is killed, and its successor serves" {
  require_userfaultfd
  head -c $((256 << 20)) /dev/urandom >memory
  serve_control --keep --lazy
  uffd-ctl create vm=memory
  spawn_to probe.out uffd-probe --json --mem memory --socket s/vm.sock --deadline 120
  wait_for_successor
  wait_until 10 has_installed vm 1000000
  local pid
  pid=$(serving_pid)
  kill -STOP "$pid"
  wait_until 20 is_replaced "$pid"
  assert_contains "$(<server.log)" 'hangs (session with key'
  assert_equal "$(uffd-ctl --json health | jq -r '.keeper | "\(.generation) \(.restarts) \(.reason) \(.signal)"')" '2 1 hung 9'
  assert_contains "$(uffd-ctl metrics)" 'uffd_serve_restarts_total 1'
  counts_waiters() { [[ $(uffd-ctl metrics) =~ woken_waiters_total\ [1-9] ]]; } # the guest's thread takes over on its own
  wait_until 10 counts_waiters
  wait_for_end "$spawned_pid" 0
}

# Sends SIGSEGV to the thread of a session, as a bug in it would.
crash_session() { # <session>
  local pid task
  wait_for_successor
  pid=$(serving_pid)
  for task in "/proc/$pid/task/"*; do
    [[ $(<"$task/comm") != "vm $1" ]] || break
  done
  python3 -c 'import ctypes, sys
ctypes.CDLL(None).syscall(234, int(sys.argv[1]), int(sys.argv[2]), 11)' "$pid" "${task##*/}"
  wait_until 10 is_replaced "$pid"
}

@test "uffd-keeper: a session whose thread crashes three servers is quarantined, and the others are served" {
  require_userfaultfd
  require_cmd python3
  [[ $(uname -m) == x86_64 ]] || skip 'uses the number of tgkill(2) on x86_64'
  serve_control --keep
  uffd-ctl create bad=memory good=memory
  hold_vmm s/bad.sock --pages 10
  spawn_to good.log bash -c 'exec uffd-probe --mem memory --socket s/good.sock --pages 10 --hold < <(tail -f /dev/null)'
  local good=$spawned_pid
  wait_until 20 grep -q ready good.log
  kill_server # counts for no session
  kill_server
  kill_server
  assert_equal "$(uffd-ctl --json health | jq .keeper.quarantined)" 0
  # On a busy machine three of them may take more than 10 s.
  for _ in {1..30}; do
    crash_session bad
    [[ $(uffd-ctl --json health | jq .keeper.quarantined) == 0 ]] || break
  done
  assert_logged "session 'bad' ended 3 page servers within 10 s and is not served again; killed its VMM"
  assert_equal "$(uffd-ctl --json health | jq -r '.keeper | "\(.quarantined) \(.reason) \(.signal)"')" '1 crashed 11'
  is_served good || fail 'the other guest is not served'
  run ! uffd-ctl session bad
  kill -KILL "$good" "$holder"
}

@test "uffd-keeper: a stopped server is left alone while no guest waits" {
  require_userfaultfd
  serve_control --keep
  uffd-ctl create vm=memory
  hold_vmm s/vm.sock --pages 10
  wait_for_successor
  local pid
  pid=$(serving_pid)
  kill -STOP "$pid"
  # The keeper has checked several times after 3 s.
  read -rt 3 <> <(:) || true
  assert_equal "$(serving_pid)" "$pid"
  kill -CONT "$pid"
  release_vmm
}

@test "uffd-keeper: its servers have all capabilities of root, also with no_new_privs" {
  require_root
  require_cmd setpriv
  local all
  all=$(awk '/^CapEff/ { print $2 }' /proc/self/status)
  mkfifo ready
  spawn_to server.log bash -c 'exec setpriv --no-new-privs uffd-serve --keep --control c.sock --ready-fd 9 9>ready'
  server=$spawned_pid
  read -r <ready
  assert_equal "$(awk '/^CapEff/ { print $2 }' "/proc/$(serving_pid)/status")" "$all"
  assert_equal "$(awk '/^CapEff/ { print $2 }' "/proc/$server/status")" 0000000000080020
}

@test "uffd-keeper: holds few capabilities and uses no CPU time while nothing happens" {
  serve_control --keep
  wait_for_successor
  local before
  if ((EUID == 0)); then
    # CAP_KILL and CAP_SYS_PTRACE
    assert_equal "$(awk '/^CapPrm/ { print $2 }' "/proc/$server/status")" 0000000000080020
  fi
  before=$(cpu_of "$server")
  run -0 uffd-ctl health
  read -rt 1 <> <(:) || true
  assert_equal "$(cpu_of "$server")" "$before"
}
