#!/usr/bin/env bats
# template-lock: who gets a lock and keeps it, what the guard answers, what a seal proves.
# shellcheck disable=SC2154 # output, stderr, lines and status are set by run
# shellcheck disable=SC2016 # the scripts in single quotes are for other shells
# shellcheck disable=SC2030,SC2031 # each test is a subshell of its own, on purpose
load helpers

setup() {
  common_setup
  locks=$SNAPFORK_ROOT/.snapfork/locks
}

teardown() { common_teardown; }

# Holds locks in the background until it is killed: hold [OPTION]... ID...
hold() {
  rm -f held
  spawn template-lock "$@" -- bash -c 'touch held; exec tail -f /dev/null'
  wait_until 10 test -e held
}

# Somebody is blocked on the file: /proc/locks shows such requests with an arrow.
has_waiter() { # <file>
  grep -q -- "->.*:$(stat -c %i "$1") " /proc/locks
}

# The process may be about to stop, or stopped: it is told to go on until it has ended.
continue_until_gone() { # <pid>
  has_ended() {
    kill -CONT "$1" 2>/dev/null
    is_gone "$1"
  }
  wait_until 20 has_ended "$1"
}

mode_of() { stat -c %a "$SNAPFORK_ROOT/guests/$1/snapshots/snapshot-latest/memory"; }
memory_of() { printf '%s\n' "$SNAPFORK_ROOT/guests/$1/snapshots/snapshot-latest/memory"; }

@test "the standard cases" {
  standard_cases template-lock guard seal unseal holders wait
}

# ---- the wrapper

@test "the command runs with the lock, its words as they are, its status as it is" {
  run --separate-stderr -0 template-lock base -- printf '<%s>' a 'b c' '' -- '*'
  assert_equal "$output" '<a><b c><><--><*>'
  assert_equal "$stderr" ''
  run -42 template-lock base -- sh -c 'exit 42'
  run -143 template-lock base -- sh -c 'kill -TERM $$'
  # It is exec'ed: the process that was started is the command, not a middleman.
  hold base
  is_tail() { [[ $(<"/proc/$spawned_pid/comm") == tail ]]; }
  wait_until 10 is_tail
}

@test "usage errors are 2 and run nothing" {
  local arguments
  for arguments in '' '--' 'base --' '-- true' 'base' 'nonsense base' '--shared --exclusive base -- touch ran' \
    '--no-wait --timeout 1 base -- touch ran' '--timeout x base -- touch ran' '--timeout -1 base -- touch ran' \
    '--conflict-exit-code 256 base -- touch ran' '../x -- touch ran' 'a/b -- touch ran' '.x -- touch ran' \
    'guard base' 'guard --for delete' 'guard --for fun base' 'guard --for delete a b' 'seal' 'unseal a b' \
    'holders' 'wait --until never base' '--shared a --exclusive -- touch ran' '--shared -- touch ran' \
    '--shared a --exclusive a -- touch ran' '-s a -n -x b -n -t 1 -- touch ran'; do
    # shellcheck disable=SC2086 # one word an argument
    run -2 --separate-stderr template-lock $arguments
    assert_equal "$output" ''
    assert_contains "$stderr" 'template-lock: '
  done
  run -2 template-lock '' -- touch ran
  run -2 template-lock "$(printf 'x%.0s' {1..300})" -- touch ran
  assert_contains "$output" 'longer than 64'
  [[ ! -e ran ]] || fail "the command ran"
}

@test "what cannot be executed is 126 and 127, an own failure 125, each named" {
  run -127 template-lock base -- no-such-command
  assert_contains "$output" "template-lock: cannot run 'no-such-command': No such file or directory"
  run -126 template-lock base -- /
  assert_contains "$output" "cannot run '/': Permission denied"
  SNAPFORK_ROOT=$PWD/absent run -125 template-lock base -- true
  assert_contains "$output" 'set SNAPFORK_ROOT'
  mkdir -p "$locks/dir.lock"
  require_cmd strace
  run -125 strace -qq -o /dev/null -e inject=flock:error=ENOLCK template-lock base -- true
  assert_contains "$output" 'this filesystem has no locks'
}

