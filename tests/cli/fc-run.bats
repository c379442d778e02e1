#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# fc-run: the life of one VMM. The VMM is a script that answers GET /version; tests/firecracker/run.bats has real ones.
# shellcheck disable=SC2154 # output, stderr and status are set by run

load helpers

setup() {
  common_setup
  write_vmm
}
teardown() {
  local pid
  for pid in $(vmm_pids); do kill -KILL "$pid" || true; done
  common_teardown
}

# A program that is not Firecracker. --write BYTES: writes that to its output, once the API was asked. --say TEXT --exit N:
# ends before it has an API. --mute: has an API that never answers. --report FILE: writes facts about itself.
write_vmm() {
  cat >vmm <<'PY'
#!/usr/bin/python3
import argparse, json, os, signal, socket, sys

options = argparse.ArgumentParser()
for name in ("api-sock", "id", "write", "say", "exit", "report"):
    options.add_argument("--" + name)
options.add_argument("--mute", action="store_true")
options = options.parse_args()
if options.report:
    ignored = [s.name for s in signal.Signals if s != signal.SIGPIPE and s != signal.SIGXFSZ
               and signal.getsignal(s) == signal.SIG_IGN]
    fds = [fd for fd in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd/" + fd)]
    facts = {"fds": sorted(fds), "id": options.id, "ignored": ignored, "input": os.readlink("/proc/self/fd/0"),
             "session": os.getsid(0) == os.getpid(), "environment": dict(os.environ), "cwd": os.getcwd()}
    open(options.report, "w").write(json.dumps(facts))
if options.say:
    print(options.say, flush=True)
if options.exit:
    sys.exit(int(options.exit))
server = socket.socket(socket.AF_UNIX)
server.bind(options.api_sock)
server.listen()
while True:
    peer, _ = server.accept()
    data = b""
    while b"\r\n\r\n" not in data:
        part = peer.recv(65536)
        if not part:
            break
        data += part
    else:
        if options.mute:
            signal.pause()
        body = b'{"firecracker_version":"1.15.1"}'
        peer.sendall(b"HTTP/1.1 200 \r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        if options.write:
            block = b"0123456789abcde\n" * 4096
            for _ in range(int(options.write) // len(block)):
                sys.stdout.buffer.write(block)
            sys.stdout.flush()
            open(options.api_sock + ".written", "w").close()
    peer.close()
PY
  chmod +x vmm
}

vmm_pids() {
  pgrep -f -- "--api-sock $BATS_TEST_TMPDIR/" || true
}

no_vmm() {
  [[ -z $(vmm_pids) && -z $(pgrep -f -- "--dir $BATS_TEST_TMPDIR/") ]]
}

vmm_dir=run/vm # of each test: relative to its directory

fc_run() { # <option...>
  fc-run --firecracker "$BATS_TEST_TMPDIR/vmm" --dir "$BATS_TEST_TMPDIR/$vmm_dir" --id vm-1 "$@" 3>&- 4>&-
}

# Starts one in the background and waits for its record, which is in `record`; the pid of fc-run is in spawned_pid.
start_in_background() { # <option...>
  spawn_to out fc-run --firecracker "$BATS_TEST_TMPDIR/vmm" --dir "$BATS_TEST_TMPDIR/$vmm_dir" --id vm-1 "$@"
  wait_until 20 grep -q pid out || fail "$(<out)"
  record=$(<out)
  vmm=$(jq .pid out)
}

ended_with() { # <status>: of the last process that spawn_to started
  local got=0
  wait "$spawned_pid" || got=$?
  assert_equal "$got" "$1"
}

@test "fc-run: help, version, unknown options, closed streams" {
  standard_cases fc-run
  run -2 fc-run
  run -2 fc-run --dir d
  run -2 fc-run --end
  run -2 fc-run --id a --dir d operand
}

@test "fc-run prints a record, exits with the status of the VMM, and leaves only the console" {
  start_in_background --arg=--say --arg=hello
  assert_equal "$(jq -c 'del(.pid)' <<<"$record")" \
    "{\"type\":\"vmm\",\"v\":1,\"api_socket\":\"$PWD/run/vm/api.sock\",\"console\":\"$PWD/run/vm/console\",\"version\":\"1.15.1\",\"firecracker_id\":\"vm-1\"}"
  assert_equal "$(cut -d ' ' -f 1 run/vm/pid)" "$vmm"
  assert_equal "$(stat -c %a run run/vm)" $'700\n700'
  fc-api run/vm/api.sock GET /version
  kill -TERM "$spawned_pid"
  ended_with 143
  assert_equal "$(ls run/vm)" console
  assert_equal "$(<run/vm/console)" hello
  # What is left of it does not disturb the next one.
  start_in_background --arg=--say --arg=again
  kill -KILL "$vmm"
  ended_with 137
  assert_equal "$(<run/vm/console)" again
}

@test "fc-run gives the VMM no descriptor, no lock, no ignored signal and a session of its own" {
  local fd
  exec {fd}<vmm
  SNAPFORK_LOCK_FD=$fd MINE=yes start_in_background --arg=--report --arg="$PWD/facts"
  exec {fd}<&-
  assert_equal "$(jq -c .fds facts)" '["0","1","2"]'
  assert_equal "$(jq -c '[.id, .ignored, .session, .cwd]' facts)" "[\"vm-1\",[],true,\"$PWD\"]"
  assert_equal "$(jq -r .input facts)" "$PWD/run/vm/input"
  assert_equal "$(jq -c '.environment | [.MINE, .SNAPFORK_LOCK_FD]' facts)" '["yes",null]'
  # fc-run itself lives as long as the VMM: it has closed the lock of its caller, too.
  refute_contains "$(readlink "/proc/$spawned_pid"/fd/*)" "$PWD/vmm"
}

@test "fc-run uses a hash for an id that Firecracker refuses, and reports it" {
  local id
  for id in web_1 a.b "$(printf 'x%.0s' {1..65})"; do
    run -0 --separate-stderr fc_run --detach --id "$id"
    [[ $(json .firecracker_id) =~ ^snapfork-[0-9a-f]{16}$ ]]
    fc_run --end
  done
}

@test "fc-run --detach: the VMM lives on, also after the end of its session, and --end ends it" {
  run -0 --separate-stderr setsid -w fc-run --firecracker "$PWD/vmm" --dir "$PWD/run/vm" --id a --detach
  local pid
  pid=$(json .pid)
  fc-api run/vm/api.sock GET /version
  run -1 --separate-stderr fc_run
  assert_contains "$stderr" "cannot use '$PWD/run/vm': a VMM uses it (process $pid)"
  run -0 fc_run --end
  is_gone "$pid"
  [[ ! -e run/vm ]]
  wait_until 10 no_vmm
  run -0 fc_run --end # nothing to do
}

@test "fc-run --socket describes a VMM that waits, and refuses one that does not exist" {
  run -1 --separate-stderr fc-run --socket run/vm/api.sock
  assert_contains "$stderr" "cannot use the VMM at 'run/vm/api.sock': no process listens there"
  # The double has the state of a VMM; the script of these tests has none.
  run -0 --separate-stderr fc_run --detach --firecracker "$HELPERS/fake-firecracker"
  local started=$output
  assert_equal "$(cd run && fc-run --socket vm/api.sock)" "$started"
  run -1 --separate-stderr fc-run --socket run/vm/api.sock --tap absent
  assert_contains "$stderr" "cannot use the tap 'absent' in the network namespace of process "
  fc_run --end
}

@test "fc-run: the VMM ends when its caller is killed, and when fc-run is killed" {
  spawn_to out bash -c 'fc-run "$@"; :' _ --firecracker "$PWD/vmm" --dir "$PWD/run/vm" --id a --arg=--say --arg=hello
  wait_until 20 grep -q pid out
  kill -KILL "$spawned_pid"
  wait_until 10 no_vmm
  assert_equal "$(ls run/vm)" console
  start_in_background
  kill -KILL "$spawned_pid"
  wait_until 10 no_vmm
  fc_run --end
  [[ ! -e run/vm ]]
  # A caller that ended before fc-run could watch it.
  run -125 fc_run --caller 1
  [[ ! -e run/vm ]]
}

@test "fc-run: after SIGUSR1 the VMM lives on without its caller, its streams and its pipe for failures" {
  local errors
  exec {errors}<> <(:)
  SNAPFORK_ERROR_FD=$errors spawn_to out bash -c 'fc-run "$@"; :' _ --firecracker "$PWD/vmm" --dir "$PWD/run/vm" --id a
  wait_until 20 grep -q pid out
  local runner
  runner=$(pgrep -P "$spawned_pid")
  kill -USR1 "$runner"
  kill -KILL "$spawned_pid"
  wait_until 10 is_gone "$spawned_pid"
  fc-api run/vm/api.sock GET /version
  assert_equal "$(readlink /proc/"$runner"/fd/{0,1,2} | uniq)" /dev/null
  refute_contains "$(readlink /proc/"$runner"/fd/*)" "$(readlink /proc/self/fd/"$errors")"
  exec {errors}<&-
  fc_run --end
}

@test "fc-run: a VMM that ends early is an error of its own kind, with its last lines" {
  run -125 --separate-stderr fc_run --arg=--say --arg=$'one\ntwo' --arg=--exit --arg=3
  assert_equal "$stderr" "fc-run: cannot start '$PWD/vmm': it ended with exit status 3; its last lines: one | two"
  [[ ! -e run/vm ]]
  run -125 --separate-stderr fc_run --detach --arg=--exit --arg=3
  assert_contains "$stderr" 'it ended with exit status 3'
  run -125 --separate-stderr fc_run --arg=--mute --start-timeout 0.3
  assert_contains "$stderr" 'Connection timed out'
  printf '#!/bin/sh\nexec tail -f /dev/null\n' >sleeper
  chmod +x sleeper
  run -125 --separate-stderr fc_run --firecracker "$PWD/sleeper" --start-timeout 0.3
  assert_contains "$stderr" 'did not open its API socket in time'
  printf '#!/bin/sh\n%s/vmm "$@"\n' "$PWD" >wrapper
  chmod +x wrapper
  run -125 --separate-stderr fc_run --firecracker "$PWD/wrapper"
  assert_contains "$stderr" 'must become Firecracker by exec'
  [[ ! -e run/vm ]]
  no_vmm
}

@test "fc-run: a signal during the start leaves nothing" {
  local signal
  for signal in TERM INT HUP; do
    spawn_to out fc-run --firecracker "$PWD/vmm" --dir "$PWD/run/vm" --id a --arg=--mute
    wait_until 20 test -S run/vm/api.sock
    kill -s "$signal" "$spawned_pid"
    ended_with 125
    [[ ! -e run/vm ]]
    no_vmm
  done
}

@test "fc-run refuses what cannot work, before it starts anything" {
  require_root
  run -127 fc_run --firecracker "$PWD/absent"
  run -127 fc_run --firecracker absent
  : >out
  run -126 fc_run --firecracker "$PWD/out"
  run -126 fc_run --firecracker "$PWD"
  run -1 --separate-stderr fc_run --netns snapfork-absent
  assert_contains "$stderr" "cannot use the network namespace 'snapfork-absent': it does not exist"
  run -2 fc_run --netns ../net
  run -1 --separate-stderr fc_run --tap absent
  assert_contains "$stderr" "cannot use the tap 'absent': it does not exist"
  run -1 --separate-stderr fc_run --tap lo
  assert_contains "$stderr" "cannot use the tap 'lo': it is not a tap"
  run -2 fc_run --tap 'a-name-of-16-by-'
  vmm_dir=$(printf 'x%.0s' {1..107})
  run -2 --separate-stderr fc_run
  assert_contains "$stderr" 'not 1 to 107'
  mkdir -m 777 open
  vmm_dir=open
  run -1 --separate-stderr fc_run
  assert_contains "$stderr" 'others can write there'
  vmm_dir=open/vm
  run -1 --separate-stderr fc_run
  assert_contains "$stderr" 'others can write to the directory that it is in'
  rmdir open/vm
  ln -s open link
  vmm_dir='link'
  run -125 fc_run
  [[ ! -e run ]]
}

@test "fc-run refuses a tap that is in use, and does not make one" {
  require_root
  require_namespaces --net
  [[ -e /dev/net/tun ]] || skip 'needs /dev/net/tun'
  cat >taps <<'SH'
    ip tuntap add t0 mode tap || exit 77
    fc-run --dry-run "$@" --tap t0 || exit 1
    python3 - <<'PY' &
import fcntl, os, struct, time
tun = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tun, 0x400454ca, struct.pack("16sH", b"t0", 0x5002))
open("taken", "w").close()
time.sleep(1000)
PY
    holder=$!
    until [[ -e taken ]]; do :; done
    fc-run --dry-run "$@" --tap t0
    status=$?
    kill $holder
    echo "holder $holder"
    exit $((status == 1 ? 0 : 1))
SH
  run -0 unshare --net bash taps --firecracker "$PWD/vmm" --dir "$PWD/run/vm" --id a 3>&- 4>&-
  [[ $output =~ holder\ ([0-9]+) ]]
  assert_contains "$output" "cannot use the tap 't0': it is in use by process ${BASH_REMATCH[1]} ("
}

@test "fc-run: a guest that writes without end fills two files, and its VMM is not delayed" {
  run -0 --separate-stderr fc_run --detach --arg=--write --arg=20000000
  wait_until 60 test -e run/vm/api.sock.written
  local size
  for size in $(stat -c %s run/vm/console run/vm/console.1); do ((size <= 1 << 20)); done
  rm run/vm/api.sock.written
  fc_run --end
}

@test "fc-run: a full disk loses output, and delays nothing" {
  require_root
  load ../mounts
  mount_fs tmpfs "$PWD/small" 1
  vmm_dir=small/d
  run -0 --separate-stderr fc_run --detach --arg=--write --arg=5000000
  wait_until 60 test -e small/d/api.sock.written
  fc-api small/d/api.sock GET /version
  rm small/d/api.sock.written
  fc_run --end
  unmount_all
}

@test "fc-run removes a vsock socket that nobody listens at, and refuses one that is used" {
  /usr/bin/python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("v.sock")'
  run -0 --separate-stderr fc_run --detach --vsock "$PWD/v.sock"
  [[ ! -e v.sock ]]
  run -1 --separate-stderr fc_run --dir "$PWD/other" --vsock "$PWD/run/vm/api.sock"
  assert_contains "$stderr" 'listens there'
  [[ -e run/vm/api.sock && ! -e other ]]
  fc_run --end
}

# strace kills fc-run, and not the VMM, which it does not follow: PR_SET_PDEATHSIG ends that.
@test "fc-run killed at any system call leaves no VMM, and a directory that the next start uses" {
  require_cmd strace
  local call n started kills=0
  for call in mkdir flock mknodat clone openat write dup2 unlinkat poll; do
    for ((n = 1; n <= 20; n++)); do
      started=0
      spawn_to out strace -qq -o calls -e trace="$call" -e inject="$call:signal=SIGKILL:when=$n" -- \
        fc-run --firecracker "$PWD/vmm" --dir "$PWD/run/vm" --id a
      wait_until 20 killed_or_started
      if grep -q pid out; then
        kill -TERM "$(pgrep -f -- "^fc-run .*--dir $PWD/")" 2>/dev/null || true
        started=1
      fi
      wait_until 20 no_vmm
      wait_until 20 is_gone "$spawned_pid"
      ! grep -q 'killed by SIGKILL' calls || ((kills += 1))
      fc_run --end
      [[ ! -e run/vm ]]
      ((!started)) || break
    done
    ((kills)) || fail "fc-run was not killed at $call"
  done
  ((kills > 20))
}

killed_or_started() {
  is_gone "$spawned_pid" || grep -q pid out
}
