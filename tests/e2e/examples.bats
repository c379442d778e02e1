#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The examples of README and manual pages work as they are printed.
# shellcheck disable=SC2001,SC2154 # stderr is set by run

load helpers

setup() {
  require_root
  pages=$(realpath "$BATS_TEST_DIRNAME/../../man")
  readme=$(realpath "$BATS_TEST_DIRNAME/../../README.md")
}

teardown() {
  drop_store
}

# Prints the code blocks of a page's EXAMPLES, without the escapes of the source.
blocks_of() { # <page>...
  awk '!code && /^# /{ here = $2 == "EXAMPLES" } /^```/{ code = !code; next } here && code' "$@" | sed 's/\\\(.\)/\1/g'
}

# Prints the page as man(1) does on a terminal of 80 columns.
rendered() { # <page>
  scdoc <"$1" | groff -man -Tutf8 -rLL=80n -P-cbou 2>/dev/null
}

@test "examples of manual pages are displayed as written: no hyphens, no broken lines, 80 columns" {
  require_cmd scdoc groff
  local page line text
  for page in "$pages"/*.scd; do
    text=$(rendered "$page")
    while IFS= read -r line; do
      line=$(sed 's|^ *||' <<<"$line")
      [[ -z $line ]] || grep -qxF -- "$line" <(sed 's/^ *//' <<<"$text") \
        || fail "$page: not as written: $line"
      ((${#line} <= 69)) || fail "$page: too long: $line"
    done < <(blocks_of "$page")
  done
  # A command outside of a code block would be filled and hyphenated.
  for page in "$pages"/{snapfork.1,snapfork.7,snapshot-meta.1,template-lock.1}.scd; do
    run -1 grep -E $'^\t[a-z-]+ ' <(awk '/^# /{ here = $2 == "EXAMPLES" } here' "$page")
  done
}

# Makes the programs that this machine lacks: a Firecracker, which accepts only one request if a script calls it, and a
# curl for that.
make_stand_ins() {
  mkdir -p "$BATS_TEST_TMPDIR/bin"
  cat >"$BATS_TEST_TMPDIR/bin/firecracker" <<'STAND_IN'
#!/bin/bash
[[ " $* " != *' --id '* ]] || exec "$HELPERS/fake-firecracker" "$@" # of snapfork run
python3 - "$2" <<'PYTHON'
import socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen()
server.accept()[0].recv(10)
PYTHON
rm -f "$2"
STAND_IN
  cat >"$BATS_TEST_TMPDIR/bin/curl" <<'STAND_IN'
#!/bin/bash
while (($#)); do
  case $1 in
    --unix-socket) socket=$2 ;;
    -d) jq -ce .mem_backend <<<"$2" ;;
  esac
  shift
done
python3 -c 'import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.send(b"load")' "$socket"
STAND_IN
  chmod +x "$BATS_TEST_TMPDIR"/bin/*
  PATH=$BATS_TEST_TMPDIR/bin:$PATH
}

# Makes a store for this test, whose path replaces that of the examples, and a snapshot in the working directory.
make_place() {
  make_store xfs
  make_stand_ins
  unset SNAPFORK_ROOT
  mkdir "$BATS_TEST_TMPDIR"/{work,run}
  cd "$BATS_TEST_TMPDIR/work" || return 1
  ln -s "$SNAPSHOT/state" "$SNAPSHOT/memory" .
}

run_example() { # <text>
  sed "s|/srv/vm|$BATS_TEST_TMPDIR/fs/store|g; s|/run/\\\$|$BATS_TEST_TMPDIR/run/\$|g" <<<"$1" >"$BATS_TEST_TMPDIR/script"
  run -0 --separate-stderr bash -euo pipefail "$BATS_TEST_TMPDIR/script" 3>&- 4>&-
}

@test "examples of snapfork(1) make, load and delete forks" {
  make_place
  # All examples except those that need a snapshot with a disk or a network interface.
  local text
  text=$(blocks_of "$pages/snapfork.1.scd" | sed '/^snapfork import web/,/^  --disk/d; /^snapfork fork -n 3 --tap/d')
  # The forks that are deleted at the end include that of the plan.
  run_example "$text"
  assert_contains "$output" '"backend_type":"File"'
  [[ -z $(find "$BATS_TEST_TMPDIR/fs/store/guests" -mindepth 1) ]]
}

@test "ten lines of the README work as printed" {
  make_place
  local text
  text=$(awk '/^## /{ here = /Ten lines/ } /^```/{ code = !code; next } here && code' "$readme")
  # Four forks instead of a hundred, to delete them faster.
  run_example "${text/fork -n 100/fork -n 4}"
  assert_contains "$output" '"backend_type":"File"'
  assert_contains "$stderr" "cannot delete template 'base': 5 forks live"
  # shellcheck disable=SC2046 # ids
  SNAPFORK_ROOT=$BATS_TEST_TMPDIR/fs/store snapfork -q delete $(SNAPFORK_ROOT=$BATS_TEST_TMPDIR/fs/store snapshot-meta forks base)
}

@test "example of snapshot-meta(1) makes a fork in which fsck finds nothing" {
  make_store xfs
  make_template
  run_example "$(blocks_of "$pages/snapshot-meta.1.scd" | sed -n '/^template-lock/,$p')"
  run -0 snapshot-meta fsck
  assert_equal "$(snapshot-meta forks base)" f1
  run -0 snapshot-meta verify f1
}

# In a working directory with a snapshot and a directory of the page server, whose paths replace those of the examples.
make_server_place() {
  make_place
  export SNAPFORK_PAGER=$BATS_TEST_TMPDIR/run/pager.sock
}

run_server_example() { # <text>
  run_example "$(sed "s|/run/snapfork|$BATS_TEST_TMPDIR/run|g; s|/srv/snapshot|$SNAPSHOT|g" <<<"$1")"
}

@test "examples of uffd-serve(1) start a service, make sessions, and end it" {
  require_cmd curl
  make_server_place
  PATH=${PATH#*:} # the real curl
  # The second block starts the service in the background, the third ends it.
  run_server_example "$(blocks_of "$pages/uffd-serve.1.scd" | sed -n '/^mkdir -p -m 700/,/drain$/p')"
  assert_contains "$output" '"vm1"'
  assert_contains "$output" 'uffd_serve_sessions{state="waiting"} 1'
  wait_until 10 no_pager
}

@test "examples of uffd-probe(1) verify a page server" {
  make_server_place
  cp "$FIXTURE/trace-work-1.txt" work-1.txt
  run_server_example "$(blocks_of "$pages/uffd-probe.1.scd" | sed -n '1,/--baseline$/p')"
  assert_contains "$output" 'every byte correct'
  assert_contains "$output" 'this machine: '
  if [[ -w /dev/kvm ]]; then
    run_server_example "$(blocks_of "$pages/uffd-probe.1.scd" | sed -n '/--baseline$/,/--overlap/p' | tail -n +2)"
    assert_contains "$output" 'every byte correct'
  fi
}

@test "examples of hotpage-record(1) make a list from the trace of a guest and serve it" {
  make_server_place
  # The guests of the two servers.
  # shellcheck disable=SC2016 # for the shell in there
  spawn_to guests bash -c 'uffd-probe --wait 60 --socket s.sock --mem memory --pages 50 && until [[ -s hot.hpl ]]; do :; done &&
    uffd-probe --wait 60 --socket s.sock --mem memory --pages 50'
  run_server_example "$(blocks_of "$pages/hotpage-record.1.scd")"
  ((${#lines[@]} == 10))
  wait "$spawned_pid" || fail "$(<guests)"
}

@test "examples of reflink-clone(1) and fs-probe(1) clone, report and rewrite files" {
  make_store xfs
  make_template
  local store=$SNAPFORK_ROOT
  cd "$BATS_TEST_TMPDIR/fs" || return 1
  mkdir -p snapshots/snapshot-latest
  cp "$SNAPSHOT/memory" snapshots/snapshot-latest/memory
  head -c 1M /dev/urandom | tee base.raw >disk.raw
  run_example "$(blocks_of "$pages/reflink-clone.1.scd" "$pages/fs-probe.1.scd" | sed "s|/var/lib/snapfork|$store|g")"
  cmp base.raw vm2.raw
  cmp "$SNAPSHOT/memory" snapshots/snapshot-latest/memory
  [[ -e base.copy/snapshots/snapshot-latest/memory ]]
}

@test "examples of snapfork-hotlist(5) and snapfork-trace(5) are valid files" {
  cd "$BATS_TEST_TMPDIR" || return 1
  run_example "$(blocks_of "$pages/snapfork-hotlist.5.scd")"
  assert_equal "$output" $'0\t0\t0\n1\t8192\t-'
  # The first block is the trace; the commands after it need a fork.
  blocks_of "$pages/snapfork-trace.5.scd" | sed -n '1,/^12$/p' >example.trace
  run -0 hotpage-record record -o example.hpl example.trace
  run -0 hotpage-record show example.hpl
  assert_equal "$output" $'0\t12288\t3\n0\t49152\t12'
}