@test "a second exclusive lock is refused, naming the holder; --conflict-exit-code moves the status" {
  hold base
  run -1 --separate-stderr template-lock --no-wait base -- touch ran
  assert_equal "$output" ''
  assert_contains "$stderr" "cannot lock 'base': held exclusively by $spawned_pid (tail)"
  run -1 template-lock --timeout 0.05 --shared base -- touch ran
  run -75 template-lock -n -E 75 base -- touch ran
  run -75 --separate-stderr template-lock -n -E 75 --json base -- touch ran
  assert_equal "$(json '[.type, .exit_code, .code] | join(" ")')" 'error 75 no'
  [[ ! -e ran ]] || fail "the command ran"
  run -0 template-lock --no-wait other -- true
}

@test "shared locks go together" {
  hold --shared base
  run -0 template-lock --no-wait --shared base -- true
  run -1 template-lock --no-wait base -- true
}

@test "shared and exclusive in one call: each mode option is for the ids after it" {
  run -0 template-lock -s z a -x m b -- bash -c 'for id in z a m b; do template-lock holders $id | head -n 1 | cut -f2; done; echo $SNAPFORK_LOCK_FD'
  assert_equal "$output" $'shared\nshared\nexclusive\nexclusive\n64,65,66,67'
  run -0 template-lock one -s two -- bash -c 'for id in one two; do template-lock holders $id | head -n 1 | cut -f2; done'
  assert_equal "$output" $'exclusive\nshared'
  run -0 template-lock one two --shared -- bash -c 'for id in one two; do template-lock holders $id | head -n 1 | cut -f2; done'
  assert_equal "$output" $'shared\nshared'
}

@test "--no-wait is for the ids of its mode option, and these are taken last" {
  hold src
  # Were it not only for `new`, this would be refused; were `new` taken first, it would be kept from others.
  spawn template-lock --timeout 60 --shared src --exclusive --no-wait new -- touch got
  wait_until 10 has_waiter "$locks/src.lock"
  run -0 template-lock --no-wait new -- true
  kill -KILL "${spawned[0]}"
  wait_until 10 test -e got
  hold new
  run -1 template-lock --timeout 60 --shared src --exclusive --no-wait new -- touch ran
  run -1 template-lock --no-wait --shared src --exclusive new -- touch ran
  run -1 template-lock new --no-wait -- touch ran
  [[ ! -e ran ]] || fail "the command ran"
}

@test "it waits, says so, and is served when the holder is killed" {
  hold base
  spawn_to waiting template-lock --timeout 60 base -- touch got
  wait_until 10 grep -q "waiting for 'base': held exclusively by ${spawned[0]} (tail)" waiting
  has_waiter "$locks/base.lock"
  [[ ! -e got ]] || fail "it did not wait"
  kill -KILL "${spawned[0]}"
  wait_until 10 test -e got
}

@test "a waiting exclusive is served although shared ones keep arriving" {
  hold --shared base
  spawn template-lock --timeout 60 base -- touch got
  wait_until 10 has_waiter "$locks/base.lock"
  run -1 template-lock --no-wait --shared base -- true
  assert_contains "$output" "held shared by ${spawned[0]} (tail), awaited by $spawned_pid (template-lock)"
  kill -KILL "${spawned[0]}"
  wait_until 10 test -e got
}

@test "the lock ends with the last process that inherited it, and a forgotten child is named" {
  template-lock base -- bash -c 'exec 3>&- 4>&-; tail -f /dev/null >/dev/null 2>&1 & echo $! >child'
  local child
  child=$(<child)
  spawned+=("$child")
  run -1 template-lock --no-wait base -- true
  assert_contains "$output" "held exclusively by $child (tail, left behind by "
  run -0 template-lock holders base
  local pattern="$child"$'\texclusive\t20.*Z\ttail -f /dev/null\tleft behind by [0-9]+'
  [[ $output =~ ^$pattern$ ]] || fail "no such holder"
  run -0 template-lock holders --json base
  [[ $(json .left_behind_by) =~ ^[0-9]+$ ]]
  kill -KILL "$child"
  run -0 template-lock base -- true
}

