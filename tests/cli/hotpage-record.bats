#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# hotpage-record: hot lists from traces, and the refusals.
# shellcheck disable=SC2154 # output, stderr and lines are set by run

setup() {
  load helpers
  common_setup
  fixture=$BATS_TEST_DIRNAME/../fixtures/plain
  printf '# snapfork-trace 1 page_size=4096 memory_bytes=16384 regions=0+8192,8192+8192\n3\n0\n3\n2\n' \
    >two.trace
}
teardown() { common_teardown; }

# Three entries: region 1, offset 4096; region 0, offset 0; region 1, offset 0.
list_of_two='HPL1\x03\x01\x80\x20\x00\x00\x01\x00'

@test "hotpage-record: help, version, unknown options, closed streams" {
  standard_cases hotpage-record record show stat merge diff check convert heatmap warm readahead install
}

@test "hotpage-record: without a command, or with an unknown one, is a usage error" {
  run --separate-stderr -2 hotpage-record
  assert_equal "$output" ""
  assert_contains "$stderr" "a verb is missing"
  run --separate-stderr -2 hotpage-record frobnicate
  assert_contains "$stderr" "unknown verb 'frobnicate'"
}

@test "record: writes HPL1 to standard output, from a file and from a pipe" {
  printf '%b' "$list_of_two" >expected
  hotpage-record record two.trace >from-file
  hotpage-record record <two.trace >from-stdin
  hotpage-record record - <two.trace >from-dash
  cmp from-file expected
  cmp from-stdin expected
  cmp from-dash expected
}

@test "record -o writes the file atomically and leaves no temporary" {
  printf '%b' "$list_of_two" >expected
  umask 077
  run --separate-stderr -0 hotpage-record record -o list two.trace
  assert_equal "$output$stderr" ""
  cmp list expected
  assert_equal "$(stat -c %a list)" 644
  run -0 hotpage-record record --output=list --json two.trace
  assert_equal "$(json '[.type, .v, .path, .written, .entries, .bytes] | @csv')" \
    '"hot_list",1,"list",true,3,12'
  assert_equal "$(find . -maxdepth 1 -name '.*snapfork*')" ""
}

@test "record -o keeps the old list after a failure" {
  echo old >list
  run --separate-stderr -4 hotpage-record record -o list <(echo no-number)
  assert_equal "$output" ""
  echo no-number >bad.trace
  run --separate-stderr -4 hotpage-record record -o list bad.trace
  assert_contains "$stderr" "'bad.trace': line 1: 'no-number' is not a page number"
  assert_equal "$(<list)" old
  run --separate-stderr -5 hotpage-record record -o no/such/dir/list two.trace
  assert_contains "$stderr" "no/such/dir"
}

@test "record --dry-run prints the steps and writes nothing" {
  run --separate-stderr -0 hotpage-record record --dry-run -o list two.trace
  assert_equal "$output" "would write 3 pages, 12 bytes, to 'list'"
  [[ ! -e list ]]
}

@test "record: a full disk behind standard output is an error" {
  run -5 --separate-stderr bash -c 'hotpage-record record two.trace >/dev/full'
  assert_contains "$stderr" "cannot write 'standard output'"
}

@test "record refuses to write a list to a terminal or among JSON records" {
  require_cmd script
  run -2 script -qec 'hotpage-record record two.trace' /dev/null
  assert_contains "$output" "use -o FILE"
  run --separate-stderr -2 hotpage-record record --json two.trace
  assert_contains "$stderr" "--json needs -o FILE"
}

@test "record: a missing trace is exit 5, a trace of another version exit 4" {
  run --separate-stderr -5 hotpage-record record nothing.trace
  assert_contains "$stderr" "cannot open 'nothing.trace'"
  echo '# snapfork-trace 9 page_size=4096' >new.trace
  run --separate-stderr -4 hotpage-record record new.trace
  assert_contains "$stderr" "'new.trace': line 1: version '9'"
}

@test "show: region, offset and page of each entry" {
  hotpage-record record -o list two.trace
  run --separate-stderr -0 hotpage-record show list
  assert_equal "$output" $'1\t4096\t-\n0\t0\t0\n1\t0\t-'
  run -0 hotpage-record show --regions 0+8192,8192+8192 - <list
  assert_equal "$output" $'1\t4096\t3\n0\t0\t0\n1\t0\t2'
  run -0 hotpage-record show --json list
  assert_equal "$(jq -c '[.type, .v, .region, .offset, .page]' <<<"$output")" \
    $'["hot_page",1,1,4096,null]\n["hot_page",1,0,0,0]\n["hot_page",1,1,0,null]'
  hotpage-record record -o list "$fixture/trace-work-1.txt"
  diff <(hotpage-record show list | cut -f 3) "$fixture/trace-work-1.txt"
}

