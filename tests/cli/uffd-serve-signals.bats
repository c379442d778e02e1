#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Tests that unrelated signals, limits and memory pressure do not end uffd-serve.
# shellcheck disable=SC2154,SC2030,SC2031 # run sets output and status; each test is a subshell

load helpers
load uffd-serve_helpers

setup() { serve_setup; }
teardown() { common_teardown; }

# Starts a server with these limits and signal dispositions; returns when it serves.
serve_under() { # <shell commands before it> <option>...
  local before=$1
  shift
  rm -f ready
  mkfifo ready
  export SNAPFORK_PAGER=$PWD/c.sock
  # shellcheck disable=SC2016 # expanded by the inner shell
  spawn_to server.log bash -c "$before"'; exec uffd-serve --ready-fd 9 "$@" 9>ready' _ "$@"
  server=$spawned_pid
  read -r <ready || fail "the server did not start: $(<server.log)"
}

@test "signals of timers, limits and terminals do not end the server" {
  local signal
  serve_control
  uffd-ctl create a=memory
  for signal in USR1 USR2 ALRM XCPU XFSZ VTALRM PROF IO PWR STKFLT PIPE TTIN TTOU RTMIN RTMIN+1 RTMAX; do
    kill -"$signal" "$server"
  done
  run -0 probe --socket s/a.sock
  uffd-ctl health
}

@test "signals of a terminal do not stop the server, which would stop its guests" {
  local signal
  serve_control
  uffd-ctl create a=memory
  for signal in TSTP TTIN TTOU; do
    kill -"$signal" "$server"
    # A server that is stopped does not answer.
    uffd-ctl --timeout 20 health || fail "stopped by SIG$signal"
  done
  run -0 probe --socket s/a.sock
}

@test "SIGHUP, once or twice, ends the server after its last guest, as SIGTERM does" {
  serve_control
  uffd-ctl create a=memory
  hold_vmm s/a.sock --pages 10
  kill -HUP "$server"
  wait_until 5 grep -q 'until it ends' server.log
  kill -HUP "$server"
  uffd-ctl complete a # it is served
  release_vmm
  wait_for_end "$server" 0
}

@test "SIGHUP that was ignored at the start (nohup) has no effect" {
  serve_under 'trap "" HUP' --control c.sock
  kill -HUP "$server"
  uffd-ctl create a=memory
  run -0 probe --socket s/a.sock
}

@test "SIGQUIT acts as SIGTERM; the second ends the server at once" {
  serve_control
  uffd-ctl create a=memory
  hold_vmm s/a.sock --pages 10
  kill -QUIT "$server"
  wait_until 5 grep -q 'until it ends' server.log
  ! is_gone "$server" || fail 'the server ended'
  kill -QUIT "$server"
  wait_for_end "$server" 0
  assert_logged 'the guest will hang at its next fault'
  release_vmm
}

@test "a file size limit ends a trace or prevents a record, but not the server" {
  serve_under 'ulimit -f 1' --control c.sock
  uffd-ctl create --trace trace a=memory
  run -0 probe --socket s/a.sock --pattern seq
  grep -q 'Max file size *1024' "/proc/$server/limits" || skip 'the server may raise the limit'
  wait_until 10 grep -q "trace '$PWD/trace' ends: .*File too large" server.log
  uffd-ctl health
}

@test "a CPU time limit that cannot be raised is reported" {
  serve_under 'ulimit -t 3600' --control c.sock
  wait_until 5 test -s server.log
  if (($(awk '/Max cpu time/ {print $5 == 3600}' "/proc/$server/limits"))); then
    assert_logged 'after 3600 s of CPU time (RLIMIT_CPU)'
  fi
}

@test "OOM killer: oom_score_adj is lowered if permitted" {
  local protected
  serve_control
  protected=$(uffd-serve --features --json | jq -r 'select(.name == "oom-score").found')
  if bash -c 'echo -1 >/proc/self/oom_score_adj' 2>/dev/null; then
    assert_equal "$(<"/proc/$server/oom_score_adj")" -900
    assert_equal "$protected" yes
  else
    assert_equal "$(<"/proc/$server/oom_score_adj")" "$(</proc/self/oom_score_adj)"
    assert_equal "$protected" no
  fi
}

@test "OOM killer: if oom_score_adj cannot be lowered, image pages are unmapped" {
  require_plain_build
  head -c $((128 << 20)) /dev/urandom >large
  chmod 444 large
  serve --mem large --socket s.sock --without oom-score
  run -0 uffd-probe --mem large --socket s.sock --pattern seq
  peak=$(awk '/^VmHWM:/ {print $2}' "/proc/$server/status")
  ((peak < 60 << 10)) || fail "it had $peak KiB of memory"
}

@test "a second SIGTERM ends a server with a session thread blocked by a disk" {
  require_cmd strace
  serve_memory
  spawn_to calls strace -f -p "$server" -e trace=pread64 -e inject=pread64:delay_enter=100000000
  local tracer=$spawned_pid
  wait_until 10 grep -q attached calls
  start_vmm s.sock --pages 10
  wait_until 10 grep -q pread64 calls # it does not return
  kill "$server"
  wait_until 10 grep -q 'until it ends' server.log
  kill "$server"
  wait_until 10 grep -q 'its thread does not end; the server exits without it' server.log
  kill -KILL "$tracer" # which keeps what it traces from being reaped
  wait_for_end "$server" 0
  release_vmm
}

# Stops the thread that serves a connection, like a filesystem that does not answer, until the thread ends.
hold_control_thread() { # <control socket> <pid>: prints "held", ends with the thread
  python3 - "$1" "$2" <<'PYTHON'
import ctypes, os, socket, sys
control, pid = sys.argv[1], sys.argv[2]
PTRACE_SEIZE, PTRACE_INTERRUPT, WALL = 0x4206, 0x4207, 0x40000000
libc = ctypes.CDLL(None, use_errno=True)
peer = socket.socket(socket.AF_UNIX)
peer.connect(control)
peer.sendall(b'GET /health HTTP/1.1\r\n')
thread = 0
while not thread:
    for task in os.listdir(f'/proc/{pid}/task'):
        with open(f'/proc/{pid}/task/{task}/comm') as name:
            if name.read().startswith('MHD-conn'):
                thread = int(task)
for request in PTRACE_SEIZE, PTRACE_INTERRUPT:
    if libc.ptrace(request, thread, None, None):
        sys.exit(f'ptrace: {os.strerror(ctypes.get_errno())}')
os.waitpid(thread, WALL)
print('held', flush=True)
while True:
    _, status = os.waitpid(thread, WALL)
    if os.WIFEXITED(status) or os.WIFSIGNALED(status):
        break
PYTHON
}

@test "SIGTERM ends a server with a control thread blocked by a filesystem" {
  require_cmd python3
  serve_control
  uffd-ctl create a=memory
  spawn_to holder hold_control_thread "$SNAPFORK_PAGER" "$server"
  wait_until 10 grep -q held holder
  kill "$server"
  wait_for_end "$server" 0
  assert_logged 'a thread does not end; the server exits without it'
  [[ ! -e $SNAPFORK_PAGER ]] || fail 'the control socket is left'
}
