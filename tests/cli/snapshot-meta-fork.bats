#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The steps of a fork: fork-begin, fork-publish, session-name, fork-end.
# shellcheck disable=SC2154,SC2030,SC2031 # output, stderr and lines are set by run
load helpers
load snapshot-meta_helpers

setup() { common_setup; }
teardown() { common_teardown; }

@test "fork-begin, clone and fork-publish make a fork that forks prints" {
  init_template a
  run -0 snapshot-meta fork-begin a f1 f2
  tmp=$SNAPFORK_ROOT/.snapfork/tmp
  assert_equal "$output" $'f1\t'"$tmp"$'/fork.f1\tlink\tfile\nf2\t'"$tmp"$'/fork.f2\tlink\tfile'
  assert_equal "$(ls "$(guest_dir a)/template/forks")" $'f1\nf2'
  assert_equal "$(snapshot-meta forks a)" ''
  run -0 snapshot-meta forks --json a
  assert_equal "$(json '.absent | join(" ")')" 'f1 f2'
  clone a f1 link
  clone a f2 link
  report='{"type":"file","v":1}
{"type":"total","v":1,"src":"s","dst":"'$tmp'/fork.f2","method":"reflink","bytes_shared":1.0}'
  run -0 snapshot-meta fork-publish a f1 f2 --backend uffd --socket-dir /s --clone-report - <<<"$report"
  assert_equal "${#lines[@]}" 2
  local session
  session=$(snapshot-meta session-name f1)
  assert_equal "$(jq -c 'del(.snapshot_load, .clone)' <<<"${lines[0]}")" \
    '{"type":"fork","v":1,"id":"f1","name":"f1","template":"a","source":"a","dir":"'"$(guest_dir f1)"'","state_path":"'"$(state_of f1)"'","memory_path":"'"$(memory_of f1)"'","backend":"uffd","backend_reason":"requested","uffd_socket_path":"/s/'"$session"'.sock","session_id":"'"$session"'","needs_run":false}'
  assert_equal "$(jq -c .snapshot_load <<<"${lines[0]}")" \
    '{"snapshot_path":"'"$(state_of f1)"'","mem_backend":{"backend_type":"Uffd","backend_path":"/s/'"$session"'.sock"},"clock_realtime":true,"resume_vm":true}'
  assert_equal "$(jq -c .clone <<<"${lines[0]}")" null
  assert_equal "$(jq -c .clone.method <<<"${lines[1]}")" '"reflink"'
  assert_contains "${lines[1]}" '"bytes_shared":1.0'
  assert_equal "$(snapshot-meta forks a)" $'f1\nf2'
  assert_equal "$(snapshot-meta get f1 ForkOfTemplate)" a
  assert_equal "$(snapshot-meta get f1 FirecrackerUseUFFDOnNextRestore)" true
  assert_equal "$(snapshot-meta get f1 FirecrackerUFFDSessionID)" "$session"
  [[ $(snapshot-meta get f1 FirecrackerSnapshotCacheKey) == snapfork-???????????????? ]]
  assert_equal "$(snapshot-meta get f1 FirecrackerSnapshotCacheKey)" "$(snapshot-meta get f2 FirecrackerSnapshotCacheKey)"
  assert_equal "$(snapshot-meta state f1)" Standby
  assert_equal "$(find "$tmp" -mindepth 1)" ''
}

@test "fork-publish --reported publishes only forks whose clones are reported, or none" {
  init_template a
  local tmp=$SNAPFORK_ROOT/.snapfork/tmp report
  snapshot-meta fork-begin a f1 f2 >/dev/null
  clone a f1 link
  clone a f2 link
  report='{"type":"total","v":1,"src":"s","dst":"'$tmp'/fork.f2","method":"reflink"}'
  run -1 --separate-stderr snapshot-meta fork-publish a f1 f2 --backend file --reported all --clone-report - <<<"$report"
  assert_equal "$output$stderr" ''
  assert_equal "$(ls "$SNAPFORK_ROOT/guests")" a
  run -0 snapshot-meta fork-publish a f1 f2 --backend file --reported some --clone-report - <<<"$report"
  assert_equal "$(json .id)" f2
  assert_equal "$(ls "$SNAPFORK_ROOT/guests")" $'a\nf2'
  run -1 snapshot-meta fork-publish a f1 --backend file --reported some --clone-report - </dev/null
  run -2 snapshot-meta fork-publish a f1 --reported none --clone-report - </dev/null
}

