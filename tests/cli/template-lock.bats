#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# template-lock: taking, keeping, waiting for and listing locks.
# shellcheck disable=SC2154 # output, stderr, lines and status are set by run
# shellcheck disable=SC2016 # the scripts in single quotes are for other shells
# shellcheck disable=SC2030,SC2031 # each test is a subshell of its own, on purpose
load helpers
load template-lock_helpers

setup() { lock_setup; }
teardown() { common_teardown; }

@test "template-lock: help, version, unknown options, closed streams" {
  standard_cases template-lock guard seal unseal holders wait forget
}

# ---- the wrapper

@test "template-lock runs the command with unchanged arguments and exit status" {
  run --separate-stderr -0 template-lock base -- printf '<%s>' a 'b c' '' -- '*'
  assert_equal "$output" '<a><b c><><--><*>'
  assert_equal "$stderr" ''
  run -42 template-lock base -- sh -c 'exit 42'
  run -143 template-lock base -- sh -c 'kill -TERM $$'
  # template-lock executes the command: the started process is the command itself.
  hold base
  runs_as "$spawned_pid" tail
}

@test "template-lock exits with 2 after a usage error and runs nothing" {
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

@test "template-lock exits with 126 or 127 if the command cannot be executed, and 125 if it fails itself" {
  run -127 template-lock base -- no-such-command
  assert_contains "$output" "template-lock: cannot run 'no-such-command': No such file or directory"
  run -126 template-lock base -- /
  assert_contains "$output" "cannot run '/': Permission denied"
  SNAPFORK_ROOT=$PWD/absent run -125 template-lock base -- true
  assert_contains "$output" 'set SNAPFORK_ROOT'
  mkdir -p "$locks/dir.lock"
  require_cmd strace
  run -3 strace -qq -o /dev/null -e inject=flock:error=ENOLCK template-lock base -- true
  assert_contains "$output" 'this filesystem has no locks'
}

@test "a second exclusive lock is refused with the holder; --conflict-exit-code sets the status" {
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

@test "shared locks coexist" {
  hold --shared base
  run -0 template-lock --no-wait --shared base -- true
  run -1 template-lock --no-wait base -- true
}

@test "shared and exclusive in one call: each mode option applies to the ids after it" {
  run -0 template-lock -s z a -x m b -- bash -c 'for id in z a m b; do template-lock holders $id | head -n 1 | cut -f2; done; echo $SNAPFORK_LOCK_FD'
  assert_equal "$output" $'shared\nshared\nexclusive\nexclusive\n64,65,66,67'
  run -0 template-lock one -s two -- bash -c 'for id in one two; do template-lock holders $id | head -n 1 | cut -f2; done'
  assert_equal "$output" $'exclusive\nshared'
  run -0 template-lock one two --shared -- bash -c 'for id in one two; do template-lock holders $id | head -n 1 | cut -f2; done'
  assert_equal "$output" $'shared\nshared'
}

@test "--no-wait applies to the ids of its mode option, which are taken last" {
  hold src
  # If --no-wait applied to all ids, this would be refused. If `new` were taken first, others could not take it.
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

@test "template-lock waits, reports that, and gets the lock when the holder is killed" {
  hold base
  spawn_to waiting template-lock --timeout 60 base -- touch got
  wait_until 10 grep -q "waiting for 'base': held exclusively by ${spawned[0]} (tail)" waiting
  has_waiter "$locks/base.lock"
  [[ ! -e got ]] || fail "it did not wait"
  kill -KILL "${spawned[0]}"
  wait_until 10 test -e got
}

@test "a waiting exclusive lock is granted although new shared holders keep arriving" {
  hold --shared base
  spawn template-lock --timeout 60 base -- touch got
  wait_until 10 has_waiter "$locks/base.lock"
  run -1 template-lock --no-wait --shared base -- true
  assert_contains "$output" "held shared by ${spawned[0]} (tail), awaited by $spawned_pid (template-lock)"
  kill -KILL "${spawned[0]}"
  wait_until 10 test -e got
}

@test "the lock ends with the last process that inherited it, and an orphaned child is named" {
  template-lock base -- bash -c 'exec 3>&- 4>&-; tail -f /dev/null >/dev/null 2>&1 & echo $! >child'
  local child
  child=$(<child)
  spawned+=("$child")
  run -1 template-lock --no-wait base -- true
  assert_contains "$output" "held exclusively by $child (tail, orphaned by "
  run -0 template-lock holders base
  local pattern="$child"$'\texclusive\t20.*Z\ttail -f /dev/null\torphaned by [0-9]+'
  [[ $output =~ ^$pattern$ ]] || fail "no such holder"
  run -0 template-lock holders --json base
  [[ $(json .orphaned_by) =~ ^[0-9]+$ ]]
  kill -KILL "$child"
  run -0 template-lock base -- true
}

@test "a command's own descriptors 3 to 9 do not end the lock" {
  template-lock base -- bash -c 'exec 3>a 4>b 5>c 9>d; template-lock --no-wait base -- true &&
    env -u SNAPFORK_LOCK_FD template-lock --no-wait base -- true; echo $? >status'
  assert_equal "$(<status)" 1
}

@test "a nested call uses the inherited lock, and an upgrade is refused" {
  run -0 template-lock base -- template-lock --no-wait base -- template-lock --no-wait --shared base -- \
    bash -c 'echo "$SNAPFORK_LOCK_FD"'
  assert_equal "$output" 64
  run -1 template-lock --shared base -- template-lock --timeout 60 base -- touch ran
  assert_contains "$output" 'the inherited lock is shared'
  [[ ! -e ran ]] || fail "the command ran"
  run -0 template-lock b -- template-lock c -- bash -c 'echo "$SNAPFORK_LOCK_FD"'
  assert_equal "$output" 64,65
}

@test "a wrong SNAPFORK_LOCK_FD does not count as a lock" {
  hold base
  for list in 0 99 x 1,2 '' -1; do
    SNAPFORK_LOCK_FD=$list run -1 template-lock --no-wait base -- true
  done
  # The descriptor is open on the lock file, but not locked.
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
  wait_until 10 runs_as "$spawned_pid" tail
  run -1 template-lock --no-wait base -- true
  assert_contains "$output" "by $spawned_pid (tail)"
}

@test "locks on several ids are sorted, deduplicated, and taken all or none" {
  run -0 template-lock c a b a c -- bash -c 'for fd in ${SNAPFORK_LOCK_FD//,/ }; do readlink /proc/self/fd/$fd; done'
  assert_equal "${output//"$locks/"/}" $'a.lock\nb.lock\nc.lock'
  hold c
  run -1 template-lock --no-wait b a c -- true
  run -0 template-lock --no-wait a b -- true
}

@test "two calls with ids in opposite orders cannot deadlock" {
  local i
  for i in 1 2 3 4; do
    spawn bash -c 'for n in {1..25}; do template-lock --timeout 60 a b c -- true &&
      template-lock --timeout 60 c b a -- true || exit; done; touch done.$0' "$i"
  done
  for i in 1 2 3 4; do wait_until 60 test -e "done.$i"; done
}

@test "a nested lock on an id that sorts before a held one is refused without waiting" {
  # Each holds the lock that the other needs: if both waited, they would wait until the timeout.
  mkfifo go
  spawn_to up template-lock a -- bash -c 'touch has.a; read -r <go; template-lock --timeout 60 b -- true'
  wait_until 10 test -e has.a
  run -1 template-lock b -- bash -c 'echo >go; template-lock --timeout 60 a -- true'
  assert_contains "$output" "did not wait, because the lock on 'b' is held already"
  wait_until 10 is_gone "$spawned_pid"
  assert_equal "$(<up)" ''
}

# Each process holds one to three locks and then requests more, down to three levels: waiting, nested, inherited,
# shared and exclusive, in any order. Requests out of order must be refused at once, and all others granted:
# a lock cycle would wait forever, because there is no timeout.
@test "waiting, inheriting and nesting at random cannot deadlock" {
  cat >nest <<'SCRIPT'
#!/bin/bash
# nest LEVEL: exits with 0 if a lock was refused, but not after another failure.
RANDOM=$((SEED++))
ids=() mode=
for n in 1 2 3; do
  ((n > 1 && RANDOM % 2)) || { ((RANDOM % 3)) && mode=-x || mode=-s; ids+=("$mode" "${NAMES:RANDOM % 5:1}"); }
done
export SEED
said=$( { if (($1)); then template-lock --timeout 100 "${ids[@]}" -- "$0" $(($1 - 1))
  else template-lock --timeout 100 "${ids[@]}" -- true; fi } 2>&1) && exit
case $said in
  *'did not wait, because'* | *'the inherited lock is shared'* | *'both shared and exclusive'*) exit 0 ;;
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

@test "a program under a lock does not wait for an id that sorts before the locked one" {
  make_fake_guest a
  hold a
  run -1 template-lock b -- snapshot-meta set a Name=new
  assert_contains "$output" "cannot lock 'a': held exclusively by $spawned_pid (tail); did not wait, because the lock on 'b' is held"
}

@test "a lock on many ids raises the soft limit of descriptors for the command" {
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

@test "closed standard streams do not become lock files" {
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

@test "holders lists pid, mode, time and command line; a free lock has no lines" {
  local started
  started=$(date +%s)
  run -0 template-lock holders base
  assert_equal "$output" ''
  hold --shared base
  run -0 template-lock holders base
  local pattern="$spawned_pid"$'\tshared\t(.*)Z\ttail -f /dev/null'
  [[ $output =~ ^$pattern$ ]] || fail "no such holder"
  # The time is after the beginning of this test, and not in the future.
  local since
  since=$(date -d "${BASH_REMATCH[1]}Z" +%s)
  ((since >= started && since <= $(date +%s)))
  run -0 template-lock --json holders base
  assert_equal "$(json '[.type, .v, .id, .pid, .mode, .orphaned_by, .command] | map(tostring) | join(" ")')" \
    "holder 1 base $spawned_pid shared null tail -f /dev/null"
  [[ $(json .since) == 20*Z ]]
  kill -KILL "$spawned_pid"
  wait_until 10 is_gone "$spawned_pid"
  # For another program that locks the same file, the time is not known.
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

@test "wait does not block new holders" {
  hold --shared base
  spawn template-lock wait base
  wait_until 10 has_waiter "$locks/base.lock"
  run -0 template-lock --no-wait --shared base -- true
}

# ---- forget

lock_files() { find "$locks" -mindepth 1 -printf '%f\n' | sort | paste -sd ' '; }

@test "forget removes the lock files of several ids that do not exist" {
  make_fake_guest guest
  template-lock guest gone typo -- true
  run -0 --separate-stderr template-lock forget --dry-run gone guest
  assert_equal "$output" 'would remove the lock files of gone'
  assert_equal "$stderr" "template-lock: the lock files of 'guest' are kept: the id is used"
  assert_equal "$(lock_files)" 'gone.gate gone.lock guest.gate guest.lock typo.gate typo.lock'
  run -0 --separate-stderr template-lock forget --json gone guest absent
  assert_equal "$(jq -r '[.type, .v, .id, .removed, .reason] | join(" ")' <<<"$output")" \
    $'forget 1 gone true \nforget 1 guest false the id is used\nforget 1 absent false '
  run -0 --separate-stderr template-lock -q forget typo guest
  assert_equal "$output$stderr" ''
  assert_equal "$(lock_files)" 'guest.gate guest.lock'
}

@test "forget keeps the lock files of ids in tmp and in the trash, and of locks that are held" {
  mkdir -p "$SNAPFORK_ROOT"/.snapfork/{trash/t,tmp/import.i}
  template-lock t i -- true
  hold held
  run -0 template-lock forget t i held
  assert_equal "$output" "template-lock: the lock files of 't' are kept: the id is used
template-lock: the lock files of 'i' are kept: the id is used
template-lock: the lock files of 'held' are kept: the lock is held exclusively by $spawned_pid (tail)"
  # An inherited lock counts as held: its holder must not lose it.
  run -0 template-lock mine -- sh -c 'template-lock -q forget mine && env -u SNAPFORK_LOCK_FD template-lock --no-wait mine -- touch ran || true'
  [[ ! -e ran ]] || fail "the lock was lost"
  assert_equal "$(lock_files)" 'held.gate held.lock i.gate i.lock mine.gate mine.lock t.gate t.lock'
}

@test "forget killed at any point leaves a state that the next command repairs" {
  require_cmd strace
  local nth
  for nth in 1 2; do
    template-lock gone -- true
    run ! kill_at unlinkat "$nth" template-lock forget gone
    [[ -e $locks/gone.gate ]]
    run -0 template-lock --no-wait gone -- true
    run ! kill_at unlinkat "$nth" template-lock forget gone
    run -0 snapshot-meta fsck --repair
    assert_contains "$output" "repaired: $locks/gone.lock: no guest has the id of this lock: removed"
    assert_equal "$(lock_files)" ''
  done
}

@test "forget and fsck do not follow or remove files that are not lock files" {
  mkdir -p "$locks" outside
  : >file
  ln -s "$PWD/file" "$locks/link.lock"
  ln -s "$PWD/absent" "$locks/dangling.gate"
  mkdir "$locks/dir.lock"
  mkfifo "$locks/fifo.gate"
  ln file "$locks/hard.lock"
  echo text >"$locks/text.lock"
  : >"$locks/stranger"
  local before
  before=$(find root file outside -printf '%p %y %n %s %l\n' | sort)
  run -0 template-lock forget link dangling dir fifo hard text
  assert_equal "${#lines[@]}" 6
  run -1 --separate-stderr snapshot-meta fsck --repair --json
  assert_equal "$(jq -rs 'map(select(.type == "finding") | [.outcome, .problem, .id // "-"] | join(" ")) | join(",")' <<<"$output")" \
    'left unknown_file -,left not_a_lock dangling,left not_a_lock dir,left not_a_lock fifo,left not_a_lock hard,left not_a_lock link,left not_a_lock text'
  assert_equal "$(find root file outside -printf '%p %y %n %s %l\n' | sort)" "$before"
}
