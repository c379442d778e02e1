#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Templates through a real registry: docker-registry on the loopback interface, and skopeo.
# shellcheck disable=SC2016,SC2154 # jq has variables; output, stderr and status are set by run

load ../cli/helpers
load ../cli/snapshot-meta_helpers
load ../cli/template-oci_helpers

setup() {
  require_cmd skopeo docker-registry
  oci_setup
  registry_data=$BATS_TEST_TMPDIR/registry
}
teardown() { common_teardown; }

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

answers() {
  curl -sf "http://127.0.0.1:$port/v2/" >/dev/null
}

# Starts a registry on a free port, and makes skopeo use plain HTTP for it. Another process may take the port first.
start_registry() {
  local attempt
  for attempt in 1 2 3 4 5; do
    port=$(free_port)
    cat >registry.yml <<END
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $registry_data}, delete: {enabled: true}}
http: {addr: "127.0.0.1:$port"}
END
    registry_log=registry.$attempt.log
    spawn_to "$registry_log" docker-registry serve registry.yml
    registry_pid=$spawned_pid
    wait_until 30 answers_or_ended
    if answers; then break; fi
  done
  export HOME=$BATS_TEST_TMPDIR/home
  mkdir -p "$HOME/.config/containers"
  printf '[[registry]]\nlocation = "127.0.0.1:%s"\ninsecure = true\n' "$port" >"$HOME/.config/containers/registries.conf"
  ref=127.0.0.1:$port/team/base
}

answers_or_ended() {
  answers || is_gone "$registry_pid"
}

stop_registry() {
  kill -KILL "$registry_pid"
  wait_until 10 is_gone "$registry_pid"
}

# The file in which the registry has a blob.
registry_blob() { # <digest>
  printf '%s' "$registry_data/docker/registry/v2/blobs/sha256/${1:7:2}/${1#sha256:}/data"
}

nothing_left() { # <id>
  [[ ! -e $SNAPFORK_ROOT/guests/$1 ]]
  assert_equal "$(ls -A "$SNAPFORK_ROOT/.snapfork/tmp")" ''
}

# Pushes the template "base", and begins a pull that waits for a blob: the registry reads a FIFO in its place. Descriptor 9
# keeps the FIFO open; the file "saved" is the blob.
begin_stalled_pull() {
  snapfork -q push --layout layout base "$ref:v1"
  data=$(registry_blob "$(layer_of layout 2 base)")
  mv "$data" saved
  mkfifo "$data"
  spawn_to pull.log snapfork pull new "$ref:v1"
  pull_pid=$spawned_pid
  exec 9<>"$data"
  wait_until 30 test -d "$SNAPFORK_ROOT/.snapfork/tmp/pull.new/layout"
}

# The number of blobs that clients uploaded.
uploads() {
  grep -c '"POST /v2/[^ ]*/blobs/uploads/ ' "$registry_log"
}

@test "a template that was pushed is pulled byte for byte, and the registry has the same manifest" {
  start_registry
  make_template base
  run -0 --separate-stderr snapfork --json push --layout layout base "$ref:v1"
  assert_equal "$output" '{"type":"push","v":1,"id":"base"}'
  assert_equal "sha256:$(skopeo inspect --raw "docker://$ref:v1" | sha256sum | cut -d ' ' -f 1)" "$(digest_of layout base)"
  run -0 --separate-stderr snapfork --json pull new "$ref:v1"
  assert_equal "$output" '{"type":"pull","v":1,"id":"new"}'
  same_template base new
  snapshot-meta verify --deep new
  snapfork -q fork --backend file new f1
  snapshot-meta verify f1
  assert_equal "$(ls -A "$SNAPFORK_ROOT/.snapfork/tmp")" ''
}

@test "push without --layout leaves no temporary layout, also if the registry does not answer" {
  start_registry
  make_template base
  mkdir temporary
  TMPDIR=$PWD/temporary snapfork -q push base "$ref:v1"
  assert_equal "$(ls -A temporary)" ''
  stop_registry
  TMPDIR=$PWD/temporary run -5 --separate-stderr snapfork push base "$ref:v1"
  assert_contains "$stderr" "cannot copy"
  assert_equal "$(find temporary -name 'snapfork*')" ''
}

