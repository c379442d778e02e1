#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# debian/ agrees with the sources.

load helpers

setup() {
  common_setup
  sources=$(realpath "$BATS_TEST_DIRNAME/../..")
}
teardown() { common_teardown; }

@test "the Debian package has the version of the programs" {
  run -0 sed -nE '1s/.*\((.*)\).*/\1/p' "$sources/debian/changelog"
  assert_equal "snapfork $output" "$(snapfork --version)"
}

@test "the Debian package is built with what scripts/bootstrap installs" {
  # g++ and make belong to build-essential, which each Debian package may use.
  run -0 "$sources/scripts/bootstrap" --list build
  local wanted
  wanted=$(grep -vxE 'g\+\+|make' <<<"$output")
  run -0 sed -nE '/^Build-Depends:/,/^$/s/^(Build-Depends:)? *([a-z][a-z0-9+-]*)[^,]*,?$/\2/p' "$sources/debian/control"
  assert_equal "$(grep -v '^debhelper' <<<"$output" | sort)" "$wanted"
}

@test "the lintian overrides name the programs that are linked statically" {
  run -0 sed -n 's/^STATIC *?= *//p' "$sources/Makefile"
  local wanted
  wanted=$(tr ' ' '\n' <<<"$output" | sort)
  run -0 sed -nE 's|^snapfork: shared-library-lacks-prerequisites \[usr/bin/(.*)\]$|\1|p' "$sources/debian/snapfork.lintian-overrides"
  assert_equal "$(sort <<<"$output")" "$wanted"
}
