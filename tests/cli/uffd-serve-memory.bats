#!/usr/bin/env bats
# What guests find in their memory, and what it costs: windows, zeros, 2 MiB pages, failing reads.
# shellcheck disable=SC2154,SC2030,SC2031 # run sets output and status; each test is a subshell of its own

load helpers

setup() {
  common_setup
  unset XDG_RUNTIME_DIR
  ((EUID == 0)) || [[ $(</proc/sys/vm/unprivileged_userfaultfd) == 1 ]] || [[ -r /dev/userfaultfd ]] \
    || skip "needs userfaultfd"
  head -c 8M /dev/urandom >memory
  chmod 400 memory
}
teardown() { common_teardown; }

# Starts a server in the background and returns when it serves.
serve() { # <option>...
  rm -f ready
  mkfifo ready
  # shellcheck disable=SC2016 # expanded by the inner shell
  spawn_to server.log bash -c 'exec uffd-serve --ready-fd 9 "$@" 9>ready' _ "$@"
  server=$spawned_pid
  read -r <ready || fail "the server did not start: $(<server.log)"
}

serve_memory() { # <option>...
  serve --mem memory --socket s.sock "$@"
}

probe() { # <option>...
  uffd-probe --mem memory --json "$@"
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
  serve --control c.sock
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
  truncate -s 8M memory
  local page
  for ((page = 0; page < 2048; page += 3)); do
    head -c 4096 /dev/urandom | dd of=memory bs=4096 seek="$page" conv=notrunc status=none
  done
  chmod 400 memory
  serve_memory
  run -0 probe --socket s.sock --pattern seq
  (($(of_probe faults) < 200)) || fail "$output"
}
