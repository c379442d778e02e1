#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# fs-probe: what it reports about a path, on each filesystem.
# shellcheck disable=SC2154 # output, stderr and status are set by run

load helpers
load ../mounts
load reflink-clone_helpers

@test "fs-probe: help, version, unknown options, closed streams" {
  standard_cases fs-probe
  run -2 --separate-stderr fs-probe
  assert_equal "$output" ''
  assert_contains "$stderr" 'too few operands: PATH needed'
}

@test "fs-probe names the filesystem and tries to share blocks" {
  local type reflink
  for type in xfs btrfs ext4 tmpfs; do
    on "$type"
    : >file
    reflink=false
    can_reflink "$type" && reflink=true
    run -0 fs-probe --json file
    assert_equal "$(records '[.type, .v, .path, .fs_type, .mount_point, .reflink]')" \
      "[\"probe\",1,\"file\",\"$type\",\"$BATS_FILE_TMPDIR/$type\",$reflink]"
    (($(records .free_bytes) > 1000000))
    if [[ $type != tmpfs ]]; then
      assert_equal "$(records .uuid)" "\"$(blkid -o value -s UUID "$BATS_FILE_TMPDIR/$type.img")\""
      [[ $(records .source) == \"/dev/loop* ]]
    fi
    assert_equal "$(ls -A)" file
  done
}

@test "fs-probe continues after a path that fails, and keeps its exit status" {
  run -5 --separate-stderr fs-probe /proc absent "$PWD"
  assert_equal "$stderr" "fs-probe: cannot look up 'absent': No such file or directory"
  assert_equal "$(grep -c '^path: ' <<<"$output")" 2
  assert_contains "$output" $'fs_type: proc\n'
  assert_contains "$output" $'\n\npath: '
  run -5 --separate-stderr fs-probe --json absent /proc
  assert_equal "$(records '.type' | paste -sd ' ')" '"error" "probe"'
}

@test "fs-probe is linked to libmount and libblkid; reflink-clone is not, and names no --probe" {
  run -0 ldd "$(type -P fs-probe)"
  assert_contains "$output" libmount
  assert_contains "$output" libblkid
  run ldd "$(type -P reflink-clone)"
  refute_contains "$output" libmount
  refute_contains "$output" libblkid
  run -2 --separate-stderr reflink-clone --probe .
  assert_contains "$stderr" "unknown option '--probe'"
}
