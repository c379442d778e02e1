#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# hotpage-record: HPL2, merge, diff, convert, and the sources and ends of recordings.
# shellcheck disable=SC2154 # output, stderr and lines are set by run

setup() {
  load helpers
  common_setup
  other=$BATS_TEST_DIRNAME/../hot_lists.py # an encoder that shares no code with the programs
}
teardown() { common_teardown; }

# A trace of pages of a memory file with 64 pages in two regions.
trace_of() { # <page or line>...
  printf '# snapfork-trace 2 page_size=4096 memory_bytes=262144 regions=0+131072,131072+131072\n'
  (($# == 0)) || printf '%s\n' "$@"
}
list_of() { # <list> <page or line>...
  hotpage-record record --format hpl2 -o "$1" <(trace_of "${@:2}")
}
pages() { # <list>: page numbers in the memory file, on one line
  hotpage-record show "$1" | cut -f 3 | paste -s -d ' '
}

@test "lists of an independent encoder are read, and lists are read by its decoder" {
  require_cmd python3
  "$other" hpl1 1:4096 0:0 1:0 >one
  assert_equal "$(hotpage-record show one)" $'1\t4096\t-\n0\t0\t0\n1\t0\t-'
  "$other" hpl2 262144 0+131072,131072+131072 40 3 4 5 39 0 >two
  assert_equal "$(pages two)" '40 3 4 5 39 0'
  assert_equal "$(hotpage-record show two | head -n 1)" $'1\t32768\t40'
  list_of three 40 3 4 5 39 0
  assert_equal "$("$other" pages <three | paste -s -d ' ')" '40 3 4 5 39 0'
  assert_equal "$(hotpage-record convert --format hpl1 two | base64)" \
    "$("$other" hpl1 1:32768 0:12288 0:16384 0:20480 1:28672 0:0 | base64)"
  hotpage-record convert --mem <(:) one 2>&1 | grep -q "'one'" || fail "a list that does not fit"
}

@test "convert: HPL1 to HPL2 needs the regions, and back again keeps the pages" {
  truncate -s 262144 memory
  hotpage-record record -o one <(trace_of 40 3 3 4)
  run --separate-stderr -2 hotpage-record convert -o x.hpl2 one
  assert_contains "$stderr" '--mem FILE or --regions LIST'
  hotpage-record convert --mem memory --regions 0+131072,131072+131072 -o x.hpl2 one
  assert_equal "$(pages x.hpl2)" '40 3 4'
  hotpage-record convert --format hpl1 <x.hpl2 | cmp - one
  run --separate-stderr -1 hotpage-record convert --mem memory one
  assert_contains "$stderr" "'one': entry 0 is region 1"
}

@test "stat and show print the phases, the page size and the digest of an HPL2 list" {
  hotpage-record record --digest abc -o x.hpl2 <(trace_of 7 8 '# mark ready' 9 20)
  run -0 hotpage-record stat --json x.hpl2
  assert_equal "$(json '[.format, .entries, .runs, .digest, .memory_bytes, .exact, .page_bytes] | @csv')" \
    '"hpl2",4,2,"abc",262144,true,16384'
  assert_equal "$(jq -c .phases <<<"$output")" '[{"name":"","pages":2},{"name":"ready","pages":2}]'
  run -0 hotpage-record show --runs x.hpl2
  assert_equal "$output" $'0\t28672\t7\t2\t0\t1\n0\t36864\t9\t1\t1\t1\n0\t81920\t20\t1\t1\t1'
  run -0 hotpage-record stat - <x.hpl2
  assert_contains "$output" 'phase: ready, 2 pages'
}

@test "merge: union, intersection and majority keep the order of the first list" {
  list_of a 5 1 9
  list_of b 7 9 5 2
  list_of c 9 30
  assert_equal "$(hotpage-record merge a b | pages -)" '5 1 9 7 2'
  assert_equal "$(hotpage-record merge --intersection a b | pages -)" '5 9'
  assert_equal "$(hotpage-record merge --majority 2 a b c | pages -)" '5 9'
  assert_equal "$(hotpage-record merge --majority 3 a - c <b | pages -)" '9'
  hotpage-record merge -o ab a b
  assert_equal "$(hotpage-record merge --majority 3 ab c | pages -)" '9'
  run --separate-stderr -2 hotpage-record merge - -
  run --separate-stderr -2 hotpage-record merge --union --intersection a b
  run --separate-stderr -2 hotpage-record merge --majority 0 a b
}

@test "merge and diff refuse lists of different images with exit status 1" {
  list_of a 5
  hotpage-record record --format hpl2 -o b \
    <(printf '# snapfork-trace 2 page_size=4096 memory_bytes=8192 regions=0+8192\n1\n')
  run --separate-stderr -1 hotpage-record merge a b -o out
  assert_contains "$stderr" "hot lists 'a' and 'b'"
  [[ ! -e out ]]
  run --separate-stderr -1 hotpage-record diff a b
}

@test "diff counts the pages of two lists" {
  list_of a 5 1 9
  list_of b 7 9 5 2
  run -0 hotpage-record diff --json a b
  assert_equal "$(json '[.type, .both, .only_first, .only_second, .overlap_percent, .second.pages] | @csv')" \
    '"hot_list_diff",2,1,2,40,4'
  run -0 hotpage-record diff a - <b
  assert_equal "${lines[0]}, ${lines[1]}, ${lines[2]}" 'both: 2, only first: 1, only second: 2'
}

@test "check: an HPL2 list is for one length, digest and layout" {
  truncate -s 262144 memory
  truncate -s 131072 small
  hotpage-record record --digest abc -o x.hpl2 <(trace_of 7 40)
  run -0 hotpage-record check --json --mem memory x.hpl2
  assert_equal "$(json '[.ok, .entries, .format] | @csv')" 'true,2,"hpl2"'
  hotpage-record check --mem memory --digest abc --regions 0+131072,131072+131072 x.hpl2
  for call in check warm readahead; do
    run --separate-stderr -1 hotpage-record "$call" --mem small x.hpl2
    assert_contains "$stderr" 'an image of 262144 bytes'
    run --separate-stderr -1 hotpage-record "$call" --mem memory --regions 0+262144 x.hpl2
    assert_contains "$stderr" 'other regions'
  done
  run --separate-stderr -1 hotpage-record check --mem small x.hpl2
  assert_contains "$stderr" 'an image of 262144 bytes'
  run --separate-stderr -1 hotpage-record check --mem memory --digest def x.hpl2
  assert_contains "$stderr" "its digest is 'abc'"
  run --separate-stderr -1 hotpage-record check --mem memory --regions 0+262144 x.hpl2
  assert_contains "$stderr" 'other regions'
}

@test "a truncated or changed HPL2 list is exit status 4 for every verb" {
  truncate -s 262144 memory
  hotpage-record record -o good.hpl2 <(trace_of 7 40 9)
  head -c -1 good.hpl2 >short
  { cat good.hpl2 && echo; } >long
  { head -c 30 good.hpl2 && printf x && tail -c +32 good.hpl2; } >changed
  for list in short long changed; do
    for call in show stat merge convert "diff good.hpl2" "check --mem memory" "readahead --mem memory"; do
      # shellcheck disable=SC2086 # words
      run --separate-stderr -4 hotpage-record $call "$list"
      assert_equal "$output" ''
      assert_contains "$stderr" "'$list'"
    done
  done
}

@test "record: a truncated last line is ignored with a warning" {
  trace_of 7 4 >trace
  printf 3 >>trace
  run --separate-stderr -0 hotpage-record record --format hpl2 -o list trace
  assert_contains "$stderr" "warning: trace 'trace': line 4 has no newline"
  assert_equal "$(pages list)" '7 4'
}

@test "record: lists that were in use are a part of the result, before the faults" {
  list_of list 7 '# listed 30 3' 31 8
  assert_equal "$(pages list)" '30 31 32 7 8'
}

@test "record ends at a mark, at a number of pages, and after a time, while the trace is still written" {
  mkfifo pipe
  exec 7<>pipe # a writer that never ends
  trace_of 7 8 8 >&7
  run --separate-stderr -0 timeout 20 hotpage-record record --pages 2 --format hpl2 -o list pipe
  assert_equal "$(pages list)" '7 8'
  trace_of 7 8 '# mark other' 9 '# mark ready' 10 >&7
  run --separate-stderr -0 timeout 20 hotpage-record record --mark ready --format hpl2 -o list pipe
  assert_equal "$(pages list)" '7 8 9'
  assert_equal "$(hotpage-record stat --json list | jq -c '[.phases[].name]')" '["","other"]'
  trace_of 11 >&7
  run --separate-stderr -0 timeout 20 hotpage-record record --seconds 0.2 --format hpl2 -o list pipe
  assert_equal "$(pages list)" '11'
  trace_of 12 13 >&7
  run --separate-stderr -0 timeout 30 hotpage-record record --settled --format hpl2 -o list pipe
  assert_equal "$(pages list)" '12 13'
  exec 7>&-
  run --separate-stderr -2 hotpage-record record --mark 'a b' pipe
}

@test "record --settled ends if all pages that the guest needs were on a list" {
  mkfifo pipe
  exec 7<>pipe # a writer that never ends
  trace_of '# listed 30 3' >&7
  run --separate-stderr -0 timeout 30 hotpage-record record --settled --format hpl2 -o list pipe
  exec 7>&-
  assert_equal "$(pages list)" '30 31 32'
}

@test "a list and a trace that name more pages than a 256 GiB guest has are refused" {
  require_cmd python3
  printf '# snapfork-trace 2 page_size=4096 memory_bytes=17592186044416 regions=0+17592186044416\n# listed 0 %s\n' \
    67108865 >trace
  run --separate-stderr -4 hotpage-record record trace
  assert_contains "$stderr" "'trace': line 2: more than 67108864 pages are listed"
  truncate -s 64M memory
  python3 - >large <<'PY'
import struct, sys, zlib
def leb(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])
def section(type, *numbers):
    body = b"".join(map(leb, numbers))
    return bytes([type]) + leb(len(body)) + body
body = section(1, 4096, 1 << 44, 1, 0, 1 << 44, 0) + section(2, 0, 1, 1, 1, (1 << 26) + 1, 0)
data = b"HPL2" + struct.pack("<Q", len(body) + 16) + body
sys.stdout.buffer.write(data + struct.pack("<I", zlib.crc32(data)))
PY
  for call in show stat merge convert "diff large" "check --mem memory" "readahead --mem memory" "warm --mem memory" heatmap; do
    # shellcheck disable=SC2086 # words
    run --separate-stderr -4 hotpage-record $call large
    assert_contains "$stderr" "'large': at byte 43: the list has more than 67108864 pages"
  done
}

@test "a list of three million runs is read in one second of processor time and 100 MB of memory" {
  {
    echo '# snapfork-trace 1 page_size=4096 memory_bytes=68719476736 regions=0+68719476736'
    awk 'BEGIN { for (i = 0; i < 3000000; i++) print 5 * (i * 7919 % 3000000) }'
  } >trace
  hotpage-record record --format hpl2 -o large trace
  hotpage-record convert --format hpl1 -o large.hpl large
  local list
  for list in large large.hpl; do
    assert_equal "$(
      ulimit -v 102400 -t 1
      hotpage-record stat --json "$list" | jq -c '[.entries, .runs]'
    )" '[3000000,3000000]'
  done
}

@test "record --diff: the data of a Diff memory file, without a recording" {
  truncate -s 262144 diff
  printf x | dd of=diff bs=4096 seek=9 conv=notrunc status=none
  printf xy | dd of=diff bs=1 seek=$((40 * 4096 - 1)) conv=notrunc status=none
  (($(stat -c %b diff) <= 24)) || skip 'this filesystem has no holes of 4 KiB'
  hotpage-record record --diff diff --regions 0+131072,131072+131072 -o list.hpl2
  assert_equal "$(pages list.hpl2)" '9 39 40'
  run --separate-stderr -2 hotpage-record record --diff diff trace
  assert_contains "$stderr" 'exclude each other'
}

@test "record --resident makes a list that is marked as not exact" {
  head -c 262144 /dev/urandom >memory
  run -0 hotpage-record record --resident memory -o list.hpl2 --json
  assert_equal "$(json '[.exact, .format] | @csv' || true)" 'false,"hpl2"'
  assert_equal "$(hotpage-record stat --json list.hpl2 | jq .exact)" false
}
