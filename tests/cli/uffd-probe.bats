#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Tests the verdicts of uffd-probe on a correct page server and on faulty ones.
# shellcheck disable=SC2154,SC2030,SC2031 # what helpers set; each test is a subshell, and meant to be

load helpers
load ../huge_pages

setup() {
  common_setup
  # 16 MiB: random pages, separated by holes.
  head -c 8M /dev/urandom >memory
  truncate -s 12M memory
  head -c 4M /dev/urandom >>memory
  pages=4096
}
teardown() {
  common_teardown
  return_huge_pages
}

# Starts the helper server, correct or with the named fault, and returns when it listens.
serve() { # [what is wrong]
  require_userfaultfd
  mkfifo ready
  spawn_to ready "$HELPERS/minimal-server" --socket s.sock --mem memory --wrong "${1:-nothing}"
  read -r line <ready
  assert_equal "$line" ready
}

probe() {
  uffd-probe --socket s.sock --mem memory "$@"
}

@test "uffd-probe: common options, closed streams and exit statuses" {
  standard_cases uffd-probe
}

@test "a correct server passes, with a line or JSON records for each VMM" {
  serve
  run --separate-stderr -0 probe
  assert_equal "$stderr" ""
  assert_contains "$output" "s.sock: $pages pages in "
  assert_contains "$output" "every byte correct; $pages faults: p50 "
  run --separate-stderr -0 probe --json
  assert_equal "$(jq -c 'select(.type == "probe")
    | [.v, .socket, .ok, .touched, .faults, .wrong_pages, .stale_pages, .hung]' <<<"$output")" \
    "[1,\"s.sock\",true,$pages,$pages,0,0,false]"
  jq -es '.[0] | .p50_ns > 0 and .p50_ns <= .p99_ns and .p99_ns <= .max_ns and .max_ns < .total_ns' \
    <<<"$output"
  assert_equal "$(jq -c 'select(.type == "summary") | [.v, .vmms, .good_vmms, .hung_vmms, .faults]' \
    <<<"$output")" "[1,1,1,0,$pages]"
  run --separate-stderr -0 probe --quiet
  assert_equal "$output$stderr" ""
}

@test "a correct server passes with jobs, regions, writes and a balloon" {
  serve
  run -0 --separate-stderr probe --json --jobs 3 --regions 5 --write 30 --balloon 4 --seed 7
  assert_equal "$(jq -c 'select(.type == "probe") | [.ok, .touched, .removed_pages]' \
    <<<"$output")" "[true,$pages,1024]"
  jq -es '.[0].written_pages | . > 1000 and . < 1500' <<<"$output"
  run -0 --separate-stderr probe --json --jobs 4 --overlap --balloon 4
  assert_equal "$(jq -c 'select(.type == "probe") | [.ok, .touched]' <<<"$output")" \
    "[true,$((4 * pages))]"
  run -0 --separate-stderr probe --json --cpu 0 --pages 10
}

@test "each --pattern touches the pages it names" {
  serve
  printf '4095\n0\n# a remark\n4095\n17\n' >t.trace
  for pattern in random seq stride:64 trace:t.trace; do
    run -0 --separate-stderr probe --json --pattern "$pattern" --pages 3
    assert_equal "$(jq -s '.[0].touched' <<<"$output")" 3
  done
  run -0 --separate-stderr probe --json --pattern trace:t.trace
  assert_equal "$(jq -s '.[0].touched' <<<"$output")" 3
}

@test "several VMMs run at once, each in its own process" {
  serve
  run -0 --separate-stderr probe --json --socket s.sock --socket s.sock --balloon 1
  assert_equal "$(jq -s '[.[] | select(.type == "probe") | .pid] | unique | length' \
    <<<"$output")" 3
  assert_equal "$(jq -s '.[-1] | [.vmms, .good_vmms, .touched]' -c <<<"$output")" \
    "[3,3,$((3 * pages))]"
}

@test "one wrong byte is found and reported with its position" {
  serve
  cp memory expected
  printf '\xaa' | dd of=expected bs=1 seek=8398949 conv=notrunc status=none # page 2050, byte 2149
  run -1 --separate-stderr uffd-probe --socket s.sock --mem expected --json
  assert_contains "$stderr" "s.sock: 1 wrong page (page 2050, byte 2149: 00 where aa was expected)"
  assert_equal "$(jq -s -c '.[0] | [.ok, .wrong_pages, .first_mismatch]' <<<"$output")" \
    '[false,1,{"page":2050,"byte":2149,"expected":170,"found":0}]'
}

