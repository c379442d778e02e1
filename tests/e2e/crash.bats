#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# kill -9 at each change that a flow makes: the next command understands what is left.

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

# A fork exists, then it is whole and keeps its template alive; or it does not, then it can be made. In the
# end nothing of it is left.
fork_is_understood() {
  snapfork list >/dev/null || return
  if [[ -e $SNAPFORK_ROOT/guests/f ]]; then
    is_live_fork && snapshot-meta verify f >/dev/null || return
  else
    snapfork fork "${back_end[@]}" base f >/dev/null || return
  fi
  local refused=0
  snapfork delete base 2>/dev/null || refused=$?
  ((refused == 1)) || fail "delete base: $refused with a live fork" || return
  snapfork -q delete f || return
  assert_equal "$(store_listing)" "$baseline" && sessions_are_as_before
}

# Whoever had a session before has it, nobody else; without one there is no page server, or it is about to leave.
sessions_are_as_before() {
  [[ -n $sessions ]] || wait_until 10 no_pager || return
  assert_equal "$(uffd-ctl sessions 2>/dev/null | cut -d@ -f1)" "$sessions"
}

# The same, but the id is never used again: to delete it, or its template, is enough.
rest_goes_with_the_template() {
  if [[ -e $SNAPFORK_ROOT/guests/f ]]; then snapfork -q delete f || return; fi
  snapfork -q demote base || return
  snapfork -q promote base || return
  assert_equal "$(store_listing)" "$baseline"
}

fork_exists() {
  [[ -e $SNAPFORK_ROOT/guests/f ]] || snapfork -q fork "${back_end[@]}" base f >/dev/null
}

# The fork is as it was, or it is gone and the rest goes with the next delete.
delete_is_understood() {
  local status=0
  snapfork list >/dev/null || return
  if [[ -e $SNAPFORK_ROOT/guests/f ]]; then
    is_live_fork && snapshot-meta verify f >/dev/null || return
    snapfork -q delete f || return
  else
    snapfork -q delete f 2>/dev/null || status=$? # 1: nothing was left to do
    ((status <= 1)) || fail "delete f: $status" || return
  fi
  assert_equal "$(store_listing)" "$baseline" && sessions_are_as_before
}

# From here on forks have sessions: of a page server that runs already, for the fork `other`.
with_page_server() {
  snapfork -q fork base other >/dev/null
  baseline=$(store_listing)
  back_end=(--backend uffd)
  sessions=other
}

@test "fork: everything killed at each change; the same fork is made, then deleted" {
  KILL_ALL=1 at_each_place nothing_to_prepare fork_is_understood snapfork fork --backend file base f
}

@test "fork: everything killed at each change; what is left goes when the template is changed" {
  KILL_ALL=1 at_each_place nothing_to_prepare rest_goes_with_the_template snapfork fork --backend file base f
}

@test "fork: each program killed alone; the driver takes back what there is" {
  KILL_ALL='' at_each_place nothing_to_prepare fork_is_understood snapfork fork --backend file base f
}

@test "delete: everything killed at each change; the next delete goes on" {
  KILL_ALL=1 at_each_place fork_exists delete_is_understood snapfork delete f
}

@test "delete: each program killed alone; the next delete goes on" {
  KILL_ALL='' at_each_place fork_exists delete_is_understood snapfork delete f
}

@test "the driver killed at each step of fork and delete: the step goes on alone, then the next command" {
  at_each_step nothing_to_prepare fork_is_understood snapfork fork --backend file base f
  at_each_step fork_exists delete_is_understood snapfork delete f
}

@test "fork and delete with a session: everything killed at each change and each message to the page server" {
  with_page_server
  KILL_ALL=1 at_each_place nothing_to_prepare fork_is_understood snapfork fork base f
  KILL_ALL=1 at_each_place fork_exists delete_is_understood snapfork delete f
}

@test "fork and delete with a session: each call to the page server killed alone" {
  with_page_server
  # shellcheck disable=SC2034 # of places
  only=uffd-ctl
  KILL_ALL='' at_each_place nothing_to_prepare fork_is_understood snapfork fork base f
  KILL_ALL='' at_each_place fork_exists delete_is_understood snapfork delete f
}

@test "the driver killed at each step of fork and delete with a session" {
  with_page_server
  at_each_step nothing_to_prepare fork_is_understood snapfork fork base f
  at_each_step fork_exists delete_is_understood snapfork delete f
}

@test "the driver killed at each step of the fork that starts the page server" {
  back_end=(--backend uffd)
  at_each_step nothing_to_prepare fork_is_understood snapfork fork base f
}
