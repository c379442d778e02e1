#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# uffd-ctl upgrade: another page server takes over all guests, or the old one serves on.
# shellcheck disable=SC2154,SC2030,SC2031 # run sets output and status; each test is a subshell of its own

load helpers
load uffd-serve_helpers
load ../keeper

setup() { serve_setup; }
teardown() { keeper_teardown; }

# Makes ./NAME a page server that behaves so (tests/helpers/other-uffd-serve.cc).
other() { # <name>
  ln -f "$HELPERS/other-uffd-serve" "$1" 2>/dev/null || cp "$HELPERS/other-uffd-serve" "$1"
}

keeper_field() { uffd-ctl --json health | jq -r ".keeper.$1"; }

# A kept server with a guest that is served, and one that waits.
serve_guests() {
  require_userfaultfd
  serve_control --keep "$@"
  uffd-ctl create vm=memory waits=memory
  hold_vmm s/vm.sock --pages 100
  wait_for_successor
}

# Tries to upgrade to ./NAME. Neither the server nor its guests change.
rolls_back() { # <name> <message>
  local pid
  pid=$(serving_pid)
  other "$1"
  run -4 uffd-ctl upgrade "$1"
  assert_contains "$output" "cannot upgrade to '$PWD/$1': $2"
  assert_contains "$output" 'serves on'
  assert_equal "$(serving_pid)" "$pid"
  assert_equal "$(keeper_field upgrade)" rolled_back
  assert_logged 'the upgrade of the page server was rolled back'
  is_served vm || fail 'the guest is not served'
  run -0 probe --socket s/waits.sock
}

@test "upgrade: the new program serves all guests, and all servers after it" {
  serve_guests --window 4
  local before old
  before=$(uffd-ctl --json session vm | jq -S 'del(.latency_ns)')
  old=$(serving_pid)
  other newer
  run -0 uffd-ctl --json upgrade newer
  assert_equal "$(jq -r '"\(.type) \(.v) \(.program) \(.generation)"' <<<"$output")" "upgrade 1 $PWD/newer 2"
  assert_equal "$(jq .server_pid <<<"$output")" "$(serving_pid)"
  wait_until 10 is_gone "$old"
  assert_equal "$(readlink "/proc/$(serving_pid)/exe")" "$PWD/newer"
  assert_equal "$(uffd-ctl --json session vm | jq -S 'del(.latency_ns)')" "$before"
  assert_equal "$(uffd-ctl --json health | jq -r '.keeper | "\(.reason) \(.restarts) \(.upgrades) \(.upgrade) \(.upgrade_problem)"')" \
    'upgraded 1 1 done '
  assert_contains "$(uffd-ctl metrics)" 'uffd_serve_upgrades_total 1'
  # The old program's server that waited ends, and the next one is of the new program.
  runs_newer() { [[ $(server_pids | sed -n 2p | xargs -I{} readlink /proc/{}/exe) == "$PWD/newer" ]]; }
  wait_until 10 runs_newer
  rm newer # the keeper holds the program
  kill -KILL "$(serving_pid)"
  wait_until 10 is_served vm
  run -0 probe --socket s/waits.sock
  release_vmm
}

@test "upgrade: without an operand the program is uffd-serve beside uffd-ctl" {
  serve_guests
  run -0 uffd-ctl upgrade
  assert_contains "$output" "$(dirname "$(realpath "$(type -P uffd-ctl)")")/uffd-serve"
  assert_equal "$(keeper_field reason)" upgraded
  release_vmm
}

@test "upgrade: a server serves sessions of the version before, and they keep it, so that the old program can serve them again" {
  serve_guests
  other newer
  uffd-ctl upgrade newer
  # The states of both guests have this version.
  run -0 uffd-ctl upgrade
  is_served vm
  uffd-ctl upgrade newer
  uffd-ctl create later=memory
  spawn_to later.log bash -c 'exec uffd-probe --mem memory --socket s/later.sock --pages 10 --hold < <(tail -f /dev/null)'
  local later=$spawned_pid
  wait_until 20 grep -q ready later.log
  # The state of the new session does not.
  run -4 uffd-ctl upgrade
  assert_contains "$output" 'it reads states of sessions up to version'
  is_served vm && is_served later
  kill -KILL "$later"
  release_vmm
}

@test "upgrade: a server that cannot read the states is refused" {
  serve_guests
  rolls_back older 'it reads states of sessions up to version'
  release_vmm
}

@test "upgrade: a program that ends at once is rolled back" {
  serve_guests
  rolls_back dies 'it exited with status 7 before it served'
  release_vmm
}

@test "upgrade: a program that the kernel cannot execute is rolled back" {
  serve_guests
  printf 'not a program' >text
  chmod +x text
  run -4 uffd-ctl upgrade text
  assert_contains "$output" 'it exited with status 126 before it served'
  is_served vm || fail 'the guest is not served'
  release_vmm
}

@test "upgrade: a server that does not answer is rolled back after 10 s" {
  serve_guests
  rolls_back silent 'it did not answer in time'
  release_vmm
}

