#!/usr/bin/env bats
# A full disk is exit 5 with a message; what was made stays whole, and nothing else is left.
# shellcheck disable=SC2154 # stderr is set by run

load helpers

setup() {
  require_root
  # ext4 has no reflinks: each fork copies 20 MiB of disk, and two or three of them fit.
  make_store ext4 160
  make_template
  head -c 20M /dev/urandom >"$SNAPFORK_ROOT/guests/base/overlay.raw"
  before=$(store_listing)
}

teardown() {
  drop_store
}

@test "fork -n keeps and prints those that fit, and says 5 for the rest" {
  run -5 --separate-stderr snapfork fork --backend file -n 5 base
  assert_contains "$stderr" 'No space left on device'
  local made
  made=$(field .id | sort)
  [[ -n $made ]]
  assert_equal "$(snapshot-meta forks base | sort)" "$made"
  assert_equal "$(cd "$SNAPFORK_ROOT/guests/base/template/forks" && printf '%s\n' * | sort)" "$made"
  assert_equal "$(find "$SNAPFORK_ROOT/.snapfork/tmp" -mindepth 1)" ''
  mapfile -t made <<<"$made"
  snapfork -q delete "${made[@]}"
  assert_equal "$(store_listing)" "$before"
}

@test "fork and import where nothing fits leave nothing" {
  dd if=/dev/zero of="$BATS_TEST_TMPDIR/fs/fill" bs=1k status=none 2>/dev/null || true
  run -5 --separate-stderr snapfork --json fork --backend file base f
  assert_equal "$(json .code)" system
  assert_contains "$stderr" 'No space left on device'
  run -5 --separate-stderr snapfork import other --state "$SNAPSHOT/state" --memory "$SNAPSHOT/memory"
  rm "$BATS_TEST_TMPDIR/fs/fill"
  assert_equal "$(store_listing)" "$before"
  snapfork -q fork --backend file base f >/dev/null
  snapfork -q delete f base
  assert_nothing_left
}