@test "occasional wrong bytes are found" {
  serve byte
  run -1 --separate-stderr probe --json
  assert_equal "$(jq -s '.[0].wrong_pages' <<<"$output")" 40
}

@test "a server that ignores removals leaves stale pages" {
  serve ignore-remove
  run -1 --separate-stderr probe --json --balloon 4
  assert_contains "$stderr" "removed but not zero"
  jq -es '.[0] | .stale_pages > 500 and .wrong_pages == 0' <<<"$output"
}

# Whether a fault and a removal are in one batch is random. Five runs without one mean that the probe detects nothing.
probe_until_wrong() { # <option>...
  local seed
  for seed in {1..5}; do
    run --separate-stderr probe --seed "$seed" "$@"
    ((status == 0)) || return 0
  done
}

@test "a server that answers faults before removals of the same batch leaves stale pages" {
  serve late-remove
  probe_until_wrong --json --balloon 12 --jobs 8
  assert_equal "$status" 1
  jq -es '.[0] | .stale_pages > 0 and .wrong_pages == 0' <<<"$output"
}

@test "a server that stops answering is a hang at the deadline, and no process remains" {
  serve hang
  run -1 --separate-stderr probe --json --deadline 0.9
  assert_contains "$stderr" "s.sock: hung after 99 pages: no answer for page "
  assert_contains "$stderr" "within 900.0 ms"
  assert_equal "$(jq -s -c '.[0] | [.ok, .hung, .touched]' <<<"$output")" "[false,true,99]"
  is_gone "$(jq -s '.[0].pid' <<<"$output")"
}

@test "a server that does not wake the waiters of a present page is a hang" {
  serve no-wake
  run -1 --separate-stderr probe --json --deadline 0.5
  assert_equal "$(jq -s '.[0].hung' <<<"$output")" true
}

@test "a server that closes and stops answering is a hang long before the deadline" {
  serve close
  run -1 --separate-stderr timeout 120 uffd-probe --socket s.sock --mem memory --json --deadline 600
  assert_contains "$stderr" "the server had closed the connection"
  assert_equal "$(jq -s -c '.[0] | [.hung, .server_closed]' <<<"$output")" "[true,true]"
}

@test "a server that ends after installing all pages is not a hang, however long verification takes" {
  require_cmd strace
  head -c 24K /dev/urandom >memory
  serve
  local server=$spawned_pid
  # Two verifications of each of 6 pages, 0.4 s each. Together they take longer than the second without progress that the probe allows after a hang-up.
  spawn_to probe.log strace -f -qq -o calls -e trace=pread64 -e inject=pread64:delay_enter=400000 \
    uffd-probe --mem memory --socket s.sock --write 30
  local probe=$spawned_pid
  touched_all() { [[ -e calls && $(grep -c "= 4096" calls) -ge 6 ]]; }
  wait_until 30 touched_all
  kill "$server"
  wait_until 30 is_gone "$probe"
  wait "$probe" || fail "$(<probe.log)"
}

@test "a poisoned page kills the VMM and is reported" {
  serve poison
  run --separate-stderr probe --json --deadline 10
  ((status == 1))
  if [[ $stderr == *hung* ]]; then skip "this kernel has no UFFDIO_POISON (Linux 6.6)"; fi
  assert_contains "$stderr" "died of signal 7 (Bus error) at page "
  assert_equal "$(jq -s -c '.[0] | [.ok, .hung, .signal]' <<<"$output")" "[false,false,7]"
}

@test "--kill-after: the VMM kills itself, and the server is not blamed" {
  serve
  run -0 --separate-stderr probe --json --kill-after 50
  assert_equal "$(jq -s -c '.[0] | [.ok, .killed_itself, .touched]' <<<"$output")" "[true,true,50]"
  run -2 --separate-stderr probe --kill-after 51 --pages 50
  assert_contains "$stderr" "--kill-after 51"
}

@test "--hold: the VMMs stay until standard input ends" {
  serve
  mkfifo in
  uffd-probe --socket s.sock --socket s.sock --mem memory --hold --pages 5 <in >out 3>&- 4>&- &
  probe_pid=$!
  spawned+=("$probe_pid")
  exec 8>in
  wait_until 10 grep -qx ready out
  assert_equal "$(grep -c 'every byte correct' out)" 2
  mapfile -t vmms < <(pgrep -P "$probe_pid")
  assert_equal "${#vmms[@]}" 2
  exec 8>&-
  wait "$probe_pid"
  is_gone "${vmms[0]}"
  is_gone "${vmms[1]}"
}

