#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Tests the reports of uffd-serve: GET /sessions/{id}, GET /metrics, --features.
# shellcheck disable=SC2154,SC2030,SC2031 # run sets output and status; each test is a subshell of its own

load helpers
load uffd-serve_helpers

setup() { serve_setup; }
teardown() { common_teardown; }

# Prints the value of one sample of the metrics in $output, read by Prometheus' own parser; nothing if the
# sample is missing. Fails if the parser rejects the text.
sample() { # <name> [label=value]
  /usr/bin/python3 - "$output" "$@" <<'PY'
import sys
from prometheus_client.parser import text_string_to_metric_families

text, name = sys.argv[1], sys.argv[2]
wanted = dict(word.split("=", 1) for word in sys.argv[3:])
for family in text_string_to_metric_families(text + "\n"):
    for sample in family.samples:
        if sample.name == name and wanted.items() <= sample.labels.items():
            print(int(sample.value) if sample.value == int(sample.value) else sample.value)
PY
}

require_prometheus() {
  /usr/bin/python3 -c 'import prometheus_client.parser' 2>/dev/null || skip "needs python3-prometheus-client"
}

@test "metrics: Prometheus' own parser reads them, and the counts equal the session's" {
  require_prometheus
  require_cmd curl
  serve_control --lazy # for many faults, however fast the guest is
  uffd-ctl create a=memory b=memory
  hold_vmm "$PWD/s/a.sock" --balloon 2
  run -0 uffd-ctl session a
  local session=$output
  ask_for 200 GET /metrics
  assert_equal "$(sample uffd_serve_sessions state=waiting)" 1
  assert_equal "$(sample uffd_serve_sessions state=serving)" 1
  assert_equal "$(sample uffd_serve_info)" 1
  assert_equal "$(sample uffd_serve_faults_total kind=demand)" "$(jq .faults.demand <<<"$session")"
  assert_equal "$(sample uffd_serve_faults_total kind=zero)" "$(jq .faults.zero <<<"$session")"
  assert_equal "$(sample uffd_serve_pages_total kind=copied)" "$(jq .pages.copied <<<"$session")"
  assert_equal "$(sample uffd_serve_pages_total kind=zeroed)" "$(jq .pages.zeroed <<<"$session")"
  assert_equal "$(sample uffd_serve_pages_total kind=removed)" "$(jq .pages.removed <<<"$session")"
  assert_equal "$(sample uffd_serve_eagain_total)" "$(jq .eagain <<<"$session")"
  assert_equal "$(sample uffd_serve_resident_bytes)" "$(jq .bytes_resident <<<"$session")"
  # Several faults on one waiting page get one answer.
  local answered
  answered=$(jq '[.latency_ns.histogram[].count] | add' <<<"$session")
  ((answered > 100 && answered <= $(jq .faults.demand <<<"$session"))) || fail "$answered answers: $session"
  assert_equal "$(sample uffd_serve_fault_seconds_count)" "$answered"
  assert_equal "$(sample uffd_serve_fault_seconds_bucket le=+Inf)" "$answered"
  assert_equal "$(sample hypeman_uffd_active_sessions)" 2
  run -0 curl -s --unix-socket c.sock -o /dev/null -w '%{content_type}' http://pager/metrics
  assert_equal "$output" "text/plain; version=0.0.4; charset=utf-8"
  run -0 uffd-ctl metrics
  assert_equal "$(sample uffd_serve_sessions state=serving)" 1
  ask_for 405 POST /metrics
}

@test "metrics: have the names and the label of hypeman's pager" {
  require_prometheus
  require_cmd curl
  serve_hypeman
  ask_for 200 GET /metrics
  local name
  for name in faults_total backing_bytes_read_total copies_total copy_errors_total fault_nanos_total \
    read_page_nanos_total backing_read_nanos_total copy_nanos_total cache_hits_total cache_misses_total \
    cache_lookup_nanos_total cache_add_nanos_total cache_bytes cache_max_bytes cache_items cache_shards \
    active_sessions active_faults max_concurrent_faults draining fault_max_nanos read_page_max_nanos \
    backing_read_max_nanos copy_max_nanos cache_lookup_max_nanos cache_add_max_nanos; do
    assert_equal "$name $(sample "hypeman_uffd_$name" version_key=0.1.6)" "$name 0"
  done
}

@test "metrics: a version key with any characters is one label" {
  require_prometheus
  serve --data-dir data --version-key 'a"b\c{d}' # no newline: a directory is named so
  run -0 uffd-ctl --control 'data/uffd/a"b\c{d}/control.sock' metrics
  assert_equal "$(sample hypeman_uffd_draining 'version_key=a"b\c{d}')" 0
}

@test "metrics: when a session ends, counters stay and resident bytes drop" {
  require_prometheus
  serve_control
  uffd-ctl create a=memory
  run -0 probe --socket s/a.sock
  wait_for_session_end a
  run -0 uffd-ctl metrics
  (($(sample uffd_serve_faults_total kind=demand) > 0)) || fail "the faults are lost"
  (($(sample uffd_serve_fault_seconds_count) > 0)) || fail "the latencies are lost"
  assert_equal "$(sample uffd_serve_resident_bytes)" 0
  assert_equal "$(sample uffd_serve_sessions state=serving)" 0
}