@test "the push of a second version uploads only the new packs" {
  local pack
  start_registry
  make_template v1 1
  make_template v2 2
  snapfork -q push --layout layout v1 "$ref:v1"
  assert_equal "$(uploads)" 4 # the description, the index, a pack, the empty config
  pack=$(layer_of layout 2 v1)
  rm -rf "$SNAPFORK_ROOT/guests/v1"
  snapfork -q push --layout layout v2 "$ref:v2"
  assert_equal "$(uploads)" 7 # the description, the index, another pack
  assert_equal "$(layer_of layout 2 v2)" "$pack"
  snapfork -q pull new2 "$ref:v2"
  same_template v2 new2
  snapfork -q pull new1 "$ref:v1"
  cmp -n $((40 * 262144)) "$(memory_of new1)" "$(memory_of v2)"
}

@test "a registry that serves other bytes, a truncated layer, or no layer: pull fails by name and leaves nothing" {
  local data
  start_registry
  make_template base
  snapfork -q push --layout layout base "$ref:v1"
  data=$(registry_blob "$(layer_of layout 2 base)")
  cp "$data" saved
  printf x | dd of="$data" bs=1 seek=1000 conv=notrunc status=none
  run -5 --separate-stderr snapfork pull new "$ref:v1"
  assert_contains "$stderr" "$ref:v1"
  nothing_left new
  truncate -s -100 "$data"
  run -5 --separate-stderr snapfork pull new "$ref:v1"
  nothing_left new
  rm "$data"
  run -5 --separate-stderr snapfork pull new "$ref:v1"
  nothing_left new
  mkdir -p "${data%/*}"
  cp saved "$data"
  snapfork -q pull new "$ref:v1"
  same_template base new
}

@test "an image of another kind is refused by its artifact type" {
  start_registry
  make_template base
  template-oci export -q base layout
  edit_manifest layout 'del(.artifactType)'
  skopeo copy --quiet oci:layout:latest "docker://$ref:other"
  run -4 --separate-stderr snapfork pull new "$ref:other"
  assert_contains "$stderr" 'it is not a template of snapfork'
  nothing_left new
}

@test "a registry that is killed during a push or a pull: the command fails, and the next one works" {
  start_registry
  make_template base
  begin_stalled_pull
  stop_registry
  exec 9>&-
  wait_until 120 is_gone "$pull_pid"
  assert_contains "$(cat pull.log)" 'cannot copy'
  nothing_left new
  rm "$data"
  mv saved "$data"
  start_registry
  snapfork -q pull new "$ref:v1"
  same_template base new
  stop_registry
  run -5 --separate-stderr snapfork push --layout layout base "$ref:v2"
  start_registry
  snapfork -q push --layout layout base "$ref:v2"
  snapfork -q pull new2 "$ref:v2"
  same_template base new2
}

@test "layouts that skopeo, umoci and tar made or changed are imported" {
  start_registry
  make_template base
  snapfork -q push base "$ref:v1"
  skopeo copy --quiet "docker://$ref:v1" oci:one:v1
  template-oci import -q a one
  same_template base a
  skopeo copy --quiet "docker://$ref:v1" oci-archive:two.tar:v1
  snapfork -q import b --oci - <two.tar
  same_template base b
  if command -v umoci >/dev/null; then
    umoci tag --image one:v1 v2
    umoci gc --layout one
    template-oci import -q c one --tag v2
    same_template base c
  fi
}

@test "two pushes at the same time may use one layout, and each pushes its own template" {
  start_registry
  make_template v1 1
  make_template v2 2
  local one
  for _ in 1 2 3; do
    spawn_to one.log snapfork push --layout layout v1 "$ref:one"
    one=$spawned_pid
    run snapfork push --layout layout v2 "$ref:two"
    [[ $status == 0 || $output == *'another export writes to it'* ]]
    wait_until 60 is_gone "$one"
  done
  snapfork -q push --layout layout v1 "$ref:one"
  snapfork -q push --layout layout v2 "$ref:two"
  snapfork -q pull new1 "$ref:one"
  same_template v1 new1
  snapfork -q pull new2 "$ref:two"
  same_template v2 new2
}

@test "a pull that is signalled leaves nothing" {
  start_registry
  make_template base
  begin_stalled_pull
  kill -TERM "$pull_pid"
  wait_until 30 is_gone "$pull_pid"
  exec 9>&-
  assert_contains "$(cat pull.log)" 'ended by SIGTERM; what it did is undone'
  nothing_left new
}
