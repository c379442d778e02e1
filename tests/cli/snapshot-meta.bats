#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# snapshot-meta as its users meet it: keys, states, state files. The flows: snapshot-meta-flows.bats.
# shellcheck disable=SC2154 # output, stderr and lines are set by run
load helpers
load snapshot-meta_helpers

setup() { common_setup; }
teardown() { common_teardown; }

@test "what a stranger tries first" {
  standard_cases snapshot-meta init show get set unset guard-create list state promote demote forks fork-begin \
    fork-publish fork-end trash purge verify fsck vmstate rewrite-paths merge-diff host-paths
}

@test "no verb, and one that does not exist" {
  run --separate-stderr -2 snapshot-meta
  assert_contains "$stderr" 'a verb is missing'
  run --separate-stderr -2 snapshot-meta frobnicate
  assert_contains "$stderr" "unknown verb 'frobnicate'"
}

# ---- show, get, set

@test "get prints strings bare and all else as JSON" {
  make_fake_guest a 'Text="two words"' 'Number=1.50' 'Nothing=null' 'Object={ "k" : [ 1.0, "x" ] }'
  assert_equal "$(snapshot-meta get a Text)" 'two words'
  assert_equal "$(snapshot-meta get a Number)" 1.50
  assert_equal "$(snapshot-meta get a Nothing)" null
  assert_equal "$(snapshot-meta get a Object)" '{"k":[1.0,"x"]}'
  assert_equal "$(snapshot-meta get a Object.k)" '[1.0,"x"]'
  assert_equal "$(snapshot-meta get --json a Number)" '{"type":"value","v":1,"id":"a","key":"Number","value":1.50}'
  run --separate-stderr -1 snapshot-meta get a Other
  assert_contains "$stderr" "guest 'a' has no key 'Other'; 'snapshot-meta show a' prints all"
}

@test "set changes one key and keeps order and number texts of the others" {
  mkdir -p "$(guest_dir a)"
  printf '{"Zebra":1.0,"Id":"a","Big":123456789012345678901234567890,"Exp":1e400,"Name":"n","Tail":[1.50]}' \
    >"$(guest_dir a)/metadata.json"
  snapshot-meta set a Name='new name' 'Volumes:=[ 1.0 ]' snapfork.note=x
  assert_equal "$(tr -d '\n' <"$(guest_dir a)/metadata.json")" \
    '{  "Zebra": 1.0,  "Id": "a",  "Big": 123456789012345678901234567890,  "Exp": 1e400,  "Name": "new name",  "Tail": [1.50],  "Volumes": [ 1.0 ],  "snapfork": {    "note": "x"  }}'
  assert_equal "$(stat -c %a "$(guest_dir a)/metadata.json")" 644
  assert_equal "$(snapshot-meta get a Name)" 'new name'
}

@test "set refuses what it must not or cannot write, and changes nothing" {
  init_guest a
  before=$(store_picture)
  for key in Id IsTemplate ForkOfTemplate; do
    run --separate-stderr -2 snapshot-meta set a "$key=x"
    assert_contains "$stderr" "'$key' cannot be set"
  done
  run --separate-stderr -2 snapshot-meta set a 'Name:=5'
  assert_contains "$stderr" "bad value for 'Name': a string is needed"
  run --separate-stderr -2 snapshot-meta set a FirecrackerUseUFFDOnNextRestore=true
  assert_contains "$stderr" 'true or false is needed'
  run --separate-stderr -2 snapshot-meta set a 'X:={bad'
  assert_contains "$stderr" 'not valid JSON'
  run --separate-stderr -2 snapshot-meta set a Name
  assert_contains "$stderr" 'KEY=STRING or KEY:=JSON is needed'
  run --separate-stderr -2 snapshot-meta set a =x
  assert_contains "$stderr" 'the key is empty'
  run --separate-stderr -2 snapshot-meta set a "Name=$(printf '\377')"
  assert_contains "$stderr" 'not UTF-8'
  run --separate-stderr -1 snapshot-meta set a Name.x=1
  assert_contains "$stderr" 'is no object'
  assert_equal "$(store_picture)" "$before"
}

@test "set --dry-run says what it would do" {
  init_guest a
  before=$(store_picture)
  run -0 snapshot-meta set --dry-run a Name=x
  assert_equal "$output" "would set Name of 'a' to \"x\""
  assert_equal "$(store_picture)" "$before"
}

