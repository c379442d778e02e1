#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Concurrent commands: a template with a live fork is never deleted, and one page server is started.
# shellcheck disable=SC2154 # stderr and spawned_pid are set by run and the helpers
# shellcheck disable=SC2030,SC2031 # each test is a subshell of its own, on purpose

load helpers

readonly ROUNDS=${ROUNDS:-200}

setup() {
  require_root
}

teardown() {
  drop_store
}

# Restores a deleted template from a copy, because making one takes longer than the race.
make_template_to_race_for() {
  make_store xfs
  make_template
  cp -a --reflink=always "$SNAPFORK_ROOT/guests/base" "$SNAPFORK_ROOT/base.copy"
}

# Tries repeatedly, and once more when the forks are done.
delete_base() {
  until [[ -e $BATS_TEST_TMPDIR/forks-done ]]; do
    ! snapfork -q delete base || return 0
  done
  snapfork -q delete base
}

# Runs three forks and a delete of their template in any order, then checks the result.
one_round() { # <number>
  local who live=0 deleter forkers=()
  rm -f "$BATS_TEST_TMPDIR/forks-done"
  [[ -e $SNAPFORK_ROOT/guests/base ]] \
    || cp -a --reflink=always "$SNAPFORK_ROOT/base.copy" "$SNAPFORK_ROOT/guests/base"
  for who in $(shuf -e 1 2 3 delete); do
    if [[ $who == delete ]]; then
      delete_base &
      deleter=$!
    else
      snapfork -q fork --backend file base "f$who" &
      forkers+=("$!")
    fi
  done >/dev/null 2>&1
  wait "${forkers[@]}" || true
  : >"$BATS_TEST_TMPDIR/forks-done"
  wait "$deleter" || true
  for who in 1 2 3; do
    [[ ! -e $SNAPFORK_ROOT/guests/f$who ]] || ((live += 1))
  done
  if [[ ! -e $SNAPFORK_ROOT/guests/base ]]; then
    ((deleted += 1))
    ((live == 0)) || fail "round $1: $live live forks of a deleted template"
    return
  fi
  ((forked += live)) || true
  ((live == 0)) || (cd "$SNAPFORK_ROOT/guests" && snapfork -q delete f?) || fail "round $1: delete of the forks ended with $?"
}

race() { # <rounds>
  local round
  deleted=0 forked=0
  for ((round = 1; round <= $1; round++)); do
    one_round "$round" || return 1
  done
}

@test "delete that races three forks never removes their template" {
  make_template_to_race_for
  race "$ROUNDS"
  printf '# %d rounds: %d forks made, the template deleted %d times\n' "$ROUNDS" "$forked" "$deleted" >&3
  ((forked > 0 && deleted > 0))
  [[ -z $(find "$SNAPFORK_ROOT"/.snapfork/{tmp,trash} -mindepth 1) ]]
}

