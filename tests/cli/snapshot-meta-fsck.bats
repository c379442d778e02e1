#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# snapshot-meta fsck: leftovers of killed programs, indexes that do not match, and what must not be changed.
# shellcheck disable=SC2154,SC2317 # output, stderr and lines are set by run; functions called by name
load helpers
load snapshot-meta_helpers

setup() { common_setup; }
teardown() { common_teardown; }

# Without --repair the problem is found and not changed, with it repaired; then nothing is found.
check_repairs() { # <problem> <path, from the root on> [part of the finding]
  local before
  before=$(store_picture)
  run --separate-stderr -1 snapshot-meta fsck --json
  assert_equal "$(head -n 1 <<<"$output" | jq -r '[.type, .outcome, .problem, .path] | join(" ")')" \
    "finding found $1 $SNAPFORK_ROOT/$2"
  run --separate-stderr -1 snapshot-meta fsck --repair --dry-run
  assert_equal "$(store_picture)" "$before"
  run --separate-stderr -0 snapshot-meta fsck --repair
  assert_contains "$output" "repaired: $SNAPFORK_ROOT/$2: "
  assert_contains "$output" "${3-}"
  run --separate-stderr -0 snapshot-meta fsck
  assert_equal "$output$stderr" ''
}

@test "fsck finds nothing in an empty store, a store without .snapfork, and a valid store" {
  run --separate-stderr -0 snapshot-meta fsck
  assert_equal "$output$stderr" ''
  init_template a
  make_fork a f g
  init_guest b
  make_fork b h
  run --separate-stderr -0 snapshot-meta fsck
  assert_equal "$output$stderr" ''
  run -0 snapshot-meta fsck --json
  assert_equal "$output" '{"type":"summary","v":1,"found":0,"repaired":0,"busy":0,"left":0}'
}

@test "fsck removes unfinished clones, imports and guests" {
  tmp=$SNAPFORK_ROOT/.snapfork/tmp
  init_guest a
  for name in fork.x.y import.x init.x .fork.x.snapfork-tmp; do
    mkdir -p "$tmp/$name/snapshots"
    check_repairs leftover ".snapfork/tmp/$name"
    [[ ! -e $tmp/$name ]]
  done
}

@test "fsck removes temporary names in guests/ and in a guest" {
  init_template a
  for path in guests/a/.metadata.json.snapfork-tmp guests/a/snapshots/snapshot-latest/.memory.snapfork-tmp \
    guests/a/template/.forks.0.snapfork-tmp guests/.b.snapfork-tmp; do
    mkdir "$SNAPFORK_ROOT/$path"
    check_repairs leftover "$path"
    [[ ! -e $SNAPFORK_ROOT/$path ]]
  done
  assert_equal "$(snapshot-meta verify --deep a)" ok
}

@test "fsck removes an index entry without a fork" {
  init_template a
  snapshot-meta fork-begin a f >/dev/null
  check_repairs stale_entry guests/a/template/forks/f
  snapshot-meta demote a
  # The entry of a guest that is not a fork of the template.
  init_template b
  init_guest f
  : >"$(guest_dir b)/template/forks/f"
  check_repairs stale_entry guests/b/template/forks/f
}

@test "fsck removes the clone, index entry and lock files of an unfinished fork" {
  init_template a
  snapshot-meta fork-begin a f >/dev/null
  clone a f link
  run -0 snapshot-meta fsck --repair
  assert_equal "$(cut -d: -f1 <<<"$output")" $'repaired\nrepaired\nrepaired'
  assert_equal "$(find "$(guest_dir a)/template/forks" "$SNAPFORK_ROOT/.snapfork/tmp" -mindepth 1)" ''
  run -0 snapshot-meta fsck
}

@test "fsck adds a missing fork to the index" {
  init_template a
  make_fork a f
  rm "$(guest_dir a)/template/forks/f"
  check_repairs uncounted_fork guests/a/template/forks/f
  run --separate-stderr -1 snapshot-meta demote a
  assert_contains "$stderr" '1 fork live (f)'
}

@test "fsck clears ForkOfTemplate if it is not the id of a template" {
  init_template a
  make_fork a f
  rm -r "$(guest_dir a)"
  check_repairs orphan_fork guests/f/metadata.json 'cleared ForkOfTemplate'
  assert_equal "$(snapshot-meta verify f)" ok
  init_guest g
  sed -i 's/"ForkOfTemplate": ""/"ForkOfTemplate": "f"/' "$(guest_dir g)/metadata.json"
  check_repairs orphan_fork guests/g/metadata.json
}

@test "fsck removes template/ of a guest whose IsTemplate is not set" {
  init_template a
  echo hot >"$(guest_dir a)/template/hot.hpl"
  sed -i 's/"IsTemplate": true/"IsTemplate": false/' "$(guest_dir a)/metadata.json"
  check_repairs half_promoted guests/a/template
  assert_equal "$(ls "$(guest_dir a)/template")" hot.hpl
}

