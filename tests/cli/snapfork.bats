#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The driver's command line. What its flows do is in tests/e2e.
# shellcheck disable=SC2154 # stderr is set by run

load helpers

setup() {
  common_setup
  export SNAPFORK_PAGER=$BATS_TEST_TMPDIR/run/p.sock
}

teardown() {
  common_teardown
}

refuses() { # <exit status> <part of the message> <arguments...>
  run "-$1" --separate-stderr snapfork "${@:3}"
  assert_equal "$output" ''
  assert_contains "$stderr" "$2"
}

@test "help, version, unknown options and closed streams" {
  standard_cases snapfork
  run -0 snapfork --version
  local mine=${output#* }
  run -0 snapshot-meta --version
  assert_equal "$mine" "${output#* }"
}

@test "usage errors exit with 2 and name the word" {
  refuses 2 'a verb is needed'
  refuses 2 "unknown verb 'clone': import, promote" clone
  refuses 2 'an id is needed' fork
  refuses 2 "unexpected operand 'c'" fork a b c
  refuses 2 "unexpected operand 'a'" list a
  refuses 2 'the option --backend needs a value' fork a --backend
  refuses 2 "bad value 'ram' for --backend" fork --backend ram a
  refuses 2 "bad value 'maybe' for --reflink" fork --reflink=maybe a
  refuses 2 "bad value '0' for -n" fork -n 0 a
  refuses 2 "bad value '1001' for -n" fork -n1001 a
  refuses 2 'NEW cannot be given' fork -n 2 a b
  refuses 2 '--name is for one fork' fork -n 2 --name x a
  refuses 2 '--trace is for one fork' fork -n 2 --trace x a
  refuses 2 'the option --stop is not for fork' fork --stop a
  refuses 2 '--state FILE and --memory FILE are needed' import a --state x
  refuses 2 'the option --json is not for run' --json run a -- true
  refuses 2 "a command after '--' is needed" run a --
  refuses 2 "unexpected operand 'true'; put '--' before the command" run a true
  refuses 2 "bad value '-' for --trace" fork --trace - a
  refuses 2 "the id 'a' is given twice" delete a b a
}

@test "refuses ids that are empty, dots, have a slash, or 300 characters" {
  local id
  for id in '' . .. a/b ../a '-a' 'a b' $'a\nb' "$(printf 'a%.0s' {1..300})"; do
    refuses 2 'bad id' fork -- "$id"
    refuses 2 'bad id' delete -- "$id"
  done
}

@test "an unknown guest exits with 1, an absent store with 5, with a message and a record" {
  refuses 1 "cannot fork 'nobody': no such guest" fork nobody
  refuses 1 "cannot delete 'nobody': no such guest" delete nobody
  refuses 1 "cannot promote 'nobody': no such guest" promote nobody
  refuses 1 "cannot demote 'nobody': no such guest" demote nobody
  SNAPFORK_ROOT=$BATS_TEST_TMPDIR/nowhere refuses 5 nowhere fork nobody
  run -1 --separate-stderr snapfork --json fork --backend uffd nobody
  assert_equal "$(json '[.type, .v, .program, .exit_code, .code] | @csv')" '"error",1,"snapfork",1,"no"'
  assert_contains "$(json .message)" "cannot fork 'nobody'"
  [[ ! -e $SNAPFORK_ROOT/.snapfork ]] # not even a lock file for what does not exist
}

@test "import checks every input before it copies anything" {
  local fixture=$BATS_TEST_DIRNAME/../fixtures/plain
  truncate -s 128M memory
  truncate -s 1M short disk
  head -c 100 "$fixture/state" >cut.state
  refuses 5 missing import a --state missing --memory memory
  refuses 5 missing import a --state "$fixture/state" --memory missing
  refuses 5 missing import a --state "$fixture/state" --memory memory --disk missing=/x
  refuses 4 cut.state import a --state cut.state --memory memory
  refuses 4 short import a --state "$fixture/state" --memory short
  refuses 4 /no/such/path import a --state "$fixture/state" --memory memory --disk disk=/no/such/path
  assert_equal "$(find "$SNAPFORK_ROOT" -mindepth 1)" "$SNAPFORK_ROOT/guests"
}

@test "a socket path longer than 107 bytes exits with 2 and changes nothing" {
  make_fake_template base
  SNAPFORK_PAGER=$BATS_TEST_TMPDIR/$(printf 'r%.0s' {1..100})/p.sock refuses 2 '107' fork --backend uffd base a
  [[ ! -e $SNAPFORK_ROOT/.snapfork ]]
}

@test "names a program that is missing" {
  mkdir bin
  local program
  for program in bash dirname snapshot-meta template-lock flock setsid uffd-serve uffd-keeper uffd-ctl; do
    ln -s "$(type -P "$program")" "bin/$program"
  done
  copy_driver bin
  run -5 --separate-stderr env "PATH=$PWD/bin" "$BASH" "$PWD/bin/snapfork" list
  assert_contains "$stderr" "'reflink-clone'"
}

@test "--dry-run prints the calls and changes nothing; -v prints them as they are made" {
  make_fake_guest a
  "$HELPERS/write-vmstate" "$SNAPFORK_ROOT/guests/a/snapshots/snapshot-latest/state" 10.0.0 1
  truncate -s 1M "$SNAPFORK_ROOT/guests/a/snapshots/snapshot-latest/memory"
  local before
  before=$(find "$SNAPFORK_ROOT" -printf '%P %T@\n' | sort)
  run -0 --separate-stderr snapfork --dry-run fork --backend uffd a b
  assert_contains "$output" '+ template-lock --shared a --exclusive --no-wait b -- bash'
  assert_contains "$output" '+ snapshot-meta fork-begin --backend uffd a b'
  assert_contains "$output" '+ reflink-clone --profile vm --exclude /snapshots/snapshot-latest/state --memory=reflink'
  assert_contains "$output" ' | snapshot-meta fork-publish a b --backend uffd'
  assert_contains "$output" '+ uffd-ctl'
  run -0 --separate-stderr snapfork --dry-run fork --backend uffd --durable a b
  assert_contains "$output" '+ reflink-clone --profile vm --exclude /snapshots/snapshot-latest/state --durable'
  run -0 --separate-stderr snapfork --dry-run delete a
  assert_contains "$output" '+ snapshot-meta trash a'
  assert_equal "$(find "$SNAPFORK_ROOT" -printf '%P %T@\n' | sort)" "$before"
  run -0 --separate-stderr snapfork -v list
  assert_equal "${stderr_lines[0]}" '+ snapshot-meta list'
}

@test "status without a page server exits with 0; delete of several guests with the status of the first failure" {
  run -0 --separate-stderr snapfork status
  assert_contains "$output" 'no page server'
  make_fake_guest a
  run -1 --separate-stderr snapfork delete nobody a
  assert_contains "$stderr" "'a' is deleted"
  [[ ! -e $SNAPFORK_ROOT/guests/a ]]
}

@test "snapfork, started by its path, uses the programs in its directory" {
  mkdir old new
  local program
  for program in snapfork snapshot-meta; do
    printf '#!/bin/sh\necho "the installed %s"\n' "$program" >old/$program
    printf '#!/bin/sh\necho "the neighbor"\n' >new/$program
    chmod +x old/$program new/$program
  done
  copy_driver new
  PATH=$PWD/old:$PATH run -0 new/snapfork list
  assert_equal "$output" 'the neighbor'
  # Found on the PATH, it uses the PATH.
  copy_driver old
  PATH=$PWD/old:$PATH run -0 snapfork list
  assert_equal "$output" 'the installed snapshot-meta'
}

@test "a symbolic link to snapfork works from anywhere, a copy without its parts reports what is missing" {
  copy_driver real
  printf '#!/bin/sh\necho "the neighbor"\n' >real/snapshot-meta
  chmod +x real/snapshot-meta
  mkdir elsewhere copy
  ln -s ../real/snapfork elsewhere/snapfork
  run -0 elsewhere/snapfork list
  assert_equal "$output" 'the neighbor'
  ln -s "$PWD/elsewhere/snapfork" link
  run -0 ./link --version
  cp real/snapfork copy/snapfork
  run -5 --separate-stderr copy/snapfork list
  assert_equal "$output" ''
  assert_equal "$stderr" "snapfork: cannot find 'copy/libexec/snapfork': this is a copy of snapfork without its parts; use 'make install' or a symbolic link"
}

@test "the build tree runs every program beside ./bin/snapfork, even if another directory comes first on the PATH" {
  copy_driver new
  mkdir old
  local program
  for program in snapshot-meta uffd-ctl; do
    printf '#!/bin/sh\necho "old %s"\n' "$program" >old/$program
    printf '#!/bin/sh\necho "new %s" "$@" >>%s\n' "$program" "$PWD/calls" >new/$program
    chmod +x old/$program new/$program
  done
  PATH=$PWD/old:$PATH run -0 --separate-stderr new/snapfork status
  refute_contains "$output$stderr" old
  assert_contains "$(<calls)" 'new uffd-ctl'
}

@test "--json: a record for each success and each failure, with the message that says why" {
  make_fake_guest a
  make_fake_guest b
  run -0 --separate-stderr snapfork --json delete a b
  assert_equal "$(json '[.type, .id] | join(" ")')" $'delete a\ndelete b'
  run -2 --separate-stderr snapfork --json list --bogus
  assert_equal "$(json '[.type, .code, .message] | join(" ")')" "error usage unknown option '--bogus'"
  run -2 --separate-stderr snapfork list --bogus --json
  assert_equal "$(json .exit_code)" 2
  make_fake_guest c
  hold_lock c
  run -1 --separate-stderr snapfork --json demote --timeout 1.5 c
  assert_equal "$(json .program)" template-lock
  assert_contains "$(json .message)" "cannot lock 'c'"
}

# A program that ends as the test wants, in place of one of the suite or of the system.
stand_in() { # <program> <script>
  mkdir -p stand-ins
  printf '#!/bin/bash\n%s\n' "$2" >"stand-ins/$1"
  chmod +x "stand-ins/$1"
}

record() {
  json '[.type, .program, .exit_code, .code, .message] | map(tostring) | join("|")'
}

@test "--json: the record is that of the program that ended the command, of whatever kind" {
  make_fake_guest a
  printf '{"Id":' >"$SNAPFORK_ROOT/guests/a/metadata.json"
  run -4 --separate-stderr snapfork --json promote a
  assert_equal "$(wc -l <<<"$output")" 1
  assert_equal "$(record)" "error|snapshot-meta|4|bad_data|${stderr#snapshot-meta: }"
  # A message with more than one line, or with a form that the driver does not know, is not parsed.
  stand_in snapshot-meta 'echo "a line: cannot read: it" >&2; exit 4'
  PATH=$PWD/stand-ins:$PATH run -4 --separate-stderr snapfork --json promote a
  assert_equal "$(record)" 'error|snapshot-meta|4|bad_data|cannot promote: snapshot-meta failed; standard error has its message'
  stand_in snapshot-meta 'kill -KILL $$'
  PATH=$PWD/stand-ins:$PATH run -5 --separate-stderr snapfork --json promote a
  assert_equal "$(record)" "error|snapfork|5|system|'snapshot-meta' was killed by signal 9"
  # mkdir is not a program of snapfork.
  make_fake_guest b
  local fixture
  fixture=$(realpath "$BATS_TEST_DIRNAME/../fixtures/plain")
  zstd -q -d --long=27 "$fixture/memory.zst" -o memory
  rm -f stand-ins/snapshot-meta
  stand_in mkdir 'echo "mkdir: no" >&2; exit 1'
  PATH=$PWD/stand-ins:$PATH run -5 --separate-stderr snapfork --json import c --state "$fixture/state" --memory memory
  assert_equal "$(record)" 'error|mkdir|5|system|cannot import: mkdir failed; standard error has its message'
}

@test "--json: delete of several ids prints a record for each" {
  make_fake_guest a
  make_fake_guest b
  run -1 --separate-stderr snapfork --json delete a nosuch b
  assert_equal "$(json '[.type, .id // .code] | join(" ")')" $'delete a\nerror no\ndelete b'
}

@test "SNAPFORK_ERROR_FD: a failure writes its record to the caller's pipe, and never waits for it" {
  local pipe line
  exec {pipe}<> <(:)
  SNAPFORK_ERROR_FD=$pipe run -1 --separate-stderr snapshot-meta state nosuch
  assert_equal "$output" ''
  IFS= read -r line <&"$pipe"
  assert_equal "$(jq -r '[.program, .exit_code] | join(" ")' <<<"$line")" 'snapshot-meta 1'
  SNAPFORK_ERROR_FD=$pipe run -1 --separate-stderr snapfork delete nosuch
  IFS= read -r line <&"$pipe"
  assert_equal "$(jq -r '[.program, .exit_code] | join(" ")' <<<"$line")" 'snapfork 1'
  head -c 65536 /dev/zero >&"$pipe"
  SNAPFORK_ERROR_FD=$pipe run -1 timeout 20 snapshot-meta state nosuch
  # Only a pipe: the variable may be older than the descriptor.
  SNAPFORK_ERROR_FD=9 run -1 snapshot-meta state nosuch 9>file
  assert_equal "$(<file)" ''
}

@test "advice about an option names the program that has it" {
  # The steps of the driver are in these folders. --force and --dry-run are options of the driver, too.
  local sources=$BATS_TEST_DIRNAME/../../src
  run -1 grep -rnE '"; ?(use |give |try )?--[a-z]' "$sources/clone" "$sources/lock" "$sources/meta/flows" "$sources/meta/guest" \
    "$sources/meta/image" "$sources/meta/forks" "$sources/file" "$sources/store"
  assert_equal "$output" ''
}

hold_lock() { # <id>
  spawn template-lock "$1" -- tail -f /dev/null
  wait_until_held "$1"
}

@test "--timeout and --wait wait for locks on which snapfork otherwise fails at once" {
  make_fake_guest a
  hold_lock a
  run -1 --separate-stderr snapfork delete a
  run -2 --separate-stderr snapfork delete --timeout soon a
  assert_contains "$stderr" "bad value 'soon' for --timeout"
  run -2 --separate-stderr snapfork status --wait
  spawn_to said snapfork delete --wait a
  local waiting=$spawned_pid
  wait_until 10 grep -q 'waiting for' said
  kill -KILL "${spawned[0]}"
  wait "$waiting"
  [[ ! -e $SNAPFORK_ROOT/guests/a ]]
}

@test "--locked is not an option: the driver takes its locks itself" {
  run -2 --separate-stderr snapfork --locked delete nosuch
  assert_contains "$stderr" "unknown option '--locked'"
}

@test "a store that the user may not read is named as that, not as one without the guest" {
  ((EUID == 0)) || skip 'needs root'
  require_cmd setpriv
  local place
  place=$(mktemp -d "${TMPDIR:-/tmp}/snapfork-test.XXXXXX")
  chmod 755 "$place"
  mkdir -p "$place/store/guests/a"
  chmod 700 "$place/store"
  local verb as_user=(setpriv --reuid 65534 --clear-groups env "PATH=$PATH" "SNAPFORK_ROOT=$place/store")
  for verb in fork stop delete; do
    run -5 --separate-stderr "${as_user[@]}" snapfork "$verb" a
    assert_contains "$stderr" "cannot $verb 'a': no permission to look into '$place/store'"
  done
  rm -r "$place"
}
