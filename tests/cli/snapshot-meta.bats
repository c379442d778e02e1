#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The command line of snapshot-meta: keys, states, list and verify.
# shellcheck disable=SC2154 # output, stderr and lines are set by run
load helpers
load snapshot-meta_helpers

setup() { common_setup; }
teardown() { common_teardown; }

@test "snapshot-meta has --help, --version and a man page, and refuses unknown options" {
  standard_cases snapshot-meta init show get set unset guard-create list state promote demote forks fork-begin load-request host-check \
    fork-publish fork-end trash purge verify fsck vmstate rewrite-paths merge-diff install-list own-paths session-name new-ids
}

@test "a missing verb and an unknown verb are usage errors" {
  run --separate-stderr -2 snapshot-meta
  assert_contains "$stderr" 'a verb is missing'
  run --separate-stderr -2 snapshot-meta frobnicate
  assert_contains "$stderr" "unknown verb 'frobnicate'"
}

# ---- show, get, set

@test "get prints a bare string, and any other value as JSON" {
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

@test "set changes one key and keeps the order and the numbers of the others" {
  mkdir -p "$(guest_dir a)"
  printf '{"Zebra":1.0,"Id":"a","Big":123456789012345678901234567890,"Exp":1e400,"Name":"n","Tail":[1.50]}' \
    >"$(guest_dir a)/metadata.json"
  snapshot-meta set a Name='new name' 'Volumes:=[ 1.0 ]' snapfork.note=x
  assert_equal "$(tr -d '\n' <"$(guest_dir a)/metadata.json")" \
    '{  "Zebra": 1.0,  "Id": "a",  "Big": 123456789012345678901234567890,  "Exp": 1e400,  "Name": "new name",  "Tail": [1.50],  "Volumes": [ 1.0 ],  "snapfork": {    "note": "x"  }}'
  assert_equal "$(stat -c %a "$(guest_dir a)/metadata.json")" 644
  assert_equal "$(snapshot-meta get a Name)" 'new name'
}

@test "set refuses reserved keys and invalid values, and changes nothing" {
  init_guest a
  before=$(store_picture)
  for key in Id IsTemplate ForkOfTemplate; do
    run --separate-stderr -2 snapshot-meta set a "$key=x"
    assert_contains "$stderr" "'$key' cannot be changed"
  done
  run --separate-stderr -2 snapshot-meta set a 'Name:=5'
  assert_equal "$stderr" "snapshot-meta: bad value for 'Name': it must be a string" # and no "try --help"
  run --separate-stderr -2 snapshot-meta set a FirecrackerUseUFFDOnNextRestore=true
  assert_contains "$stderr" 'it must be true or false'
  run --separate-stderr -2 snapshot-meta set a 'X:={bad'
  assert_contains "$stderr" 'not valid JSON'
  run --separate-stderr -2 snapshot-meta set a Name
  assert_contains "$stderr" 'it must be KEY=STRING or KEY:=JSON'
  run --separate-stderr -2 snapshot-meta set a =x
  assert_contains "$stderr" 'the key is empty'
  run --separate-stderr -2 snapshot-meta set a "Name=$(printf '\377')"
  assert_contains "$stderr" 'not UTF-8'
  run --separate-stderr -1 snapshot-meta set a Name.x=1
  assert_contains "$stderr" 'is not an object'
  assert_equal "$(store_picture)" "$before"
}

@test "set --dry-run prints what it would do" {
  init_guest a
  before=$(store_picture)
  run -0 snapshot-meta set --dry-run a Name=x
  assert_equal "$output" "would set Name of 'a' to \"x\""
  assert_equal "$(store_picture)" "$before"
}

@test "unset removes keys at any depth and keeps all other keys" {
  mkdir -p "$(guest_dir a)"
  printf '{"Zebra":1.0,"Id":"a","x":{"y":{"z":1e400},"w":2},"a.b":1,"Tail":[1.50]}' >"$(guest_dir a)/metadata.json"
  snapshot-meta unset a x.y.z a.b Nothing x.none.here
  assert_equal "$(tr -d ' \n' <"$(guest_dir a)/metadata.json")" '{"Zebra":1.0,"Id":"a","x":{"y":{},"w":2},"Tail":[1.50]}'
  before=$(store_picture)
  for key in Id IsTemplate ForkOfTemplate; do
    run --separate-stderr -2 snapshot-meta unset a Zebra "$key"
    assert_contains "$stderr" "'$key' cannot be changed"
  done
  run -0 snapshot-meta unset --dry-run a Zebra Nothing
  assert_equal "$output" "would remove Zebra from the metadata of 'a'"
  run --separate-stderr -2 snapshot-meta unset a
  assert_equal "$(store_picture)" "$before"
}

@test "two processes that run set at the same time both succeed" {
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

@test "a writer that waits for a lock names the process that holds it" {
  init_guest a
  spawn template-lock a -- sh -c 'touch locked && exec tail -f /dev/null'
  local spawned_holder=$spawned_pid
  wait_until 10 test -e locked
  wait_until 10 runs_as "$spawned_pid" tail
  spawn_to waiting snapshot-meta set a Key=1
  wait_until 10 grep -q "snapshot-meta: waiting for 'a': held exclusively by $spawned_holder (tail)" waiting
  kill -KILL "$spawned_holder"
  wait_until 10 grep -q '"Key": "1"' "$(guest_dir a)/metadata.json"
}

@test "set works under an inherited exclusive lock, but not under a shared one" {
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

@test "bad metadata are refused with status 4 and their path" {
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
  echo '{"Id":"a","Id":"b"}' >"$file" && check "duplicate key 'Id'"
  { printf '{"a":' && printf '[%.0s' {1..5000}; } >"$file" && check 'levels deep'
  truncate -s 17M "$file" && run --separate-stderr -4 snapshot-meta show a
}

@test "metadata that are missing or unreadable are a system error" {
  init_guest a
  rm "$(guest_dir a)/metadata.json"
  run --separate-stderr -5 snapshot-meta state a
  assert_contains "$stderr" 'metadata.json'
}

@test "an unknown id exits with 1, and a malformed id with 2" {
  run --separate-stderr -1 snapshot-meta state nobody
  assert_contains "$stderr" "no such guest 'nobody'"
  for id in '' a/b ../a .a -- "$(printf 'x%.0s' {1..300})"; do
    run --separate-stderr -2 snapshot-meta state -- "$id"
  done
  run --separate-stderr -1 snapshot-meta trash nobody
  run --separate-stderr -1 snapshot-meta set nobody Name=x
  [[ ! -e $SNAPFORK_ROOT/.snapfork ]]
}

@test "a root that does not exist or is not a directory is a system error" {
  SNAPFORK_ROOT=$PWD/none run --separate-stderr -5 snapshot-meta list
  assert_contains "$stderr" "cannot use the store '$PWD/none'"
  : >file
  SNAPFORK_ROOT=$PWD/file run --separate-stderr -5 snapshot-meta state a
  SNAPFORK_ROOT=$PWD/none run --separate-stderr -5 snapshot-meta init a --state x --memory y
}

@test "--json prints errors as records" {
  run --separate-stderr -1 snapshot-meta state --json nobody
  assert_equal "$(json '[.type, .program, .exit_code, .code] | join(" ")')" 'error snapshot-meta 1 no'
}

# ---- state, list, verify

@test "state and list print the five states" {
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
  assert_equal "${lines[0]}" 'ID        STATE     FORKS  TEMPLATE  VMM  NAME'
  assert_equal "${lines[1]}" 'broken    Broken    -      -         -    broken'
  assert_equal "${lines[2]}" 'fork      Standby   -      template  -    fork'
  assert_equal "${lines[6]}" 'template  Template  1      -         -    template'
  assert_contains "$stderr" "guest 'broken' is Broken: its memory file has 1 MiB, but its state file requires 2 MiB"
  run -0 --separate-stderr snapshot-meta list --json
  assert_equal "$(jq -sr 'map(.id + "=" + .state + (if .template then "<" + .template else "" end)) | join(" ")' <<<"$output")" \
    'broken=Broken fork=Standby<template running=Running standby=Standby stopped=Stopped template=Template'
}

@test "list filters and sorts guests" {
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

@test "list --json prints each guest as soon as it is found" {
  require_cmd strace
  init_guest a
  init_guest b
  strace -e trace=openat,write -o trace snapshot-meta list --json >out
  first=$(grep -n '^write(1, ' trace | head -n 1 | cut -d: -f1)
  second=$(grep -n '/guests/b/' trace | head -n 1 | cut -d: -f1)
  ((first < second)) || fail 'the first record comes after the second guest was read'
}

@test "list continues after a guest with bad metadata" {
  init_guest good
  make_fake_guest bad
  echo '{' >"$(guest_dir bad)/metadata.json"
  run -0 --separate-stderr snapshot-meta list --json
  assert_equal "$(jq -sr 'map(.id + "=" + .state) | join(" ")' <<<"$output")" 'bad=Broken good=Standby'
}

@test "list of an empty store prints only the header" {
  run -0 snapshot-meta list
  assert_equal "$output" 'ID  STATE  FORKS  TEMPLATE  VMM  NAME'
  run -0 snapshot-meta list --json
  assert_equal "$output" ''
}

@test "state --json prints the facts" {
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

@test "state -v prints the facts as sentences" {
  init_template a
  run --separate-stderr -0 snapshot-meta state -v a
  assert_contains "$stderr" 'CRC right'
  assert_contains "$stderr" 'memory: 2 MiB of 2 MiB, sealed, 1 link'
  assert_contains "$stderr" 'recorded VMM: none'
  assert_contains "$stderr" 'VMM: no process was found'
  assert_contains "$stderr" 'lock: no holder was found'
}

@test "a pid that another process has now is not the guest's VMM" {
  init_guest a
  snapshot-meta set a "HypervisorPID:=$$" HypervisorStartTime:=7
  run -0 snapshot-meta state --json a
  assert_equal "$(json '[.state, .facts.vmm_alive, .facts.process_start_time] | map(tostring) | join(" ")')" \
    "Standby false $(awk '{print $22}' /proc/$$/stat)"
  run --separate-stderr -0 snapshot-meta state -v a
  assert_contains "$stderr" 'another process has its pid, with start time'
}

@test "verify prints ok, or each problem" {
  init_template a
  make_fork a f
  assert_equal "$(snapshot-meta verify a)" ok
  assert_equal "$(snapshot-meta verify --deep a)" ok
  assert_equal "$(snapshot-meta verify f)" ok
  run -0 snapshot-meta verify --json f
  assert_equal "$(json '[.type, .id, .ok, (.problems | length)] | map(tostring) | join(" ")')" 'verify f true 0'

  rm "$(guest_dir a)/template/forks/f"
  run --separate-stderr -1 snapshot-meta verify f
  assert_contains "$stderr" "the index of its template 'a' does not have it"
  : >"$(guest_dir a)/template/forks/f"

  chmod u+w "$(memory_of a)"
  run --separate-stderr -1 snapshot-meta verify a
  assert_contains "$stderr" 'not sealed'
  printf x | dd of="$(memory_of a)" bs=1 seek=1000000 conv=notrunc status=none
  chmod a-w "$(memory_of a)"
  run --separate-stderr -1 snapshot-meta verify a
  assert_contains "$stderr" 'was modified after it was promoted'
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
