#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Metadata that no program should write, and filesystems that cannot hold a store.
# shellcheck disable=SC2030,SC2031,SC2154 # output, stderr and lines are set by run
load helpers
load snapshot-meta_helpers

setup() { common_setup; }
teardown() { common_teardown; }

# Prints the contents of a hostile metadata.json of each kind.
hostile_metadata() { # <kind>
  case $1 in
    100-MB) head -c 100M /dev/zero | tr '\0' ' ' ;;
    100-MB-of-object) printf '{"Id":"f","x":"' && head -c 100M /dev/zero | tr '\0' x && printf '"}' ;;
    nested) printf '{"x":' && printf '[%.0s' {1..100000} ;;
    nested-and-closed) printf '{"x":' && printf '[%.0s' {1..200} && printf ']%.0s' {1..200} && printf '}' ;;
    twice) printf '{"Id":"f","ForkOfTemplate":"a","ForkOfTemplate":""}' ;;
    twice-by-escape) printf '{"Id":"f","ForkOfTemplate":"a","ForkOfTempl\\u0061te":""}' ;;
    twice-inside) printf '{"Id":"f","x":[{"y":1,"y":2}]}' ;;
    nul) printf '{"Id":"f","x":"\0"}' ;;
    bom) printf '\xef\xbb\xbf{"Id":"f"}' ;;
    latin) printf '{"Id":"f","x":"\xe4"}' ;;
    type) printf '{"Id":"f","ForkOfTemplate":1e400}' ;;
    empty) ;;
  esac
}

@test "hostile metadata of a fork are refused, counted as a fork, and repaired by fsck" {
  init_template a
  make_fork a f >/dev/null
  file=$(guest_dir f)/metadata.json
  cp "$file" good
  for kind in 100-MB 100-MB-of-object nested nested-and-closed twice twice-by-escape twice-inside nul bom latin type empty; do
    hostile_metadata "$kind" >"$file"
    for verb in 'show f' 'state f' 'set f X=1' 'unset f X' 'verify f' 'guard-create --type full f' 'fork-begin f g'; do
      # shellcheck disable=SC2086 # the words are meant
      run --separate-stderr snapshot-meta $verb
      # Only `type` is valid JSON; a verb accepts any value in keys that it does not use.
      [[ $status == 4 || $kind == type ]] || fail "$verb of $kind: status $status"
    done
    run --separate-stderr -1 snapshot-meta demote a
    assert_contains "$stderr" '1 fork unreadable (f), which may be live'
    run --separate-stderr -0 snapshot-meta list --json
    assert_equal "$(jq -rs 'map(.id + "=" + .state) | join(" ")' <<<"$output")" 'a=Template f=Broken'
    run -0 snapshot-meta fsck --repair
    assert_contains "$output" "kept the damaged file as '$file.damaged-1'"
    assert_equal "$(snapshot-meta forks a)" f
    assert_equal "$(snapshot-meta verify f)" ok
    rm "$file.damaged-1"
    cp good "$file"
  done
}

@test "numbers of any size in unknown keys are kept" {
  init_template a
  make_fork a f >/dev/null
  sed -i 's/^{/{\n  "X": 1e400, "Y": -0.0e-999, "Z": [123456789012345678901234567890],/' "$(guest_dir f)/metadata.json"
  assert_equal "$(snapshot-meta forks a)" f
  assert_equal "$(snapshot-meta verify f)" ok
  snapshot-meta set f Name=n
  assert_contains "$(<"$(guest_dir f)/metadata.json")" '"Y": -0.0e-999'
  run --separate-stderr -1 snapshot-meta demote a
  assert_contains "$stderr" '1 fork live (f)'
}

@test "a pid that cannot exist is not a VMM, and a pid that is not a number is refused" {
  init_guest a
  for pid in 4294967297 9223372036854775807 -1 0; do
    snapshot-meta set a "HypervisorPID:=$pid" 'HypervisorStartTime:=null'
    assert_equal "$(snapshot-meta state a)" Standby
  done
  for pid in 1e400 1.5 9223372036854775808; do
    sed -i "s/\"HypervisorPID\": .*/\"HypervisorPID\": $pid,/" "$(guest_dir a)/metadata.json"
    run --separate-stderr -4 snapshot-meta state a
    assert_contains "$stderr" "'HypervisorPID' is not a whole number"
  done
}