@test "a command's own descriptors 3 to 9 do not end the lock" {
  template-lock base -- bash -c 'exec 3>a 4>b 5>c 9>d; template-lock --no-wait base -- true &&
    env -u SNAPFORK_LOCK_FD template-lock --no-wait base -- true; echo $? >status'
  assert_equal "$(<status)" 1
}

@test "nested: what an inherited lock covers is not taken again, an upgrade is refused" {
  run -0 template-lock base -- template-lock --no-wait base -- template-lock --no-wait --shared base -- \
    bash -c 'echo "$SNAPFORK_LOCK_FD"'
  assert_equal "$output" 64
  run -1 template-lock --shared base -- template-lock --timeout 60 base -- touch ran
  assert_contains "$output" 'the inherited lock is shared'
  [[ ! -e ran ]] || fail "the command ran"
  run -0 template-lock b -- template-lock c -- bash -c 'echo "$SNAPFORK_LOCK_FD"'
  assert_equal "$output" 64,65
}

@test "a wrong SNAPFORK_LOCK_FD gives nothing away" {
  hold base
  for list in 0 99 x 1,2 '' -1; do
    SNAPFORK_LOCK_FD=$list run -1 template-lock --no-wait base -- true
  done
  # Open on the lock file, but not locked.
  exec {fd}<"$locks/base.lock"
  SNAPFORK_LOCK_FD=$fd run -1 template-lock --no-wait base -- true
  exec {fd}<&-
}

@test "a replaced lock file is not mistaken for the lock" {
  hold base
  spawn template-lock --timeout 60 base -- bash -c 'touch got; exec tail -f /dev/null'
  wait_until 10 has_waiter "$locks/base.lock"
  rm "$locks/base.lock"
  touch "$locks/base.lock"
  kill -KILL "${spawned[0]}"
  wait_until 10 test -e got
  run -1 template-lock --no-wait base -- true
  assert_contains "$output" "by $spawned_pid (tail)"
}

@test "ids in any order and number: sorted, deduplicated, all or nothing" {
  run -0 template-lock c a b a c -- bash -c 'for fd in ${SNAPFORK_LOCK_FD//,/ }; do readlink /proc/self/fd/$fd; done'
  assert_equal "${output//"$locks/"/}" $'a.lock\nb.lock\nc.lock'
  hold c
  run -1 template-lock --no-wait b a c -- true
  run -0 template-lock --no-wait a b -- true
}

@test "crossing orders cannot deadlock" {
  local i
  for i in 1 2 3 4; do
    spawn bash -c 'for n in {1..25}; do template-lock --timeout 60 a b c -- true &&
      template-lock --timeout 60 c b a -- true || exit; done; touch done.$0' "$i"
  done
  for i in 1 2 3 4; do wait_until 60 test -e "done.$i"; done
}

@test "nested against the order of names is refused at once instead of waited for" {
  # Each holds what the other wants: a waiting pair would stay like that until its timeout.
  mkfifo go
  spawn_to up template-lock a -- bash -c 'touch has.a; read -r <go; template-lock --timeout 60 b -- true'
  wait_until 10 test -e has.a
  run -1 template-lock b -- bash -c 'echo >go; template-lock --timeout 60 a -- true'
  assert_contains "$output" "not waited for, since the lock on 'b' is held already"
  wait_until 10 is_gone "$spawned_pid"
  assert_equal "$(<up)" ''
}

# Each holds one to three locks, then asks under them for more, down to three levels: waiting, nested, inherited,
# shared and exclusive, in any order. What would be out of order must be refused at once, and all else served:
# a circle would stay until a timeout, which is none here.
@test "waiting, inheriting and nesting at random cannot deadlock" {
  cat >nest <<'SCRIPT'
#!/bin/bash
# nest LEVEL: status 0 although a lock was refused, but not for another reason.
RANDOM=$((SEED++))
ids=() mode=
for n in 1 2 3; do
  ((n > 1 && RANDOM % 2)) || { ((RANDOM % 3)) && mode=-x || mode=-s; ids+=("$mode" "${NAMES:RANDOM % 5:1}"); }
done
export SEED
said=$( { if (($1)); then template-lock --timeout 100 "${ids[@]}" -- "$0" $(($1 - 1))
  else template-lock --timeout 100 "${ids[@]}" -- true; fi } 2>&1) && exit
case $said in
  *'not waited for, since'* | *'the inherited lock is shared'* | *'both shared and exclusive'*) exit 0 ;;
  *) printf '%s\n' "$said" >>failed; exit 1 ;;
