#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# docs/traps.md names the test that finds each trap: each of these tests exists, and no trap is missing.

load helpers

setup() {
  common_setup
  tests=$(realpath "$BATS_TEST_DIRNAME/..")
  list=$(realpath "$BATS_TEST_DIRNAME/../../docs/traps.md")
}
teardown() { common_teardown; }

# Prints a line "FILE<tab>NAME" for each test that the list names.
named_tests() {
  local word file=
  # shellcheck disable=SC2016 # backticks of Markdown
  while IFS= read -r word; do
    if [[ $word == '`'* ]]; then
      file=${word//\`/}
    else
      printf '%s\t%s\n' "$file" "${word//\"/}"
    fi
  done < <(grep -E '^\| .* \| `' "$list" | sed 's/^| .* | `/`/' | grep -oE '`[^`]+`|"[^"]+"')
}

# Prints the same for each test that exists.
existing_tests() {
  local file
  cd "$tests" || return 1
  for file in */*.bats; do
    sed -nE "s|^@test \"(.*)\" \\{.*|$file\t\1|p" "$file"
  done
  for file in unit/*/*_test.cc; do
    tr '\n' ' ' <"$file" | grep -oE '\bTEST(_F)?\( *\w+, *\w+\)' \
      | sed -E "s|TEST(_F)?\( *(\w+), *(\w+)\)|$file\t\2.\3|"
  done
}

@test "docs/traps.md: every test that it names exists" {
  named_tests | sort -u >named
  existing_tests | sort -u >existing
  (($(wc -l <named) > 70)) || fail "only $(wc -l <named) tests were read from the list"
  comm -23 named existing >missing
  [[ ! -s missing ]] || fail "missing:" "$(<missing)"
}

@test "docs/traps.md: every line names a test, and every test that is a trap has a line" {
  local line
  while IFS= read -r line; do
    [[ $line =~ \|\ \`[a-z0-9_/.-]+\`\ \" ]] || fail "no test: $line"
  done < <(grep '^| ' "$list" | grep -v '^| the trap')
  named_tests | sort -u >named
  existing_tests | grep -E $'\t(trap: |PagerTrapsTest\\.)' | sort -u >traps
  (($(wc -l <traps) > 20)) || fail "only $(wc -l <traps) tests are traps"
  comm -13 named traps >missing
  [[ ! -s missing ]] || fail "not named:" "$(<missing)"
}

@test "every page names the same oldest Linux" {
  local project oldest page named
  project=$(realpath "$tests/..")
  oldest=$(grep -oE 'Linux [0-9.]+ or later' "$project/README.md" | grep -oE '[0-9]+\.[0-9]+')
  assert_contains "$(<"$project/docs/pager.md")" "Linux $oldest (Debian 12) is the minimum"
  assert_contains "$(<"$project/src/pager/kernel/features.h")" "(Linux $oldest)"
  for page in "$project"/man/*.scd; do
    named=$(sed -n '/^# REQUIREMENTS/,/^# [A-Z]* *[A-Z]*$/p' "$page" | grep -oE 'Linux [0-9]+\.[0-9]+' | head -n 1) || true # a page may name none
    [[ -z $named ]] || assert_equal "${page##*/}: $named" "${page##*/}: Linux $oldest"
  done
}
