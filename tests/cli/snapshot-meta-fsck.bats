#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# snapshot-meta fsck: what a killed program leaves, what drifts, and what must be left alone.
# shellcheck disable=SC2154,SC2317 # output, stderr and lines are set by run; functions called by name
load helpers
load snapshot-meta_helpers

setup() { common_setup; }
teardown() { common_teardown; }

# Found without --repair and untouched; mended with it; then there is nothing any more.
check_mends() { # <problem> <path, from the root on> [what is said of it]
  local before
  before=$(store_picture)
  run --separate-stderr -1 snapshot-meta fsck --json
  assert_equal "$(head -n 1 <<<"$output" | jq -r '[.type, .outcome, .problem, .path] | join(" ")')" \
    "finding found $1 $SNAPFORK_ROOT/$2"
  run --separate-stderr -1 snapshot-meta fsck --repair --dry-run
  assert_equal "$(store_picture)" "$before"
  run --separate-stderr -0 snapshot-meta fsck --repair
  assert_contains "$output" "mended: $SNAPFORK_ROOT/$2: "
  assert_contains "$output" "${3-}"
  run --separate-stderr -0 snapshot-meta fsck
  assert_equal "$output$stderr" ''
}

@test "nothing to find: an empty store, one without .snapfork, one in order" {
  run --separate-stderr -0 snapshot-meta fsck
  assert_equal "$output$stderr" ''
  init_template a
  make_fork a f g
  init_guest b
  make_fork b h
  run --separate-stderr -0 snapshot-meta fsck
  assert_equal "$output$stderr" ''
  run -0 snapshot-meta fsck --json
  assert_equal "$output" '{"type":"summary","v":1,"found":0,"mended":0,"busy":0,"left":0}'
}

@test "clones, imports and guests that were being made" {
  tmp=$SNAPFORK_ROOT/.snapfork/tmp
  init_guest a
  for name in fork.x.y import.x init.x .fork.x.snapfork-tmp; do
    mkdir -p "$tmp/$name/snapshots"
    check_mends leftover ".snapfork/tmp/$name"
    [[ ! -e $tmp/$name ]]
  done
}

@test "temporary names in guests, and beside them" {
  init_template a
  for path in guests/a/.metadata.json.snapfork-tmp guests/a/snapshots/snapshot-latest/.memory.snapfork-tmp \
    guests/a/template/.forks.0.snapfork-tmp guests/.b.snapfork-tmp; do
    mkdir "$SNAPFORK_ROOT/$path"
    check_mends leftover "$path"
    [[ ! -e $SNAPFORK_ROOT/$path ]]
  done
  assert_equal "$(snapshot-meta verify --deep a)" ok
}

@test "an entry of the index without a fork" {
  init_template a
  snapshot-meta fork-begin a f >/dev/null
  check_mends stale_entry guests/a/template/forks/f
  snapshot-meta demote a
  # One whose guest is no fork of it.
  init_template b
  init_guest f
  : >"$(guest_dir b)/template/forks/f"
  check_mends stale_entry guests/b/template/forks/f
}

@test "a half-made fork: its clone, its entry and its lock files" {
  init_template a
  snapshot-meta fork-begin a f >/dev/null
  clone a f link
  run -0 snapshot-meta fsck --repair
  assert_equal "$(cut -d: -f1 <<<"$output")" $'mended\nmended\nmended'
  assert_equal "$(find "$(guest_dir a)/template/forks" "$SNAPFORK_ROOT/.snapfork/tmp" -mindepth 1)" ''
  run -0 snapshot-meta fsck
}

@test "a fork that the index lacks" {
  init_template a
  make_fork a f
  rm "$(guest_dir a)/template/forks/f"
  check_mends uncounted_fork guests/a/template/forks/f
  run --separate-stderr -1 snapshot-meta demote a
  assert_contains "$stderr" '1 fork live (f)'
}

@test "a fork of what is no template" {
  init_template a
  make_fork a f
  rm -r "$(guest_dir a)"
  check_mends orphan_fork guests/f/metadata.json 'ForkOfTemplate is empty now'
  assert_equal "$(snapshot-meta verify f)" ok
  init_guest g
  sed -i 's/"ForkOfTemplate": ""/"ForkOfTemplate": "f"/' "$(guest_dir g)/metadata.json"
  check_mends orphan_fork guests/g/metadata.json
}

@test "the record of a template whose flag was never set, or is gone" {
  init_template a
  echo hot >"$(guest_dir a)/template/hot.hpl"
  sed -i 's/"IsTemplate": true/"IsTemplate": false/' "$(guest_dir a)/metadata.json"
  check_mends half_promoted guests/a/template
  assert_equal "$(ls "$(guest_dir a)/template")" hot.hpl
}