esac
SCRIPT
  chmod +x nest
  local i
  export NAMES=abcde
  printf '# seed %d\n' "${SEED:=$RANDOM}" >&3
  for i in 1 2 3 4 5 6; do
    spawn bash -c "for ((n = 0; n < 15; n++)); do SEED=\$(($SEED + 1000 * $i + 10 * n)) ./nest 2; done; touch done.$i"
  done
  for i in 1 2 3 4 5 6; do wait_until 60 test -e "done.$i"; done
  [[ ! -e failed ]] || fail "$(<failed)"
}

@test "a program under a lock does not wait for an id before it, whoever started it" {
  make_fake_guest a
  hold a
  run -1 template-lock b -- snapshot-meta set a Name=new
  assert_contains "$output" "cannot lock 'a': held exclusively by $spawned_pid (tail); not waited for, since the lock on 'b' is held"
}

@test "many ids: the soft limit of descriptors grows, and the command has room left" {
  local ids
  mapfile -t ids < <(printf 'id%d\n' {1..500})
  (
    ulimit -Sn 128
    template-lock --shared "${ids[@]}" -- bash -c '
      tr , "\n" <<<"$SNAPFORK_LOCK_FD" | wc -l; exec {fd}</dev/null; echo "${fd:+room}"'
  ) >out
  assert_equal "$(<out)" $'500\nroom'
  (
    ulimit -n 128
    run -125 template-lock --shared "${ids[@]}" -- true
    assert_contains "$output" 'ulimit -Hn'
  )
}

@test "standard streams that are closed do not become lock files" {
  check_closed_streams template-lock base -- true
  bash -c 'exec template-lock base -- bash -c "readlink /proc/self/fd/{0,1,2} >names" <&- >&- 2>&-'
  refute_contains "$(<names)" .lock
}

@test "an id may have the name of a verb" {
  run -0 template-lock guard -- template-lock holders guard
  assert_contains "$output" $'\texclusive\t'
  run -0 template-lock seal wait -- true
}

# ---- holders, wait

@test "holders lists pid, mode, since when and command line; nobody is nothing" {
  local started
  started=$(date +%s)
  run -0 template-lock holders base
  assert_equal "$output" ''
  hold --shared base
  run -0 template-lock holders base
  local pattern="$spawned_pid"$'\tshared\t(.*)Z\ttail -f /dev/null'
  [[ $output =~ ^$pattern$ ]] || fail "no such holder"
  # Since when: after the beginning of this test, and not in the future.
  local since
  since=$(date -d "${BASH_REMATCH[1]}Z" +%s)
  ((since >= started && since <= $(date +%s)))
  run -0 template-lock --json holders base
  assert_equal "$(json '[.type, .v, .id, .pid, .mode, .left_behind_by, .command] | map(tostring) | join(" ")')" \
    "holder 1 base $spawned_pid shared null tail -f /dev/null"
  [[ $(json .since) == 20*Z ]]
  kill -KILL "$spawned_pid"
  wait_until 10 is_gone "$spawned_pid"
  # Another program that locks the same file does not say since when.
  require_cmd flock
  spawn flock --no-fork "$locks/base.lock" tail -f /dev/null
  has_holder() { template-lock holders base | grep -q $'exclusive\t-\ttail'; }
  wait_until 10 has_holder
}

@test "wait returns when the lock is free" {
  run -0 template-lock wait base --until free --timeout 0
  hold base
  run -1 template-lock wait base --timeout 0.05
  assert_contains "$output" "'base' is not free: held exclusively by $spawned_pid (tail)"
  spawn bash -c 'template-lock wait base && touch free'
  wait_until 10 has_waiter "$locks/base.lock"
  kill -KILL "${spawned[0]}"
  wait_until 10 test -e free
  run -1 template-lock base -- template-lock wait base
  assert_contains "$output" 'inherited'
}

