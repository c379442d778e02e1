#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Tests faults of other page servers in guest memory (docs/traps.md lists all).
# shellcheck disable=SC2154,SC2030,SC2031 # run sets output and status; each test is a subshell of its own

load helpers
load uffd-serve_helpers
load ../huge_pages

setup() {
  require_userfaultfd
  common_setup
  unset XDG_RUNTIME_DIR
}
teardown() {
  common_teardown
  return_huge_pages
}

# Prints the private memory of the server, in KiB.
own_kib() { awk '/^Anonymous/ {print $2}' "/proc/$server/smaps_rollup"; }

# Writes a random page at each of these page numbers (4 KiB) of `memory`.
store_pages() { # <page>...
  local page
  for page; do
    dd if=/dev/urandom of=memory bs=4096 count=1 seek="$page" conv=notrunc status=none
  done
}

# A guest of more than 3 GiB has two regions, separated by the device addresses, and one contiguous file.
@test "trap: two regions of 3 GiB each: every page has the bytes of its file offset" {
  local gib=$((1 << 18)) # pages
  truncate -s 6G memory
  # The ends of both regions, and the offsets at which 31 or 32 bits overflow.
  store_pages 0 1 $((2 * gib - 1)) $((2 * gib)) $((3 * gib - 1)) $((3 * gib)) $((3 * gib + 1)) $((4 * gib)) \
    $((5 * gib)) $((6 * gib - 1))
  {
    printf '%s\n' 0 1 $((gib)) $((2 * gib - 1)) $((2 * gib)) $((3 * gib - 2)) $((3 * gib - 1)) $((3 * gib))
    printf '%s\n' $((3 * gib + 1)) $((3 * gib + 2)) $((4 * gib)) $((5 * gib)) $((6 * gib - 2)) $((6 * gib - 1))
  } >touched
  chmod 444 memory # else there is a warning, where no reflink of it can be made
  serve_memory
  run -0 probe --socket s.sock --regions 2 --pattern trace:touched
  assert_equal "$(jq -s '.[0] | .touched' <<<"$output")" 14
  # Also as hot pages.
  { echo "# snapfork-trace 1 page_size=4096 memory_bytes=$((6 << 30)) regions=0+$((3 << 30)),$((3 << 30))+$((3 << 30))" && cat touched; } >trace
  hotpage-record record -o hot trace
  serve --mem memory --socket hot.sock --hot hot
  run -0 probe --socket hot.sock --regions 2 --pattern trace:touched
  assert_equal "$(<server.log)" ""
}

