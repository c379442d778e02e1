#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# hotpage-record pack and unpack, and a page server that installs a packed list.
# shellcheck disable=SC2154,SC2030,SC2031 # run sets output and status; each test is a subshell of its own

load helpers
load uffd-serve_helpers

setup() {
  serve_setup
  other=$BATS_TEST_DIRNAME/../hot_lists.py # an encoder that shares no code with the programs
}
teardown() { common_teardown; }

list_of() { # <list> <page>...
  printf '%s\n' '# snapfork-trace 2 page_size=4096 memory_bytes=8388608 regions=0+8388608' "${@:2}" >trace
  hotpage-record record --format hpl2 -o "$1" trace
}
pack() { hotpage-record pack --mem memory -o packed "$@"; }

# Removes a file from the page cache, or skips the test.
make_cold() { # <file>
  sync "$1"
  dd if="$1" iflag=nocache count=0 status=none
  list_of first 0
  [[ $(hotpage-record warm --json --mem "$1" first | jq .cached) == 0 ]] || skip "this filesystem keeps the pages of a file in memory"
  dd if="$1" iflag=nocache count=0 status=none
}

@test "pack and unpack: the list comes back, and the file has the pages in its order" {
  list_of list 2040 5 6 7 1000 0
  run -0 pack --json list
  assert_equal "$(json '[.type, .entries, .pieces, .written] | @csv')" '"hot_pack",6,1,true'
  assert_equal "$(stat -c '%s %a' packed)" "$(json .bytes) 600"
  hotpage-record unpack packed | cmp - list
  local page
  for page in 2040 5 6 7 1000 0; do dd if=memory bs=4096 skip="$page" count=1 status=none; done >contents
  tail -c +4097 packed | cmp - contents
  assert_equal "$(hotpage-record show packed)" "$(hotpage-record show list)"
  assert_equal "$(hotpage-record stat --json packed | jq .entries)" 6
  hotpage-record unpack --format hpl1 -o one packed
  assert_equal "$(head -c 4 one)" HPL1
  pack one
  assert_equal "$(hotpage-record show packed)" "$(hotpage-record show list)"
}

@test "pack: pages of zeros are holes of the file" {
  list_of list $(seq 768 1279) 0
  run -0 pack --json list
  assert_equal "$(json .bytes)" $((4096 + 513 * 4096))
  (($(stat -c %b packed) * 512 <= 128 << 10)) || skip "this filesystem has no holes"
}

@test "packed lists of an independent encoder are read" {
  require_cmd python3
  "$other" packed memory 5 6 1 >theirs
  hotpage-record check --mem memory theirs
  assert_equal "$(hotpage-record show theirs | cut -f 3 | paste -s -d ' ')" '5 6 1'
}

@test "pack and unpack refuse what they cannot use" {
  list_of list 5 6 1
  run --separate-stderr -2 hotpage-record pack --mem memory list
  assert_contains "$stderr" '-o PACKED is required'
  run --separate-stderr -4 hotpage-record unpack list
  assert_contains "$stderr" "'list': it is not a packed hot list"
  truncate -s 16K small
  run --separate-stderr -1 hotpage-record pack --mem small -o packed list
  assert_contains "$stderr" 'for an image of 8388608 bytes'
  [[ ! -e packed ]] || fail "a file was written"
  hotpage-record pack --dry-run --mem memory -o packed list | grep -q '^would write 3 pages'
  [[ ! -e packed ]] || fail "a dry run wrote a file"
}

