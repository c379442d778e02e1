#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Tests uffd-serve as a replacement of hypeman's pager: directories, requests, replies, codes and names.
# shellcheck disable=SC2154,SC2030,SC2031 # run sets output and status; each test is a subshell of its own

load helpers
load uffd-serve_helpers

setup() {
  require_cmd curl
  serve_setup
}
teardown() { common_teardown; }

@test "hypeman: control.sock, sessions and pager.pid are where its manager expects them" {
  serve_hypeman
  assert_equal "$(stat -c '%F %a' "$api/control.sock")" "socket 600"
  assert_equal "$(stat -c '%F %a' "$api/sessions")" "directory 700"
  assert_equal "$(<"$api/pager.pid")" "$server"
  kill "$server"
  wait_for_end "$server" 0
  [[ ! -e $api/control.sock && ! -e $api/pager.pid ]] || fail "files are left" "$(ls "$api")"
}

@test "hypeman: a second pager of the same version is refused, one of another version is not" {
  serve_hypeman
  run --separate-stderr -1 uffd-serve --data-dir data --version-key 0.1.6
  assert_contains "$stderr" "another server uses it"
  assert_equal "$(<"$api/pager.pid")" "$server"
  serve --data-dir data --version-key 0.1.7
  assert_equal "$(<data/uffd/0.1.7/pager.pid)" "$server"
}

@test "hypeman: leftovers of a killed pager are replaced" {
  serve_hypeman
  ask_for 200 POST /sessions "$(session_body vm)"
  kill -KILL "$server"
  wait_until 5 is_gone "$server"
  [[ -S $api/control.sock && -S $api/sessions/vm.sock ]]
  serve_hypeman
  assert_equal "$(<"$api/pager.pid")" "$server"
  [[ ! -e $api/sessions/vm.sock ]] || fail "a socket without a session is left"
}

@test "hypeman: its other options are accepted, each with a warning" {
  serve_hypeman --cache-max-bytes 4294967296 --metrics-addr 127.0.0.1:9 --otel-endpoint host:4317 \
    --otel-insecure=false --otel-metric-export-interval 60s
  local option
  for option in cache-max-bytes metrics-addr otel-endpoint otel-insecure otel-metric-export-interval; do
    assert_logged "warning: --$option has no effect"
  done
  ask_for 200 GET /health
}

@test "hypeman: options that exclude or need each other are checked" {
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
  [[ ! -e data ]] || fail "directories were created"
}

@test "hypeman: a data directory that is too long is refused by name before anything is created" {
  local long
  long=$(printf 'x%.0s' {1..100})
  run --separate-stderr -2 uffd-serve --data-dir "$long" --version-key 0.1.6
  assert_contains "$stderr" "$long"
  assert_contains "$stderr" "107"
  [[ ! -e $long ]] || fail "directories were created"
}

@test "hypeman: GET /health answers version, draining and active_sessions" {
  serve_hypeman
  ask_for 200 GET /health
  assert_equal "$output" '{"version":"0.1.6","draining":false,"active_sessions":0}'
  ask_for 200 POST /sessions "$(session_body vm)"
  ask_for 200 GET /health
  assert_equal "$(json .active_sessions)" 1
}

@test "hypeman: GET /stats has its names, with numbers that count" {
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

@test "hypeman: POST /sessions uses the instance id if the session id is missing or empty" {
  serve_hypeman
  ask_for 200 POST /sessions "{\"instance_id\":\"i-1\",\"backing_memory_path\":\"$PWD/memory\",\"cache_key\":\"k\"}"
  assert_equal "$(json .session_id)" i-1
  ask_for 200 POST /sessions "$(session_body "" instance_id='"i-2"')"
  assert_equal "$(json .session_id)" i-2
}

@test "hypeman: POST /sessions replaces characters not allowed in file names by dashes" {
  serve_hypeman
  ask_for 200 POST /sessions "$(session_body 'a b/c:d\\eé')"
  assert_equal "$(json .session_id)" "a-b-c-d-e--"
  [[ -S $api/sessions/a-b-c-d-e--.sock ]]
}

@test "hypeman: POST /sessions without required fields or with bad JSON is 400 with its message" {
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

@test "hypeman: POST /sessions of a missing file is 400 and leaves no socket" {
  serve_hypeman
  ask_for 400 POST /sessions "{\"session_id\":\"vm\",\"backing_memory_path\":\"$PWD/absent\",\"cache_key\":\"k\"}"
  assert_equal "$(ls "$api/sessions")" ""
}

@test "hypeman: POST /sessions with overlays, which would change the guest's bytes, is 400" {
  serve_hypeman
  ask_for 400 POST /sessions "$(session_body vm overlays='[{"guest_memory_offset":0,"path":"/x"}]')"
  assert_contains "$output" "overlays are not supported"
  ask_for 200 POST /sessions "$(session_body vm overlays='[]')"
}

@test "hypeman: an id that is used again replaces the waiting session, and its socket works" {
  serve_hypeman
  ask_for 200 POST /sessions "$(session_body vm)"
  ask_for 200 POST /sessions "$(session_body vm)"
  ask_for 200 GET /health
  assert_equal "$(json .active_sessions)" 1
  run -0 probe --socket "$api/sessions/vm.sock"
}

@test "hypeman: POST /sessions/ID/close is 204, also for an unknown id, and removes the socket" {
  serve_hypeman
  ask_for 200 POST /sessions "$(session_body vm)"
  ask_for 204 POST /sessions/vm/close
  assert_equal "$output" ""
  [[ ! -e $api/sessions/vm.sock ]] || fail "the socket is left"
  ask_for 204 POST /sessions/vm/close
  ask_for 204 POST /sessions/none/close
}

@test "hypeman: POST /sessions/ID/complete is 204 and detaches, 404 without a session, 409 if running" {
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
  # The manager gives up after its completion_timeout, and asks again later: 204 if it is done.
  kill -KILL "$client"
  completes() { ask POST /sessions/vm/complete && [[ "$http_status $output" == "204 " ]]; }
  wait_until 10 completes
  # The VM no longer needs a server.
  kill -TERM "$server"
  wait_for_end "$server" 0
  ! is_gone "$vmm" || fail "the VMM ended"
}

@test "hypeman: after POST /drain new sessions are 503, and the last session ends the pager" {
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

@test "hypeman: POST /drain without sessions is answered and ends the pager at once" {
  serve_hypeman
  ask_for 204 POST /drain
  wait_for_end "$server" 0
}

@test "hypeman: a backing file that is unlinked or replaced after POST /sessions is still served" {
  serve_hypeman
  chmod 444 memory # read directly, whatever the filesystem can do
  cp memory whole
  ask_for 200 POST /sessions "$(session_body vm)"
  make_memory other
  mv other memory
  run -0 uffd-probe --mem whole --socket "$api/sessions/vm.sock"
}

@test "hypeman: two files, or one rewritten file, under one cache key are never mixed" {
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