@test "who waits for a free lock keeps nobody out" {
  hold --shared base
  spawn template-lock wait base
  wait_until 10 has_waiter "$locks/base.lock"
  run -0 template-lock --no-wait --shared base -- true
}

# ---- guard

@test "guard: a template with forks may not be deleted, demoted, restored; it says which" {
  make_fake_template base
  make_fake_fork base a1
  make_fake_fork base b7
  local intent
  for intent in delete demote restore; do
    run -1 --separate-stderr template-lock guard --for "$intent" base
    assert_equal "$output" ''
    assert_contains "$stderr" "template-lock: cannot $intent template 'base': 2 forks live (a1, b7); delete them first"
    run -1 --separate-stderr template-lock guard --for "$intent" --json base
    assert_equal "$(json '[.type, .id, .for, (.allowed | tostring), (.forks | join("+"))] | join(" ")' || true)" \
      "guard base $intent false a1+b7"
  done
}

@test "guard: without forks, and of what is no template" {
  make_fake_template base
  make_fake_guest plain
  run -0 --separate-stderr template-lock guard --for delete base
  assert_equal "$output$stderr" ''
  run -0 template-lock guard --for demote base
  run -1 template-lock guard --for restore base
  assert_contains "$output" 'demote it first'
  run -0 template-lock guard --for delete plain
  run -0 template-lock guard --for restore plain
  run -1 template-lock guard --for demote plain
  run -0 template-lock guard --for delete plain --json
  assert_equal "$output" \
    '{"type":"guard","v":1,"id":"plain","for":"delete","allowed":true,"reason":null,"forks":[],"under_way":[],"stale":[],"unreadable":[]}'
  run -1 template-lock guard --for delete nobody
  assert_contains "$output" "no such guest 'nobody'"
  SNAPFORK_ROOT=$PWD/absent run -5 template-lock guard --for delete base
}

@test "guard --for write: never a template, nor memory that others have" {
  make_fake_template base
  run -1 template-lock guard --for write base
  assert_contains "$output" "cannot write template 'base': a template is never written; demote it first"
  make_fake_guest plain
  run -0 template-lock guard --for write plain
  ln "$(memory_of plain)" "$SNAPFORK_ROOT/another"
  run -1 --separate-stderr template-lock guard --for write plain --json
  assert_contains "$stderr" 'its memory has 2 links'
  assert_contains "$stderr" "reflink-clone --unshare $(memory_of plain)"
  assert_equal "$(json '.allowed | tostring' || true)" false
  run -0 template-lock guard --for restore plain
}

@test "guard: an entry without its fork counts, and is dropped under the exclusive lock only" {
  make_fake_template base
  make_fake_fork base a1
  touch "$SNAPFORK_ROOT/guests/base/template/forks/gone"
  run -1 template-lock guard --for delete base
  assert_contains "$output" "1 fork live (a1), 1 fork under way or left over (gone); delete them first"
  run -1 --separate-stderr template-lock guard --for delete base --json
  assert_equal "$(json '[.forks, .under_way, .stale] | map(join("+")) | join(" ")')" 'a1+gone gone '
  run -1 template-lock -v guard --for delete base
  assert_contains "$output" "fork 'a1' lives"
  rm -r "$SNAPFORK_ROOT/guests/a1" "$SNAPFORK_ROOT/guests/base/template/forks/a1"
  run -1 template-lock guard --for delete base
  run -1 template-lock --shared base -- template-lock guard --for delete base
  run -1 template-lock other -- template-lock guard --for delete base
  run -0 --separate-stderr template-lock base -- template-lock guard --for delete base --json
  assert_equal "$(json '.stale | join(" ")')" gone
  run -0 template-lock guard --for delete base
}

