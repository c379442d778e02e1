#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The page server and its keeper are killed together, and the next server takes the userfaultfds out of the VMMs.
# shellcheck disable=SC2154,SC2030,SC2031 # run sets output and status; each test is a subshell of its own

load helpers
load uffd-serve_helpers
load ../keeper

setup() {
  serve_setup
  mount_run
  export SNAPFORK_PAGER=$PWD/run/c.sock
}
teardown() { keeper_teardown; }

serve_run() { serve --control run/c.sock "$@"; } # <option>...

# Kills the keeper and its servers at the same time.
kill_both() {
  local pid
  wait_for_successor
  kill_keeper_and_servers
  for pid in "${killed[@]}"; do wait_until 10 is_gone "$pid"; done
  server=''
}

state_of() { compgen -G 'run/s/*.state'; }
is_killed() { [[ ! -e /proc/$1/stat || $(<"/proc/$1/stat") == *') Z '* ]]; } # <pid>
vmm_pid() { cut -d ' ' -f 1 run/s/vm.vmm; }

# A session whose VMM holds ten pages, and whose servers are dead.
lose_servers() {
  require_userfaultfd
  serve_run --keep
  uffd-ctl create --instance-id label vm=memory
  hold_vmm run/s/vm.sock --pages 10
  vmm_process=$(vmm_pid)
  kill_both
}
is_lost() { # <reason>
  wait_until 10 is_killed "$vmm_process"
  assert_logged "$1"
  assert_logged "killed process $vmm_process, because its guest would hang"
  run ! uffd-ctl session vm
  run ! state_of
  [[ ! -e run/s/vm.vmm ]]
}

@test "uffd-recover: server and keeper are killed at once, and every word of the guest is right" {
  require_userfaultfd
  head -c $((256 << 20)) /dev/urandom >memory
  serve_run --keep --lazy
  uffd-ctl create --instance-id label vm=memory waits=memory
  spawn_to probe.out uffd-probe --json --mem memory --socket run/s/vm.sock --deadline 120
  local probe=$spawned_pid bytes
  for bytes in 1000000 5000000 9000000; do
    wait_until 20 has_installed vm "$bytes"
    kill -STOP "$(vmm_pid)" # else it may have ended before the servers have
    kill_both
    kill -CONT "$(vmm_pid)"
    serve_run --keep --lazy
    assert_logged "session 'vm': serving process"
  done
  assert_equal "$(uffd-ctl --json session vm | jq -r .instance_id)" label
  assert_equal "$(uffd-ctl --json health | jq .keeper.recovered)" 1
  assert_contains "$(uffd-ctl metrics)" 'uffd_serve_recoveries_total 1'
  # As usual from then on.
  kill_server
  is_served vm
  assert_equal "$(uffd-ctl --json health | jq .keeper.recovered)" 1
  wait_for_end "$probe" 0
  # The endpoint has its socket again.
  run -0 probe --socket run/s/waits.sock
}

has_begun() { is_served "$1" || is_gone "$2"; } # <session> <model>

# Each round has a VMM of its own, which knows what it must read.
@test "uffd-recover: server and keeper are killed at random under a VMM that reads, writes and removes: every word is right" {
  require_userfaultfd
  local kills=0 seed=${MODEL_SEED:-$RANDOM} pid model poll_fd
  printf '# MODEL_SEED=%s\n' "$seed" >&3
  "$HELPERS/pager-model" --make --mem memory --seed "$seed"
  exec {poll_fd}<> <(:)
  serve_run --keep -q
  while ((kills < ${RECOVER_KILLS:-25})); do
    uffd-ctl create "vm=memory"
    spawn_to model.out "$HELPERS/pager-model" --mem memory --seed "$seed" --rounds 1 --socket run/s/vm.sock
    model=$spawned_pid
    wait_until 10 has_begun vm "$model" # a VMM whose handshake is not complete is not known
    while ! is_gone "$model"; do
      read -rt "0.0$((RANDOM % 100 + 100))" -u "$poll_fd" || true
      kill_keeper_and_servers
      for pid in "${killed[@]}"; do wait_until 10 is_gone "$pid"; done
      serve_run --keep -q
      ((++kills))
    done
    wait_for_end "$model" 0 || fail "$(<model.out)"
    wait_until 10 is_forgotten vm
    ((++seed))
  done
  exec {poll_fd}>&-
  printf '# %s times\n' "$kills" >&3
}

@test "uffd-recover: --recover serves the guests of a killed server until they end, without a keeper, too" {
  lose_servers
  serve_run --recover
  is_served vm
  local pid=$server
  kill -KILL "$server"
  wait_until 10 is_gone "$pid"
  serve_run --recover # its state was still there
  is_served vm
  pid=$server
  kill -KILL "$vmm_process" # before it can end by itself
  release_vmm
  wait_until 10 is_gone "$pid"
  run ! state_of
  server=''
  run -0 uffd-serve --recover --control run/c.sock
  assert_contains "$output" 'no guest of a killed page server can be recovered'
  run -2 uffd-serve --recover --mem memory --socket s.sock
  run -2 uffd-serve --on-lost never --control run/c.sock
}

