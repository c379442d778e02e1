#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Tests the contents of guest memory and their cost: windows, zeros, 2 MiB pages, failing reads.
# shellcheck disable=SC2154,SC2030,SC2031 # run sets output and status; each test is a subshell of its own

load helpers
load uffd-serve_helpers
load ../huge_pages
load ../mounts

setup() {
  serve_setup
  require_userfaultfd
  head -c 8M /dev/urandom >memory
  chmod 400 memory
}
teardown() {
  common_teardown
  return_huge_pages
  unmount_all
}

of_probe() { # <field of the summary>
  jq -s "map(select(.type == \"summary\"))[0].$1" <<<"$output"
}

stop_server() {
  kill "$server"
  wait_until 20 is_gone "$server"
}

@test "--window: sequential access faults less with a wider window; 1 and --lazy fault for each page" {
  local option
  for option in --window=1 --lazy; do
    serve_memory "$option"
    run -0 probe --socket s.sock --pattern seq
    assert_equal "$(of_probe faults)" 2048
    stop_server
  done
  serve_memory
  run -0 probe --socket s.sock --pattern seq
  (($(of_probe faults) < 200)) || fail "the window did not open: $output"
  run -0 probe --socket s.sock --pattern seq --jobs 4
  (($(of_probe faults) < 800)) || fail "the window did not open for four vCPUs: $output"
  run -2 uffd-serve --mem memory --socket t.sock --window 0
  run -2 uffd-serve --mem memory --socket t.sock --window 513
  run -2 uffd-serve --mem memory --socket t.sock --window wide
  run -2 uffd-serve --mem memory --socket t.sock --window 4 --lazy
}

@test "--window: dense random access fills memory, sparse access does not" {
  serve_memory --json --once --window-factor unbounded
  run -0 probe --socket s.sock
  (($(of_probe faults) < 1500)) || fail "each page faulted: $output"
  wait_until 20 is_gone "$server"
  serve_memory --json --once --window-factor unbounded
  run -0 probe --socket s.sock --pages 15
  wait_until 20 is_gone "$server"
  (($(jq .pages_copied server.log) < 120)) || fail "15 touches: $(<server.log)"
}

@test "--window: each session can set its own" {
  serve_control
  run -0 uffd-ctl create --lazy a=memory
  run -0 probe --socket s/a.sock --pattern seq
  assert_equal "$(of_probe faults)" 2048
  wait_for_session_end a
  run -0 uffd-ctl create --window auto a=memory
  run -0 probe --socket s/a.sock --pattern seq
  (($(of_probe faults) < 200)) || fail "$output"
  wait_for_session_end a
  run -0 uffd-ctl create --window 512 a=memory
  hold_vmm s/a.sock --pattern stride:512 --pages 4
  wait_until 10 bash -c 'uffd-ctl session a | jq -e ".pages.copied == 2048"'
  release_vmm
  wait_for_session_end a
  run -2 uffd-ctl create --window 513 a=memory
  run -2 uffd-ctl create --window 0 a=memory
  run -2 uffd-ctl create --window wide a=memory
  run -2 uffd-ctl create --lazy --window 4 a=memory
  assert_contains "$output" "exclude each other"
  ask_for 200 POST /sessions "$(session_body a window=16 lazy=false)"
  ask_for 400 POST /sessions "$(session_body a window=513)"
  ask_for 400 POST /sessions "$(session_body a window='"wide"')"
  ask_for 400 POST /sessions "$(session_body a lazy=1)"
  ask_for 400 POST /sessions "$(session_body a lazy=true window=4)"
  assert_contains "$output" "exclude each other"
}

session_has() { # <jq filter>
  uffd-ctl session a | jq -e "$1"
}