@test "a deletion that was cut short is finished, and a new guest of that id kept" {
  init_template a
  make_fork a f g
  trash=$SNAPFORK_ROOT/.snapfork/trash
  snapshot-meta trash f >/dev/null
  check_mends trash .snapfork/trash/f deleted
  assert_equal "$(find "$trash" "$(guest_dir a)/template/forks" -mindepth 1 -printf '%f')" g
  # Its metadata is gone, or none.
  snapshot-meta trash g >/dev/null
  echo junk >"$trash/g/metadata.json"
  run -0 snapshot-meta fsck --repair
  assert_contains "$output" "$trash/g: "
  assert_equal "$(find "$trash" "$(guest_dir a)/template/forks" -mindepth 1)" ''
  # The id lives again, as a fork of the same template.
  make_fork a h
  cp -a "$(guest_dir h)" "$trash/h"
  run -0 snapshot-meta fsck --repair
  assert_equal "$(cut -d: -f1,2 <<<"$output")" "mended: $trash/h" # its entry was never away
  assert_equal "$(snapshot-meta forks a)" h
}

@test "what is in use is left alone, and said" {
  init_template a
  snapshot-meta fork-begin a f >/dev/null
  clone a f link
  before=$(store_picture)
  run --separate-stderr -1 template-lock --exclusive f -- \
    env -u SNAPFORK_LOCK_FD snapshot-meta fsck --repair --json
  assert_equal "$(jq -rs 'map(select(.type == "finding") | .outcome + " " + .problem) | join(",")' <<<"$output")" \
    'busy leftover,busy stale_entry'
  assert_equal "$(store_picture)" "$before"
  # A clone whose maker lives, though nobody has taken the lock of its id.
  mkdir "$SNAPFORK_ROOT/.snapfork/tmp/.fork.x.snapfork-tmp"
  run --separate-stderr -1 flock "$SNAPFORK_ROOT/.snapfork/tmp/.fork.x.snapfork-tmp" snapshot-meta fsck --repair
  assert_contains "$output" "left: $SNAPFORK_ROOT/.snapfork/tmp/.fork.x.snapfork-tmp: "
  assert_contains "$output" 'a program is at work on it'
  run -0 snapshot-meta fsck --repair
}

is_stopped() { # <pid>
  [[ $(awk '/^State:/ { print $2 }' "/proc/$1/status") == [tT] ]]
}

@test "what was a suspect and is in order by now is left alone" {
  require_cmd strace
  local checker nth
  init_template a
  snapshot-meta fork-begin a f >/dev/null
  strace -qq -o calls -e trace=openat2 -- snapshot-meta fsck --repair >/dev/null || true
  nth=$(grep -n -m 1 -F locks/f.gate calls | cut -d: -f1)
  snapshot-meta fork-begin a f >/dev/null
  # It has seen an entry without a fork, and is about to open the fork's lock file.
  spawn_to out strace -qq -o /dev/null -e trace=openat2 -e "inject=openat2:signal=SIGSTOP:when=$nth" \
    -- snapshot-meta fsck --repair
  wait_until 10 pgrep -P "$spawned_pid"
  checker=$(pgrep -P "$spawned_pid")
  wait_until 10 is_stopped "$checker"
  clone a f link
  snapshot-meta fork-publish a f --backend file >/dev/null
  kill -CONT "$checker"
  wait "$spawned_pid"
  assert_equal "$(<out)" ''
  assert_equal "$(snapshot-meta forks a)" f
}

@test "under an inherited lock it mends what that covers" {
  init_template a
  snapshot-meta fork-begin a f >/dev/null
  run -0 template-lock --exclusive f -- snapshot-meta fsck --repair
  assert_contains "$output" 'mended: '
}

@test "what it does not know it leaves, by name" {
  init_guest a
  mkdir -p "$SNAPFORK_ROOT/.snapfork/tmp" "$SNAPFORK_ROOT/.snapfork/trash/.x" "$(guest_dir new)" "$SNAPFORK_ROOT/guests/lost+found"
  : >"$SNAPFORK_ROOT/.snapfork/tmp/stranger"
  run --separate-stderr -1 snapshot-meta fsck --repair --json
  assert_equal "$(jq -rs 'map(select(.type == "finding") | [.outcome, .problem, .id // "-"] | join(" ")) | join(",")' <<<"$output")" \
    'left unknown_file -,left unknown_file -,left no_metadata new'
  [[ -e $SNAPFORK_ROOT/.snapfork/tmp/stranger && -e $(guest_dir new) ]]
}

# ---- locks

