#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# template-lock --fd: locks a descriptor that the caller opened. The lock stays with the caller.
# shellcheck disable=SC2154 # output, stderr, lines and status are set by run
# shellcheck disable=SC2016 # the scripts in single quotes are for other shells
# shellcheck disable=SC2030,SC2031 # each test is a subshell of its own, on purpose
load helpers
load template-lock_helpers

setup() {
  lock_setup
  template-lock base copy -- true # makes the files
}
teardown() { common_teardown; }

# Starts a process that locks base by --fd and keeps the lock until it is killed.
keep() {
  rm -f held
  spawn bash -c 'exec {fd}<"$0" && template-lock --fd "$fd" "$1" && touch held && exec tail -f /dev/null' \
    "$locks/base.lock" base
  wait_until 10 test -e held
  wait_until 10 runs_as "$spawned_pid" tail # touch, which inherits the lock, has ended
}

refused_by_another() {
  run -1 --separate-stderr template-lock --no-wait base -- true
  assert_contains "$stderr" "$1"
}

@test "--fd: the lock stays with the caller's open file and ends when the caller closes it" {
  exec {fd}<"$locks/base.lock"
  run -0 --separate-stderr template-lock --fd "$fd" base
  assert_equal "$output$stderr" ''
  refused_by_another 'held exclusively by '
  assert_contains "$stderr" " $BASHPID ("        # among its children
  run -0 template-lock --fd "$fd" --no-wait base # the same lock again
  exec {fd}>&-
  run -0 template-lock --no-wait base -- true
  exec {fd}<"$locks/base.lock"
  run -0 template-lock --shared --fd "$fd" base
  run -0 template-lock --no-wait --shared base -- true
  refused_by_another 'held shared by'
}

@test "--fd: holders lists the caller, and a child that kept the lock of a killed caller" {
  keep
  run -0 template-lock --json holders base
  assert_equal "$(json '[.pid, .mode, .orphaned_by] | map(tostring) | join(" ")')" "$spawned_pid exclusive null"
  [[ $(json .since) == "$(date -u +%Y)"* ]]
  refused_by_another "held exclusively by $spawned_pid (tail)"
  local caller=$spawned_pid child
  kill -KILL "$caller"
  bash -c 'exec {fd}<"$0" && template-lock --timeout 60 --fd "$fd" base && exec 3>&- 4>&- && tail -f /dev/null >/dev/null 2>&1 & echo $! >caller; wait %1' \
    "$locks/base.lock" &
  spawned+=("$!")
  wait_until_held base
  wait_until 10 test -s caller
  is_tail() { child=$(pgrep -f -n 'tail -f /dev/null' -P "$(<caller)"); }
  wait_until 10 is_tail
  spawned+=("$child")
  caller=$(<caller)
  kill -KILL "$caller"
  wait_until 10 is_gone "$caller"
  run -0 template-lock --json holders base
  assert_equal "$(json '[.pid, .orphaned_by] | map(tostring) | join(" ")')" "$child $caller"
}

@test "--fd locks a file that the caller created, and marks it as checked" {
  exec {fd}>"$locks/new.lock"
  run -0 template-lock --no-wait --fd "$fd" new
  run -1 --separate-stderr template-lock --no-wait new -- true
  assert_contains "$stderr" "cannot lock 'new': held exclusively by "
  assert_contains "$stderr" " $BASHPID (" # among its children
  [[ -k $locks/new.lock && ! -s $locks/new.lock ]]
}

@test "--fd exits with 2 for a descriptor that is not open, and for a wrong command line" {
  local arguments
  for arguments in '--fd 99 base' '--fd x base' '--fd -1 base' '--fd 0' '--fd 0 --fd 1 base' '--fd 0 base copy' \
    'copy --fd 0 base' '--fd 0 base --' '--fd 0 ../x' '--fd 0 a/b' '--fd 0 base --fd 1 base' \
    '--fd 0 --shared base --fd 1 --exclusive base' '--fd 0 base --no-wait --timeout 1'; do
    # shellcheck disable=SC2086 # one word an argument
    run -2 --separate-stderr template-lock $arguments
    assert_equal "$output" ''
    assert_contains "$stderr" 'template-lock: '
  done
  run -2 --separate-stderr bash -c 'template-lock --fd 9 base 9>&-'
  assert_contains "$stderr" "bad value '9' for --fd: the number of an open descriptor is needed"
}