@test "session: state, pid, regions, faults, pages, retries, latency with its histogram, bytes resident" {
  serve_control --window 1
  uffd-ctl create a=memory
  run -0 uffd-ctl session a
  assert_equal "$(json '[.state, .vmm_pid, .regions, .bytes_resident, .hot_list] | tostring')" '["waiting",0,[],0,null]'
  printf '%s\n' 0 1 2 800 1300 >touched # three of data, one of a hole, one of stored zeros
  hold_vmm "$PWD/s/a.sock" --pattern trace:touched --regions 2
  run -0 uffd-ctl session a
  assert_equal "$(json '[.state, .faults.demand, .faults.zero > 0, .faults.hit_before, .faults.waiting] | tostring')" \
    '["serving",5,true,0,0]'
  assert_equal "$(json .vmm_pid)" "$(cut -d ' ' -f 1 s/a.vmm)"
  assert_equal "$(json '[.regions[] | .size] | tostring')" "[4194304,4194304]"
  json '[.regions[] | has("base") and has("offset") and .page_size == 4096] | all' >/dev/null
  assert_equal "$(json '[.pages.copied, .pages.zeroed, .pages.prefetched, .pages.removed, .pages.poisoned] | tostring')" \
    '[3,2,0,0,0]'
  json 'has("eagain") and has("retries")' >/dev/null
  assert_equal "$(json .bytes_resident)" $((5 * 4096))
  assert_equal "$(json '[.latency_ns.histogram[].count] | add')" 5
  json '.latency_ns | .p50 > 0 and .p50 <= .p99 and .p99 <= .max and .max < .histogram[-1].below' >/dev/null
}

@test "session: reports how much a guest differs from its hot list" {
  hot_list 1 2 3 4 5 6 >hot
  serve_control --window 1
  uffd-ctl create --hot hot a=memory
  run -0 uffd-ctl session a
  assert_equal "$(json '.hot_list | tostring')" "{\"path\":\"$PWD/hot\",\"pages\":6,\"refused\":false,\"faults_listed\":0,\"faults_unlisted\":0,\"drift_percent\":0}"
  printf '%s\n' 100 101 1 2 >touched
  hold_vmm "$PWD/s/a.sock" --pattern trace:touched
  run -0 uffd-ctl session a
  assert_equal "$(json '.hot_list.faults_unlisted')" 2
  assert_equal "$(json '.hot_list.drift_percent')" 25
  json '.pages.prefetched + .hot_list.faults_listed >= 6' >/dev/null
}

@test "session: the latest hot list is the one that is compared" {
  hot_list 10 11 12 >hot
  serve_control --window 1
  uffd-ctl create a=memory
  hold_vmm "$PWD/s/a.sock" --pattern seq --pages 3
  uffd-ctl prefetch a hot
  run -0 uffd-ctl session a
  assert_equal "$(json '.hot_list | [.path, .pages, .faults_unlisted] | tostring')" "[\"$PWD/hot\",3,0]"
}

@test "session: a refused hot list is not compared" {
  hot_list 1 2000 >hot
  serve_control
  uffd-ctl create --hot hot a=memory
  hold_vmm "$PWD/s/a.sock" --regions 2 --pages 50
  run -0 uffd-ctl session a
  assert_equal "$(json '.hot_list | [.refused, .faults_listed, .faults_unlisted, .drift_percent] | tostring')" '[true,0,0,0]'
  release_vmm
}

@test "--features prints each feature and its fallback; --without disables one" {
  run -0 --separate-stderr uffd-serve --features
  assert_equal "$stderr" ""
  assert_equal "$(cut -f 1 <<<"$output" | tr '\n' ' ')" "poison pagemap-scan peerpidfd nowait-read oom-score "
  run -0 uffd-serve --features --json --without peerpidfd,poison
  assert_equal "$(jq -s '[.[] | select(.found == "off") | .name] | sort | tostring' <<<"$output")" \
    '"[\"peerpidfd\",\"poison\"]"'
  run --separate-stderr -2 uffd-serve --features --without poison,magic
  assert_contains "$stderr" "'magic'"
}

@test "a server logs each missing feature once" {
  serve_control --without poison,pagemap-scan,peerpidfd,nowait-read,oom-score
  uffd-ctl create a=memory b=memory
  run -0 probe --socket s/a.sock --pages 10
  run -0 probe --socket s/b.sock --pages 10
  assert_logged_times 5 'is disabled by --without'
  assert_logged "UFFDIO_POISON is disabled by --without: a VMM whose page cannot be read is killed"
}

@test "--without poison: a page that cannot be read kills its VMM, and no other" {
  chmod 444 memory # read directly, whatever the filesystem can do
  cp memory whole
  serve_memory --window 1 --without poison
  hold_vmm s.sock --pages 20 --pattern seq
  truncate -s $((7 << 20)) memory
  echo 1900 >touched
  run uffd-probe --mem whole --json --socket s.sock --pattern trace:touched
  assert_contains "$output" '"signal":9'
  wait_until 10 grep -q "killed the VMM" server.log
  ! is_gone "$vmm" || fail "the other VMM was killed, too"
}

@test "--without peerpidfd: a VMM is identified by pid and start time, and can be killed" {
  chmod 444 memory
  cp memory whole
  serve_control --window 1 --without peerpidfd,poison
  uffd-ctl create a=memory b=memory
  hold_vmm "$PWD/s/a.sock" --pages 50
  local pid start _
  read -r pid start _ <s/a.vmm
  assert_equal "$start" "$(awk '{print $22}' "/proc/$pid/stat")"
  kill -KILL "$pid"
  wait_for_session_end a
  truncate -s $((7 << 20)) memory
  echo 1900 >touched
  run uffd-probe --mem whole --json --socket s/b.sock --pattern trace:touched
  assert_contains "$output" '"signal":9'
}