@test "uffd-recover: a VMM that ended between two servers leaves nothing" {
  lose_servers
  kill -KILL "$vmm_process"
  release_vmm
  wait_until 10 is_killed "$vmm_process"
  serve_run --keep
  run ! state_of
  [[ ! -e run/s/vm.vmm ]]
  assert_equal "$(uffd-ctl --json health | jq .active_sessions)" 0
}

@test "uffd-recover: a completed guest needs no server, and is left alone" {
  require_userfaultfd
  serve_run --keep
  uffd-ctl create vm=memory
  hold_vmm run/s/vm.sock --pages 10
  vmm_process=$(vmm_pid)
  uffd-ctl complete vm
  kill_both
  serve_run --keep
  [[ ! $(<server.log) == *lost* ]]
  kill -0 "$vmm_process"
  release_vmm
}

# Damages the state of the lost session.
damage() { # <offset> <bytes in printf notation>
  local state
  state=$(state_of)
  # shellcheck disable=SC2059 # the format is the bytes
  printf "$2" | dd of="$state" bs=1 seek="$1" conv=notrunc status=none
}

@test "uffd-recover: a state that is truncated, damaged or of another version: its VMM is killed" {
  local how
  for how in truncate empty magic version regions; do
    lose_servers
    case $how in
      truncate) truncate -s -8 "$(state_of)" ;;
      empty) truncate -s 0 "$(state_of)" ;;
      magic) damage 0 x ;;
      version) damage 8 '\x63' ;;
      regions) damage 12 '\x02' ;; # of a memory with two regions
    esac
    serve_run --keep
    is_lost "session 'vm' is lost: no state of it can be used"
    case $how in
      truncate | empty) assert_logged 'it is truncated' ;;
      magic) assert_logged "it is not a session's state" ;;
      version) assert_logged 'it has version 99, and this server reads version' ;;
      regions) assert_logged 'cannot use the state of a session' ;;
    esac
    release_vmm
    end_servers
    rm -rf run/*
  done
}

@test "uffd-recover: nothing of another boot is taken for live" {
  lose_servers
  local boot state
  state=$(state_of)
  boot=$(</proc/sys/kernel/random/boot_id)
  # The state and the record of the VMM as the boot before would have left them.
  LC_ALL=C sed -i "s/$boot/00000000${boot:8}/" "$state" run/s/vm.vmm
  serve_run --keep
  kill -0 "$vmm_process"
  run ! uffd-ctl session vm
  run ! state_of
  [[ ! $(<server.log) == *lost* ]]
  release_vmm
}

@test "uffd-recover: the image has changed or is gone: its VMM is killed" {
  local how
  for how in written gone; do
    lose_servers
    if [[ $how == gone ]]; then rm memory; else printf x >>memory; fi
    serve_run --keep
    if [[ $how == gone ]]; then
      is_lost "session 'vm' is lost: cannot open '$PWD/memory'"
    else
      is_lost "session 'vm' is lost: cannot serve '$PWD/memory'"
    fi
    release_vmm
    end_servers
    make_memory memory
    rm -rf run/*
  done
}

@test "uffd-recover: --on-lost=hold leaves the VMM and its state for another attempt" {
  chmod 444 memory # else its new name counts as a change
  lose_servers
  mv memory elsewhere
  serve_run --keep --on-lost hold
  assert_logged 'its guest hangs until its VMM is killed (--on-lost=hold)'
  kill -0 "$vmm_process"
  state_of
  [[ -e run/s/vm.vmm ]]
  uffd-ctl create other=elsewhere
  kill_both
  mv elsewhere memory
  serve_run --keep
  is_served vm
  release_vmm
}

@test "uffd-recover: pidfd_getfd is refused: the VMM is killed, and the log has the reason" {
  require_root
  require_cmd setpriv
  lose_servers
  # The VMM has a capability that the server does not have.
  spawn_to server.log setpriv --bounding-set=-sys_ptrace --inh-caps=-sys_ptrace uffd-serve --control run/c.sock
  server=$spawned_pid
  is_lost '(it needs ptrace(2) access: root, or the same user without Yama)'
}

@test "uffd-recover: a directory that is full: states are in anonymous memory, with a warning" {
  require_userfaultfd
  umount run
  mount -t tmpfs -o size=64k none run
  serve_run --keep
  uffd-ctl create vm=memory
  dd if=/dev/zero of=run/full bs=4k status=none 2>/dev/null || true
  hold_vmm run/s/vm.sock --pages 10
  assert_logged 'are in anonymous memory'
  kill_server
  is_served vm
  release_vmm
}