@test "trap: a hot list of three million runs: faults come first, and the whole list is installed" {
  require_cmd python3
  # Data in every second MiB, so that no hole is large enough to be unregistered.
  truncate -s 24G memory
  python3 -c 'import os
fd = os.open("memory", os.O_WRONLY)
for at in range(1 << 20, 24 << 30, 2 << 20):
    os.pwrite(fd, at.to_bytes(8, "little") * 512, at)'
  awk 'BEGIN {
    print "# snapfork-trace 1 page_size=4096 memory_bytes=25769803776 regions=0+25769803776"
    for (i = 0; i < 3000000; i++) printf "%d\n", 2 * i
  }' | hotpage-record record -o hot
  serve_control -v
  uffd-ctl create --hot hot a=memory
  hold_vmm "$PWD/s/a.sock" --pages 500
  if grep "hot list installed" server.log; then fail "the guest waited for the whole list"; fi
  wait_until 100 grep -q "hot list installed" server.log
  run -0 uffd-ctl session a
  (($(json '.pages.copied + .pages.zeroed') >= 3000000)) || fail "the list was not installed completely"
  assert_equal "$(json '.pages.copied > 5000')" true
  release_vmm
  wait_until 20 is_gone "$vmm"
  wait "$vmm"
  wait_until 20 serves_nobody
  # A sanitizer keeps freed memory.
  [[ $(command -v uffd-serve) == */san-*/* ]] || (($(own_kib) < 64 * 1024)) \
    || fail "$(own_kib) KiB are kept of a list of $(stat -c %s hot) bytes"
}

@test "trap: a memory file truncated in the middle of a page is not filled with zeros" {
  head -c 8M /dev/urandom >memory
  cp memory whole
  chmod 444 memory # read directly, whatever the filesystem can do
  serve_memory --window 1
  truncate -s $(((1900 << 12) + 100)) memory
  seq 1800 1899 >touched
  run -0 uffd-probe --mem whole --socket s.sock --pattern trace:touched
  echo 1900 >touched
  run -1 uffd-probe --mem whole --json --socket s.sock --pattern trace:touched
  assert_contains "$output" '"signal":7'
  assert_logged "offset $((1900 << 12)) of 'memory': cannot read it: the file was truncated"
}

# With an empty pool the kernel returns EEXIST, not ENOMEM. Other servers woke the guest and got the same fault forever.
@test "trap: an empty pool of 2 MiB pages is logged once, and faults are served when pages are free" {
  borrow_huge_pages 8
  (($(free_huge_pages) == 8)) || skip "other free huge pages exist"
  head -c 16M /dev/urandom >memory
  chmod 444 memory # else there is a warning, where no reflink of it can be made
  serve_memory
  # The pool is reduced after the VMM has checked it and before the server installs pages.
  kill -STOP "$server"
  spawn_to vmm.log uffd-probe --mem memory --socket s.sock --page-size 2M --pattern seq --json
  local vmm=$spawned_pid
  waits_for_a_page() { cat "/proc/$(pgrep -P "$vmm")/fdinfo/"* | grep -Eq '^pending:.*[1-9]'; }
  wait_until 10 waits_for_a_page
  change_pool -5
  kill -CONT "$server"
  wait_until 10 grep -q "pool of 2 MiB pages is empty" server.log
  change_pool 5
  wait_until 20 is_gone "$vmm"
  wait "$vmm"
  assert_equal "$(grep -c "pool of 2 MiB pages is empty" server.log)" 1
  assert_equal "$(wc -l <server.log)" 1
}

@test "trap: memory and descriptors of a session are freed when its guest ends" {
  require_plain_build
  local i before kib_before sessions=()
  for i in memory m{1..8}; do
    head -c 8M /dev/urandom >"$i"
    chmod 444 "$i"
    sessions+=("$i=$i")
  done
  serve_control
  serve_one_guest
  before=$(descriptors) kib_before=$(own_kib)
  uffd-ctl create "${sessions[@]}"
  for i in m{1..8}; do run -0 uffd-probe --mem "$i" --socket "s/$i.sock"; done
  hold_vmm "$PWD/s/memory.sock"
  grep -q "$PWD/memory" "/proc/$server/maps" || fail "the image is not mapped"
  # The server keeps only its buffers, not copies of the served pages.
  (($(own_kib) < kib_before + 2048)) || fail "$(($(own_kib) - kib_before)) KiB for one guest"
  release_vmm
  wait_until 5 is_back_to "$before"
  # The last descriptor is closed before the last mapping ends.
  no_images() { ! grep -q "$PWD/m" "/proc/$server/maps"; }
  wait_until 5 no_images
  kib_are_freed() { (($(own_kib) < kib_before + 512)); }
  wait_until 5 kib_are_freed
}

@test "trap: complete under touches, writes and a balloon is fast, and no page is wrong" {
  head -c 128M /dev/urandom >memory
  serve_control --lazy -v
  uffd-ctl create a=memory
  start_vmm "$PWD/s/a.sock" --jobs 4 --write 20 --balloon 48
  touches() {
    run uffd-ctl session a
    json '.faults.demand > 100 and .pages.removed > 100' >/dev/null
  }
  wait_until 10 touches
  if grep ready vmm.log; then fail "the VMM has touched all pages"; fi
  run -0 uffd-ctl complete a
  assert_logged "completed: all memory is installed"
  kill "$server" # for which it would have to stay until its guest ends
  wait_for_end "$server" 0
  wait_until 60 grep ready vmm.log
  release_vmm
  wait_until 20 is_gone "$vmm"
  wait "$vmm" || fail "$(<vmm.log)"
}
