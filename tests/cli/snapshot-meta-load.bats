#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# snapshot-meta load-request: the body of PUT /snapshot/load for the Firecracker that loads a guest.
# shellcheck disable=SC2154 # output, stderr and status are set by run

load helpers
load snapshot-meta_helpers

setup() { common_setup; }
teardown() { common_teardown; }

@test "load-request prints the body on one line, for the memory file" {
  init_guest a
  replace_state a 8.0.0
  run -0 --separate-stderr snapshot-meta load-request --backend file a
  assert_equal "$output" \
    '{"snapshot_path":"'"$(state_of a)"'","mem_backend":{"backend_type":"File","backend_path":"'"$(memory_of a)"'"},"resume_vm":true}'
  run -0 snapshot-meta load-request --json --backend file --no-resume a
  assert_equal "$(json '.resume_vm | tostring')" false
}

@test "run-begin --load-request records the VMM and prints the body; a refused load is not recorded" {
  init_guest a
  replace_state a 9.0.0
  local options=(--backend file --vmm-version 1.15.1 --track-dirty-pages --no-resume) body
  body=$(snapshot-meta load-request "${options[@]}" a)
  run -1 snapshot-meta run-begin --pid "$$" --load-request --backend file --vmm-version 1.10.0 a
  run -1 snapshot-meta get a HypervisorPID
  run -2 snapshot-meta run-begin --pid "$$" --load-request a
  run -0 snapshot-meta run-begin --pid "$$" --prepared --load-request "${options[@]}" a
  assert_equal "$output" "$body"
  assert_equal "$(snapshot-meta get a HypervisorPID)" "$$"
}

@test "run-begin --prepared does not search /proc for a process that has the memory of the guest open" {
  init_guest a
  spawn_to out tail -f "$(memory_of a)"
  has_memory_open() { [[ -n $(find "/proc/$spawned_pid/fd" -lname "$(memory_of a)") ]]; }
  wait_until 10 has_memory_open
  run -1 --separate-stderr snapshot-meta run-begin --pid "$$" a
  assert_contains "$stderr" "memory' open"
  run -1 snapshot-meta run-prepare a
  run -0 snapshot-meta run-begin --pid "$$" --prepared a
}

@test "run-begin flushes the metadata once, before their new name" {
  require_cmd strace
  init_guest a
  strace -f -o calls -e trace=fsync,fdatasync,rename,renameat,renameat2 snapshot-meta run-begin --pid "$$" a
  assert_equal "$(grep -oE '(fsync|fdatasync|rename[a-z0-9]*)\(' calls)" $'fsync(\nrename('
}

@test "load-request names the socket of the guest's session, or the given one" {
  init_guest a
  SNAPFORK_PAGER=$PWD/p.sock run -0 snapshot-meta load-request --backend uffd a
  assert_equal "$(json '.mem_backend | tojson')" \
    '{"backend_type":"Uffd","backend_path":"'"$PWD/s/$(snapshot-meta session-name a)"'.sock"}'
  run -0 snapshot-meta load-request --backend uffd --socket x.sock a
  assert_equal "$(json .mem_backend.backend_path)" "$PWD/x.sock"
  run -2 --separate-stderr snapshot-meta load-request --backend uffd --socket "/$(printf 's%.0s' {1..107})" a
  assert_contains "$stderr" 'has 108 bytes, not 1 to 107'
  run -2 --separate-stderr snapshot-meta load-request --backend file --socket x.sock a
  assert_contains "$stderr" '--socket requires --backend uffd'
}

@test "load-request has the fields that the given Firecracker knows" {
  init_guest a
  run -0 snapshot-meta load-request --backend file --vmm-version 1.16.1 a
  assert_equal "$(json .clock_realtime)" true
  run -0 snapshot-meta load-request --backend file --vmm-version 1.16.1 --clock keep --track-dirty-pages a
  assert_equal "$(json '[.clock_realtime, .track_dirty_pages] | map(tostring) | join(" ")')" 'null true'
  replace_state a 9.0.0
  run -0 snapshot-meta load-request --backend file --vmm-version 1.15.0 a
  assert_equal "$(json '.clock_realtime | tostring')" null
  run -0 snapshot-meta load-request --backend file --vmm-version 1.15.1 a
  assert_equal "$(json .clock_realtime)" true
  replace_state a 6.0.0
  run -0 snapshot-meta load-request --backend file --vmm-version 1.12.1 --track-dirty-pages a
  assert_equal "$(json 'del(.snapshot_path, .mem_backend) | tojson')" '{"enable_diff_snapshots":true,"resume_vm":true}'
}

@test "load-request uses the recorded Firecracker, and without a record fields that all releases know" {
  init_guest a
  replace_state a 9.0.0
  run -0 snapshot-meta load-request --backend file a
  assert_equal "$(json '.clock_realtime | tostring')" null
  snapshot-meta set a 'snapfork.vmm:={"version":"1.15.1","from":"import"}'
  run -0 snapshot-meta load-request --backend file a
  assert_equal "$(json .clock_realtime)" true
}