@test "unset takes keys out, at any depth, and keeps all else" {
  mkdir -p "$(guest_dir a)"
  printf '{"Zebra":1.0,"Id":"a","x":{"y":{"z":1e400},"w":2},"a.b":1,"Tail":[1.50]}' >"$(guest_dir a)/metadata.json"
  snapshot-meta unset a x.y.z a.b Nothing x.none.here
  assert_equal "$(tr -d ' \n' <"$(guest_dir a)/metadata.json")" '{"Zebra":1.0,"Id":"a","x":{"y":{},"w":2},"Tail":[1.50]}'
  before=$(store_picture)
  for key in Id IsTemplate ForkOfTemplate; do
    run --separate-stderr -2 snapshot-meta unset a Zebra "$key"
    assert_contains "$stderr" "'$key' cannot be set"
  done
  run -0 snapshot-meta unset --dry-run a Zebra Nothing
  assert_equal "$output" "would take Zebra out of the metadata of 'a'"
  run --separate-stderr -2 snapshot-meta unset a
  assert_equal "$(store_picture)" "$before"
}

@test "two writers at once both get through" {
  local pids=()
  init_guest a
  for i in 1 2 3 4 5 6 7 8; do
    snapshot-meta set a "Key$i=$i" 3>&- 4>&- &
    pids+=($!)
  done
  wait "${pids[@]}" # a bare wait would wait for the runner's own time-out, too
  for i in 1 2 3 4 5 6 7 8; do
    assert_equal "$(snapshot-meta get a "Key$i")" "$i"
  done
}

@test "a write goes on under an inherited exclusive lock, and not under a shared one" {
  init_guest a
  run -0 template-lock --exclusive a -- snapshot-meta set a Name=x
  run --separate-stderr -1 template-lock --shared a -- snapshot-meta set a Name=y
  assert_contains "$stderr" 'the inherited lock is shared'
  assert_equal "$(snapshot-meta get a Name)" x
}

@test "show adds the derived keys" {
  init_template a
  make_fork a f
  run -0 --separate-stderr snapshot-meta show --json a
  assert_equal "$(json '[.Id, .state, .fork_count, .mem_locked] | join(" ")')" 'a Template 1 true'
  assert_equal "${#lines[@]}" 1
  run -0 snapshot-meta show f
  assert_equal "$(json '[.ForkOfTemplate, .state, .fork_count, .mem_locked] | join(" ")')" 'a Standby 0 true'
}

@test "bad metadata is refused by name with status 4" {
  init_guest a
  file=$(guest_dir a)/metadata.json
  check() { # <why>
    local verb
    for verb in 'show a' 'get a Id' 'set a Name=x' 'state a' 'promote a' 'fork-begin a b' 'verify a' 'forks a'; do
      # shellcheck disable=SC2086 # the words are meant
      run --separate-stderr -4 snapshot-meta $verb
      assert_contains "$stderr" "$file"
      assert_contains "$stderr" "$1"
    done
  }
  : >"$file" && check 'it is empty'
  echo 'not JSON' >"$file" && check 'not valid JSON'
  echo '[1]' >"$file" && check 'not a JSON object'
  printf '\xef\xbb\xbf{}' >"$file" && check 'byte order mark'
  printf '{"Id":"a\0"}' >"$file" && check 'NUL'
  echo '{"Id":"a","Id":"b"}' >"$file" && check "'Id' stands twice"
  { printf '{"a":' && printf '[%.0s' {1..5000}; } >"$file" && check 'levels deep'
  truncate -s 17M "$file" && run --separate-stderr -4 snapshot-meta show a
}

@test "metadata that is missing or unreadable is a system error" {
  init_guest a
  rm "$(guest_dir a)/metadata.json"
  run --separate-stderr -5 snapshot-meta state a
  assert_contains "$stderr" 'metadata.json'
}

@test "ids: no such guest is 1, a malformed one 2" {
  run --separate-stderr -1 snapshot-meta state nobody
  assert_contains "$stderr" "no such guest 'nobody'"
  for id in '' a/b ../a .a -- "$(printf 'x%.0s' {1..300})"; do
    run --separate-stderr -2 snapshot-meta state -- "$id"
  done
  run --separate-stderr -1 snapshot-meta trash nobody
  run --separate-stderr -1 snapshot-meta set nobody Name=x
  [[ ! -e $SNAPFORK_ROOT/.snapfork ]]
}

