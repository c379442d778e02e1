#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What fish and zsh offer after the Tab key. tests/cli/snapfork-table.bats tests the completion of bash.

load helpers

setup() {
  common_setup
  sources=$(realpath "$BATS_TEST_DIRNAME/../..")
  mkdir "$SNAPFORK_ROOT"/guests/{base,other}
}
teardown() { common_teardown; }

# Prints what fish offers for a line.
fish_offers() { # <line>
  command -v fish >/dev/null || skip "fish is not installed"
  # As `make install` does: one file with the names of all programs.
  local program=${1%% *}
  [[ -e $program.fish ]] || ln -s "$sources/completions/snapfork.fish" "$program.fish"
  HOME=$PWD fish --no-config -c "source $program.fish; complete -C '$1'"
}

zsh_offers() { # <line>
  command -v zsh >/dev/null || skip "zsh is not installed"
  HOME=$PWD zsh -f "$sources/tests/cli/completions_zsh.zsh" "$sources/completions" "$1"
}

@test "fish offers verbs, their options, and guests" {
  run -0 fish_offers 'snapfork '
  for verb in import promote fork run delete list; do assert_contains "$output" "$verb"; done
  run -0 fish_offers 'snapfork fork --'
  assert_contains "$output" "--backend"
  assert_contains "$output" "--json"
  refute_contains "$output" "--memory"
  run -0 fish_offers 'snapfork delete '
  assert_contains "$output" "base"
  assert_contains "$output" "other"
  run -0 fish_offers 'snapfork list '
  refute_contains "$output" "other"
}

@test "fish offers the options and verbs of the programs, with what they do" {
  run -0 fish_offers 'uffd-serve --wi'
  assert_contains "$output" "--window"$'\t'"$(uffd-serve --help | sed -nE 's/^ *--window [^ ]+ +//p')"
  run -0 fish_offers 'snapshot-meta own'
  assert_contains "$output" "own-paths"
}

@test "zsh offers verbs, their options, and guests" {
  run -0 zsh_offers 'snapfork '
  for verb in import promote fork run delete list; do assert_contains "$output" "$verb"; done
  run -0 zsh_offers 'snapfork fork --'
  assert_contains "$output" "--backend"
  assert_contains "$output" "--json"
  refute_contains "$output" "--memory"
  run -0 zsh_offers 'snapfork delete '
  assert_contains "$output" "base"
  assert_contains "$output" "other"
}

@test "zsh offers the options and verbs of the programs, with what they do" {
  run -0 zsh_offers 'uffd-serve --w'
  assert_contains "$output" "--window"
  assert_contains "$output" "pages to install around a fault"
  run -0 zsh_offers 'snapshot-meta ve'
  assert_contains "$output" "check that the parts of a guest agree"
}

@test "the zsh completion names every program" {
  local main
  for main in "$sources"/src/*/*-*.cc; do # these hold a main()
    main=${main##*/}
    grep -qE "^#compdef .*\\b${main%.cc}\\b" "$sources/completions/_snapfork" || fail "${main%.cc} is missing"
  done
}