@test "ids that differ only in case are two guests" {
  init_template base
  if [[ -e $SNAPFORK_ROOT/guests/BASE ]]; then skip 'this filesystem takes them for one'; fi
  init_guest BASE
  make_fork base f >/dev/null
  make_fork BASE F >/dev/null
  assert_equal "$(snapshot-meta list --json | jq -r '.id + "=" + .state' | sort | paste -sd ' ')" \
    'BASE=Standby F=Standby base=Template f=Standby'
  assert_equal "$(snapshot-meta forks base)" f
  run -0 template-lock --exclusive base -- env -u SNAPFORK_LOCK_FD snapshot-meta set BASE Name=x
  snapshot-meta trash BASE
  assert_equal "$(snapshot-meta verify --deep base)" ok
}

@test "a clock that goes backwards changes no result" {
  init_guest a
  for time in 1970-01-02 2099-01-01 1999-12-31; do
    find "$SNAPFORK_ROOT" -exec touch -d "$time" {} +
    assert_equal "$(snapshot-meta state a)" Standby
    template-lock seal a
    snapshot-meta promote a
    make_fork a f >/dev/null
    touch -d 2099-01-01 "$(memory_of a)"
    assert_equal "$(snapshot-meta verify --deep a)" ok
    run -0 snapshot-meta fsck
    run -1 snapshot-meta demote a
    snapshot-meta trash f
    snapshot-meta fork-end a f
    rm -r "$SNAPFORK_ROOT/.snapfork/trash/f"
    snapshot-meta demote a
    template-lock unseal a
  done
}

@test "a root without hard links, locks or RENAME_NOREPLACE is refused with status 3" {
  require_root
  require_cmd strace
  with() { # <call> <errno> <command>...
    local call=$1 error=$2
    shift 2
    strace -qq -o /dev/null -e trace="$call" -e inject="$call:error=$error" -- "$@"
  }
  make_snapshot
  for error in EPERM EOPNOTSUPP; do
    run --separate-stderr -3 with linkat "$error" snapshot-meta init a --state state --memory memory
    assert_contains "$stderr" 'its filesystem has no hard links'
  done
  run --separate-stderr -3 with renameat2 EINVAL snapshot-meta init a --state state --memory memory
  assert_contains "$stderr" 'has no RENAME_NOREPLACE'
  [[ -e state && -e memory && ! -e $(guest_dir a) ]]
  snapshot-meta init a --state state --memory memory
  before=$(store_picture)
  for error in ENOLCK EOPNOTSUPP ENOSYS; do
    for verb in 'set a Name=x' 'unset a Name' 'promote a' 'demote a' 'trash a' 'fork-begin a b'; do
      # shellcheck disable=SC2086 # the words are meant
      run --separate-stderr -3 with flock "$error" snapshot-meta $verb
      assert_contains "$stderr" "'$SNAPFORK_ROOT/.snapfork/locks/a"
      assert_contains "$stderr" 'this filesystem has no locks'
    done
    # Verbs that only read need no locks.
    run -0 with flock "$error" snapshot-meta state a
    run -0 with flock "$error" snapshot-meta list
    run -0 with flock "$error" snapshot-meta fsck
  done
  assert_equal "$(store_picture)" "$before"
}

@test "init refuses a store on a filesystem without hard links" {
  require_root
  require_cmd mkfs.vfat
  truncate -s 40M image
  mkfs.vfat image >/dev/null
  mkdir fat
  mount -o loop image fat 2>/dev/null || skip 'no vfat here'
  make_snapshot
  mkdir -p fat/root/guests
  mv state memory fat/
  SNAPFORK_ROOT=$PWD/fat/root run --separate-stderr -3 snapshot-meta init a --state fat/state --memory fat/memory
  ls fat >left
  umount fat
  assert_contains "$stderr" 'its filesystem has no hard links'
  assert_equal "$(<left)" $'memory\nroot\nstate'
}