@test "fork-publish --caller publishes nothing if the caller ends before the report is complete" {
  init_template a
  local tmp=$SNAPFORK_ROOT/.snapfork/tmp caller publisher
  snapshot-meta fork-begin a f >/dev/null
  clone a f link
  mkfifo report
  spawn_to caller.out sleep infinity
  caller=$spawned_pid
  # shellcheck disable=SC2016 # of the command
  spawn_to publish.out bash -c 'exec snapshot-meta fork-publish a f --backend file --reported all --caller "$1" --clone-report - <report' _ "$caller"
  publisher=$spawned_pid
  exec {writer}>report # opens when the publisher has opened it
  printf '{"type":"total","v":1,"src":"s","dst":"%s/fork.f","method":"reflink"}\n' "$tmp" >&"$writer"
  kill -KILL "$caller"
  wait "$caller" || true
  status=0
  wait "$publisher" || status=$?
  exec {writer}>&-
  ((status == 1))
  assert_contains "$(<publish.out)" 'ended before the clone report was complete'
  assert_equal "$(ls "$SNAPFORK_ROOT/guests")" a
}

@test "the load of a fork's record has the fields that the recorded Firecracker knows" {
  local version
  init_template a
  run -0 make_fork a f1
  assert_equal "$(json .snapshot_load.clock_realtime)" true
  for version in 1.15.0 1.15.1; do
    rm -rf "$(guest_dir a)"
    init_guest a
    "$HELPERS/write-vmstate" "$(state_of a)" 9.0.0 2
    snapshot-meta set a 'snapfork.vmm:={"version":"'$version'","from":"import"}'
    run -0 make_fork a "f-$version"
    assert_equal "$(json '.snapshot_load.clock_realtime | tostring')" "$([[ $version == 1.15.0 ]] && echo null || echo true)"
    assert_equal "$(snapshot-meta get "f-$version" snapfork.vmm.version)" "$version"
  done
}

@test "a fork of a Standby guest has its own memory file" {
  init_guest a
  run -0 snapshot-meta fork-begin a f
  assert_contains "$output" $'\treflink'
  clone a f reflink
  run -0 snapshot-meta fork-publish a f --backend file --name 'my fork'
  assert_equal "$(json '[.name, .template, .source, .backend, .session_id, .uffd_socket_path] | map(tostring) | join(",")')" \
    'my fork,null,a,file,null,null'
  assert_equal "$(json '.snapshot_load.mem_backend | [.backend_type, .backend_path] | join(" ")')" "File $(memory_of f)"
  assert_equal "$(snapshot-meta get f ForkOfTemplate)" ''
  [[ ! -e $(guest_dir a)/template ]]
}

@test "fork-begin refuses invalid sources and existing ids" {
  init_template a
  init_guest b
  before=$(store_picture)
  run --separate-stderr -1 snapshot-meta fork-begin a b
  assert_contains "$stderr" "'b': the guest already exists"
  run --separate-stderr -1 snapshot-meta fork-begin a new b
  run --separate-stderr -1 snapshot-meta fork-begin nobody new
  run --separate-stderr -2 snapshot-meta fork-begin a new new
  assert_contains "$stderr" "'new' is given twice"
  run --separate-stderr -2 snapshot-meta fork-begin a a
  run --separate-stderr -2 snapshot-meta fork-begin a ../x
  run --separate-stderr -2 snapshot-meta fork-begin a
  run -0 snapshot-meta fork-begin --dry-run a new
  assert_equal "$(store_picture)" "$before"
  make_fake_guest stopped
  rm -r "$(guest_dir stopped)/snapshots"
  run --separate-stderr -1 snapshot-meta fork-begin stopped new
  assert_contains "$stderr" 'it is Stopped'
}

@test "fork-publish refuses a fork without fork-begin, or whose source changed since" {
  init_template a
  run --separate-stderr -1 snapshot-meta fork-publish a f
  assert_contains "$stderr" 'does not exist; start with fork-begin'
  mkdir -p "$SNAPFORK_ROOT/.snapfork/tmp"
  clone a f link
  run --separate-stderr -1 snapshot-meta fork-publish a f
  assert_contains "$stderr" "the index of template 'a' does not have it"
  snapshot-meta fork-begin a f >/dev/null
  clone a f link
  truncate -s 1M short && ln -f short "$SNAPFORK_ROOT/.snapfork/tmp/fork.f/snapshots/snapshot-latest/memory"
  run --separate-stderr -4 snapshot-meta fork-publish a f
  assert_contains "$stderr" "is not a whole copy of the source's memory"
  [[ ! -e $(guest_dir f) ]]
  # The source was demoted between begin and publish. The fork would share memory with a guest that may run.
  snapshot-meta fork-end a f
  snapshot-meta fork-begin a f >/dev/null
  clone a f link
  snapshot-meta demote a
  run --separate-stderr -1 snapshot-meta fork-publish a f
  assert_contains "$stderr" 'which is not a template'
  [[ ! -e $(guest_dir f) ]]
}

