#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# uffd-serve in the place of hypeman's pager: its directories, requests, replies, codes and names.
# shellcheck disable=SC2154,SC2030,SC2031 # run sets output and status; each test is a subshell of its own

load helpers
load uffd-serve_helpers

setup() {
  require_cmd curl
  serve_setup
}
teardown() { common_teardown; }

@test "hypeman: control.sock, sessions and pager.pid stand where its manager looks" {
  serve_hypeman
  assert_equal "$(stat -c '%F %a' "$api/control.sock")" "socket 600"
  assert_equal "$(stat -c '%F %a' "$api/sessions")" "directory 700"
  assert_equal "$(<"$api/pager.pid")" "$server"
  kill "$server"
  wait_for_end "$server" 0
  [[ ! -e $api/control.sock && ! -e $api/pager.pid ]] || fail "something is left" "$(ls "$api")"
}

@test "hypeman: a second pager of the version is refused, one of another version is not" {
  serve_hypeman
  run --separate-stderr -1 uffd-serve --data-dir data --version-key 0.1.6
  assert_contains "$stderr" "another server is there"
  assert_equal "$(<"$api/pager.pid")" "$server"
  serve --data-dir data --version-key 0.1.7
  assert_equal "$(<data/uffd/0.1.7/pager.pid)" "$server"
}

@test "hypeman: what a killed pager left is taken over" {
  serve_hypeman
  ask_for 200 POST /sessions "$(session_body vm)"
  kill -KILL "$server"
  wait_until 5 is_gone "$server"
  [[ -S $api/control.sock && -S $api/sessions/vm.sock ]]
  serve_hypeman
  assert_equal "$(<"$api/pager.pid")" "$server"
  [[ ! -e $api/sessions/vm.sock ]] || fail "a socket without a session is left"
}

@test "hypeman: its other options are taken, each with a warning" {
  serve_hypeman --cache-max-bytes 4294967296 --metrics-addr 127.0.0.1:9 --otel-endpoint host:4317 \
    --otel-insecure=false --otel-metric-export-interval 60s
  local option
  for option in cache-max-bytes metrics-addr otel-endpoint otel-insecure otel-metric-export-interval; do
    assert_logged "warning: --$option has no effect"
  done
  ask_for 200 GET /health
}

@test "hypeman: options that do not go together" {
  run --separate-stderr -2 uffd-serve --data-dir data
  assert_contains "$stderr" "--data-dir needs --version-key"
  run --separate-stderr -2 uffd-serve --version-key 1 --control c.sock
  assert_contains "$stderr" "--version-key needs --data-dir"
  run --separate-stderr -2 uffd-serve --data-dir data --version-key 1 --control c.sock
  assert_contains "$stderr" "exclude each other"
  run --separate-stderr -2 uffd-serve --data-dir data --version-key 1 --mem memory
  assert_contains "$stderr" "exclude each other"
  run --separate-stderr -2 uffd-serve --control c.sock --cache-max-bytes 1
  assert_contains "$stderr" "--cache-max-bytes needs --data-dir"
  local key
  for key in "" . .. ../up a/b; do
    run --separate-stderr -2 uffd-serve --data-dir data --version-key "$key"
    assert_contains "$stderr" "--version-key"
  done
  [[ ! -e data ]] || fail "it made directories"
}

@test "hypeman: a long data directory is refused by name, before anything is made" {
  local long
  long=$(printf 'x%.0s' {1..100})
  run --separate-stderr -2 uffd-serve --data-dir "$long" --version-key 0.1.6
  assert_contains "$stderr" "$long"
  assert_contains "$stderr" "107"
  [[ ! -e $long ]] || fail "it made directories"
}

@test "hypeman: GET /health" {
  serve_hypeman
  ask_for 200 GET /health
  assert_equal "$output" '{"version":"0.1.6","draining":false,"active_sessions":0}'
  ask_for 200 POST /sessions "$(session_body vm)"
  ask_for 200 GET /health
  assert_equal "$(json .active_sessions)" 1
}