@test "load-request refuses a Firecracker that loads another snapshot version" {
  init_guest a
  run -1 --separate-stderr snapshot-meta load-request --backend file --vmm-version 1.17.0 a
  assert_contains "$stderr" \
    "cannot load 'a': Firecracker 1.17.0 loads snapshot version 12.0.0, and its state has 10.0.0; use Firecracker 1.16.0 or 1.16.1"
}

@test "load-request gives an interface another tap, from 1.12 on" {
  init_guest a tap=tap0
  local iface
  iface=$(snapshot-meta vmstate --json "$(state_of a)" | jq -r '.taps[0].iface_id')
  run -0 snapshot-meta load-request --backend file --tap "$iface=tap=7" a
  assert_equal "$(json '.network_overrides | tojson')" '[{"iface_id":"'"$iface"'","host_dev_name":"tap=7"}]'
  run -1 --separate-stderr snapshot-meta load-request --backend file --tap eth9=tap7 a
  assert_contains "$stderr" "cannot load 'a': it has no network interface 'eth9'; its interfaces are '$iface'"
  local bad
  for bad in tap7 =tap7 "$iface=" "$iface=sixteen-bytes-xx"; do
    run -2 --separate-stderr snapshot-meta load-request --backend file --tap "$bad" a
  done
  replace_state a 5.0.0 tap=tap0
  run -1 --separate-stderr snapshot-meta load-request --backend file --tap "$iface=tap7" a
  assert_contains "$stderr" "Firecracker before 1.12 takes the taps from the state; write 'tap7' into it with 'snapshot-meta own-paths --tap $iface=tap7 a'"
}

@test "own-paths writes the tap into the state for a Firecracker before 1.12" {
  local iface
  init_guest a
  replace_state a 5.0.0 tap=tap0 tap=tap1
  iface=$(snapshot-meta vmstate --json "$(state_of a)" | jq -r '.taps[1].iface_id')
  snapshot-meta own-paths --dry-run --tap "$iface=tap-seven" a
  taps() { snapshot-meta vmstate "$(state_of a)" | sed -n 's/^tap: //p' | paste -sd ' '; }
  assert_equal "$(taps)" 'tap0 tap1'
  snapshot-meta own-paths --tap "$iface=tap-seven" a
  assert_equal "$(taps)" 'tap0 tap-seven'
  assert_contains "$(snapshot-meta vmstate "$(state_of a)")" 'crc_ok: yes'
  run -0 snapshot-meta load-request --backend file --vmm-version 1.11.0 --tap "$iface=tap-seven" a
  assert_equal "$(json '.network_overrides | tostring')" null
  # The taps that fork recorded are written, too.
  snapshot-meta set a "snapfork.taps:={\"$iface\":\"tap9\"}"
  snapshot-meta own-paths a
  assert_equal "$(taps)" 'tap0 tap9'
  run -1 --separate-stderr snapshot-meta own-paths --tap "$iface=tap0" a
  assert_contains "$stderr" "would use one tap, 'tap0'"
  run -2 snapshot-meta own-paths --tap "$iface=sixteen-bytes-xx" a
  run -1 snapshot-meta own-paths --tap eth9=tap2 a
  assert_equal "$(taps)" 'tap0 tap9'
  # A fork of such a guest has its tap in its state, and its load needs no override.
  snapshot-meta unset a snapfork.taps
  IFS=$'\t' read -r _ _ memory _ < <(snapshot-meta fork-begin a f)
  clone a f "$memory"
  run -0 snapshot-meta fork-publish a f --backend file --tap "$iface=tap-{n}"
  assert_equal "$(json '.snapshot_load.network_overrides | tostring')" null
  assert_equal "$(snapshot-meta vmstate "$(state_of f)" | sed -n 's/^tap: //p' | paste -sd ' ')" 'tap0 tap-0'
  # From 1.12 on, the load has them.
  replace_state a 6.0.0 tap=tap0 tap=tap1
  snapshot-meta own-paths --tap "$iface=tap7" a
  assert_equal "$(taps)" 'tap0 tap1'
}

@test "load-request refuses bad options and guests" {
  init_guest a
  run -2 --separate-stderr snapshot-meta load-request a
  assert_contains "$stderr" '--backend uffd|file is required'
  local bad
  for bad in '' 1.16 v1.16.0 $'1.16.0-\n' latest; do
    run -2 --separate-stderr snapshot-meta load-request --backend file --vmm-version "$bad" a
    assert_contains "$stderr" 'for --vmm-version: a version such as 1.16.0 is required'
  done
  run -2 snapshot-meta load-request --backend nbd a
  run -2 snapshot-meta load-request --backend file --clock now a
  run -1 snapshot-meta load-request --backend file nobody
  run -1 snapshot-meta load-request --backend uffd nobody
  echo x >"$(state_of a)"
  run -4 snapshot-meta load-request --backend file a
}

@test "load-request refuses a state whose paths are not known, unless the import assumed that it has none" {
  init_guest a
  replace_state a 7.0.0
  run -3 --separate-stderr snapshot-meta load-request --backend file a
  assert_contains "$stderr" "cannot load 'a': the devices of snapshot version '7.0.0' cannot be read"
  assert_contains "$stderr" '--assume-no-paths'
  snapshot-meta set a snapfork.assume_no_paths:=true
  run -0 snapshot-meta load-request --backend file a
}