@test "show: pages of 2 MiB" {
  printf '# snapfork-trace 1 page_size=2097152 memory_bytes=4194304 regions=0+4194304\n1\n' \
    | hotpage-record record -o list
  run -0 hotpage-record show --page-size 2M list
  assert_equal "$output" $'0\t2097152\t1'
}

@test "stat: entries, repeats, regions, runs" {
  printf 'HPL1\x04\x00\x00\x00\x80\x20\x00\x00\x01\x80\x40' >list
  run --separate-stderr -0 hotpage-record stat list
  assert_equal "${lines[0]} ${lines[1]} ${lines[2]} ${lines[3]}" 'entries: 4 distinct: 3 regions: 2 runs: 2'
  run -0 hotpage-record stat --json --page-size 2M list
  assert_equal "$(json '[.type, .entries, .distinct, .regions, .runs] | @csv')" \
    '"hot_list_stat",4,2,2,2'
}

@test "check accepts a list that fits the file, silently or with a record" {
  truncate -s 16384 memory
  hotpage-record record -o list two.trace
  run --separate-stderr -0 hotpage-record check list --mem memory --regions 0+8192,8192+8192
  assert_equal "$output$stderr" ""
  run -0 hotpage-record check --json list --mem memory --regions 0+8192,8192+8192
  assert_equal "$(json '[.type, .path, .ok, .entries] | @csv')" '"hot_list_check","list",true,3'
}

@test "check exits with 1 for an entry outside of the image, outside of its regions, or not at a page" {
  truncate -s 16384 memory
  truncate -s 8192 small
  hotpage-record record -o list two.trace
  run --separate-stderr -1 hotpage-record check list --mem memory
  assert_contains "$stderr" "'list': entry 0 is region 1, offset 4096"
  echo 2 | hotpage-record record -o third
  run --separate-stderr -0 hotpage-record check third --mem memory
  run --separate-stderr -1 hotpage-record check third --mem small
  assert_contains "$stderr" "'third': entry 0 is region 0, offset 8192"
  run --separate-stderr -1 hotpage-record check --json third --mem memory --regions 0+8192
  assert_equal "$(json '[.type, .exit_code, .code] | @csv')" '"error",1,"no"'
  printf 'HPL1\x01\x00\x64' >odd
  run --separate-stderr -1 hotpage-record check odd --mem memory
  assert_contains "$stderr" "not a multiple of the page size"
}

@test "check exits with 2 for a usage error, and with 4 or 5 for a bad memory file" {
  truncate -s 16384 memory
  truncate -s 100 odd
  hotpage-record record -o list two.trace
  run --separate-stderr -2 hotpage-record check list
  run --separate-stderr -2 hotpage-record check --mem memory
  run --separate-stderr -2 hotpage-record check list more --mem memory
  for regions in 0 0+ +1 '0+4096,' x+y 0+4096,0+4096 0+32768 1+4096 ''; do
    run --separate-stderr -2 hotpage-record check list --mem memory --regions "$regions"
    assert_contains "$stderr" "--regions"
  done
  run --separate-stderr -5 hotpage-record check list --mem nothing
  assert_contains "$stderr" "'nothing'"
  run --separate-stderr -4 hotpage-record check list --mem odd
  run --separate-stderr -4 hotpage-record check list --mem .
}

@test "a hostile list is refused with its name, and its count alone allocates no memory" {
  printf 'HPL1\xff\xff\xff\xff\xff\xff\xff\xff\x7f' >huge-count
  printf 'HPL1\xff\xff\xff\xff\x0f' >large-count
  printf 'HPL2\x00' >magic
  printf 'HPL1' >truncated
  : >empty
  printf 'HPL1\x00extra' >trailing
  printf 'HPL1\x01\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f' >overflow
  mkdir dir
  for list in huge-count large-count magic truncated empty trailing overflow dir; do
    run --separate-stderr -4 hotpage-record show "$list"
    assert_equal "$output" ""
    assert_contains "$stderr" "'$list'"
  done
}

# The number of pages of a file in the page cache.
cached_pages() { # <file>
  fincore --noheadings --output PAGES "$1" | tr -d ' '
}

@test "readahead: reads the pages of the list and small gaps, and no others" {
  head -c 8M /dev/urandom >memory
  printf '# snapfork-trace 1 page_size=4096 memory_bytes=8388608 regions=0+8388608\n1000\n10\n1010\n' >trace
  hotpage-record record -o list trace
  sync memory
  dd if=memory iflag=nocache count=0 status=none
  (($(cached_pages memory) == 0)) || skip 'this filesystem keeps the pages of a file in memory'
  run -0 hotpage-record readahead --json --mem memory list
  assert_equal "$(json '[.type, .v, .path, .entries, .ranges, .bytes] | @csv')" \
    '"hot_list_readahead",1,"list",3,2,49152'
  all_are_read() { (($(cached_pages memory) == 12)); }
  wait_until 10 all_are_read
}