@test "--window-factor: windows install at most as much again as the guest has asked for" {
  local factor
  serve_control
  for factor in 2 unbounded; do
    run -0 uffd-ctl create --window-factor "$factor" a=memory
    hold_vmm s/a.sock --pages 600
    if [[ $factor == 2 ]]; then
      # The counters change one after the other.
      wait_until 10 session_has '.window == "auto" and .window_factor == 2 and .bytes.asked > 0 and
        .bytes.prefetched_by_window <= .bytes.asked and
        .bytes.asked + .bytes.prefetched_by_window == .bytes_resident'
    else
      wait_until 10 session_has '.window_factor == "unbounded" and .bytes.prefetched_by_window > .bytes.asked'
    fi
    release_vmm
    wait_for_session_end a
  done
  run -0 uffd-ctl create --lazy a=memory
  run -0 uffd-ctl --json sessions
  jq -e '.window == 1 and .window_factor == null and .bytes == {"asked": 0, "prefetched_by_window": 0, "prefetched_by_list": 0}' \
    <<<"$output" || fail "$output"
  run -2 uffd-ctl create --window-factor 0 a=memory
  run -2 uffd-ctl create --window-factor auto a=memory
  ask_for 200 POST /sessions "$(session_body b window_factor=3)"
  ask_for 200 POST /sessions "$(session_body c window_factor='"unbounded"')"
  ask_for 400 POST /sessions "$(session_body d window_factor=0)"
  ask_for 400 POST /sessions "$(session_body d window_factor='"auto"')"
}

@test "--window-factor: a sequential pass still opens the window" {
  serve_memory
  run -0 probe --socket s.sock --pattern seq
  (($(of_probe faults) <= 2048 / 10)) || fail "$output"
}

@test "holes between pages do not end a sequential window" {
  rm -f memory
  truncate -s 2M memory
  local page
  for ((page = 0; page < 512; page += 3)); do
    head -c 4096 /dev/urandom | dd of=memory bs=4096 seek="$page" conv=notrunc status=none
  done
  chmod 400 memory
  serve_memory
  run -0 probe --socket s.sock --pattern seq
  (($(of_probe faults) < 60)) || fail "$output"
}