@test "check: a packed list that is damaged, or whose memory file has changed" {
  list_of list 5 6 1
  pack list
  run -0 hotpage-record check --json --mem memory packed
  assert_equal "$(json '[.ok, .format] | @csv')" 'true,"packed"'
  cp packed bad
  printf x | dd of=bad bs=1 seek=$((4096 + 5000)) conv=notrunc status=none
  run --separate-stderr -4 hotpage-record check --mem memory bad
  assert_contains "$stderr" "'bad': piece 0 has a wrong checksum"
  run --separate-stderr -4 hotpage-record unpack bad
  assert_contains "$stderr" "'bad': piece 0 has a wrong checksum"
  truncate -s -1 bad
  run --separate-stderr -4 hotpage-record check --mem memory bad
  assert_contains "$stderr" "'bad': the file is truncated"
  touch -d '2001-01-01' memory
  run --separate-stderr -1 hotpage-record check --mem memory packed
  assert_contains "$stderr" 'the file was written to since'
}

@test "--hot: the pages of a packed list are installed from it if the memory file is not in the page cache" {
  list_of list $(seq 1300 2 2000)
  pack list
  make_cold memory
  serve_list_and_page_1 packed
  assert_equal "$(json '[.pages_prefetched, .faults] | tostring')" "[351,1]"
  assert_equal "$(hotpage-record warm --json --mem memory packed | jq .cached)" 0
}

@test "--hot: a packed list is not read if the memory file is in the page cache" {
  require_cmd python3
  require_cmd strace
  list_of list $(seq 1300 2 2000)
  pack list
  chmod 0444 memory # served itself, and not a reflink of it
  cat memory >/dev/null
  serve_memory --hot packed --window 1 --once --json -v
  spawn_to calls strace -f -y -p "$server" -e trace=pread64
  wait_until 10 grep -q attached calls
  echo 1 >touched
  hold_vmm s.sock --pattern trace:touched
  assert_logged "hot list installed"
  release_vmm
  wait_for_end "$server" 0
  if grep 'packed>' calls; then # the map was read before
    fail "the pages were read"
  fi
}

@test "--hot: of a packed list with a damaged piece, the guest gets what is before it, and is served" {
  list_of list $(seq 0 767) $(seq 1280 2000)
  pack list
  printf x | dd of=packed bs=1 seek=$((4096 + (700 << 12))) conv=notrunc status=none # in the third piece
  make_cold memory
  serve_memory --hot packed --window 1 --once --json
  hold_vmm s.sock --pages 100
  assert_logged "piece 2 has a wrong checksum"
  assert_logged "serving without the rest of it"
  release_vmm
  wait_for_end "$server" 0
  output=$(grep '^{' server.log)
  (($(json .pages_prefetched) <= 512)) || fail "$(json .pages_prefetched) pages"
}

@test "--hot: if the memory file has changed since it was packed, its pages come from the memory file" {
  list_of list $(seq 1300 2 2000)
  pack list
  head -c 4096 /dev/urandom | dd of=memory bs=4096 seek=1300 conv=notrunc status=none
  make_cold memory
  serve_memory --hot packed --window 1 --once --json -v
  hold_vmm s.sock --pages 100
  assert_logged "cannot use the pages in packed hot list"
  assert_logged "hot list installed"
  release_vmm
  wait_for_end "$server" 0
}

@test "--hot and create: a packed list with a damaged map is refused as any list" {
  list_of list 5 6 1
  pack list
  printf x | dd of=packed bs=1 seek=60 conv=notrunc status=none
  run --separate-stderr -4 uffd-serve --mem memory --socket s.sock --hot packed
  assert_contains "$stderr" "'packed': its list: the checksum is wrong"
  serve_control
  run -0 --separate-stderr uffd-ctl create --hot packed vm=memory
  assert_contains "$stderr" 'serving without it'
  run -0 probe --socket s/vm.sock --pages 100
}

@test "create and prefetch accept packed lists, and all pages are those of the guest" {
  list_of list $(seq 0 3 2000)
  pack list
  serve_control
  make_cold memory
  uffd-ctl create --hot packed a=memory
  run -0 probe --socket s/a.sock --regions 1
  uffd-ctl create b=memory
  hold_vmm s/b.sock --pages 1
  uffd-ctl prefetch b packed
  wait_until 10 bash -c 'uffd-ctl session b | jq -e ".pages.prefetched >= 480" >/dev/null'
  release_vmm
}