@test "fsck finishes an interrupted deletion and keeps a new guest with the same id" {
  init_template a
  make_fork a f g
  trash=$SNAPFORK_ROOT/.snapfork/trash
  snapshot-meta trash f >/dev/null
  check_repairs trash .snapfork/trash/f deleted
  assert_equal "$(find "$trash" "$(guest_dir a)/template/forks" -mindepth 1 -printf '%f')" g
  # Its metadata are missing or damaged.
  snapshot-meta trash g >/dev/null
  echo junk >"$trash/g/metadata.json"
  run -0 snapshot-meta fsck --repair
  assert_contains "$output" "$trash/g: "
  assert_equal "$(find "$trash" "$(guest_dir a)/template/forks" -mindepth 1)" ''
  # A new fork of the same template has the id.
  make_fork a h
  cp -a "$(guest_dir h)" "$trash/h"
  run -0 snapshot-meta fsck --repair
  assert_equal "$(cut -d: -f1,2 <<<"$output")" "repaired: $trash/h" # its entry was never away
  assert_equal "$(snapshot-meta forks a)" h
}

@test "fsck reports what is in use as busy and does not change it" {
  init_template a
  snapshot-meta fork-begin a f >/dev/null
  clone a f link
  before=$(store_picture)
  run --separate-stderr -1 template-lock --exclusive f -- \
    env -u SNAPFORK_LOCK_FD snapshot-meta fsck --repair --json
  assert_equal "$(jq -rs 'map(select(.type == "finding") | .outcome + " " + .problem) | join(",")' <<<"$output")" \
    'busy leftover,busy stale_entry'
  assert_equal "$(store_picture)" "$before"
  # The clone of a reflink-clone that is still running without the lock of the id.
  mkdir "$SNAPFORK_ROOT/.snapfork/tmp/.fork.x.snapfork-tmp"
  run --separate-stderr -1 flock "$SNAPFORK_ROOT/.snapfork/tmp/.fork.x.snapfork-tmp" snapshot-meta fsck --repair
  assert_contains "$output" "left: $SNAPFORK_ROOT/.snapfork/tmp/.fork.x.snapfork-tmp: "
  assert_contains "$output" 'another program is using it'
  run -0 snapshot-meta fsck --repair
}

@test "fsck does not change a candidate that is no longer a problem under the lock" {
  require_cmd strace
  local checker nth
  init_template a
  snapshot-meta fork-begin a f >/dev/null
  strace -qq -o calls -e trace=openat2 -- snapshot-meta fsck --repair >/dev/null || true
  nth=$(grep -n -m 1 -F locks/f.gate calls | cut -d: -f1)
  rm calls
  snapshot-meta fork-begin a f >/dev/null
  # fsck has found an entry without a fork and is about to open the fork's lock file.
  spawn_to out strace -qq -o calls -e trace=openat2 -e "inject=openat2:signal=SIGSTOP:when=$nth" \
    -- snapshot-meta fsck --repair
  wait_until 10 grep -q 'stopped by SIGSTOP' calls
  checker=$(pgrep -P "$spawned_pid")
  clone a f link
  snapshot-meta fork-publish a f --backend file >/dev/null
  kill -CONT "$checker"
  wait "$spawned_pid"
  assert_equal "$(<out)" ''
  assert_equal "$(snapshot-meta forks a)" f
}

@test "fsck repairs the problems of a guest under its inherited lock" {
  init_template a
  snapshot-meta fork-begin a f >/dev/null
  run -0 template-lock --exclusive f -- snapshot-meta fsck --repair
  assert_contains "$output" 'repaired: '
}

@test "fsck reports unknown files and does not change them" {
  init_guest a
  mkdir -p "$SNAPFORK_ROOT/.snapfork/tmp" "$SNAPFORK_ROOT/.snapfork/trash/.x" "$(guest_dir new)" "$SNAPFORK_ROOT/guests/lost+found"
  : >"$SNAPFORK_ROOT/.snapfork/tmp/stranger"
  run --separate-stderr -1 snapshot-meta fsck --repair --json
  assert_equal "$(jq -rs 'map(select(.type == "finding") | [.outcome, .problem, .id // "-"] | join(" ")) | join(",")' <<<"$output")" \
    'left unknown_file -,left unknown_file -,left no_metadata new'
  [[ -e $SNAPFORK_ROOT/.snapfork/tmp/stranger && -e $(guest_dir new) ]]
}

# ---- locks