@test "a root that is not there, or no directory" {
  SNAPFORK_ROOT=$PWD/none run --separate-stderr -5 snapshot-meta list
  assert_contains "$stderr" "cannot use the store '$PWD/none'"
  : >file
  SNAPFORK_ROOT=$PWD/file run --separate-stderr -5 snapshot-meta state a
  SNAPFORK_ROOT=$PWD/none run --separate-stderr -5 snapshot-meta init a --state x --memory y
}

@test "errors are records with --json" {
  run --separate-stderr -1 snapshot-meta state --json nobody
  assert_equal "$(json '[.type, .program, .exit_code, .code] | join(" ")')" 'error snapshot-meta 1 no'
}

# ---- state, list, verify

@test "state and list tell the five states" {
  make_fake_guest stopped
  rm -r "$(guest_dir stopped)/snapshots"
  init_guest standby
  init_template template
  make_fork template fork
  init_guest broken
  truncate -s 1M "$(memory_of broken)"
  init_guest running
  snapshot-meta set running "HypervisorPID:=$$" "HypervisorStartTime:=$(awk '{print $22}' /proc/$$/stat)"
  for id in stopped standby template broken running; do
    run -0 --separate-stderr snapshot-meta state "$id"
    assert_equal "${output,,}" "$id"
  done
  run -0 --separate-stderr snapshot-meta list
  assert_equal "${lines[0]}" 'ID        STATE     FORKS  TEMPLATE  NAME'
  assert_equal "${lines[1]}" 'broken    Broken    -      -         broken'
  assert_equal "${lines[2]}" 'fork      Standby   -      template  fork'
  assert_equal "${lines[6]}" 'template  Template  1      -         template'
  assert_contains "$stderr" "guest 'broken' is Broken: its memory file has 1 MiB, but its state file says 2 MiB"
  run -0 --separate-stderr snapshot-meta list --json
  assert_equal "$(jq -sr 'map(.id + "=" + .state + (if .template then "<" + .template else "" end)) | join(" ")' <<<"$output")" \
    'broken=Broken fork=Standby<template running=Running standby=Standby stopped=Stopped template=Template'
}

@test "list: some of them, in another order" {
  init_template base
  make_fork base fork-1 fork-2 >/dev/null
  init_template other
  make_fork other fork-3 >/dev/null
  init_guest z
  snapshot-meta set z Name='a first'
  snapshot-meta set fork-2 Name='web 2'
  make_fake_guest bad
  echo '{' >"$(guest_dir bad)/metadata.json"
  ids() { # <argument>...
    snapshot-meta list -q --json "$@" | jq -rs 'map(.id) | join(" ")'
    assert_equal "$(snapshot-meta list -q "$@" | awk 'NR > 1 { print $1 }' | paste -sd ' ')" \
      "$(snapshot-meta list -q --json "$@" | jq -rs 'map(.id) | join(" ")')" >&2
  }
  assert_equal "$(ids)" 'bad base fork-1 fork-2 fork-3 other z'
  assert_equal "$(ids --state template)" 'base other'
  assert_equal "$(ids --state Broken --state template)" 'bad base other'
  assert_equal "$(ids --template base)" 'fork-1 fork-2'
  assert_equal "$(ids --name 'web *')" 'fork-2'
  assert_equal "$(ids --name 'fork*' --template base --state standby)" 'fork-1'
  assert_equal "$(ids --sort name)" 'bad z base fork-1 fork-3 other fork-2'
  assert_equal "$(ids --sort forks)" 'base other bad fork-1 fork-2 fork-3 z'
  assert_equal "$(ids --sort state)" 'bad fork-1 fork-2 fork-3 z base other'
  assert_equal "$(ids --sort template)" 'bad base other z fork-1 fork-2 fork-3'
  run --separate-stderr -2 snapshot-meta list --state live
  assert_contains "$stderr" "bad value 'live' for --state"
  run --separate-stderr -2 snapshot-meta list --sort size
  run --separate-stderr -2 snapshot-meta list --template ../x
}

