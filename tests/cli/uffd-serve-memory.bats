#!/usr/bin/env bats
# What guests find in their memory, and what it costs: windows, zeros, 2 MiB pages, failing reads.
# shellcheck disable=SC2154,SC2030,SC2031 # run sets output and status; each test is a subshell of its own

load helpers
load uffd-serve_helpers
load ../huge_pages
load ../mounts

setup() {
  common_setup
  unset XDG_RUNTIME_DIR
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

@test "--window: walking faults less with a wider one; --window 1 and --lazy fault for each page" {
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

@test "--window: jumps all over memory fill it, and a few far ones do not" {
  serve_memory --json --once
  run -0 probe --socket s.sock
  (($(of_probe faults) < 1500)) || fail "each page faulted: $output"
  wait_until 20 is_gone "$server"
  serve_memory --json --once
  run -0 probe --socket s.sock --pages 15
  wait_until 20 is_gone "$server"
  (($(jq .pages_copied server.log) < 120)) || fail "15 touches: $(<server.log)"
}

@test "--window: of each session, by its request" {
  serve_control
  post() { # <window fields>
    curl -sS --unix-socket c.sock -o reply -w '%{http_code}' http://localhost/sessions \
      -d "{\"session_id\":\"a\",\"backing_memory_path\":\"$PWD/memory\",\"cache_key\":\"k\"$1}"
  }
  assert_equal "$(post ',"lazy":true')" 200
  run -0 probe --socket s/a.sock --pattern seq
  assert_equal "$(of_probe faults)" 2048
  assert_equal "$(post ',"window":"auto"')" 200
  run -0 probe --socket s/a.sock --pattern seq
  (($(of_probe faults) < 200)) || fail "$output"
  assert_equal "$(post ',"window":16,"lazy":false')" 200
  assert_equal "$(post ',"window":513')" 400
  assert_equal "$(post ',"window":"wide"')" 400
  assert_equal "$(post ',"lazy":1')" 400
  assert_equal "$(post ',"lazy":true,"window":4')" 400
  assert_contains "$(<reply)" "exclude each other"
}

@test "holes between the pages do not cut a walk short" {
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

# A service with the session "a", and a VMM of it that has touched some pages and lives until release_vmm.
hold_session() { # <probe option>...
  serve_control
  ctl create "a=$PWD/memory" >/dev/null
  hold_vmm s/a.sock "$@"
}

session_is_gone() {
  ! ctl session a >/dev/null 2>&1
}

ctl() { # <verb> [operand]...
  uffd-serve ctl "$@"
}

@test "complete: the guest has all of its memory and needs no server any more" {
  hold_session --pages 100
  run -0 ctl complete a
  run ctl complete a # no error, as long as the session is there
  ((status == 0)) || assert_contains "$output" "session not found"
  wait_until 10 session_is_gone
  kill -KILL "$server"
  wait_until 10 is_gone "$server"
  # All of it is there, and nobody is asked: 2048 pages of the probe's memory, by the kernel's word.
  local probe_pid
  probe_pid=$(pgrep -P "$vmm" || echo "$vmm")
  (($(awk '/^Rss:/ { sum += $2 } END { print sum }' /proc/"${probe_pid%%$'\n'*}"/smaps) >= 8192)) \
    || fail "not all of it is there"
  assert_equal "$(grep -c ' um ' /proc/"${probe_pid%%$'\n'*}"/smaps || true)" 0
  release_vmm
  wait_until 20 is_gone "$vmm"
}

@test "complete: under faults, writes and a balloon; no page wrong, none stale" {
  serve_control
  local round
  for round in 1 2 3; do
    ctl create "a=$PWD/memory" >/dev/null
    spawn_to vmm.log uffd-probe --mem memory --socket s/a.sock --jobs 4 --write 20 --balloon 4 --seed "$round" --json
    vmm=$spawned_pid
    # It may end at any time, and then there is nothing to complete.
    connected() { ctl session a 2>/dev/null | grep -q '"serving"' || is_gone "$vmm"; }
    wait_until 10 connected
    run ctl complete a
    ((status == 0)) || assert_contains "$output" "session"
    wait_until 30 is_gone "$vmm"
    wait "$vmm" || fail "$(<vmm.log)"
  done
}

@test "complete: refused without a VMM, for an unknown session, with a bad body" {
  serve_control
  ctl create "a=$PWD/memory" >/dev/null
  run -1 ctl complete b
  assert_contains "$output" "session not found"
  run -1 ctl complete a
  assert_contains "$output" "no VMM is connected"
  run -1 ctl prefetch a
  assert_contains "$output" "no VMM is connected"
  local body
  for body in '[]' '{"bytes_per_second":"fast"}' '{"bytes_per_second":-1}' '{"wait":1}'; do
    assert_equal "$(curl -sS --unix-socket c.sock -o reply -w '%{http_code}' -d "$body" \
      http://localhost/sessions/a/complete)" 400
  done
}

@test "complete: slowly, paused, asked for twice, and gone on with" {
  hold_session --pages 10
  post() { # <action> <body>
    curl -sS --unix-socket c.sock -o reply -w '%{http_code}' -d "$2" "http://localhost/sessions/a/$1"
  }
  assert_equal "$(post complete '{"wait":false,"bytes_per_second":131072}')" 202
  assert_equal "$(post complete '{}')" 409
  assert_contains "$(<reply)" "completion already in progress"
  assert_equal "$(post pause-prefetch '')" 204
  wait_until 10 bash -c 'uffd-serve ctl session a | jq -e ".pages.copied < 200"'
  completes() { [[ $(post complete '{}') == 204 ]]; }
  wait_until 10 completes # once it has paused
  release_vmm
  wait_until 20 is_gone "$vmm"
}

@test "prefetch: a hot list for a guest that runs" {
  local page
  {
    echo "# snapfork-trace 1 page_size=4096 memory_bytes=8388608 regions=0+8388608"
    for ((page = 0; page < 2000; page += 2)); do
      echo "$page"
    done
  } >trace
  hotpage-record record trace >hot
  hold_session --pages 1
  run -0 ctl prefetch a hot
  wait_until 10 bash -c 'uffd-serve ctl session a | jq -e ".pages.prefetched >= 999"'
  echo nonsense >bad
  run -1 ctl prefetch a bad
  assert_contains "$output" "bad"
  release_vmm
  wait_until 20 is_gone "$vmm"
}

# A memory file on a disk that ends in its middle: reads from page $bad on are EIO.
make_failing_disk() {
  mount_fs ext4 mnt 600
  head -c 8M /dev/urandom >mnt/memory
  chmod 400 mnt/memory
  sync -f mnt
  rm -f memory
  cp mnt/memory memory # what it must read as
  local block
  bad=1024
  block=$(filefrag -v -b4096 mnt/memory | awk -v page="$bad" '
    /^ *[0-9]+:/ { gsub(/[.:]/, " "); if ($2 <= page && page <= $3) { print $4 + page - $2; exit } }')
  [[ -n $block ]] || fail "no such block"
  cp --sparse=always mnt.img whole
  truncate -s $((block * 4096)) mnt.img
  dd if=mnt/memory iflag=nocache count=0 status=none # out of the page cache
}

@test "a disk that fails: exactly the page that cannot be read is poisoned, and said with offset and errno" {
  make_failing_disk
  serve --mem mnt/memory --socket s.sock --read-attempts 2
  seq 0 1000 >good
  run -0 probe --socket s.sock --pattern trace:good
  seq 2000 2047 >bad
  run -1 probe --socket s.sock --pattern trace:bad --deadline 20
  assert_contains "$output" '"signal":7'
  kill "$server"
  wait_until 20 is_gone "$server"
  wait "$server" && fail "no failure told" || assert_equal $? 5
  assert_contains "$(<server.log)" "page at offset 8192000 of 'mnt/memory': it cannot be read: Input/output error (errno 5)"
  assert_equal "$(grep -c poisoned, server.log)" 1
}

@test "a disk that fails: --on-failure kill ends the VMM, at once and by name" {
  make_failing_disk
  serve --mem mnt/memory --socket s.sock --on-failure kill --read-attempts 1
  seq 2000 2047 >bad
  run -1 probe --socket s.sock --pattern trace:bad --deadline 20
  assert_contains "$output" '"signal":9'
  assert_contains "$(<server.log)" "killed the VMM"
  kill "$server"
}

@test "a disk that fails and comes back: a hot list and a completion fail softly, and then do not" {
  make_failing_disk
  serve_control
  ctl create "a=$PWD/mnt/memory" >/dev/null
  hold_vmm s/a.sock --pages 20 --pattern seq
  run -1 ctl complete a
  assert_contains "$output" "cannot be read"
  assert_equal "$(ctl session a | jq .pages.poisoned)" 0
  truncate -s 600M mnt.img
  dd if=whole of=mnt.img bs=1M conv=notrunc,sparse status=none
  dd if=mnt/memory iflag=nocache count=0 status=none
  wait_until 20 ctl complete a
  release_vmm
  wait_until 20 is_gone "$vmm"
  kill "$server"
  wait_until 20 is_gone "$server"
}

@test "2 MiB pages: every byte, holes, several VMMs, writes" {
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