@test "guard: unreadable metadata of a fork counts as live, even under the exclusive lock" {
  make_fake_template base
  make_fake_fork base torn
  printf '{"Id":' >"$SNAPFORK_ROOT/guests/torn/metadata.json"
  run -1 template-lock base -- template-lock guard --for delete base
  assert_contains "$output" '1 fork unreadable (torn)'
  printf '[]' >"$SNAPFORK_ROOT/guests/base/metadata.json"
  run -1 template-lock base -- template-lock guard --for demote base
  assert_contains "$output" 'it may be a template'
}

@test "guard: an index that cannot be read is 5 and not permission" {
  make_fake_template base
  rmdir "$SNAPFORK_ROOT/guests/base/template/forks"
  touch "$SNAPFORK_ROOT/guests/base/template/forks"
  run -5 template-lock base -- template-lock guard --for delete base
}

# ---- seal, unseal

@test "seal takes the write bits away, is idempotent, and unseal undoes it" {
  make_fake_guest base
  local memory
  memory=$(memory_of base)
  chmod 664 "$memory"
  run -0 --separate-stderr template-lock seal base
  assert_equal "$output$stderr" ''
  assert_equal "$(mode_of base)" 444
  run -0 --separate-stderr template-lock seal --json base
  assert_equal "$(json '[.type, .changed, .mode, .links, .lease_checked] | map(tostring) | join(" ")')" \
    'seal false 0444 1 true'
  run -0 template-lock unseal base
  assert_equal "$(mode_of base)" 644
  run -0 template-lock unseal base
  # What others could not read stays unreadable for them.
  chmod 600 "$memory"
  run -0 template-lock seal base
  assert_equal "$(mode_of base)" 400
}

@test "seal --dry-run and unseal --dry-run check, print and change nothing" {
  make_fake_guest base
  run -0 template-lock seal --dry-run base
  assert_equal "$output" "chmod 0400 $(memory_of base)"
  assert_equal "$(mode_of base)" 600
  template-lock seal base
  run -0 template-lock unseal --dry-run base
  assert_equal "$output" "chmod 0600 $(memory_of base)"
  assert_equal "$(mode_of base)" 400
}

@test "seal refuses while a writer has the memory open, and names it" {
  make_fake_guest base
  local memory
  memory=$(memory_of base)
  spawn bash -c 'exec 7>>"$0"; touch open; exec tail -f /dev/null' "$memory"
  wait_until 10 test -e open
  run -1 template-lock seal base
  assert_contains "$output" "cannot seal 'base': its memory is open for writing by $spawned_pid (tail)"
  assert_equal "$(mode_of base)" 600
  # Also when the mode says "sealed" already.
  chmod 400 "$memory"
  run -1 template-lock seal base
  kill -KILL "$spawned_pid"
  wait_until 10 is_gone "$spawned_pid"
  # Readers are welcome.
  spawn tail -f "$memory"
  run -0 template-lock seal base
}

@test "seal notices a writer that comes between proof and change of mode" {
  require_cmd strace
  make_fake_guest base
  local memory inode
  memory=$(memory_of base)
  inode=$(stat -c %i "$memory")
  # Stopped as it enters fchmod, with the lease held.
  spawn_to sealing strace -f -qq -o /dev/null -e trace=fchmod -e inject=fchmod:signal=SIGSTOP:when=1 template-lock seal base
  wait_until 10 grep -q "LEASE  ACTIVE .*:$inode " /proc/locks
  spawn bash -c ': >>"$0"' "$memory"
  wait_until 10 grep -q "LEASE  BREAKING .*:$inode " /proc/locks
  local sealer
  sealer=$(awk -v inode=":$inode\$" '$2 == "LEASE" && $6 ~ inode {print $5}' /proc/locks)
  continue_until_gone "$sealer"
  wait "${spawned[0]}" || assert_equal "$?" 1
  assert_contains "$(<sealing)" "cannot seal 'base': its memory is open for writing"
  assert_equal "$(mode_of base)" 600
}

@test "seal sees a writer that has only a mapping left" {
  require_cmd python3
  make_fake_guest base
  spawn python3 -c 'import mmap, os, signal, sys
fd = os.open(sys.argv[1], os.O_RDWR)
m = mmap.mmap(fd, 4096)
os.close(fd)
open("mapped", "w").close()
signal.pause()' "$(memory_of base)"
  wait_until 10 test -e mapped
  run -1 template-lock seal base
  assert_contains "$output" 'open for writing'
  assert_equal "$(mode_of base)" 600
}