# Creates a memory file on a disk with errors: reads from page $bad on fail with EIO.
make_failing_disk() {
  mount_fs ext4 mnt 600
  head -c 8M /dev/urandom >mnt/memory
  chmod 400 mnt/memory
  sync -f mnt
  rm -f memory
  cp mnt/memory memory # the contents that guests must read
  local block
  bad=1024
  block=$(filefrag -v -b4096 mnt/memory | awk -v page="$bad" '
    /^ *[0-9]+:/ { gsub(/[.:]/, " "); if ($2 <= page && page <= $3) { print $4 + page - $2; exit } }')
  [[ -n $block ]] || fail "no such block"
  cp --sparse=always mnt.img whole
  truncate -s $((block * 4096)) mnt.img
  dd if=mnt/memory iflag=nocache count=0 status=none # out of the page cache
}

@test "a disk error: only the unreadable page is poisoned, and logged with offset and errno" {
  make_failing_disk
  serve --mem mnt/memory --socket s.sock --read-attempts 2
  seq 0 1000 >good
  run -0 probe --socket s.sock --pattern trace:good
  seq 2000 2047 >bad
  run -1 probe --socket s.sock --pattern trace:bad --deadline 20
  assert_contains "$output" '"signal":7'
  kill "$server"
  wait_until 20 is_gone "$server"
  wait "$server" && fail "no failure was reported" || assert_equal $? 5
  assert_logged "page at offset 8192000 of 'mnt/memory': cannot read it: Input/output error (errno 5)"
  assert_equal "$(grep -c poisoned: server.log)" 1
}

@test "a disk error: --on-failure kill kills and names the VMM" {
  make_failing_disk
  serve --mem mnt/memory --socket s.sock --on-failure kill --read-attempts 1
  seq 2000 2047 >bad
  run -1 probe --socket s.sock --pattern trace:bad --deadline 20
  assert_contains "$output" '"signal":9'
  wait_until 10 grep -q "killed the VMM" server.log
  kill "$server"
}

@test "a disk error that ends: hot list and completion fail without harm, and later succeed" {
  make_failing_disk
  serve_control
  uffd-ctl create a=mnt/memory >/dev/null
  hold_vmm s/a.sock --pages 20 --pattern seq
  run -1 uffd-ctl complete a
  assert_contains "$output" "cannot be read"
  assert_equal "$(uffd-ctl session a | jq .pages.poisoned)" 0
  truncate -s 600M mnt.img
  dd if=whole of=mnt.img bs=1M conv=notrunc,sparse status=none
  dd if=mnt/memory iflag=nocache count=0 status=none
  wait_until 20 uffd-ctl complete a
  release_vmm
  wait_until 20 is_gone "$vmm"
  kill "$server"
  wait_until 20 is_gone "$server"
}

@test "2 MiB pages: every byte is correct, with holes, several VMMs and writes" {
  borrow_huge_pages 16
  rm -f memory
  head -c 4M /dev/urandom >memory
  truncate -s 10M memory
  head -c 6M /dev/urandom >>memory
  serve_memory
  run -0 probe --socket s.sock --socket s.sock --page-size 2M --jobs 2 --write 30
  kill "$server"
  wait_until 20 is_gone "$server"
}

@test "2 MiB pages: an empty pool is logged, and waited for without using CPU" {
  borrow_huge_pages 4
  serve_control
  uffd-ctl create a=memory >/dev/null
  # The pool is emptied while no fault is answered.
  kill -STOP "$server"
  spawn_to vmm.log uffd-probe --mem memory --socket s/a.sock --page-size 2M --pattern seq
  vmm=$spawned_pid
  registered() {
    local pid
    for pid in "$vmm" $(pgrep -P "$vmm"); do
      ! grep -qs '^VmFlags:.* um' "/proc/$pid/smaps" || return 0
    done
    return 1
  }
  wait_until 10 registered
  change_pool -3
  kill -CONT "$server"
  wait_until 10 grep -q "the pool of 2 MiB pages is empty; its faults wait until memory is available" server.log
  # The server retries after 10 ms to 1 s.
  wait_until 20 bash -c 'uffd-ctl session a | jq -e ".out_of_memory >= 3 and .faults.waiting == 1"'
  (($(uffd-ctl session a | jq .out_of_memory) < 1000)) || fail "the fault does not wait"
  change_pool 3
  wait_until 20 is_gone "$vmm"
  wait "$vmm" || fail "$(<vmm.log)"
}

@test "a writable memory file that cannot be reflinked gets a warning, and another when it is written to" {
  chmod 600 memory
  serve_control -v
  uffd-ctl create a=memory
  assert_logged 'waiting for its VMM' # which is logged after the warning
  grep -q "serving '$PWD/memory' itself, which must not be written to" server.log || skip 'a reflink of it is served'
  hold_vmm s/a.sock --pages 10
  printf x | dd of=memory bs=1 seek=$((7 << 20)) conv=notrunc status=none
  uffd-ctl complete --rate $((4 << 20)) a
  assert_logged_times 1 'was written to while it is served'
  release_vmm
}

@test "a core dump contains no guest memory" {
  require_plain_build
  chmod 444 memory
  serve_control
  uffd-ctl create a=memory
  hold_vmm s/a.sock --pages 10
  # The mappings: the image, and the buffer of 128 KiB with its zeros.
  awk '/^[0-9a-f]+-[0-9a-f]+ / {name = $6; size = 0} /^Size:/ {size = $2} /^VmFlags:/ {print name "\t" size "\t" $0 " "}' \
    "/proc/$server/smaps" >mappings
  grep -P "^$PWD/memory\t" mappings >image || fail "$(<mappings)"
  ! grep -v ' dd ' image || fail 'the image is dumped'
  grep -qP '^\t256\t.* dd ' mappings || fail 'the buffer is not found' "$(<mappings)"
  release_vmm
}