@test "--fd with a command: it runs under the locks, which then stay with the caller" {
  exec {fd}<"$locks/base.lock" {other}<"$locks/copy.lock"
  # shellcheck disable=SC2016
  run -3 --separate-stderr template-lock --shared --fd "$fd" base --exclusive --no-wait --fd "$other" copy -- \
    sh -c 'echo "$SNAPFORK_LOCK_FD"; template-lock --no-wait copy -- echo nested; exit 3'
  assert_equal "$output" "$fd,$other"$'\n'nested
  assert_equal "$stderr" ''
  refused_by_another 'held shared by'
  run -1 template-lock --no-wait copy -- true
  exec {other}>&-
  run -0 template-lock --no-wait copy -- true
  SNAPFORK_LOCK_FD=77 run -0 template-lock --fd "$fd" base -- sh -c 'echo "$SNAPFORK_LOCK_FD"'
  assert_equal "$output" "77,$fd"
}

@test "--fd with a command that cannot have the locks: it does not run, and the exit status is that without it" {
  hold base
  exec {fd}<"$locks/base.lock"
  run -1 --separate-stderr template-lock --no-wait --fd "$fd" base -- touch ran
  assert_contains "$stderr" "cannot lock 'base': held exclusively by "
  run -9 template-lock --conflict-exit-code 9 --no-wait --fd "$fd" base -- touch ran
  exec {fd}<"$locks/copy.lock"
  run -75 template-lock --no-wait --fd "$fd" base -- touch ran
  rm "$locks/copy.lock"
  ln -s base.lock "$locks/copy.lock"
  run -4 template-lock --no-wait --fd "$fd" copy -- touch ran
  [[ ! -e ran ]]
  rm "$locks/copy.lock"
  : >"$locks/copy.lock"
  exec {fd}<"$locks/copy.lock"
  run -0 template-lock --dry-run --fd "$fd" copy -- touch ran
  run -127 --separate-stderr template-lock --fd "$fd" copy -- no-such-program
  assert_contains "$stderr" "cannot run 'no-such-program'"
  [[ ! -e ran ]]
}

@test "--fd with a command: it ends with its caller while it waits, and not once the command runs" {
  hold base
  spawn bash -c 'exec {fd}<"$0"; template-lock --timeout 60 --fd "$fd" base -- touch ran' "$locks/base.lock"
  wait_until 10 has_waiter "$locks/base.lock"
  kill -KILL "$spawned_pid"
  no_waiter() { ! has_waiter "$locks/base.lock"; }
  wait_until 10 no_waiter
  mkfifo go
  spawn bash -c 'exec {fd}<"$0"; template-lock --fd "$fd" copy -- sh -c "touch begun; read -r _ <go; touch ran"; true' \
    "$locks/copy.lock"
  wait_until 10 test -e begun
  kill -KILL "$spawned_pid"
  wait_until 10 is_gone "$spawned_pid"
  run -1 template-lock -q --no-wait copy -- true
  [[ ! -e ran ]]
  timeout 10 bash -c 'echo >go'
  wait_until 10 test -e ran
}

@test "--fd exits with 75 for any other file, and the caller can then open the lock file" {
  local file
  mkfifo pipe
  : >"$locks/other"
  for file in /dev/null "$locks/copy.lock" "$locks/base.gate" "$locks/other" "$locks" "$PWD/pipe"; do
    if [[ -d $file ]]; then exec {fd}<"$file"; else exec {fd}<>"$file"; fi
    run -75 --separate-stderr template-lock --fd "$fd" base
    assert_contains "$stderr" "cannot lock 'base': descriptor $fd is not open on its lock file; open it again"
    run -0 template-lock --no-wait base copy -- true
    run -0 flock -n "$file" true
    exec {fd}>&-
  done
  run -75 template-lock -q --no-wait --fd 0 base </dev/null
  assert_equal "$output" ''
  # A caller can use it to make the file, and the store's own directories.
  run -75 template-lock --fd 0 new </dev/null
  [[ -f $locks/new.lock ]]
  rm -rf "$SNAPFORK_ROOT/.snapfork"
  run -75 template-lock --fd 0 new </dev/null
  exec {fd}<"$locks/new.lock"
  run -0 template-lock --fd "$fd" new
}

@test "--fd does not lock through a link, and creates nothing behind it" {
  : >"$SNAPFORK_ROOT/target"
  ln -sf "$SNAPFORK_ROOT/target" "$locks/base.lock"
  exec {fd}<"$locks/base.lock"
  run -4 --separate-stderr template-lock --fd "$fd" base
  assert_contains "$stderr" 'symbolic link'
  run -0 flock -n "$SNAPFORK_ROOT/target" true
  ln -sf "$SNAPFORK_ROOT/absent" "$locks/base.lock"
  run -4 template-lock --fd "$fd" base
  [[ ! -e $SNAPFORK_ROOT/absent ]]
  rm "$locks/base.lock"
  mkfifo "$locks/base.lock"
  exec {fd}<>"$locks/base.lock"
  run -4 --separate-stderr template-lock --fd "$fd" base
  assert_contains "$stderr" 'it is not a regular file'
}