# The driver calls the guard before it moves the guest, and trash calls it again.
@test "delete that races three forks removes their template if the guard allows everything" {
  make_template_to_race_for
  mkdir "$BATS_TEST_TMPDIR/bin"
  # shellcheck disable=SC2016 # for the shell that runs it
  printf '#!/bin/bash\n[[ $1 != guard ]] || exit 0\nexec %s "$@"\n' "$(type -P template-lock)" \
    >"$BATS_TEST_TMPDIR/bin/template-lock"
  cat >"$BATS_TEST_TMPDIR/bin/snapshot-meta" <<STAND_IN
#!/bin/bash
[[ "\$1 \$2" != "trash --dry-run" ]] || exit 0
[[ \$1 == trash && \$2 == base ]] || exec $(type -P snapshot-meta) "\$@"
mkdir -p "\$SNAPFORK_ROOT/.snapfork/trash"
mv "\$SNAPFORK_ROOT/guests/base" "\$SNAPFORK_ROOT/.snapfork/trash/base"
printf '%s\t\n' "\$SNAPFORK_ROOT/.snapfork/trash/base"
STAND_IN
  chmod +x "$BATS_TEST_TMPDIR"/bin/*
  PATH=$BATS_TEST_TMPDIR/bin:$PATH run race 100 # ends with the first race that is lost
  assert_equal "$status" 1
  assert_contains "$output" 'live forks of a deleted template'
}

# Makes and deletes one id repeatedly. The process that made it owns it until it deletes it: no other process can make it.
own_and_delete() { # <name> <rounds>
  local round status
  for ((round = 0; round < $2; round++)); do
    status=0
    snapfork -q fork --backend file base x >/dev/null 2>"said.$1" || status=$?
    if ((status == 1)); then continue; fi
    if ((status)) || ! mkdir owned; then printf '%s: fork %d: %s\n' "$1" "$status" "$(<"said.$1")" >>wrong; fi
    rmdir owned
    : >>"made.$1"
    snapfork -q delete --timeout 60 x 2>"said.$1" || printf '%s: delete %d: %s\n' "$1" $? "$(<"said.$1")" >>wrong
  done
  : >"done.$1"
}

@test "fork and delete of one id by three processes run one at a time, and leave no lock file" {
  make_store xfs
  make_template
  cd "$BATS_TEST_TMPDIR"
  local i
  for i in 1 2 3; do
    own_and_delete "$i" "$((ROUNDS / 10))" 3>&- 4>&- &
    spawned+=($!)
  done
  for i in 1 2 3; do wait_until 200 test -e "done.$i"; done
  [[ ! -e wrong ]] || fail "$(<wrong)"
  compgen -G 'made.*' >/dev/null
  # A refused fork may leave lock files; no other command is needed to remove them.
  snapshot-meta fsck --repair >/dev/null
  assert_equal "$(ls "$SNAPFORK_ROOT/.snapfork/locks")" $'base.gate\nbase.lock'
  assert_equal "$(snapshot-meta forks base)" ''
}

@test "delete removes the lock files of its ids and of leftovers, but keeps those of an outer template-lock" {
  make_store xfs
  make_template
  snapfork -q fork --backend file -n 3 base >"$BATS_TEST_TMPDIR/forks"
  mapfile -t ids < <(jq -r .id "$BATS_TEST_TMPDIR/forks")
  snapfork -q fork --backend file base kept >/dev/null
  snapfork -q delete "${ids[@]}"
  mkdir "$SNAPFORK_ROOT/.snapfork/tmp/fork.left"
  snapfork -q delete left
  assert_equal "$(cd "$SNAPFORK_ROOT/.snapfork/locks" && echo *)" 'base.gate base.lock kept.gate kept.lock'
  # shellcheck disable=SC2016 # for the shell under the lock
  template-lock kept -- bash -c 'snapfork -q delete kept && ! env -u SNAPFORK_LOCK_FD template-lock --no-wait kept -- true' 2>/dev/null
  assert_equal "$(cd "$SNAPFORK_ROOT/.snapfork/locks" && echo *)" 'base.gate base.lock kept.gate kept.lock'
  template-lock -q forget kept
  snapfork -q delete base
  assert_equal "$(ls "$SNAPFORK_ROOT/.snapfork/locks")" ''
}

@test "first fork starts a page server, it exits after the last delete, and two forks at once start one" {
  make_store xfs
  make_template
  local i starters=()
  for i in 1 2 3 4; do
    snapfork -q fork --backend uffd base "f$i" >"$BATS_TEST_TMPDIR/record.$i" 3>&- 4>&- &
    starters+=($!)
  done
  wait "${starters[@]}" # without operands, wait would also wait for the runner's time limit
  wait_until 10 has_one_keeper
  local pid
  pid=$(uffd-ctl health | jq .keeper.pid)
  run -0 uffd-ctl sessions
  ((${#lines[@]} == 4))
  for i in 1 2 3 4; do
    [[ -S $(jq -r .uffd_socket_path "$BATS_TEST_TMPDIR/record.$i") ]]
  done
  snapfork -q delete f1 f2 f3
  pager_pids | grep -qx "$pid"
  snapfork -q delete f4
  wait_until 10 no_pager
  snapfork -q delete base
  assert_nothing_left
}

@test "page server holds no lock, no directory and no descriptor of its starter" {
  make_store xfs
  make_template
  exec {mine}<"$SNAPFORK_ROOT"
  snapfork -q fork --backend uffd base f >/dev/null
  exec {mine}<&-
  local pid keeper
  keeper=$(uffd-ctl health | jq .keeper.pid)
  for pid in "$keeper" "$(serving_pid)"; do
    run -0 find "/proc/$pid/fd" -lname "$SNAPFORK_ROOT/.snapfork/*" -o -lname "$SNAPFORK_ROOT"
    assert_equal "$output" ''
    assert_equal "$(readlink "/proc/$pid/cwd")" /
    assert_equal "$(ps -o sid= -p "$pid" | tr -d ' ')" "$keeper"
  done
  run -0 template-lock holders base
  assert_equal "$output" ''
  snapfork -q delete f base
  assert_nothing_left
}

@test "after a page server was killed, status names the guests that hang, and the next fork gets a new one" {
  export SNAPFORK_KEEPER=0 # by design
  make_store xfs
  make_template
  snapfork -q fork --backend uffd -n 2 base >"$BATS_TEST_TMPDIR/forks"
  local socket id other vmm
  { read -r id socket && read -r other _; } < <(jq -r '"\(.id) \(.uffd_socket_path)"' "$BATS_TEST_TMPDIR/forks")
  hold_vmm "$socket"
  run -0 snapfork status
  assert_contains "$output" "$id"
  kill -KILL "$(pager_pids)"
  wait_until 10 no_pager
  run -1 snapfork status
  assert_contains "$output" "$id hangs: pid $vmm "
  refute_contains "$output" "$other"
  run -1 snapfork --json status
  assert_equal "$(json 'select(.type == "hang") | .pid')" "$vmm"
  kill -KILL "$vmm"
  wait_until 10 is_gone "$vmm"
  run -0 snapfork status
  run -0 --separate-stderr snapfork fork --backend uffd base after
  run -0 uffd-probe --socket "$(field .uffd_socket_path)" --mem "$SNAPSHOT/memory" --pages 100
  snapfork -q delete "$id" "$other" after base
  assert_nothing_left
}

@test "fork whose page server does not start leaves nothing" {
  make_store xfs
  make_template
  local before
  before=$(store_listing)
  mkdir "$BATS_TEST_TMPDIR/bin"
  printf '#!/bin/bash\necho "uffd-serve: no userfaultfd here" >&2\nexit 3\n' >"$BATS_TEST_TMPDIR/bin/uffd-keeper"
  chmod +x "$BATS_TEST_TMPDIR/bin/uffd-keeper"
  PATH=$BATS_TEST_TMPDIR/bin:$PATH run -5 --separate-stderr snapfork fork --backend uffd -n 3 base
  assert_equal "$output" ''
  assert_contains "$stderr" 'no userfaultfd here'
  assert_equal "$(store_listing)" "$before"
}
