#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Merges Diff memory files into their base: snapshot-meta merge-diff and snapfork import --base.
# shellcheck disable=SC2154 # output, stderr and lines are set by run
load helpers
load snapshot-meta_helpers

setup() { common_setup; }
teardown() { common_teardown; }

# Makes a base of 2 MiB of "m", a Diff with two data extents, one of them zeros, and the expected `merged`.
make_diff() {
  head -c 2M /dev/zero | tr '\0' m >base
  cp base merged
  rm -f diff
  truncate -s 2M diff
  { head -c 8192 /dev/zero && head -c 4096 /dev/zero | tr '\0' d; } >piece
  for file in diff merged; do
    dd if=piece of="$file" bs=4096 seek=100 conv=notrunc status=none
    dd if=piece of="$file" bs=4096 skip=2 seek=509 conv=notrunc status=none
  done
}

@test "merge-diff copies data, including zeros, and keeps the rest of the memory" {
  make_diff
  cp base memory
  run -0 snapshot-meta merge-diff --dry-run diff memory
  assert_equal "$output" 'would write 16384 bytes into memory'
  cmp memory base
  run --separate-stderr -0 snapshot-meta merge-diff diff memory
  assert_equal "$output$stderr" ''
  cmp memory merged
  run -0 snapshot-meta merge-diff --json diff memory
  assert_equal "$output" '{"type":"merge","v":1,"path":"memory","bytes":16384,"extents":2}'
  cmp memory merged
}

@test "merge-diff copies through memory if copy_file_range is not supported" {
  require_cmd strace
  make_diff
  cp base memory
  strace -qq -o /dev/null -e trace=copy_file_range -e inject=copy_file_range:error=EXDEV snapshot-meta merge-diff diff memory
  cmp memory merged
}

@test "merge-diff merges a Diff that Firecracker wrote" {
  require_cmd zstd
  fixtures=$BATS_TEST_DIRNAME/../../../shared/fixtures
  [[ -d $fixtures ]] || skip 'the fixtures are not there'
  for version in 1.14.0 1.16.0; do
    rm -f memory dense diff
    zstd -qdf --long=27 -o memory "$fixtures/firecracker-$version/plain/memory.zst"
    zstd -qdf --long=27 -o dense "$fixtures/firecracker-$version/diff/memory.zst"
    chmod u+w memory # as the fixture's
    truncate -s "$(stat -c %s memory)" diff
    while read -r offset length; do
      dd if=dense of=diff bs=4096 skip=$((offset / 4096)) seek=$((offset / 4096)) count=$((length / 4096)) conv=notrunc status=none
    done < <(jq -r '.extents[] | "\(.offset) \(.length)"' "$fixtures/firecracker-$version/diff/extents.json")
    snapshot-meta merge-diff diff memory
    read -r expected _ <"$fixtures/firecracker-$version/diff/merged.sha256"
    assert_equal "$(sha256sum <memory | cut -d' ' -f1)" "$expected"
  done
}

@test "merge-diff refuses files that do not match, and changes nothing" {
  make_diff
  cp base memory
  refused() { # <status> <message> <operand>...
    local status=$1 message=$2
    shift 2
    run --separate-stderr "-$status" snapshot-meta merge-diff "$@"
    assert_contains "$stderr" "$message"
    cmp memory base
  }
  truncate -s 1M short
  refused 4 'do not belong to the same guest' short memory
  refused 4 'it has no holes' merged memory
  refused 4 'not a regular file' diff .
  refused 5 "'none'" none memory
  refused 2 'too few operands' diff
  ln memory other
  refused 1 'it has 2 links' diff memory
  rm other
  chmod a-w memory
  refused 1 'it is sealed' diff memory
}

@test "import --base makes a guest of a Diff, even over a sealed base" {
  make_diff
  "$HELPERS/write-vmstate" state 10.0.0 2
  mv diff memory
  chmod a-w base
  before=$(sha256sum base memory)
  snapfork -q import a --state state --memory memory --base base
  cmp "$(memory_of a)" merged
  assert_equal "$(snapshot-meta state a)" Standby
  assert_equal "$(sha256sum base memory)" "$before"
  assert_equal "$(stat -c %h:%a base)" 1:444
  # A Diff without holes or of another size leaves nothing.
  run --separate-stderr -4 snapfork -q import b --state state --memory merged --base base
  assert_contains "$stderr" 'it has no holes'
  truncate -s 1M base-of-another
  run --separate-stderr -4 snapfork -q import b --state state --memory memory --base base-of-another
  assert_equal "$(snapshot-meta list -q --json | jq -r .id)" a
  assert_equal "$(find "$SNAPFORK_ROOT/.snapfork/tmp" -mindepth 1)" ''
  run --separate-stderr -2 snapfork fork --backend uffd a --base base
  assert_contains "$stderr" '--base is not for fork'
}

@test "merge-diff refuses a Diff on a filesystem without SEEK_HOLE, and writes nothing" {
  require_cmd strace
  head -c 1M /dev/urandom >memory
  truncate -s 1M diff
  printf x | dd of=diff bs=4096 seek=3 conv=notrunc status=none
  cp memory before
  run --separate-stderr -4 strace -qq -o /dev/null -e inject=lseek:error=EINVAL snapshot-meta merge-diff diff memory
  assert_contains "$stderr" 'it has no holes'
  cmp memory before
}