@test "list --json prints each guest as it finds it" {
  require_cmd strace
  init_guest a
  init_guest b
  strace -e trace=openat,write -o trace snapshot-meta list --json >out
  first=$(grep -n '^write(1, ' trace | head -n 1 | cut -d: -f1)
  second=$(grep -n '/guests/b/' trace | head -n 1 | cut -d: -f1)
  ((first < second)) || fail 'the first record comes after the second guest was read'
}

@test "list goes on over a guest whose metadata is bad" {
  init_guest good
  make_fake_guest bad
  echo '{' >"$(guest_dir bad)/metadata.json"
  run -0 --separate-stderr snapshot-meta list --json
  assert_equal "$(jq -sr 'map(.id + "=" + .state) | join(" ")' <<<"$output")" 'bad=Broken good=Standby'
}

@test "list of an empty store" {
  run -0 snapshot-meta list
  assert_equal "$output" 'ID  STATE  FORKS  TEMPLATE  NAME'
  run -0 snapshot-meta list --json
  assert_equal "$output" ''
}

@test "state --json names the facts" {
  init_guest a
  run -0 snapshot-meta state --json a
  assert_equal "$(json '.facts | [.vmstate.crc_ok, .vmstate.mem_size_mib, .memory_bytes, .expected_memory_bytes, .compressed, .vmm_alive] | map(tostring) | join(" ")')" \
    'true 2 2097152 2097152 null false'
  assert_equal "$(json '.facts | [.memory_links, .memory_sealed, .lock_holders, .process_start_time] | map(tostring) | join(" ")')" \
    '1 false [] null'
  run -0 template-lock --exclusive a -- env -u SNAPFORK_LOCK_FD snapshot-meta state --json a
  assert_equal "$(json '.facts.lock_holders[0].mode')" exclusive
  mv "$(memory_of a)" "$(memory_of a).lz4"
  run -0 --separate-stderr snapshot-meta state --json a
  assert_equal "$(json '.state + " " + .facts.compressed')" 'Standby memory.lz4'
  assert_contains "$(json .reason)" 'compressed'
}

@test "state -v says the facts in words" {
  init_template a
  run --separate-stderr -0 snapshot-meta state -v a
  assert_contains "$stderr" 'CRC right'
  assert_contains "$stderr" 'memory: 2 MiB of 2 MiB, sealed, 1 link'
  assert_contains "$stderr" 'recorded VMM: none'
  assert_contains "$stderr" 'VMM: no process is seen to be it'
  assert_contains "$stderr" 'nobody is seen to hold it'
}

@test "a number that was given to another process is not the guest's" {
  init_guest a
  snapshot-meta set a "HypervisorPID:=$$" HypervisorStartTime:=7
  run -0 snapshot-meta state --json a
  assert_equal "$(json '[.state, .facts.vmm_alive, .facts.process_start_time] | map(tostring) | join(" ")')" \
    "Standby false $(awk '{print $22}' /proc/$$/stat)"
  run --separate-stderr -0 snapshot-meta state -v a
  assert_contains "$stderr" 'its number belongs to a process that started at'
}

@test "verify: ok, and each thing that does not fit" {
  init_template a
  make_fork a f
  assert_equal "$(snapshot-meta verify a)" ok
  assert_equal "$(snapshot-meta verify --deep a)" ok
  assert_equal "$(snapshot-meta verify f)" ok
  run -0 snapshot-meta verify --json f
  assert_equal "$(json '[.type, .id, .ok, (.problems | length)] | map(tostring) | join(" ")')" 'verify f true 0'

  rm "$(guest_dir a)/template/forks/f"
  run --separate-stderr -1 snapshot-meta verify f
  assert_contains "$stderr" "its template 'a' does not count it"
  : >"$(guest_dir a)/template/forks/f"

  chmod u+w "$(memory_of a)"
  run --separate-stderr -1 snapshot-meta verify a
  assert_contains "$stderr" 'not sealed'
  printf x | dd of="$(memory_of a)" bs=1 seek=1000000 conv=notrunc status=none
  chmod a-w "$(memory_of a)"
  run --separate-stderr -1 snapshot-meta verify a
  assert_contains "$stderr" 'was written to after it was promoted'
  run --separate-stderr -1 snapshot-meta verify --deep a
  assert_contains "$stderr" 'the digest differs'

  echo '{"v":1}' >"$(guest_dir a)/template/image.json"
  run --separate-stderr -1 snapshot-meta verify a
  assert_contains "$stderr" 'image.json'
  truncate -s 1M "$(memory_of f)" # the same inode
  run --separate-stderr -1 snapshot-meta verify a
  assert_contains "$stderr" 'its memory file has 1 MiB'
  run --separate-stderr -1 snapshot-meta verify --json a
  assert_equal "$(head -n 1 <<<"$output" | jq -r .ok)" false
}

