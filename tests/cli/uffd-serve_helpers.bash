# SPDX-License-Identifier: Apache-2.0
# Shared functions of the uffd-serve tests: a server, and uffd-probe as its VMMs.
# Variables are set by run or used by tests, each test is a subshell, and functions are called by name:
# shellcheck shell=bash disable=SC2154,SC2030,SC2031,SC2034,SC2317

serve_setup() {
  common_setup
  unset XDG_RUNTIME_DIR
  make_memory memory
}

# 8 MiB: random data, a hole of 2 MiB, 1 MiB of stored zeros, random data. Page 5 of the end is unique.
make_memory() { # <file>
  head -c $((3 << 20)) /dev/urandom >"$1"
  truncate -s $((5 << 20)) "$1"
  head -c $((1 << 20)) /dev/zero >>"$1"
  head -c $((2 << 20)) /dev/urandom >>"$1"
}

# Starts a server in the background and returns when it serves; its pid is in $server. NOFILE=N sets its
# limit of descriptors.
serve() { # <option>...
  rm -f ready
  mkfifo ready
  export NOFILE=${NOFILE-}
  # shellcheck disable=SC2016 # expanded by the inner shell
  spawn_to server.log bash -c '[[ -z $NOFILE ]] || ulimit -n "$NOFILE"; exec uffd-serve --ready-fd 9 "$@" 9>ready' _ "$@"
  server=$spawned_pid
  read -r <ready || fail "the server did not start: $(<server.log)"
}

serve_memory() { # <option>...
  serve --mem memory --socket s.sock "$@"
}

# Serves a list to a VMM that touches page 1, which is not in it. The server's record is then in $output.
serve_list_and_page_1() { # <list>
  serve_memory --hot "$1" --window 1 --once --json -v
  echo 1 >touched
  hold_vmm s.sock --pattern trace:touched
  assert_logged "hot list installed"
  release_vmm
  wait_for_end "$server" 0
  output=$(grep '^{' server.log)
}

serve_control() { # <option>...
  export SNAPFORK_PAGER=$PWD/c.sock
  serve --control c.sock "$@"
}

# Starts a server as hypeman starts its pager. The API functions below use it.
serve_hypeman() { # <option>...
  serve --data-dir data --version-key 0.1.6 "$@"
  api=$PWD/data/uffd/0.1.6
  export SNAPFORK_PAGER=$api/control.sock
}

# Sends one request; the status is in $http_status, the body in $output.
ask() { # <method> <path> [body]
  local reply
  reply=$(curl -s --unix-socket "$SNAPFORK_PAGER" -X "$1" ${3+--data-binary "$3"} \
    -w '%{http_code}' "http://pager$2")
  http_status=${reply: -3}
  output=${reply%???}
  output=${output%$'\n'}
}

# The same, and checks the status.
ask_for() { # <status> <method> <path> [body]
  local wanted=$1
  shift
  ask "$@"
  [[ $http_status == "$wanted" ]] || fail "$1 $2 ${3-}: $http_status, not $wanted"
}

# Prints the body of POST /sessions for a session of `memory`, with these additional fields.
session_body() { # <id> [KEY=JSON]...
  local pair body="\"session_id\":\"$1\",\"cache_key\":\"k\",\"backing_memory_path\":\"$PWD/memory\""
  shift
  for pair; do body+=",\"${pair%%=*}\":${pair#*=}"; done
  printf '{%s}' "$body"
}

probe() { # <option>...
  require_userfaultfd
  uffd-probe --mem memory --json "$@"
}

# Prints the resources that the server holds.
descriptors() { find "/proc/$server/fd" -mindepth 1 | wc -l; }
threads() { find "/proc/$server/task" -mindepth 1 -maxdepth 1 | wc -l; }
is_back_to() { # <descriptors> [threads]
  (($(descriptors) <= $1)) && (($# < 2 || $(threads) <= ${2-0}))
}
serves_nobody() { # no thread of a session exists
  ! grep -q '^vm ' "/proc/$server/task/"*/comm
}

# Serves `memory` once, because what a server keeps after its first guest is not a leak.
serve_one_guest() {
  uffd-ctl create warm=memory
  run -0 probe --socket s/warm.sock
  wait_for_session_end warm
  wait_until 5 serves_nobody
}

# Skips with sanitizers, which add a thread, shadow memory and wakeups.
require_plain_build() {
  [[ $(command -v uffd-serve) != */san-*/* ]] || skip "measures a build without sanitizers"
}

faults_of_probe() {
  jq -s 'map(select(.type == "summary"))[0].faults' <<<"$output"
}

# Waits for this message: the server writes messages in the background, perhaps after the event that a test waited for.
assert_logged() { # <text>
  wait_until 5 grep -qF -e "$1" server.log || fail "not logged: $1" "$(<server.log)"
}

# Waits until the session of this id has ended: then the server has removed the record of its VMM.
wait_for_session_end() { # <id>
  wait_until 10 test ! -e "s/$1.vmm"
}

# Checks that exactly COUNT lines of the log match, and waits for them.
assert_logged_times() { # <count> <basic regular expression>
  count_is() { (($(grep -c -e "$2" server.log) == $1)); }
  wait_until 5 count_is "$@" || fail "not logged $1 times: $2" "$(<server.log)"
}

# Starts a VMM that touches its pages and lives until `release_vmm`.
start_vmm() { # <socket> <option>...
  rm -f hold
  mkfifo hold
  spawn_to hold tail -f /dev/null
  holder=$spawned_pid
  # shellcheck disable=SC2016 # expanded by the inner shell
  spawn_to vmm.log bash -c 'exec uffd-probe --mem memory --socket "$@" --hold <hold' _ "$@"
  vmm=$spawned_pid
}
# The same; returns when the pages are touched.
hold_vmm() { # <socket> <option>...
  start_vmm "$@"
  wait_until 20 grep -q ready vmm.log
}
release_vmm() { kill -KILL "$holder"; }

wait_for_end() { # <pid> <status>
  local got=0
  wait_until 20 is_gone "$1" || return 1
  wait "$1" || got=$?
  ((got == $2)) || fail "ended with status $got, not $2" "$(<server.log)"
}

leb128() { # <number>
  local rest=$1
  while ((rest >= 128)); do
    # shellcheck disable=SC2059 # the format is the byte
    printf "\\x$(printf %02x $((rest & 127 | 128)))"
    rest=$((rest >> 7))
  done
  # shellcheck disable=SC2059 # the format is the byte
  printf "\\x$(printf %02x "$rest")"
}

# Writes an HPL1 list of these pages of region 0.
hot_list() { # <page>...
  local page
  printf HPL1
  leb128 "$#"
  for page; do
    leb128 0
    leb128 $((page * 4096))
  done
}