@test "upgrade: a server that cannot serve every session is rolled back" {
  serve_guests
  rolls_back unable 'it cannot serve 1 of the sessions and endpoints'
  release_vmm
}

@test "upgrade: when the new server ends before it serves, a server of the old program serves" {
  serve_guests
  local old
  old=$(serving_pid)
  other late-dies
  run -4 uffd-ctl upgrade late-dies
  assert_contains "$output" 'it was killed by signal 6 (Aborted) before it served'
  run ! test -e "/proc/$old"
  assert_equal "$(readlink "/proc/$(serving_pid)/exe")" "$(realpath "$(type -P uffd-serve)")"
  is_served vm || fail 'the guest is not served'
  run -0 probe --socket s/waits.sock
  wait_for_successor
  uffd-ctl upgrade # another one works
  release_vmm
}

@test "upgrade: when the new server hangs before it serves, a server of the old program serves" {
  serve_guests
  other late-hangs
  run -4 uffd-ctl upgrade late-hangs
  assert_contains "$output" 'it did not answer in time'
  wait_until 10 is_served vm
  assert_equal "$(readlink "/proc/$(serving_pid)/exe")" "$(realpath "$(type -P uffd-serve)")"
  run -0 probe --socket s/waits.sock
  release_vmm
}

@test "upgrade: refused without a keeper, for a missing file and for one that is not executable" {
  serve_control
  run -1 uffd-ctl upgrade
  assert_contains "$output" 'the server has no keeper (--keep)'
  run -1 uffd-ctl upgrade missing
  assert_contains "$output" "cannot open '$PWD/missing': No such file or directory"
  run -1 uffd-ctl upgrade memory
  assert_contains "$output" 'it is not an executable file'
  run -1 uffd-ctl upgrade /tmp
  assert_contains "$output" 'it is not an executable file'
  run -2 uffd-ctl upgrade one two
  ask_for 400 POST /upgrade '{"program":"relative"}'
}

@test "upgrade: works after the keeper was replaced" {
  serve_guests
  local keeper=$server
  kill -KILL "$keeper"
  is_other_keeper() {
    local now
    now=$(keeper_field pid) && [[ $now != "$keeper" ]]
  }
  wait_until 10 is_other_keeper
  server=$(keeper_field pid)
  uffd-ctl upgrade
  assert_equal "$(keeper_field reason)" upgraded
  is_served vm || fail 'the guest is not served'
  release_vmm
}

@test "upgrade: a second one is refused while the first runs" {
  serve_guests
  other silent
  ask_for 202 POST /upgrade "{\"program\":\"$PWD/silent\"}"
  assert_equal "$(jq .upgrade <<<"$output")" 1
  assert_equal "$(keeper_field upgrade)" running
  run -1 uffd-ctl upgrade
  assert_contains "$output" 'another upgrade runs'
  # The server that is replaced may end during the upgrade.
  local pid
  pid=$(serving_pid)
  kill -KILL "$pid"
  wait_until 10 is_replaced "$pid"
  assert_equal "$(keeper_field upgrade)" rolled_back
  assert_equal "$(keeper_field upgrade_problem)" 'the server before it ended during the upgrade'
  is_served vm
  release_vmm
}

@test "upgrade: a trace and a completion continue, and a trace loses no line" {
  require_userfaultfd
  serve_control --keep
  uffd-ctl create vm=memory
  uffd-ctl create --trace "$PWD/trace" --window 1 traced=memory
  hold_vmm s/vm.sock --pages 1
  uffd-ctl complete --no-wait --rate 131072 vm
  spawn_to traced.log bash -c 'exec uffd-probe --mem memory --socket s/traced.sock --pages 50 --pattern seq --hold < <(tail -f /dev/null)'
  local traced=$spawned_pid lines before
  wait_until 20 grep -q ready traced.log
  wait_for_successor
  uffd-ctl upgrade
  lines=$(grep -vc '^#' trace)
  ((lines == 50)) || fail "the trace has $lines lines, not 50"
  kill -KILL "$traced"
  before=$(resident vm)
  wait_until 10 has_installed vm $((before + 100000))
  run -0 uffd-ctl complete vm
  release_vmm
}

@test "upgrade: guests that read, write, remove and fork never see a wrong word while servers are replaced" {
  require_userfaultfd
  "$HELPERS/pager-model" --make --mem memory --seed 1
  serve_control --keep -q
  local upgrades=${UPGRADES:-40} model count=0
  rm -f enough
  spawn_to model.out "$HELPERS/pager-model" --control c.sock --repeat --mem memory --seed "${MODEL_SEED:-$RANDOM}" --until enough --vmms 4
  model=$spawned_pid
  while ((count < upgrades)) && ! is_gone "$model"; do
    run -0 uffd-ctl upgrade
    ((++count))
  done
  : >enough
  wait_for_end "$model" 0 || fail "$(<model.out)" "$(tail -n 20 server.log)"
  assert_equal "$(keeper_field upgrades)" "$upgrades"
}
