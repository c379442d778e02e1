#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# snapshot-meta works on a data directory of hypeman with a guest in each of its states.
# shellcheck disable=SC2030,SC2031,SC2154 # output, stderr and lines are set by run
load helpers
load snapshot-meta_helpers

setup() {
  common_setup
  make_data_dir
}
teardown() { common_teardown; }

# Writes metadata as hypeman does.
metadata() { # <id> <name> [is a template] [template] [pid] [start time]
  mkdir -p "$(guest_dir "$1")"/{logs,snapshots}
  sed -e "s/@ID@/$1/; s/@NAME@/$2/; s/@TEMPLATE@/${3:-false}/; s/@PARENT@/${4-}/; s/@PID@/${5:-null}/; s/@START@/${6:-null}/" \
    "$BATS_TEST_DIRNAME/../fixtures/hypeman/metadata.json" >"$(guest_dir "$1")/metadata.json"
  echo disk >"$(guest_dir "$1")/overlay.raw"
  echo config >"$(guest_dir "$1")/config.ext4"
}

snapshot() { # <id> [latest|base]
  make_snapshot "drive=/var/lib/hypeman/guests/$1/overlay.raw" "drive=/var/lib/hypeman/guests/$1/config.ext4" \
    "vsock=/var/lib/hypeman/guests/$1/vsock.sock" tap=hype-0123456
  mkdir -p "$(guest_dir "$1")/snapshots/snapshot-${2:-latest}"
  mv state memory "$(guest_dir "$1")/snapshots/snapshot-${2:-latest}/"
}

make_data_dir() {
  mkdir -p "$SNAPFORK_ROOT"/{snapshots/snap1/guest,templates,uffd/v1/sessions,images,system}
  echo '{"snapshot":{"id":"snap1"},"stored_metadata":{}}' >"$SNAPFORK_ROOT/snapshots/snap1/snapshot.json"
  metadata tz4a98xxat96iws9zmbrgj3a1 stopped
  metadata tz4a98xxat96iws9zmbrgj3a2 standby
  snapshot tz4a98xxat96iws9zmbrgj3a2
  metadata tz4a98xxat96iws9zmbrgj3a3 running false '' $$ "$(awk '{print $22}' /proc/$$/stat)"
  snapshot tz4a98xxat96iws9zmbrgj3a3 base
  metadata tz4a98xxat96iws9zmbrgj3a4 template true
  snapshot tz4a98xxat96iws9zmbrgj3a4
  metadata tz4a98xxat96iws9zmbrgj3a5 fork false tz4a98xxat96iws9zmbrgj3a4
  snapshot tz4a98xxat96iws9zmbrgj3a5
  ln -f "$(memory_of tz4a98xxat96iws9zmbrgj3a4)" "$(memory_of tz4a98xxat96iws9zmbrgj3a5)"
  metadata tz4a98xxat96iws9zmbrgj3a6 compressed
  snapshot tz4a98xxat96iws9zmbrgj3a6
  mv "$(memory_of tz4a98xxat96iws9zmbrgj3a6)" "$(memory_of tz4a98xxat96iws9zmbrgj3a6).lz4"
  # hypeman was killed while it wrote a snapshot. hypeman treats this guest as Standby.
  metadata tz4a98xxat96iws9zmbrgj3a7 torn
  snapshot tz4a98xxat96iws9zmbrgj3a7
  truncate -s 1000 "$(state_of tz4a98xxat96iws9zmbrgj3a7)"
  # The recorded process has ended, and another process has its pid.
  metadata tz4a98xxat96iws9zmbrgj3a8 reused false '' $$ 7
  snapshot tz4a98xxat96iws9zmbrgj3a8
}

guest() { # <last digit of an id>
  printf 'tz4a98xxat96iws9zmbrgj3a%s' "$1"
}