@test "fsck --repair removes lock files of ids that do not exist" {
  init_guest a
  template-lock gone x.y -- true
  run --separate-stderr -1 snapshot-meta fsck
  assert_equal "$output" "found: $SNAPFORK_ROOT/.snapfork/locks/gone.lock: no guest has the id of this lock
found: $SNAPFORK_ROOT/.snapfork/locks/x.y.lock: no guest has the id of this lock"
  run --separate-stderr -1 snapshot-meta fsck --repair --dry-run
  assert_equal "$(ls "$SNAPFORK_ROOT/.snapfork/locks")" $'a.gate\na.lock\ngone.gate\ngone.lock\nx.y.gate\nx.y.lock'
  # A held lock belongs to a guest that is being made.
  run --separate-stderr -0 template-lock gone x.y -- snapshot-meta fsck --repair
  assert_equal "$output" ''
  run --separate-stderr -0 snapshot-meta fsck --repair --json
  assert_equal "$(jq -rs 'map(select(.type == "finding") | [.outcome, .problem, .id] | join(" ")) | join(",")' <<<"$output")" \
    'repaired idle_lock gone,repaired idle_lock x.y'
  assert_equal "$(ls "$SNAPFORK_ROOT/.snapfork/locks")" $'a.gate\na.lock'
}

@test "fsck leaves no lock files" {
  init_template a
  snapshot-meta fork-begin a f >/dev/null
  rm "$SNAPFORK_ROOT"/.snapfork/locks/f.*
  run --separate-stderr -1 snapshot-meta fsck
  assert_equal "${#lines[@]}" 1
  [[ ! -e $SNAPFORK_ROOT/.snapfork/locks/f.lock && ! -e $SNAPFORK_ROOT/.snapfork/locks/f.gate ]]
}

# ---- metadata that cannot be parsed

@test "fsck keeps bad metadata and rebuilds them for a fork, a template and other guests" {
  init_template a
  make_fork a f
  init_guest b
  for id in f a b; do
    printf '{"Id":"%s", torn' "$id" >"$(guest_dir "$id")/metadata.json"
    check_repairs bad_metadata "guests/$id/metadata.json" "kept the damaged file as '$(guest_dir "$id")/metadata.json.damaged-1'"
    assert_equal "$(cat "$(guest_dir "$id")/metadata.json.damaged-1")" "{\"Id\":\"$id\", torn"
    assert_equal "$(snapshot-meta verify "$id")" ok
  done
  assert_equal "$(snapshot-meta list | awk '{print $1, $2, $3, $4}')" \
    $'ID STATE FORKS TEMPLATE\na Template 1 -\nb Standby - -\nf Standby - a'
  # A second rebuild does not overwrite the first damaged file.
  echo again >"$(guest_dir b)/metadata.json"
  run -0 snapshot-meta fsck --repair
  assert_equal "$(cat "$(guest_dir b)"/metadata.json.damaged-?)" $'{"Id":"b", tornagain'
}

@test "fsck rebuilds metadata with keys of the wrong type" {
  init_guest a
  sed -i 's/"IsTemplate": false/"IsTemplate": "no"/' "$(guest_dir a)/metadata.json"
  check_repairs bad_metadata guests/a/metadata.json
}

@test "fsck does not rebuild the metadata of a guest that may be running" {
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

@test "fsck does not rebuild the metadata of a guest in the indexes of two templates" {
  init_template a
  init_template b
  init_guest f
  : >"$(guest_dir a)/template/forks/f"
  : >"$(guest_dir b)/template/forks/f"
  echo torn >"$(guest_dir f)/metadata.json"
  run --separate-stderr -1 snapshot-meta fsck --repair
  assert_contains "$output" "the indexes of both 'a' and 'b' have it as a fork"
}

# ---- fsck is killed

@test "fsck killed at any system call loses no fork, and the next call finishes" {
  require_cmd strace
  local call n killed
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
      killed=0
      kill_at "$call" "$n" snapshot-meta fsck --repair >out 2>&1 || killed=$?
      run -0 snapshot-meta fsck --repair
      run -0 snapshot-meta fsck
      assert_equal "$(snapshot-meta forks a)" $'f\nh'
      assert_equal "$(cat "$(guest_dir h)/metadata.json.damaged-1")" torn
      if ((killed == 0)); then break; fi # `run` sets `status`
      ((killed == 137)) || fail "killed before $call number $n: status $killed: $(cat out)"
      if [[ $call == openat ]]; then ((n += 4)); fi
    done
  done
}

@test "fsck: the manual names every problem that it finds" {
  local project name
  project=$(realpath "$BATS_TEST_DIRNAME/../..")
  grep -rhoE '(\.problem = |leave\()"[a-z_]+"' "$project/src/meta/fsck" | grep -oE '[a-z_]+"' | sort -u >names
  (($(wc -l <names) > 15)) || fail "only $(wc -l <names) names were read"
  while IFS= read -r name; do
    grep -qF "*${name%\"}*" "$project/man/snapshot-meta.1.scd" || fail "not in the manual: $name"
  done <names
}