@test "hypeman: GET /stats has its names, all numbers but version and draining, and counts" {
  serve_hypeman
  ask_for 200 POST /sessions "$(session_body vm)"
  run -0 probe --socket "$api/sessions/vm.sock"
  ask_for 200 GET /stats
  assert_equal "$(json 'keys_unsorted | join(" ")')" "version draining active_sessions cache_bytes cache_max \
cache_items cache_hits cache_misses cache_shards cache_lookup_nanos cache_lookup_max_nanos cache_add_nanos \
cache_add_max_nanos faults backing_bytes_read copies copy_errors active_faults max_concurrent_faults fault_nanos \
fault_max_nanos read_page_nanos read_page_max_nanos backing_read_nanos backing_read_max_nanos copy_nanos copy_max_nanos"
  json '[del(.version, .draining)[] | type == "number"] | all' >/dev/null
  json '.faults > 0 and .copies > 0 and .backing_bytes_read > 0 and .fault_nanos > 0
    and .fault_max_nanos > 0 and .max_concurrent_faults > 0 and .copy_errors == 0' >/dev/null
  assert_equal "$(json '.version')" 0.1.6
}

@test "hypeman: POST /sessions answers session_id, uffd_socket_path, pager_version" {
  serve_hypeman
  ask_for 200 POST /sessions "$(session_body vm instance_id='"i"')"
  assert_equal "$output" "{\"session_id\":\"vm\",\"uffd_socket_path\":\"$api/sessions/vm.sock\",\"pager_version\":\"0.1.6\"}"
  assert_equal "$(stat -c '%F %a' "$api/sessions/vm.sock")" "socket 600"
  run -0 probe --socket "$api/sessions/vm.sock"
}

@test "hypeman: POST /sessions takes the instance id for a missing or empty session id" {
  serve_hypeman
  ask_for 200 POST /sessions "{\"instance_id\":\"i-1\",\"backing_memory_path\":\"$PWD/memory\",\"cache_key\":\"k\"}"
  assert_equal "$(json .session_id)" i-1
  ask_for 200 POST /sessions "$(session_body "" instance_id='"i-2"')"
  assert_equal "$(json .session_id)" i-2
}

@test "hypeman: POST /sessions makes dashes of what is not for file names" {
  serve_hypeman
  ask_for 200 POST /sessions "$(session_body 'a b/c:d\\eé')"
  assert_equal "$(json .session_id)" "a-b-c-d-e--"
  [[ -S $api/sessions/a-b-c-d-e--.sock ]]
}

@test "hypeman: POST /sessions without what it must have, or with bad JSON: 400 with its words" {
  serve_hypeman
  ask_for 400 POST /sessions '{'
  ask_for 400 POST /sessions "{\"backing_memory_path\":\"$PWD/memory\",\"cache_key\":\"k\"}"
  assert_equal "$(json .error)" "session_id or instance_id is required"
  ask_for 400 POST /sessions '{"session_id":"vm","cache_key":"k"}'
  assert_equal "$(json .error)" "backing_memory_path is required"
  ask_for 400 POST /sessions "{\"session_id\":\"vm\",\"backing_memory_path\":\"$PWD/memory\"}"
  assert_equal "$(json .error)" "cache_key is required"
  ask_for 200 GET /health
  assert_equal "$(json .active_sessions)" 0
}

@test "hypeman: POST /sessions of a file that is not there: 400, and no socket is left" {
  serve_hypeman
  ask_for 400 POST /sessions "{\"session_id\":\"vm\",\"backing_memory_path\":\"$PWD/absent\",\"cache_key\":\"k\"}"
  assert_equal "$(ls "$api/sessions")" ""
}

@test "hypeman: POST /sessions with overlays, which would change the guest's bytes: 400" {
  serve_hypeman
  ask_for 400 POST /sessions "$(session_body vm overlays='[{"guest_memory_offset":0,"path":"/x"}]')"
  assert_contains "$output" "overlays are not supported"
  ask_for 200 POST /sessions "$(session_body vm overlays='[]')"
}