@test "list and state print the state of each guest of hypeman" {
  run --separate-stderr -0 snapshot-meta list --json
  assert_equal "$(jq -sr 'map(.name + "=" + .state + (if .template then "<" + .template[-1:] else "" end)) | join(" ")' <<<"$output")" \
    'stopped=Stopped standby=Standby running=Running template=Template fork=Standby<4 compressed=Standby torn=Broken reused=Standby'
  assert_contains "$stderr" "guest '$(guest 7)' is Broken"
  run -0 snapshot-meta state --json "$(guest 6)"
  assert_equal "$(json '.facts.compressed')" memory.lz4
  # The states name /var/lib/hypeman. That of a template may.
  run --separate-stderr -1 snapshot-meta fsck --json
  assert_equal "$(jq -sr 'map(select(.type == "finding") | .problem + " " + .id[-1:]) | join(",")' <<<"$output")" \
    'other_store 2,other_store 5,other_store 6,other_store 8'
}

@test "verbs that read create and change no file" {
  before=$(cd "$SNAPFORK_ROOT" && find . -printf '%p %y %m %s %n %T@\n' | sort)
  for i in 1 2 3 4 5 6 7 8; do
    for verb in show state state\ --json forks verify guard-create\ --type\ full; do
      # shellcheck disable=SC2086 # the words are meant
      snapshot-meta $verb "$(guest "$i")" >/dev/null 2>&1 || (($? == 1)) || fail "$verb of $i"
    done
    template-lock guard --for delete "$(guest "$i")" || (($? == 1))
  done
  snapshot-meta list >/dev/null 2>&1
  assert_equal "$(cd "$SNAPFORK_ROOT" && find . -printf '%p %y %m %s %n %T@\n' | sort)" "$before"
}

@test "show prints all keys of hypeman unchanged and adds the derived keys" {
  run -0 snapshot-meta show "$(guest 4)"
  assert_equal "$(json '[.Id, .state, .fork_count, .mem_locked] | map(tostring) | join(" ")')" "$(guest 4) Template 1 true"
  # Except for the end, the output has the same bytes.
  head -c -3 "$(guest_dir "$(guest 4)")/metadata.json" >expected
  head -c "$(stat -c %s expected)" <<<"$output" | cmp - expected
}

@test "verify checks each guest of hypeman" {
  assert_equal "$(snapshot-meta verify "$(guest 2)")" ok
  assert_equal "$(snapshot-meta verify "$(guest 3)")" ok
  assert_equal "$(snapshot-meta verify "$(guest 5)")" ok
  run --separate-stderr -1 snapshot-meta verify "$(guest 4)"
  assert_contains "$stderr" 'it has no template/image.json; promote it again'
  assert_contains "$stderr" 'its memory is not sealed'
  run --separate-stderr -1 snapshot-meta verify "$(guest 7)"
  assert_contains "$stderr" 'the CRC of its state file is wrong'
}

@test "set and unset keep every other key byte for byte" {
  file=$(guest_dir "$(guest 2)")/metadata.json
  cp "$file" expected
  snapshot-meta set "$(guest 2)" Name='other name' 'HypervisorPID:=4711'
  sed -i 's/"Name": "standby"/"Name": "other name"/; s/"HypervisorPID": null/"HypervisorPID": 4711/' expected
  cmp "$file" expected
  snapshot-meta unset "$(guest 2)" Tags
  sed -i '/"Tags"/d' expected
  cmp "$file" expected
}

# ---- writing into hypeman's data directory

# The types in hypeman's struct. All of them accept null.
fits_hypeman() { # <metadata.json>
  jq -e '
    def is($t; $keys): [.[$keys[]] | . == null or type == $t] | all;
    def whole($keys): [.[$keys[]] | . == null or (type == "number" and . == floor)] | all;
    def time($keys): [.[$keys[]] | . == null
      or test("^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(\\.\\d+)?(Z|[+-]\\d\\d:\\d\\d)$")] | all;
    is("string"; ["Id", "Name", "Image", "IP", "MAC", "KernelVersion", "HypervisorType", "HypervisorVersion", "SocketPath",
      "DataDir", "VsockSocket", "ExitMessage", "FirecrackerSnapshotCacheKey", "FirecrackerUFFDSessionID",
      "FirecrackerUFFDPagerVersion", "ForkOfTemplate", "HotPagesPath"])
    and is("boolean"; ["NetworkEnabled", "SkipGuestAgent", "IsTemplate", "FirecrackerUseUFFDOnNextRestore"])
    and is("object"; ["Env", "Tags", "Phases", "auto_standby_runtime", "PendingStandbyCompression", "snapfork"])
    and is("array"; ["Volumes", "Devices", "Entrypoint", "Cmd"])
    and whole(["Size", "HotplugSize", "OverlaySize", "Vcpus", "VsockCID", "HypervisorPID", "HypervisorStartTime", "ExitCode"])
    and time(["CreatedAt", "StartedAt", "StoppedAt", "ProgramStartedAt", "GuestAgentReadyAt"])
  ' "$1" >/dev/null
}

