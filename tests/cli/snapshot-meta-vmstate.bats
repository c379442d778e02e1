#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# State files: snapshot-meta vmstate and rewrite-paths.
# shellcheck disable=SC2154 # output, stderr and lines are set by run
load helpers
load snapshot-meta_helpers

setup() { common_setup; }
teardown() { common_teardown; }

# ---- vmstate

@test "vmstate prints the facts of the fixture" {
  state=$BATS_TEST_DIRNAME/../fixtures/plain/state
  run -0 snapshot-meta vmstate "$state"
  assert_equal "${lines[0]}" 'encoding: bitcode'
  assert_equal "${lines[2]}" 'snapshot_version: 10.0.0'
  assert_equal "${lines[3]}" 'crc_ok: yes'
  assert_equal "${lines[4]}" 'mem_size_mib: 128'
  run -0 snapshot-meta vmstate --json "$state"
  assert_equal "$(json '[.type, .arch, .huge_pages, .paths_complete, (.paths | length), .initrd_path] | map(tostring) | join(" ")')" \
    'vmstate x86_64 none true 0 null'
}

@test "vmstate prints the paths and interfaces in a state" {
  make_snapshot drive=/d/one drive=/d/two vsock=/v.sock tap=tap7
  run -0 snapshot-meta vmstate state
  assert_contains "$output" $'drive: /d/one\ndrive: /d/two\nvsock: /v.sock\ntap: tap7\niface_id: id5\npaths_complete: yes'
  run -0 snapshot-meta vmstate --json state
  assert_equal "$(json '.paths | map(.kind + " " + .path) | join(",")')" 'drive /d/one,drive /d/two,vsock /v.sock'
  offset=$(json '.paths[1].offset') length=$(json '.paths[1].length')
  assert_equal "$(dd if=state bs=1 skip="$offset" count="$length" status=none)" /d/two
}

@test "vmstate refuses files that are not state files or are damaged" {
  : >empty
  run --separate-stderr -4 snapshot-meta vmstate empty
  assert_contains "$stderr" "cannot read vmstate 'empty': it is empty"
  echo '#!/bin/sh' >foreign
  run --separate-stderr -4 snapshot-meta vmstate foreign
  assert_contains "$stderr" "'foreign'"
  make_snapshot
  head -c 100 state >part
  run --separate-stderr -4 snapshot-meta vmstate part
  assert_contains "$stderr" "'part'"
  printf X | dd of=state bs=1 seek=500 conv=notrunc status=none
  run --separate-stderr -4 snapshot-meta vmstate state
  assert_contains "$output" 'crc_ok: no'
  assert_contains "$stderr" 'its CRC is wrong'
  run --separate-stderr -5 snapshot-meta vmstate missing
  assert_contains "$stderr" "'missing': No such file"
  run --separate-stderr -4 snapshot-meta vmstate .
  truncate -s 11M big
  run --separate-stderr -4 snapshot-meta vmstate big
}

@test "vmstate reports unknown devices and what a state does not contain" {
  make_snapshot drive=/d/one
  run -0 snapshot-meta vmstate --json state
  assert_equal "$(json '[.paths_complete, .paths_problem, (.not_in_state | join(" "))] | map(tostring) | join(",")')" \
    'true,null,serial logger metrics mmds'
  assert_equal "$(json '.boot_paths[0] | .kind + " " + .path')" 'kernel /boot/vmlinux'
  offset=$(json '.boot_paths[0].offset')
  assert_equal "$(dd if=state bs=1 skip="$offset" count=13 status=none)" /boot/vmlinux
  "$HELPERS/write-vmstate" state 7.0.0 2 drive=/d/one
  run -0 snapshot-meta vmstate state
  assert_contains "$output" "paths_problem: the devices of snapshot version '7.0.0' cannot be read"
}

@test "vmstate prints the name of each interface in Firecracker's API" {
  run -0 snapshot-meta vmstate --json "$BATS_TEST_DIRNAME/../fixtures/firecracker-1.15.1/devices/state"
  assert_equal "$(jq -c '[.taps[].iface_id]' <<<"$output")" '["eth0"]'
  make_snapshot tap=tap0 tap=tap1
  run -0 snapshot-meta vmstate --json state
  assert_equal "$(jq -c '[.taps[] | [.name, .iface_id]]' <<<"$output")" '[["tap0","id1"],["tap1","id3"]]'
}

@test "vmstate reads a newer version with an assumed layout, and warns" {
  "$HELPERS/write-vmstate" state 13.0.0 2 drive=/d/one
  run -0 --separate-stderr snapshot-meta vmstate --json state
  assert_equal "$(json '[.paths_complete, .layout, .paths[0].path] | map(tostring) | join(" ")')" 'true assumed /d/one'
  assert_contains "$stderr" "'state': the layout of snapshot version '13.0.0' is assumed"
  run -0 --separate-stderr snapshot-meta vmstate state
  assert_contains "$output" 'layout: assumed'
  truncate -s 2M memory
  echo disk >disk.raw
  run -0 --separate-stderr snapshot-meta init a --state state --memory memory --disk disk.raw=/d/one
  assert_contains "$stderr" "snapshot version '13.0.0' is assumed"
  run -0 --separate-stderr snapshot-meta verify a
  assert_equal "$output" ok
  assert_contains "$stderr" "'a': the layout of snapshot version '13.0.0' is assumed"
  make_snapshot drive=/d/one
  run -0 --separate-stderr snapshot-meta vmstate --json state
  assert_equal "$(json .layout)$stderr" known
}

