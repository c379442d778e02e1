#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# kill -9 at each change that a flow makes: the next command handles what is left.

load helpers
load crash_helpers

setup() {
  require_root
  require_cmd strace
  make_store xfs
  make_template
  make_stand_ins
  baseline=$(store_listing)
  back_end=(--backend file)
  sessions=''
  set +T # the trace of bats takes longer than the programs
}

teardown() {
  drop_store
}

nothing_to_prepare() { :; }

is_live_fork() {
  [[ $(snapshot-meta get f ForkOfTemplate) == base ]]
}

# If the fork exists, it is complete and its template cannot be deleted; otherwise it can be made. At the end nothing
# of it is left.
fork_is_understood() {
  snapfork list >/dev/null || return
  if [[ -e $SNAPFORK_ROOT/guests/f ]]; then
    is_live_fork && snapshot-meta verify f >/dev/null || return
  else
    snapfork fork --backend uffd "${back_end[@]}" base f >/dev/null || return
  fi
  local refused=0
  snapfork delete base 2>/dev/null || refused=$?
  ((refused == 1)) || fail "delete base: $refused with a live fork" || return
  snapfork -q delete f || return
  assert_equal "$(store_listing)" "$baseline" && sessions_are_as_before
}

# The sessions are those that existed before. Without a session no page server runs, or it is about to exit.
sessions_are_as_before() {
  [[ -n $sessions ]] || wait_until 10 no_pager || return
  assert_equal "$(uffd-ctl sessions 2>/dev/null | cut -d@ -f1)" "$sessions"
}

# The same, but the id is not used again: deleting it, or its template, removes everything.
rest_goes_with_the_template() {
  if [[ -e $SNAPFORK_ROOT/guests/f ]]; then snapfork -q delete f || return; fi
  snapfork -q demote base || return
  snapfork -q promote base || return
  assert_equal "$(store_listing)" "$baseline"
}

fork_exists() {
  [[ -e $SNAPFORK_ROOT/guests/f ]] || snapfork -q fork --backend uffd "${back_end[@]}" base f >/dev/null
}

# The fork is unchanged, or it does not exist and the next delete removes the rest.
delete_is_understood() {
  local status=0
  snapfork list >/dev/null || return
  if [[ -e $SNAPFORK_ROOT/guests/f ]]; then
    is_live_fork && snapshot-meta verify f >/dev/null || return
    snapfork -q delete f || return
  else
    snapfork -q delete f 2>/dev/null || status=$? # 1: no such guest
    ((status <= 1)) || fail "delete f: $status" || return
  fi
  assert_equal "$(store_listing)" "$baseline" && sessions_are_as_before
}

# From here on forks have sessions, at a page server that runs already for the fork `other`.
with_page_server() {
  snapfork -q fork --backend uffd base other >/dev/null
  baseline=$(store_listing)
  back_end=(--backend uffd)
  sessions=other
}

@test "fork killed with all its processes at each change: the same fork can be made, then deleted" {
  KILL_ALL=1 at_each_place nothing_to_prepare fork_is_understood snapfork fork --backend file base f
}

@test "fork killed with all its processes at each change: deleting the template removes what is left" {
  KILL_ALL=1 at_each_place nothing_to_prepare rest_goes_with_the_template snapfork fork --backend file base f
}

@test "fork with each program killed alone: the driver removes what was made" {
  KILL_ALL='' at_each_place nothing_to_prepare fork_is_understood snapfork fork --backend file base f
}

@test "delete killed with all its processes at each change: the next delete finishes" {
  KILL_ALL=1 at_each_place fork_exists delete_is_understood snapfork delete f
}

@test "delete with each program killed alone: the next delete finishes" {
  KILL_ALL='' at_each_place fork_exists delete_is_understood snapfork delete f
}

@test "driver killed at each step of fork and delete: the step ends, then the next command finishes" {
  at_each_step nothing_to_prepare fork_is_understood snapfork fork --backend file base f
  at_each_step fork_exists delete_is_understood snapfork delete f
}

@test "fork and delete with a session killed at each change and each message to the page server: the next command finishes" {
  with_page_server
  KILL_ALL=1 at_each_place nothing_to_prepare fork_is_understood snapfork fork --backend uffd base f
  KILL_ALL=1 at_each_place fork_exists delete_is_understood snapfork delete f
}

@test "fork and delete with each call to the page server killed alone: the next command finishes" {
  with_page_server
  # shellcheck disable=SC2034 # of places
  only=uffd-ctl
  KILL_ALL='' at_each_place nothing_to_prepare fork_is_understood snapfork fork --backend uffd base f
  KILL_ALL='' at_each_place fork_exists delete_is_understood snapfork delete f
}

@test "driver killed at each step of fork and delete with a session: the next command finishes" {
  with_page_server
  at_each_step nothing_to_prepare fork_is_understood snapfork fork --backend uffd base f
  at_each_step fork_exists delete_is_understood snapfork delete f
}

@test "driver killed at each step of the fork that starts the page server: the next command finishes" {
  back_end=(--backend uffd)
  at_each_step nothing_to_prepare fork_is_understood snapfork fork --backend uffd base f
}
