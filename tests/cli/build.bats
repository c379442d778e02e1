#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# scripts/build.sh, with which `make demo` and `make check` build.

load helpers

setup() {
  common_setup
  build=$(realpath "$BATS_TEST_DIRNAME/../../scripts/build.sh")
  mkdir objects
  # Replaces make: it records its arguments; a dry run prints what make prints for two files.
  cat >fake-make <<'MAKE'
#!/bin/sh
printf '%s\n' "$*" >>calls
case $* in *' -n '*) printf '%s\n' "printf '  %-6s %s\\n' CXX a.cc" 'cc a.cc' "printf '  %-6s %s\\n' LD a" ;; esac
MAKE
  chmod +x fake-make
  export MAKE=./fake-make BUILD_DIR=objects
  unset MAKEFLAGS
}
teardown() { common_teardown; }

@test "build.sh uses all processors and prints how many files it builds" {
  run -0 "$build" all helpers
  assert_equal "${lines[0]}" 'building (2 files)'
  assert_contains "${lines[1]}" 'built in '
  assert_equal "$(tail -n 1 calls)" "--no-print-directory -j$(nproc) STEPS=2 STEPS_FILE=objects/steps all helpers"
  [[ $(<objects/seconds) =~ ^[0-9]+$ ]]
}

@test "build.sh keeps the -j of its caller, and is silent under make -s" {
  local flags
  for flags in ' -j1' ' -j8 --jobserver-auth=3,4'; do
    MAKEFLAGS=$flags run -0 "$build" all
    assert_equal "$(tail -n 1 calls)" '--no-print-directory STEPS=2 STEPS_FILE=objects/steps all'
  done
  MAKEFLAGS='rs --output-sync=target' run -0 "$build" all
  assert_equal "$output" ''
}

@test "build.sh fails when make fails" {
  # shellcheck disable=SC2016 # for the script
  printf '%s\n' 'case $* in *STEPS=*) exit 2 ;; esac' >>fake-make
  run -2 "$build" all
}