@test "vmstate names the releases that load a state, and their restore bugs" {
  "$HELPERS/write-vmstate" state 8.0.0 4096 vsock=/v.sock
  run -0 snapshot-meta vmstate --json state
  assert_equal "$(jq -c '[.releases[0], .releases[-1]]' <<<"$output")" '["1.13.0","1.14.4"]'
  assert_equal "$(jq -c '[.restore_bugs[] | [.issue, .fixed_in]]' <<<"$output")" \
    '[[5705,"1.15.0"],[5738,"1.16.0"],[5809,"1.16.0"],[5882,"1.16.1"],[5972,"1.16.1"],[6100,"1.16.2"],[6120,"1.16.2"]]'
  "$HELPERS/write-vmstate" state 10.0.0 4096 drive=/d/one
  run -0 snapshot-meta vmstate --json state
  assert_equal "$(jq -c '[.restore_bugs[].issue]' <<<"$output")" '[5972,6120]'
  run -0 snapshot-meta vmstate state
  assert_contains "$output" $'releases: 1.16.0 1.16.1\nrestore_bug: 5972, before 1.16.1: a guest that uses CET'
  "$HELPERS/write-vmstate" state 12.0.0 4096 vsock=/v.sock
  run -0 snapshot-meta vmstate --json state
  assert_equal "$(jq -c '[.releases, .restore_bugs]' <<<"$output")" '[["1.17.0"],[]]'
  "$HELPERS/write-vmstate" state 13.0.0 4096
  run -0 snapshot-meta vmstate --json state
  assert_equal "$(jq -c '[.releases, .restore_bugs]' <<<"${lines[0]}")" '[[],[]]'
  run -0 --separate-stderr snapshot-meta vmstate state
  assert_contains "$output" 'releases: unknown'
}

# ---- rewrite-paths

@test "rewrite-paths writes paths of any length with a correct CRC and keeps IN" {
  make_snapshot drive=/d/one drive=/d/two drive=/e/three vsock=/d/v.sock tap=/d/tap
  cp state before
  chmod 640 state
  run --separate-stderr -0 snapshot-meta rewrite-paths --from /d/ --to /some/where --from /e/three --to x state new
  assert_equal "$output" $'drive\t/d/one\t/some/where/one\ndrive\t/d/two\t/some/where/two\ndrive\t/e/three\tx\nvsock\t/d/v.sock\t/some/where/v.sock'
  cmp state before
  assert_equal "$(stat -c %a new)" 640
  run -0 snapshot-meta vmstate new
  assert_contains "$output" $'crc_ok: yes'
  assert_contains "$output" $'drive: /some/where/one\ndrive: /some/where/two\ndrive: x\nvsock: /some/where/v.sock\ntap: /d/tap'
  run -0 snapshot-meta rewrite-paths --json --force --from /some/where --to /d --from x --to /e/three new new
  assert_equal "$(json '[.type, .path, (.changes | length), .changes[2].to] | map(tostring) | join(" ")')" 'rewrite new 4 /e/three'
  cmp new before
}

@test "rewrite-paths refuses invalid requests with the reason, and writes nothing" {
  make_snapshot drive=/d/one vsock=/v.sock
  refused() { # <status> <message> <argument>...
    local status=$1 message=$2
    shift 2
    run --separate-stderr "-$status" snapshot-meta rewrite-paths "$@"
    assert_equal "$output" ''
    assert_contains "$stderr" "$message"
    [[ ! -e new ]] || fail 'it wrote new'
  }
  refused 1 "it contains no path equal to '/d/on' or below it" --from /d/on --to /x state new
  refused 2 'each --from needs a --to' --from /d state new
  refused 2 'each --from needs a --to' state new
  refused 2 'is empty' --from '' --to /x state new
  refused 2 'is empty' --from /d --to '' state new
  refused 2 'too few operands' --from /d --to /x state
  refused 2 107 --from /v.sock --to "/$(printf 's%.0s' {1..107})" state new
  refused 5 "'none'" --from /d --to /x none new
  refused 5 "'no/where/" --from /d --to /x state no/where/new
  : >there
  refused 1 "'there': it already exists" --from /d --to /x state there
  printf X | dd of=state bs=1 seek=500 conv=notrunc status=none
  refused 4 'its CRC is wrong' --from /d --to /x state new
  "$HELPERS/write-vmstate" state 7.0.0 2 drive=/d/one
  refused 3 "snapshot version '7.0.0' cannot be read" --from /d --to /x state new
  make_snapshot drive=/d/one
  run -0 snapshot-meta rewrite-paths --dry-run --from /d --to /x state new
  assert_equal "$output" $'drive\t/d/one\t/x/one'
  [[ ! -e new ]]
}

@test "rewrite-paths killed at any system call leaves the old OUT or the new OUT" {
  require_cmd strace
  local call n status
  make_snapshot drive=/d/one
  cp state old
  for call in rename openat fsync unlink write; do
    for ((n = 1; n <= 60; ++n)); do
      cp old out
      status=0
      kill_at "$call" "$n" snapshot-meta rewrite-paths --force --from /d --to /elsewhere state out >/dev/null 2>&1 || status=$?
      cmp -s out old || assert_contains "$(snapshot-meta vmstate out)" 'drive: /elsewhere/one'
      if ((status == 0)); then break; fi
      ((status == 137)) || fail "killed before $call number $n: status $status"
    done
  done
  assert_equal "$(ls -A)" $'memory\nold\nout\nroot\nstate'
}