@test "seal refuses a memory with several links unless it is sealed already" {
  make_fake_guest base
  local memory
  memory=$(memory_of base)
  ln "$memory" other-guest
  run -1 template-lock seal base
  assert_contains "$output" "reflink-clone --unshare $memory"
  assert_equal "$(mode_of base)" 600
  rm other-guest
  template-lock seal base
  ln "$memory" other-guest
  run -0 template-lock seal base
  run -1 template-lock unseal base
  assert_contains "$output" 'has 2 links'
  assert_equal "$(mode_of base)" 400
}

@test "unseal is refused for a template and while forks live" {
  make_fake_template base
  make_fake_fork base a1
  template-lock seal base
  run -1 template-lock unseal base
  assert_contains "$output" "cannot unseal template 'base': 1 fork live (a1); delete it first"
  rm -r "$SNAPFORK_ROOT/guests/a1" "$SNAPFORK_ROOT/guests/base/template/forks/a1"
  run -1 template-lock unseal base
  assert_contains "$output" 'demote it first'
  assert_equal "$(mode_of base)" 400
  printf '{}' >"$SNAPFORK_ROOT/guests/base/metadata.json"
  run -0 template-lock unseal base
}

@test "seal where there is nothing to seal" {
  run -1 template-lock seal nobody
  assert_contains "$output" "no such guest 'nobody'"
  make_fake_guest base
  rm "$(memory_of base)"
  run -1 template-lock seal base
  assert_contains "$output" "cannot seal 'base': it has no snapshot memory"
  mkdir "$(memory_of base)"
  run -4 template-lock seal base
  rmdir "$(memory_of base)"
  mkfifo "$(memory_of base)"
  run -4 template-lock seal base
  rm "$(memory_of base)"
  ln -s /etc/passwd "$(memory_of base)"
  run -5 template-lock seal base
}

@test "seal takes the lock, or uses the inherited one" {
  make_fake_guest base
  hold --shared base
  run -1 env -u SNAPFORK_LOCK_FD timeout 60 template-lock --shared base -- template-lock seal base
  assert_contains "$output" 'the inherited lock is shared'
  kill -KILL "$spawned_pid"
  run -0 template-lock base -- template-lock seal base
}

@test "seal on a filesystem without leases says so and looks for writers itself" {
  require_cmd strace
  make_fake_guest base
  local nth
  strace -o calls -e trace=fcntl template-lock seal --dry-run base
  nth=$(grep -n F_SETLEASE calls | head -n 1 | cut -d: -f1)
  run -0 strace -qq -o /dev/null -e "inject=fcntl:error=EINVAL:when=$nth" template-lock seal base
  assert_contains "$output" 'warning: cannot tell for sure that nobody writes'
  assert_equal "$(mode_of base)" 400
  template-lock unseal base
  spawn bash -c 'exec 7>>"$0"; touch open; exec tail -f /dev/null' "$(memory_of base)"
  wait_until 10 test -e open
  run -1 strace -qq -o /dev/null -e "inject=fcntl:error=EINVAL:when=$nth" template-lock seal base
  assert_contains "$output" "by $spawned_pid (tail)"
}

@test "seal killed or failing at each step leaves the memory as before or sealed" {
  require_cmd strace
  make_fake_guest base
  local call mode
  for call in fchmod fsync; do
    chmod 600 "$(memory_of base)"
    run -137 kill_at "$call" 1 template-lock seal base
    mode=$(mode_of base)
    [[ $mode == 600 || $mode == 400 ]] || fail "mode $mode"
    chmod 600 "$(memory_of base)"
    run -5 strace -qq -o /dev/null -e "inject=$call:error=EIO:when=1" template-lock seal base
    # What was not flushed is flushed by the next one, though the mode is right already.
    run -0 strace -qq -o calls -e trace=fsync template-lock seal base
    assert_contains "$(<calls)" 'fsync('
    assert_equal "$(mode_of base)" 400
  done
}