@test "hypeman can read the metadata that promote, fork, demote and delete write" {
  id=$(guest 2)
  fits_hypeman "$(guest_dir "$id")/metadata.json"
  template-lock seal "$id"
  snapshot-meta promote "$id"
  assert_equal "$(snapshot-meta verify --deep "$id")" ok
  fits_hypeman "$(guest_dir "$id")/metadata.json"
  make_fork "$id" tz4a98xxat96iws9zmbrgj3b1 >fork
  new=$(guest_dir tz4a98xxat96iws9zmbrgj3b1)/metadata.json
  fits_hypeman "$new"
  assert_equal "$(jq -c '[.Id, .Name, .IP, .MAC, .HypervisorPID, .StoppedAt, .Phases, .IsTemplate, .ForkOfTemplate, .DataDir, .VsockCID]' "$new")" \
    '["tz4a98xxat96iws9zmbrgj3b1","tz4a98xxat96iws9zmbrgj3b1","","",null,null,null,false,"'"$id"'","'"$(guest_dir tz4a98xxat96iws9zmbrgj3b1)"'",1823947561]'
  assert_equal "$(jq -c '.Env | keys_unsorted' "$new")" '["PATH","B","A"]'
  run --separate-stderr -1 snapshot-meta demote "$id"
  snapshot-meta trash tz4a98xxat96iws9zmbrgj3b1
  snapshot-meta fork-end "$id" tz4a98xxat96iws9zmbrgj3b1
  snapshot-meta demote "$id"
  fits_hypeman "$(guest_dir "$id")/metadata.json"
  # hypeman's own files are unchanged.
  [[ -e $SNAPFORK_ROOT/snapshots/snap1/snapshot.json && -d $SNAPFORK_ROOT/uffd/v1/sessions ]]
}

@test "a template that hypeman made is guarded and can be promoted" {
  id=$(guest 4)
  for verb in demote trash; do
    run --separate-stderr -1 snapshot-meta "$verb" "$id"
    assert_contains "$stderr" "1 fork live ($(guest 5))"
  done
  assert_equal "$(snapshot-meta forks "$id")" "$(guest 5)"
  template-lock guard --for restore "$id" && fail 'a template may be restored'
  chmod a-w "$(memory_of "$id")"
  snapshot-meta promote "$id"
  assert_equal "$(ls "$(guest_dir "$id")/template/forks")" "$(guest 5)"
  assert_equal "$(snapshot-meta verify --deep "$id")" ok
  assert_equal "$(snapshot-meta verify "$(guest 5)")" ok
}

@test "guests of hypeman without snapfork.disks get their own files for the paths of another data directory" {
  run -0 snapshot-meta own-paths "$(guest 2)"
  dir=$(guest_dir "$(guest 2)")
  assert_equal "$output" $'drive\t'"$dir"$'/overlay.raw\ndrive\t'"$dir"$'/config.ext4\nvsock\t'"$dir"/vsock.sock
  assert_equal "$(snapshot-meta get "$(guest 2)" VsockSocket)" "$dir/vsock.sock"
  assert_equal "$(snapshot-meta state "$(guest 2)")" Standby
  make_fork "$(guest 4)" new >fork
  run -0 snapshot-meta vmstate "$(state_of new)"
  assert_contains "$output" "drive: $(guest_dir new)/overlay.raw"$'\n'"drive: $(guest_dir new)/config.ext4"$'\n'"vsock: $(guest_dir new)/vsock.sock"
  assert_equal "$(snapshot-meta get new VsockSocket)" "$(guest_dir new)/vsock.sock"
}