@test "hypeman: an id that is used again replaces the session that waits, and its socket can be reached" {
  serve_hypeman
  ask_for 200 POST /sessions "$(session_body vm)"
  ask_for 200 POST /sessions "$(session_body vm)"
  ask_for 200 GET /health
  assert_equal "$(json .active_sessions)" 1
  run -0 probe --socket "$api/sessions/vm.sock"
}

@test "hypeman: POST /sessions/ID/close is 204, for an unknown id too, and the socket goes" {
  serve_hypeman
  ask_for 200 POST /sessions "$(session_body vm)"
  ask_for 204 POST /sessions/vm/close
  assert_equal "$output" ""
  [[ ! -e $api/sessions/vm.sock ]] || fail "the socket is left"
  ask_for 204 POST /sessions/vm/close
  ask_for 204 POST /sessions/none/close
}

@test "hypeman: POST /sessions/ID/complete is 204 and detaches, 404 without a session, 409 under way" {
  require_userfaultfd
  serve_hypeman
  ask_for 404 POST /sessions/none/complete
  assert_equal "$(json .error)" "session not found"
  ask_for 200 POST /sessions "$(session_body vm)"
  hold_vmm "$api/sessions/vm.sock" --pages 20
  spawn_to client.log curl -s --unix-socket "$SNAPFORK_PAGER" -d '{"bytes_per_second":4096}' http://pager/sessions/vm/complete
  local client=$spawned_pid
  under_way() { ask POST /sessions/vm/complete '{"wait":false,"bytes_per_second":1}' && [[ $http_status == 409 ]]; }
  wait_until 10 under_way
  assert_equal "$(json .error)" "completion already in progress"
  # Its manager gives up after its completion_timeout, and asks again later: 204 when it is done.
  kill -KILL "$client"
  completes() { ask POST /sessions/vm/complete && [[ "$http_status $output" == "204 " ]]; }
  wait_until 10 completes
  # The VM needs no server any more.
  kill -TERM "$server"
  wait_for_end "$server" 0
  ! is_gone "$vmm" || fail "the VMM ended with it"
}

@test "hypeman: POST /drain is 204; then 503, health says so, and the last session ends the pager" {
  serve_hypeman
  ask_for 200 POST /sessions "$(session_body vm)"
  ask_for 204 POST /drain
  ask_for 503 POST /sessions "$(session_body other)"
  assert_equal "$(json .error)" "pager is draining"
  ask_for 200 GET /health
  assert_equal "$output" '{"version":"0.1.6","draining":true,"active_sessions":1}'
  ask_for 204 POST /drain
  run -0 probe --socket "$api/sessions/vm.sock"
  wait_for_end "$server" 0
}

@test "hypeman: POST /drain without sessions ends the pager at once, with its reply sent" {
  serve_hypeman
  ask_for 204 POST /drain
  wait_for_end "$server" 0
}

@test "hypeman: the backing file is opened when the session is made: unlinked or replaced, it is served" {
  serve_hypeman
  chmod 444 memory # read directly, whatever the filesystem can do
  cp memory whole
  ask_for 200 POST /sessions "$(session_body vm)"
  make_memory other
  mv other memory
  run -0 uffd-probe --mem whole --socket "$api/sessions/vm.sock"
}

@test "hypeman: one cache key for two files, or one file rewritten: nobody gets the other's bytes" {
  serve_hypeman
  make_memory other
  ask_for 200 POST /sessions "$(session_body a)"
  run -0 probe --socket "$api/sessions/a.sock"
  ask_for 200 POST /sessions "{\"session_id\":\"b\",\"backing_memory_path\":\"$PWD/other\",\"cache_key\":\"k\"}"
  run -0 uffd-probe --mem other --socket "$api/sessions/b.sock"
  cat other >memory
  ask_for 200 POST /sessions "$(session_body c)"
  run -0 uffd-probe --mem other --socket "$api/sessions/c.sock"
}