@test "--fd exits with 75 if the file was removed or replaced before or during the wait" {
  exec {fd}<"$locks/base.lock"
  run -0 template-lock forget base
  run -75 template-lock --fd "$fd" base
  [[ -f $locks/base.lock ]] || fail "the file for the next attempt does not exist"
  hold base
  exec {fd}<"$locks/base.lock"
  spawn bash -c 'template-lock --timeout 60 --fd "$0" base; echo $? >status' "$fd"
  wait_until 10 has_waiter "$locks/base.lock"
  rm "$locks/base.lock"
  : >"$locks/base.lock"
  kill -KILL "${spawned[0]}"
  wait_until 10 test -s status
  assert_equal "$(<status)" 75
  # The removed file is not locked: the caller's descriptor would keep that lock.
  run -0 flock -n "/dev/fd/$fd" true
}

@test "--fd: a waiting caller gets the lock in turn, and a process that is killed leaves no waiter" {
  hold base
  exec {fd}<"$locks/base.lock"
  run -1 --separate-stderr template-lock --no-wait --fd "$fd" base
  assert_contains "$stderr" "cannot lock 'base': held exclusively by ${spawned[0]} (tail)"
  run -9 template-lock --timeout 0.1 -E 9 --fd "$fd" base
  run -1 template-lock --dry-run --fd "$fd" base
  # The caller is killed while template-lock waits for it.
  spawn bash -c 'exec {fd}<"$0"; template-lock --timeout 60 --fd "$fd" base' "$locks/base.lock"
  wait_until 10 has_waiter "$locks/base.lock"
  kill -KILL "$spawned_pid"
  none_waits() { ! has_waiter "$locks/base.lock"; }
  wait_until 10 none_waits
  # template-lock is killed: the exit status shows the caller that it has no lock.
  spawn bash -c 'exec {fd}<"$0"; template-lock --timeout 60 --fd "$fd" base & echo $! >helper; wait $!; echo $? >status' "$locks/base.lock"
  wait_until 10 has_waiter "$locks/base.lock"
  wait_until 10 test -s helper # written after its start
  kill -KILL "$(<helper)"
  wait_until 10 test -s status
  assert_equal "$(<status)" 137
  spawn bash -c 'exec {fd}<"$0"; template-lock --timeout 60 --fd "$fd" base && touch got && exec tail -f /dev/null' \
    "$locks/base.lock"
  wait_until 10 has_waiter "$locks/base.lock"
  kill -KILL "${spawned[0]}"
  wait_until 10 test -e got
}

@test "--fd: several ids are locked in their order, all or none" {
  exec {a}<"$locks/base.lock" {b}<"$locks/copy.lock"
  run -0 template-lock --fd "$b" --exclusive --no-wait copy --fd "$a" --shared base
  assert_equal "$(template-lock holders base | cut -f2 | sort -u) $(template-lock holders copy | cut -f2 | sort -u)" 'shared exclusive'
  exec {a}>&- {b}>&-
  hold copy
  exec {a}<"$locks/base.lock" {b}<"$locks/copy.lock"
  run -1 template-lock --fd "$b" --no-wait copy --fd "$a" base
  run -0 template-lock --no-wait base -- true
  rm "$locks/copy.lock"
  run -75 template-lock --fd "$b" copy --fd "$a" base
  run -0 template-lock --no-wait base -- true
  template-lock new -- true
  # Two callers with opposite orders do not wait for each other.
  local i
  for i in 1 2; do
    spawn bash -c 'for n in {1..20}; do
      exec {a}<"$0/base.lock" {c}<"$0/new.lock"
      if (($1 == 1)); then ids=(--fd "$a" base --fd "$c" new); else ids=(--fd "$c" new --fd "$a" base); fi
      template-lock --timeout 60 "${ids[@]}" || exit
      exec {a}>&- {c}>&-
      done; touch "done.$1"' "$locks" "$i"
  done
  for i in 1 2; do wait_until 60 test -e "done.$i"; done
}

@test "--fd: a lock that the caller inherited is not taken again, and is not upgraded" {
  run -0 template-lock base -- bash -c 'exec {fd}<"$0" && template-lock --no-wait --fd "$fd" base && flock -n "$fd" || echo refused' "$locks/base.lock"
  assert_equal "$output" refused
  run -1 template-lock --shared base -- bash -c 'exec {fd}<"$0" && template-lock --fd "$fd" base' "$locks/base.lock"
  assert_contains "$output" 'the inherited lock is shared'
}