@test "lock files of ids that do not exist are found, and removed with --repair" {
  init_guest a
  template-lock gone x.y -- true
  run --separate-stderr -1 snapshot-meta fsck
  assert_equal "$output" "found: $SNAPFORK_ROOT/.snapfork/locks/gone.lock: no guest has the id of this lock
found: $SNAPFORK_ROOT/.snapfork/locks/x.y.lock: no guest has the id of this lock"
  run --separate-stderr -1 snapshot-meta fsck --repair --dry-run
  assert_equal "$(ls "$SNAPFORK_ROOT/.snapfork/locks")" $'a.gate\na.lock\ngone.gate\ngone.lock\nx.y.gate\nx.y.lock'
  # What is locked is being made.
  run --separate-stderr -0 template-lock gone x.y -- snapshot-meta fsck --repair
  assert_equal "$output" ''
  run --separate-stderr -0 snapshot-meta fsck --repair --json
  assert_equal "$(jq -rs 'map(select(.type == "finding") | [.outcome, .problem, .id] | join(" ")) | join(",")' <<<"$output")" \
    'mended idle_lock gone,mended idle_lock x.y'
  assert_equal "$(ls "$SNAPFORK_ROOT/.snapfork/locks")" $'a.gate\na.lock'
}

@test "fsck leaves no lock files of its own" {
  init_template a
  snapshot-meta fork-begin a f >/dev/null
  rm "$SNAPFORK_ROOT"/.snapfork/locks/f.*
  run --separate-stderr -1 snapshot-meta fsck
  assert_equal "${#lines[@]}" 1
  [[ ! -e $SNAPFORK_ROOT/.snapfork/locks/f.lock && ! -e $SNAPFORK_ROOT/.snapfork/locks/f.gate ]]
}

# ---- metadata that does not parse

@test "bad metadata is kept aside, and written anew for a fork, a template and any other" {
  init_template a
  make_fork a f
  init_guest b
  for id in f a b; do
    printf '{"Id":"%s", torn' "$id" >"$(guest_dir "$id")/metadata.json"
    check_mends bad_metadata "guests/$id/metadata.json" "kept as '$(guest_dir "$id")/metadata.json.damaged-1'"
    assert_equal "$(cat "$(guest_dir "$id")/metadata.json.damaged-1")" "{\"Id\":\"$id\", torn"
    assert_equal "$(snapshot-meta verify "$id")" ok
  done
  assert_equal "$(snapshot-meta list | awk '{print $1, $2, $3, $4}')" \
    $'ID STATE FORKS TEMPLATE\na Template 1 -\nb Standby - -\nf Standby - a'
  # Once more: the first one is not overwritten.
  echo again >"$(guest_dir b)/metadata.json"
  run -0 snapshot-meta fsck --repair
  assert_equal "$(cat "$(guest_dir b)"/metadata.json.damaged-?)" $'{"Id":"b", tornagain'
}

@test "keys of the wrong type are bad metadata, too" {
  init_guest a
  sed -i 's/"IsTemplate": false/"IsTemplate": "no"/' "$(guest_dir a)/metadata.json"
  check_mends bad_metadata guests/a/metadata.json
}

@test "bad metadata of a guest that may run is left" {
  init_guest a
  printf '{"HypervisorPID": %d, torn' $$ >"$(guest_dir a)/metadata.json"
  run --separate-stderr -1 snapshot-meta fsck --repair
  assert_contains "$output" "it may be running: process $$ ("
  printf '{"HypervisorPID": %d, "HypervisorStartTime":1, torn' $$ >"$(guest_dir a)/metadata.json"
  exec 9<"$(memory_of a)"
  run --separate-stderr -1 snapshot-meta fsck --repair
  assert_contains "$output" ") has '$(memory_of a)' open"
  exec 9<&-
  run -0 snapshot-meta fsck --repair
}

@test "bad metadata of a guest that two templates count is left" {
  init_template a
  init_template b
  init_guest f
  : >"$(guest_dir a)/template/forks/f"
  : >"$(guest_dir b)/template/forks/f"
  echo torn >"$(guest_dir f)/metadata.json"
  run --separate-stderr -1 snapshot-meta fsck --repair
  assert_contains "$output" "both 'a' and 'b' count it as a fork"
}

# ---- killed itself

@test "fsck killed anywhere: the next one ends it, and no fork is lost" {
  require_cmd strace
  local call n status
  for call in unlink,unlinkat rename linkat openat fsync rmdir; do
    for ((n = 1; n <= 80; ++n)); do
      rm -rf "$SNAPFORK_ROOT"
      install -d -m 700 "$SNAPFORK_ROOT/guests"
      init_template a
      make_fork a f g h >/dev/null
      rm "$(guest_dir a)/template/forks/f"
      snapshot-meta trash g >/dev/null
      snapshot-meta fork-begin a x >/dev/null
      echo torn >"$(guest_dir h)/metadata.json"
      status=0
      kill_at "$call" "$n" snapshot-meta fsck --repair >out 2>&1 || status=$?
      run -0 snapshot-meta fsck --repair
      run -0 snapshot-meta fsck
      assert_equal "$(snapshot-meta forks a)" $'f\nh'
      assert_equal "$(cat "$(guest_dir h)/metadata.json.damaged-1")" torn
      if ((status == 0)); then break; fi
      ((status == 137)) || fail "killed before $call number $n: status $status: $(cat out)"
      if [[ $call == openat ]]; then ((n += 4)); fi
    done
  done
}
