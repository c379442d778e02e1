#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# uffd-keeper: servers that are killed at exactly one system call, while a VMM of the model creates a session, connects, reads,
# writes, removes, prefetches, completes and closes. The model verifies every word after each.
# KEEPER_POINTS (3) is the number of kills for each system call; `make soak` kills at each call that the server makes.
# shellcheck disable=SC2154,SC2030,SC2031 # run sets output and status; each test is a subshell of its own

load helpers
load uffd-serve_helpers
load ../keeper

setup() {
  common_setup
  unset XDG_RUNTIME_DIR
  require_userfaultfd
  require_cmd strace
  serve_control --keep -q
}
teardown() {
  end_servers
  common_teardown
}

is_traced() { # <pid>
  ! grep -q '^TracerPid:	0$' "/proc/$1/task/"*/status
}

# Kills the server `pid` before its call number N of a system call. Each of its threads counts its own calls.
kill_at_call() { # <pid> <system call> <n>
  spawn_to strace.out strace -f -qq -o /dev/null -e "trace=$2" -e "inject=$2:signal=SIGKILL:when=$3" -p "$1"
  tracer=$spawned_pid
  # Not permitted: a debugger, or Yama.
  wait_until 10 is_traced "$1" || skip "cannot trace a server: $(<strace.out)"
}

# One round of the model with this seed; it uses every request of the control socket. Servers may end.
one_round() {
  run --separate-stderr "$HELPERS/pager-model" --control c.sock --mem memory --pages 512 --threads 1 --seed 7 --rounds 1 --repeat
  ((status == 0)) || fail "$stderr" "$(tail -n 20 server.log)"
}

# Returns whether the server made that call, and was killed. The model ran to its end in any case.
survives_kill_at() { # <system call> <n>
  local pid
  wait_for_successor
  pid=$(serving_pid)
  kill_at_call "$pid" "$@"
  one_round
  if [[ $(serving_pid) == "$pid" ]]; then
    kill "$tracer"
    wait_until 10 is_gone "$tracer"
    return 1
  fi
}

# Kills at the calls 1, 4, 16, ...; with more than 100 points at each call.
survives_kills_at() { # <system call>
  local n=1 kills
  for ((kills = 0; kills < ${KEEPER_POINTS:-3}; ++kills)); do
    survives_kill_at "$1" "$n" || break
    ((n = ${KEEPER_POINTS:-3} > 100 ? n + 1 : n * 4))
  done
  printf '# %s: killed at %d calls\n' "$1" "$kills" >&3
  ((kills > 0)) || fail "the server made no call of $1"
}

@test "a server is killed before a COPY, ZEROPAGE, WAKE or UNREGISTER: between mark and answer, and in a completion" {
  survives_kills_at ioctl
}

@test "a server is killed before it reads events" {
  survives_kills_at preadv2
}

@test "a server is killed before it reads its image, also in a piece of a hot list" {
  survives_kills_at pread64
}

@test "a server is killed in a handshake, and between two messages of keeper and server" {
  survives_kills_at recvmsg
  survives_kills_at sendmsg
}

@test "a server is killed in a request: before it reads it, and before it answers" {
  survives_kills_at recvfrom
  survives_kills_at sendto
}

@test "a server is killed while it creates a session or closes one" {
  survives_kills_at openat
  survives_kills_at mmap
  survives_kills_at close
  survives_kills_at unlink
}

# The successor is traced while it waits. The server is killed when the VMM of the model is served.
@test "a successor is killed while it takes the guests over" {
  local call n pids
  for call in ioctl recvmsg mmap sendmsg epoll_ctl futex; do
    for ((n = 1; n <= (${KEEPER_POINTS:-3} + 2) / 3; ++n)); do
      wait_for_successor
      mapfile -t pids < <(server_pids)
      kill_at_call "${pids[1]}" "$call" "$n"
      spawn_to model.out "$HELPERS/pager-model" --control c.sock --mem memory --pages 512 --threads 1 --seed 7 --rounds 3 --repeat
      model=$spawned_pid
      wait_until 10 test -e s/vmm0.vmm
      kill -KILL "${pids[0]}"
      wait_for_end "$model" 0 || fail "$call $n" "$(<model.out)"
      wait_until 10 is_replaced "${pids[0]}"
      ! kill "$tracer" 2>/dev/null || wait_until 10 is_gone "$tracer"
    done
  done
}

@test "a server is killed in a drain request: asked again, it drains, and its guest continues" {
  local call
  "$HELPERS/pager-model" --make --mem memory --pages 512 --seed 1
  uffd-ctl create vm=memory
  hold_vmm s/vm.sock --pages 100
  for call in recvfrom sendto; do
    wait_for_successor
    kill_at_call "$(serving_pid)" "$call" 1
    run uffd-ctl drain
    wait_until 10 is_gone "$tracer"
    uffd-ctl drain
    assert_equal "$(uffd-ctl --json health | jq .draining)" true
    is_served vm
  done
  release_vmm
}

has_removed() { # <session> <pages>
  local pages
  pages=$(uffd-ctl --json session "$1" | jq .pages.removed) && ((pages >= $2))
}

# Every read of events is followed by a delay, so the kill lies between the read of a removal and its mark. The successor
# replays it: without that, the page would have its old bytes.
@test "a server is killed between the read of a removal and its mark" {
  local n pid
  head -c $((8 << 20)) /dev/urandom >memory
  for ((n = 1; n <= 20; ++n)); do
    uffd-ctl create "vm$n=memory"
    wait_for_successor
    pid=$(serving_pid)
    spawn_to strace.out strace -f -qq -o /dev/null -e trace=preadv2,read -e 'inject=preadv2,read:delay_exit=100000' -p "$pid"
    tracer=$spawned_pid
    wait_until 10 is_traced "$pid" || skip "cannot trace a server: $(<strace.out)"
    spawn_to "probe$n.out" uffd-probe --json --mem memory --socket "s/vm$n.sock" --pages 200 --balloon 4
    probe=$spawned_pid
    wait_until 20 has_removed "vm$n" 1
    kill -KILL "$pid"
    wait_until 10 is_replaced "$pid"
    wait_for_end "$probe" 0
    (($(uffd-ctl metrics | sed -n 's/^uffd_serve_replayed_removals_total //p') == 0)) || return 0
  done
  fail 'no removal was replayed'
}