@test "fork-publish checks socket paths and names, and prints clone reports" {
  init_template a
  snapshot-meta fork-begin a f g >/dev/null
  clone a f link
  clone a g link
  run --separate-stderr -2 snapshot-meta fork-publish a f --backend uffd --socket-dir "/$(printf 'x%.0s' {1..107})"
  assert_contains "$stderr" 107
  run --separate-stderr -2 snapshot-meta fork-publish a f g --name both
  assert_contains "$stderr" 'single fork'
  run --separate-stderr -2 snapshot-meta fork-publish a f --backend other
  run --separate-stderr -4 snapshot-meta fork-publish a f --clone-report - <<<'not JSON'
  assert_contains "$stderr" 'standard input'
  run --separate-stderr -5 snapshot-meta fork-publish a f --clone-report none
  [[ ! -e $(guest_dir f) && ! -e $(guest_dir g) ]]
  SNAPFORK_PAGER=/p/pager.sock run -0 snapshot-meta fork-publish a f --backend uffd
  assert_equal "$(json .uffd_socket_path)" "/p/s/$(snapshot-meta session-name f).sock"
}

@test "--backend auto: the page server for memory in 2 MiB pages, else the file" {
  init_template small
  init_template huge huge-pages=2M
  run -0 snapshot-meta fork-begin small f1
  [[ $output == *$'\tlink\tfile' ]]
  run -0 snapshot-meta fork-begin huge f2
  [[ $output == *$'\tlink\tuffd' ]]
  clone small f1 link
  clone huge f2 link
  run -0 snapshot-meta fork-publish small f1
  assert_equal "$(json '[.backend, .backend_reason, .snapshot_load.mem_backend.backend_type] | join("; ")')" \
    'file; its memory is a local file; File'
  run -0 snapshot-meta fork-publish huge f2
  assert_equal "$(json '[.backend, .backend_reason, .snapshot_load.mem_backend.backend_type] | join("; ")')" \
    'uffd; its memory has 2 MiB pages; Uffd'
  assert_equal "$(snapshot-meta get f2 snapfork.backend_reason)" 'its memory has 2 MiB pages'
  run --separate-stderr -1 snapshot-meta fork-begin --backend file huge f3
  assert_contains "$stderr" "'huge': its memory has 2 MiB pages"
  run --separate-stderr -1 snapshot-meta fork-publish --backend file huge f3
  assert_contains "$stderr" '--backend uffd'
}

@test "new-ids prints ids that differ and that no guest has" {
  local long
  init_guest a
  run -0 snapshot-meta new-ids a 200
  assert_equal "$(sort -u <<<"$output" | grep -cxE 'a-[a-z]{6}')" 200
  [[ ! -e $SNAPFORK_ROOT/.snapfork/locks/${lines[0]}.lock ]]
  long=$(printf 'x%.0s' {1..64})
  run -0 snapshot-meta new-ids --json "$long" 1
  [[ $(json .id) =~ ^x{57}-[a-z]{6}$ ]] || fail 'the id is not cut'
  for count in 0 -1 x 100001 1.5 ''; do run -2 snapshot-meta new-ids a "$count"; done
  run -2 snapshot-meta new-ids ../a 1
  run -2 snapshot-meta new-ids a
}

@test "session-name prints ID@HHHHHHHH, which differs between stores" {
  init_guest a
  init_guest b
  run -0 snapshot-meta session-name a b
  assert_equal "${#lines[@]}" 2
  [[ ${lines[0]} =~ ^a@[0-9a-f]{8}$ && ${lines[1]} =~ ^b@[0-9a-f]{8}$ ]] || fail 'these are not session names'
  run -0 snapshot-meta session-name --json a
  assert_equal "$(json '[.type, .v, .id] | map(tostring) | join(" ")')" 'session_name 1 a'
  assert_equal "$(json .name)" "$(snapshot-meta session-name a)"
  local first=$output
  cp -a "$SNAPFORK_ROOT" other
  SNAPFORK_ROOT=$PWD/other run -0 snapshot-meta session-name --json a
  [[ $(json .name) != "$(jq -r .name <<<"$first")" ]]
  refused_session_name() { run --separate-stderr "-$1" snapshot-meta session-name "${@:2}"; }
  refused_session_name 1 nobody
  refused_session_name 2 ../a
  refused_session_name 2
  refused_session_name 1 a nobody
  assert_equal "$output" ''
}

@test "fork-end removes clones and index entries, but not those of a live fork" {
  init_template a
  make_fork a f
  run --separate-stderr -1 snapshot-meta fork-end a f
  assert_contains "$stderr" 'trash it first'
  assert_equal "$(snapshot-meta forks a)" f
  snapshot-meta fork-begin a g >/dev/null
  clone a g link
  mkdir "$SNAPFORK_ROOT/.snapfork/tmp/.fork.g.snapfork-tmp"
  run -0 snapshot-meta fork-end --dry-run a g
  assert_contains "$output" 'would remove'
  snapshot-meta fork-end a g h
  assert_equal "$(find "$SNAPFORK_ROOT/.snapfork/tmp" -mindepth 1)" ''
  assert_equal "$(ls "$(guest_dir a)/template/forks")" f
  snapshot-meta fork-end - g
  snapshot-meta fork-end gone g
}
