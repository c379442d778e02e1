#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# snapshot-meta install-list: a hot list in a template, checked, atomic, with the old one kept.
# shellcheck disable=SC2154 # output, stderr and lines are set by run

setup() {
  load helpers
  load snapshot-meta_helpers
  common_setup
  init_template base
  dir=$SNAPFORK_ROOT/guests/base/template
  bytes=$(stat -c %s "$SNAPFORK_ROOT/guests/base/snapshots/snapshot-latest/memory")
  digest=$(jq -r .digest "$dir/image.json")
}
teardown() { common_teardown; }

trace_of() { # <page>...
  printf '# snapfork-trace 2 page_size=4096 memory_bytes=%d regions=0+%d\n' "$bytes" "$bytes"
  printf '%s\n' "$@"
}
pages() { hotpage-record show "$1" | cut -f 3 | paste -s -d ' '; }

@test "install-list writes both formats with the digest, and keeps the lists before" {
  hotpage-record record -o one <(trace_of 3 1 2)
  run --separate-stderr -0 snapshot-meta install-list --json base one
  assert_equal "$(json '[.type, .id, .pages, .hpl2] | @csv')" '"install_list","base",3,true'
  cmp "$dir/hot.hpl" one
  assert_equal "$(pages "$dir/hot.hpl2")" '3 1 2'
  assert_equal "$(hotpage-record stat --json "$dir/hot.hpl2" | jq -r .digest)" "$digest"
  [[ ! -e $dir/hot.hpl.1 ]]
  hotpage-record record --format hpl2 <(trace_of 7) | hotpage-record install base -
  assert_equal "$(pages "$dir/hot.hpl") $(pages "$dir/hot.hpl2")" '7 7'
  assert_equal "$(pages "$dir/hot.hpl.1"), $(pages "$dir/hot.hpl2.1")" '3 1 2, 3 1 2'
  snapshot-meta verify base
  assert_equal "$(find "$dir" -name '.*')" ''
}

@test "install-list refuses with 4 what is corrupt and with 1 what is for another image, and changes nothing" {
  printf 'HPL1\x02\x00' >corrupt
  : >empty
  hotpage-record record -o large <(printf '%d\n' $((bytes / 4096)))
  hotpage-record record -o other.hpl2 --digest other <(trace_of 1)
  hotpage-record record -o short.hpl2 <(printf '# snapfork-trace 2 page_size=4096 memory_bytes=8192 regions=0+8192\n1\n')
  hotpage-record record -o good <(trace_of 5)
  snapshot-meta install-list base good
  for list in corrupt empty; do
    run --separate-stderr -4 snapshot-meta install-list base "$list"
    assert_contains "$stderr" "'$list'"
  done
  for list in large other.hpl2 short.hpl2; do
    run --separate-stderr -1 snapshot-meta install-list base "$list"
    assert_contains "$stderr" "cannot install hot list '$list' in 'base'"
  done
  cmp "$dir/hot.hpl" good
  [[ ! -e $dir/hot.hpl.1 ]]
  run --separate-stderr -1 snapshot-meta install-list nothing good
  run --separate-stderr -5 snapshot-meta install-list base missing
  run --separate-stderr -2 snapshot-meta install-list base
}

@test "install-list --dry-run checks the list and writes nothing; a guest is not a template" {
  hotpage-record record -o good <(trace_of 5)
  run --separate-stderr -0 snapshot-meta install-list --dry-run base good
  assert_equal "$output" "would install 1 hot pages in 'base'"
  [[ ! -e $dir/hot.hpl ]]
  init_guest plain
  run --separate-stderr -1 snapshot-meta install-list plain good
  assert_contains "$stderr" "it is not a template; run 'snapfork promote plain' first"
}

@test "install-list refuses a list that is not exact without --force" {
  hotpage-record record --resident "$SNAPFORK_ROOT/guests/base/snapshots/snapshot-latest/memory" -o x.hpl2
  run --separate-stderr -1 snapshot-meta install-list base x.hpl2
  assert_contains "$stderr" 'not exact'
  snapshot-meta install-list --force base x.hpl2
}

@test "install-list waits for the template's lock, and verify reports a list that was damaged" {
  hotpage-record record -o good <(trace_of 5)
  mkfifo held release
  spawn template-lock --shared base -- bash -c 'echo >held; read -r _ <release'
  read -r _ <held
  run --separate-stderr -1 snapshot-meta install-list base good
  assert_contains "$stderr" "'base'"
  [[ ! -e $dir/hot.hpl ]]
  echo >release
  snapshot-meta install-list base good
  : >"$dir/hot.hpl"
  run --separate-stderr -1 snapshot-meta verify base
  assert_contains "$output$stderr" 'hot.hpl'
}