@test "readahead: reads nothing if the page cache has all pages of the list" {
  require_cmd strace
  [[ $(printf '%s\n' 6.5 "$(uname -r)" | sort -V | head -n 1) == 6.5 ]] || skip 'cachestat(2) needs Linux 6.5'
  head -c 8M /dev/urandom >memory
  printf '# snapfork-trace 1 page_size=4096 memory_bytes=8388608 regions=0+8388608\n1000\n10\n1010\n' >trace
  hotpage-record record -o list trace
  cat memory >/dev/null
  run -0 strace -o calls -e trace=readahead hotpage-record readahead --json --mem memory list
  assert_equal "$(json '[.ranges, .bytes] | @csv')" 2,49152
  assert_equal "$(grep -c readahead calls)" 0
  sync memory
  dd if=memory iflag=nocache bs=4096 skip=1010 count=1 of=/dev/null status=none
  [[ $(cached_pages memory) != 2048 ]] || skip 'this filesystem keeps the pages of a file in memory'
  run -0 strace -o calls -e trace=readahead hotpage-record readahead --mem memory list
  assert_equal "$(grep -c readahead calls)" 2
}

@test "readahead: a list of another image, a pipe and a missing file are refused by name" {
  head -c 8K /dev/urandom >memory
  hotpage-record record -o list two.trace
  run --separate-stderr -1 hotpage-record readahead --mem memory --regions 0+4096,4096+4096 list
  assert_contains "$stderr" "'list'"
  mkfifo pipe
  run --separate-stderr -4 timeout 10 hotpage-record readahead --mem pipe list
  assert_contains "$stderr" "'pipe': it is not a regular file"
  run --separate-stderr -5 hotpage-record readahead --mem missing list
  assert_contains "$stderr" "'missing'"
}

@test "warm: reads the pages of the list, reports how many were cached, and drops them" {
  head -c 8M /dev/urandom >memory
  printf '# snapfork-trace 2 page_size=4096 memory_bytes=8388608 regions=0+8388608\n1000\n10\n1010\n' \
    | hotpage-record record --format hpl2 -o list
  sync memory
  dd if=memory iflag=nocache count=0 status=none
  (($(cached_pages memory) == 0)) || skip 'this filesystem keeps the pages of a file in memory'
  run -0 hotpage-record warm --json --mem memory list
  assert_equal "$(json '[.type, .action, .pages, .cached, .bytes_read] | @csv')" '"hot_list_warm","warmed",12,0,49152'
  assert_equal "$(cached_pages memory)" 12
  run -0 hotpage-record warm --json --lock 0.01 --mem memory list
  assert_equal "$(json '[.action, .cached, .bytes_read] | @csv')" '"locked",12,0'
  run -0 hotpage-record warm --json --drop --mem memory - <list
  assert_equal "$(json '[.action, .cached] | @csv')" '"dropped",12'
  assert_equal "$(cached_pages memory)" 0
}

@test "warm and record --resident do not trust the residency of a file of another user" {
  require_root
  require_cmd setpriv
  chmod 0755 .
  head -c 64K /dev/urandom >memory
  chmod 0444 memory
  printf '# snapfork-trace 2 page_size=4096 memory_bytes=65536 regions=0+65536\n3\n' | hotpage-record record -o list
  local as=(setpriv --reuid=65534 --regid=65534 --clear-groups "$(type -P hotpage-record)")
  run -0 "${as[@]}" warm --json --mem memory - <list
  assert_equal "$(json '[.pages, .cached, .bytes_read] | @csv')" '1,0,4096'
  run --separate-stderr -1 "${as[@]}" record --resident memory --format hpl2
  assert_contains "$stderr" "cannot record the residency of 'memory'"
  run -0 hotpage-record warm --json --mem memory list
  assert_equal "$(json '[.pages, .cached, .bytes_read] | @csv')" '1,1,0'
}

@test "warm: a list of another image is refused, and --drop excludes --lock" {
  head -c 8K /dev/urandom >memory
  hotpage-record record --format hpl2 -o list two.trace
  run --separate-stderr -1 hotpage-record warm --mem memory list
  assert_contains "$stderr" "'list'"
  run --separate-stderr -2 hotpage-record warm --drop --lock 1 --mem memory list
  run --separate-stderr -2 hotpage-record warm list
}