@test "a VMM dies with the probe, even in an unanswered fault" {
  serve hang
  spawn_to out uffd-probe --socket s.sock --mem memory
  probe_pid=$spawned_pid
  wait_until 10 pgrep -P "$probe_pid"
  vmm=$(pgrep -P "$probe_pid")
  spawned+=("$vmm") # in case this test fails
  kill -KILL "$probe_pid"
  wait_until 10 is_gone "$vmm"
}

@test "--misbehave: a correct server refuses each invalid handshake and serves a split one" {
  serve
  for how in silent partial garbage no-fd wrong-fd two-fds overlap unaligned beyond huge; do
    run -0 --separate-stderr probe --misbehave "$how" --json --deadline 60 --regions 2
    assert_equal "$(jq -s -c '.[0] | [.ok, .refused]' <<<"$output")" "[true,true]"
  done
  run -0 --separate-stderr probe --misbehave silent
  assert_contains "$output" "the server refused the handshake, as it must"
  run -0 --separate-stderr probe --misbehave split --json --regions 2
  assert_equal "$(jq -s -c '.[0] | [.ok, .touched]' <<<"$output")" "[true,$pages]"
}

@test "--misbehave: a server that does not refuse the handshake fails" {
  serve accept-all
  for how in silent overlap; do
    run -1 --separate-stderr probe --misbehave "$how" --json --deadline 0.6
    assert_contains "$stderr" "the server did not refuse an invalid handshake"
    assert_equal "$(jq -s -c '.[0] | [.ok, .refused]' <<<"$output")" "[false,false]"
  done
}

@test "--baseline: measures this machine in the same run" {
  serve
  run -0 --separate-stderr probe --baseline --json --pages 500 --cpu 0
  jq -es '.[-1] | .anonymous_p50_ns > 100 and .copy_loop_p50_ns > .anonymous_p50_ns
    and .p50_percent_of_copy_loop > 10 and .copy_bytes_per_second > 10000000' <<<"$output"
  run -0 --separate-stderr probe --baseline --pages 50
  assert_contains "$output" "this machine: anonymous fault p50 "
}

@test "no server: exit 5 without a socket, 1 without a listener, 2 for a long path" {
  require_userfaultfd
  run -5 --separate-stderr probe
  assert_contains "$stderr" "cannot connect to 's.sock': No such file"
  serve
  kill -KILL "$spawned_pid"
  wait "$spawned_pid" || true
  run -1 --separate-stderr probe --json
  assert_contains "$stderr" "cannot connect to 's.sock': no page server listens"
  assert_equal "$(jq -c 'select(.type == "error") | [.exit_code, .code]' <<<"$output")" '[1,"no"]'
  long=$(printf '%0108d' 0)
  run -2 --separate-stderr uffd-probe --socket "$long" --mem memory
  assert_contains "$stderr" "108 bytes"
}

@test "bad memory files and traces are reported by name with exit 4 or 5" {
  : >empty
  head -c 5000 /dev/urandom >odd
  for file in empty odd .; do
    run -4 --separate-stderr uffd-probe --socket s.sock --mem "$file"
    assert_contains "$stderr" "memory file '$file'"
  done
  run -5 --separate-stderr uffd-probe --socket s.sock --mem nothing
  assert_contains "$stderr" "cannot open 'nothing'"
  echo 4096 >far.trace
  : >empty.trace
  echo '# snapfork-trace 1 page_size=4096 memory_bytes=4096 regions=0+4096' >other.trace
  echo '# snapfork-trace 1 page_size=2097152 memory_bytes=2097152 regions=0+2097152' >huge.trace
  for trace in far empty other huge; do
    run -4 --separate-stderr probe --pattern "trace:$trace.trace"
    assert_contains "$stderr" "trace '$trace.trace'"
  done
  run -5 --separate-stderr probe --pattern trace:nothing
}

