#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What a crash in each step of snapshot-meta's flows leaves. The command is killed before each call that changes a file.
# shellcheck disable=SC2154,SC2317,SC2030,SC2031 # output, stderr and lines are set by run; at_each_crash calls by name
load helpers
load snapshot-meta_helpers

setup() { common_setup; }
teardown() { common_teardown; }

# Runs the command repeatedly and kills it at each call of each kind in turn.
at_each_crash() { # <prepare> <check> <command>...
  local prepare=$1 check=$2 call n status
  shift 2
  for call in rename,renameat2 unlink,unlinkat mkdir fsync linkat; do
    for ((n = 1; n <= 60; ++n)); do
      rm -rf "$SNAPFORK_ROOT"
      mkdir -p "$SNAPFORK_ROOT/guests"
      "$prepare"
      status=0
      kill_at "$call" "$n" "$@" >out 2>&1 || status=$?
      "$check" "$status" || fail "killed before $call number $n (status $status): $(cat out)"
      if ((status == 0)); then break; fi
      ((status == 137)) || fail "killed before $call number $n: status $status: $(cat out)"
    done
  done
}

@test "init killed at any system call leaves no guest or a whole guest" {
  require_cmd strace
  check() {
    if [[ -e $(guest_dir a) ]]; then
      [[ $(snapshot-meta state a) == Standby ]]
    else
      [[ -e state && -e memory ]] && snapshot-meta init a --state state --memory memory \
        && [[ $(snapshot-meta state a) == Standby ]]
    fi
  }
  at_each_crash make_snapshot check snapshot-meta init a --state state --memory memory
}

@test "promote or demote killed at any system call leaves Standby or Template, and the next call finishes" {
  require_cmd strace
  standby() { init_guest a && chmod a-w "$(memory_of a)"; }
  promoted() {
    if [[ $(snapshot-meta state a) == Template ]]; then
      [[ $(snapshot-meta verify --deep a) == ok ]] || return
    else
      [[ $(snapshot-meta state a) == Standby ]] && snapshot-meta promote a || return
    fi
    [[ $(snapshot-meta verify --deep a) == ok ]]
  }
  at_each_crash standby promoted snapshot-meta promote a
  template() { init_template a; }
  demoted() {
    if [[ $(snapshot-meta state a) == Template ]]; then
      [[ $(snapshot-meta verify --deep a) == ok ]] && snapshot-meta demote a || return
    fi
    [[ $(snapshot-meta state a) == Standby ]] && snapshot-meta promote a && [[ $(snapshot-meta verify --deep a) == ok ]]
  }
  at_each_crash template demoted snapshot-meta demote a
}

@test "fork killed at any system call leaves no uncounted fork, and fsck removes all leftovers" {
  require_cmd strace
  finish() {
    local id
    for id in f g; do
      if [[ -e $(guest_dir "$id") ]]; then
        [[ $(snapshot-meta verify "$id") == ok ]] && grep -qx "$id" <(snapshot-meta forks a) || return
        if snapshot-meta demote a 2>/dev/null; then return 1; fi
        snapshot-meta trash "$id" >/dev/null || return
      fi
    done
    snapshot-meta fork-end a f g && snapshot-meta demote a && [[ $(snapshot-meta state a) == Standby ]] \
      && [[ -z $(find "$SNAPFORK_ROOT/.snapfork/tmp" -mindepth 1) ]]
  }
  template() { init_template a; }
  at_each_crash template finish snapshot-meta fork-begin a f g
  begun() {
    init_template a
    snapshot-meta fork-begin a f g >/dev/null
    clone a f link
    clone a g link
  }
  at_each_crash begun finish snapshot-meta fork-publish a f g
}

@test "set killed at any system call leaves the old value or the new value" {
  require_cmd strace
  guest() { init_guest a && snapshot-meta set a Key=old; }
  check() { [[ $(snapshot-meta get a Key) == @(old|new) ]] && snapshot-meta set a Key=third; }
  at_each_crash guest check snapshot-meta set a Key=new
}
