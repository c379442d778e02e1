#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# snapshot-meta lint: what the forks of a guest share, although each needs its own.
# shellcheck disable=SC2154 # output, stderr and status are set by run

load helpers
load snapshot-meta_helpers

setup() { common_setup; }
teardown() { common_teardown; }

names() { jq -rs 'map(.name) | join(" ")' <<<"$output"; }

@test "lint prints one line for each hazard, and exits with 1" {
  init_guest a boot-args='console=ttyS0 clocksource=kvm-clock' drive="$(guest_dir a)/own" drive=/host/disk tap=tap0
  run -1 --separate-stderr snapshot-meta lint a
  assert_equal "${#lines[@]}" 2
  assert_contains "${lines[0]}" "network: its interface 'id5' (tap 'tap0') has the same MAC address"
  assert_contains "${lines[1]}" "drive: its drive '/host/disk' belongs to the host, so the guest cannot be forked; import"
  run -1 snapshot-meta lint --json a
  assert_equal "$(jq -c '[.type, .v, .id, .name]' <<<"${lines[0]}")" '["hazard",1,"a","network"]'
}

@test "lint finds nothing in a guest without hazards" {
  init_guest a boot-args='console=ttyS0 clocksource=kvm-clock'
  run -0 snapshot-meta lint a
  assert_equal "$output" ''
}

@test "lint reads the boot arguments" {
  local case
  for case in 'console=ttyS0|clock' 'clocksource=kvm-clock no-kvmclock|clock' 'clocksource=kvm-clock ip=10.0.0.2::10.0.0.1|network' \
    'clocksource=kvm-clock systemd.machine_id=00|machine-id' 'clocksource=kvm-clock systemd.hostname=web|host-name' \
    'clocksource=kvm-clock my.api_token=hunter2|secret' 'clocksource=kvm-clock  zip=1 tokens|secret' 'clocksource=kvm-clock zip=1|'; do
    rm -rf "$(guest_dir a)"
    init_guest a boot-args="${case%|*}"
    run snapshot-meta lint --json a
    assert_equal "$(names)" "${case#*|}"
    refute_contains "$output" hunter2
  done
}

@test "lint reads the environment in the metadata, and prints no value" {
  init_guest a boot-args=clocksource=kvm-clock
  snapshot-meta set a 'Env:={"PATH": "/bin", "DB_PASSWORD": "hunter2", "AWS_SECRET_ACCESS_KEY": "hunter2", "KEYBOARD": "us"}'
  run -1 snapshot-meta lint --json a
  assert_equal "$(names)" 'secret secret'
  assert_contains "$output" "'DB_PASSWORD'"
  assert_contains "$output" "'AWS_SECRET_ACCESS_KEY'"
  refute_contains "$output" hunter2
}

@test "lint reports drives that cannot be read, and refuses what is not a guest" {
  init_guest a boot-args=clocksource=kvm-clock
  "$HELPERS/write-vmstate" "$(state_of a)" 7.0.0 2 boot-args=clocksource=kvm-clock
  run -1 snapshot-meta lint a
  assert_contains "$output" "drive: its drives are not known: the devices of snapshot version '7.0.0' cannot be read"
  run -1 --separate-stderr snapshot-meta lint nobody
  assert_contains "$stderr" "'nobody'"
  echo x >"$(state_of a)"
  run -4 --separate-stderr snapshot-meta lint a
  assert_contains "$stderr" 'does not start with the magic number'
}