@test "wrong command lines exit with 2 and print nothing on standard output" {
  for args in '' '--socket s' '--mem memory' '--socket s --mem memory more' \
    '--socket s --mem memory --pattern sideways' '--socket s --mem memory --pattern stride:0' \
    '--socket s --mem memory --pattern stride:x' '--socket s --mem memory --pattern trace:' \
    '--socket s --mem memory --pages 0' '--socket s --mem memory --jobs 65' \
    '--socket s --mem memory --write 101' '--socket s --mem memory --page-size 8192' \
    '--socket s --mem memory --regions 4097' '--socket s --mem memory --regions 5000' \
    '--socket s --mem memory --misbehave gracefully' '--socket s --mem memory --deadline soon' \
    '--socket s --mem memory --write 1 --overlap'; do
    # shellcheck disable=SC2086 # words
    run -2 --separate-stderr uffd-probe $args
    assert_equal "$output" ""
    assert_contains "$stderr" "try 'uffd-probe --help'"
  done
}

@test "memory in 2 MiB pages is served and verified" {
  borrow_huge_pages 8
  serve
  run -0 --separate-stderr probe --page-size 2M --json --balloon 4 --regions 2 --jobs 2
  assert_equal "$(jq -s -c '.[0] | [.ok, .touched, .removed_pages]' <<<"$output")" "[true,8,2]"
}

require_kvm() {
  [[ $(uname -m) == x86_64 ]] || skip "--kvm is for x86-64"
  [[ -r /dev/kvm && -w /dev/kvm ]] || skip "needs /dev/kvm"
}

@test "--kvm: real vCPUs find every byte correct and removed pages zero" {
  require_kvm
  serve
  run -0 --separate-stderr probe --json --kvm --jobs 3 --regions 5 --write 30 --balloon 4
  assert_equal "$(jq -c 'select(.type == "probe") | [.ok, .touched, .removed_pages, .signal]' \
    <<<"$output")" "[true,$pages,1024,0]"
  jq -es '.[0] | .faults > 0 and .p50_ns > 0 and .written_pages > 1000' <<<"$output"
  run -0 --separate-stderr probe --kvm --json --jobs 4 --overlap --balloon 4 --pages 1000
  assert_equal "$(jq -c 'select(.type == "probe") | [.ok, .touched]' <<<"$output")" "[true,4000]"
}

@test "--kvm: the errors of a faulty server are found" {
  require_kvm
  serve late-remove
  probe_until_wrong --kvm --jobs 3 --balloon 8
  assert_equal "$status" 1
  assert_contains "$stderr" "removed but not zero"
}

@test "--kvm: a poisoned page raises SIGBUS, as without --kvm" {
  require_kvm
  serve poison
  run -1 --separate-stderr probe --kvm
  assert_contains "$stderr" "signal 7"
}

@test "--kvm without /dev/kvm exits with 3 before any page is touched" {
  require_root
  require_namespaces -m
  [[ $(uname -m) == x86_64 ]] || skip "--kvm is for x86-64"
  # shellcheck disable=SC2016 # expanded by the inner shell
  run -3 --separate-stderr unshare -m bash -c '[[ ! -e /dev/kvm ]] || mount --bind /dev/null /dev/kvm
    exec uffd-probe --kvm --socket none.sock --mem memory'
  assert_contains "$stderr" "'/dev/kvm'"
}

@test "too few huge pages exit with 3" {
  borrow_huge_pages 0 # no other test changes the pool
  free=$(free_huge_pages)
  ((free < 8)) || skip "8 or more huge pages are free"
  run -3 --separate-stderr probe --page-size 2M
  assert_contains "$stderr" "8 are needed and $free are free"
}

@test "a user without permission for userfaultfd gets a message and exit 3" {
  require_root
  require_cmd setpriv
  [[ $(</proc/sys/vm/unprivileged_userfaultfd) == 0 ]] || skip "every user may create a userfaultfd"
  chmod 755 . ..
  cp "$(command -v uffd-probe)" probe
  chmod 644 memory
  setpriv --reuid 65534 --clear-groups test -r memory || skip "user nobody cannot read $PWD"
  run -3 --separate-stderr setpriv --reuid 65534 --clear-groups ./probe --socket s --mem memory
  assert_contains "$stderr" "not permitted"
}

@test "uffd-probe: standard output on a full disk is an error" {
  serve
  run -5 --separate-stderr bash -c 'uffd-probe --socket s.sock --mem memory --json >/dev/full'
  assert_contains "$stderr" "standard output"
}

@test "--wait: waits for a server that is starting" {
  run -5 --separate-stderr uffd-probe --socket late.sock --mem memory
  spawn_to probe.log uffd-probe --wait 60 --socket late.sock --mem memory --pages 100
  probe=$spawned_pid
  spawn_to late.log uffd-serve --mem memory --socket late.sock --once
  wait "$probe" || fail "$(<probe.log)"
}
