#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What the programs load when they start.
# shellcheck disable=SC2154 # output, stderr and status are set by run

load helpers

setup() { common_setup; }
teardown() { common_teardown; }

skip_with_sanitizers() {
  run ldd "$(type -P uffd-probe)"
  [[ $output != *san.so* ]] || skip 'programs with sanitizers are linked dynamically'
}

@test "the programs that a fork starts are linked statically" {
  skip_with_sanitizers
  local program
  for program in reflink-clone snapshot-meta template-lock uffd-ctl; do
    run ldd "$(type -P "$program")"
    assert_contains "$output" 'statically linked'
  done
}

# They would load shared libraries at run time, and so need the very glibc that they were linked with.
@test "the programs that a fork starts look up no names of users, groups or hosts" {
  skip_with_sanitizers
  require_cmd nm
  local program
  for program in reflink-clone snapshot-meta template-lock uffd-ctl; do
    nm "$(type -P "$program")" >symbols
    run -1 grep -E ' [TWtw] (getpw(nam|uid)|getgr(nam|gid)|getaddrinfo|gethostbyname)' symbols
  done
}