# ---- vmstate, host-paths

@test "vmstate of the fixture" {
  state=$BATS_TEST_DIRNAME/../fixtures/plain/state
  run -0 snapshot-meta vmstate "$state"
  assert_equal "${lines[0]}" 'encoding: bitcode'
  assert_equal "${lines[2]}" 'snapshot_version: 10.0.0'
  assert_equal "${lines[3]}" 'crc_ok: yes'
  assert_equal "${lines[4]}" 'mem_size_mib: 128'
  run -0 snapshot-meta vmstate --json "$state"
  assert_equal "$(json '[.type, .arch, .huge_pages, .paths_complete, (.paths | length), .initrd_path] | map(tostring) | join(" ")')" \
    'vmstate x86_64 none true 0 null'
}

@test "vmstate names what a state embeds" {
  make_snapshot drive=/d/one drive=/d/two vsock=/v.sock tap=tap7
  run -0 snapshot-meta vmstate state
  assert_contains "$output" $'drive: /d/one\ndrive: /d/two\nvsock: /v.sock\ntap: tap7\npaths_complete: yes'
  run -0 snapshot-meta vmstate --json state
  assert_equal "$(json '.paths | map(.kind + " " + .path) | join(",")')" 'drive /d/one,drive /d/two,vsock /v.sock'
  offset=$(json '.paths[1].offset') length=$(json '.paths[1].length')
  assert_equal "$(dd if=state bs=1 skip="$offset" count="$length" status=none)" /d/two
}

@test "vmstate: what is no state file, or damaged" {
  : >empty
  run --separate-stderr -4 snapshot-meta vmstate empty
  assert_contains "$stderr" "cannot read vmstate 'empty': it is empty"
  echo '#!/bin/sh' >foreign
  run --separate-stderr -4 snapshot-meta vmstate foreign
  assert_contains "$stderr" "'foreign'"
  make_snapshot
  head -c 100 state >part
  run --separate-stderr -4 snapshot-meta vmstate part
  assert_contains "$stderr" "'part'"
  printf X | dd of=state bs=1 seek=500 conv=notrunc status=none
  run --separate-stderr -4 snapshot-meta vmstate state
  assert_contains "$output" 'crc_ok: no'
  assert_contains "$stderr" 'its CRC is wrong'
  run --separate-stderr -5 snapshot-meta vmstate missing
  assert_contains "$stderr" "'missing': No such file"
  run --separate-stderr -4 snapshot-meta vmstate .
  truncate -s 11M big
  run --separate-stderr -4 snapshot-meta vmstate big
}

@test "vmstate says what it cannot know, and what no state holds" {
  make_snapshot drive=/d/one
  run -0 snapshot-meta vmstate --json state
  assert_equal "$(json '[.paths_complete, .paths_problem, (.not_in_state | join(" "))] | map(tostring) | join(",")')" \
    'true,null,serial logger metrics mmds'
  assert_equal "$(json '.boot_paths[0] | .kind + " " + .path')" 'kernel /boot/vmlinux'
  offset=$(json '.boot_paths[0].offset')
  assert_equal "$(dd if=state bs=1 skip="$offset" count=13 status=none)" /boot/vmlinux
  "$HELPERS/write-vmstate" state 99.0.0 2 drive=/d/one
  run -0 snapshot-meta vmstate state
  assert_contains "$output" "paths_problem: the devices of snapshot version '99.0.0' are not understood"
}

# ---- rewrite-paths

@test "rewrite-paths: any length, right CRC, and the old file as it was" {
  make_snapshot drive=/d/one drive=/d/two drive=/e/three vsock=/d/v.sock tap=/d/tap
  cp state before
  chmod 640 state
  run --separate-stderr -0 snapshot-meta rewrite-paths --from /d/ --to /some/where --from /e/three --to x state new
  assert_equal "$output" $'drive\t/d/one\t/some/where/one\ndrive\t/d/two\t/some/where/two\ndrive\t/e/three\tx\nvsock\t/d/v.sock\t/some/where/v.sock'
  cmp state before
  assert_equal "$(stat -c %a new)" 640
  run -0 snapshot-meta vmstate new
  assert_contains "$output" $'crc_ok: yes'
  assert_contains "$output" $'drive: /some/where/one\ndrive: /some/where/two\ndrive: x\nvsock: /some/where/v.sock\ntap: /d/tap'
  run -0 snapshot-meta rewrite-paths --json --force --from /some/where --to /d --from x --to /e/three new new
  assert_equal "$(json '[.type, .path, (.changes | length), .changes[2].to] | map(tostring) | join(" ")')" 'rewrite new 4 /e/three'
  cmp new before
}

@test "rewrite-paths refuses by name, and writes nothing" {
  make_snapshot drive=/d/one vsock=/v.sock
  refused() { # <status> <message> <argument>...
    local status=$1 message=$2
    shift 2
    run --separate-stderr "-$status" snapshot-meta rewrite-paths "$@"
    assert_equal "$output" ''
    assert_contains "$stderr" "$message"
    [[ ! -e new ]] || fail 'it wrote new'
  }
  refused 1 "it names no path '/d/on' or below it" --from /d/on --to /x state new
  refused 2 'each --from needs a --to' --from /d state new
  refused 2 'each --from needs a --to' state new
  refused 2 'is empty' --from '' --to /x state new
  refused 2 'is empty' --from /d --to '' state new
  refused 2 'too few operands' --from /d --to /x state
  refused 2 107 --from /v.sock --to "/$(printf 's%.0s' {1..107})" state new
  refused 5 "'none'" --from /d --to /x none new
  refused 5 "'no/where/" --from /d --to /x state no/where/new
  : >there
  refused 1 "'there': it already exists" --from /d --to /x state there
  printf X | dd of=state bs=1 seek=500 conv=notrunc status=none
  refused 4 'its CRC is wrong' --from /d --to /x state new
  "$HELPERS/write-vmstate" state 99.0.0 2 drive=/d/one
  refused 3 "snapshot version '99.0.0' are not understood" --from /d --to /x state new
  make_snapshot drive=/d/one
  run -0 snapshot-meta rewrite-paths --dry-run --from /d --to /x state new
  assert_equal "$output" $'drive\t/d/one\t/x/one'
  [[ ! -e new ]]
}

@test "rewrite-paths killed anywhere: the old OUT or the new one" {
  require_cmd strace
  local call n status
  make_snapshot drive=/d/one
  cp state old
  for call in rename openat fsync unlink write; do
    for ((n = 1; n <= 60; ++n)); do
      cp old out
      status=0
      kill_at "$call" "$n" snapshot-meta rewrite-paths --force --from /d --to /elsewhere state out >/dev/null 2>&1 || status=$?
      cmp -s out old || assert_contains "$(snapshot-meta vmstate out)" 'drive: /elsewhere/one'
      if ((status == 0)); then break; fi
      ((status == 137)) || fail "killed before $call number $n: status $status"
    done
  done
  assert_equal "$(ls -A)" $'memory\nold\nout\nroot\nstate'
}

# ---- host-paths

@test "host-paths: kind, path and own file of what lies elsewhere" {
  echo disk >one.raw
  make_snapshot drive=/d/one.raw drive=/x/guests/src/two.raw "drive=$(guest_dir a)/own.raw" vsock=/v.sock
  snapshot-meta init a --state state --memory memory --disk one.raw=/d/one.raw
  : >"$(guest_dir a)/two.raw"
  run -0 snapshot-meta host-paths a
  assert_equal "$output" $'drive\t/d/one.raw\tone.raw\ndrive\t/x/guests/src/two.raw\ttwo.raw\nvsock\t/v.sock\t'
  run -0 snapshot-meta host-paths --json a
  assert_equal "$(jq -sr 'map(.kind + " " + (.file // "-")) | join(",")' <<<"$output")" \
    'drive one.raw,drive two.raw,vsock -'
}

@test "host-paths of a state that is not understood is refused, not half an answer" {
  init_guest a
  "$HELPERS/write-vmstate" "$(state_of a)" 99.0.0 2 drive=/d/one
  run --separate-stderr -3 snapshot-meta host-paths a
  assert_equal "$output" ''
  assert_contains "$stderr" "snapshot version '99.0.0'"
}
