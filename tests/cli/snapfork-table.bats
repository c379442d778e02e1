#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The driver's verbs and options: the table that it parses by, --help, the manual and the completion agree; and verbs that
# users add.
# shellcheck disable=SC2030,SC2031 # each test is a subshell of its own, on purpose
# shellcheck disable=SC2154 # stderr is set by run

load helpers

setup() {
  common_setup
  manual=$(realpath "$BATS_TEST_DIRNAME/../../man/snapfork.1.scd")
  completion=$(realpath "$BATS_TEST_DIRNAME/../../completions/snapfork")
  table=$(snapfork --list-options)
}
teardown() { common_teardown; }

table_verbs() {
  awk '$1 == "verb" { print $2 }' <<<"$table"
}

options_of() { # <verb>
  awk -v verb="$1" '$1 == "verb" && $2 == verb { for (i = 4; i <= NF; i++) print $i }' <<<"$table"
}

common_options() {
  awk '$1 == "common" { for (i = 2; i <= NF; i++) print $i }' <<<"$table"
}

all_options() {
  local verb
  { for verb in $(table_verbs); do options_of "$verb"; done && common_options; } | sort -u
}

value_of() { # <option>
  awk -v option="$1" '$1 == "value" && $2 == option { print $3 }' <<<"$table"
}

section() { # <heading in the manual>
  awk -v heading="# $1" '/^# / { here = $0 == heading; next } here' "$manual"
}

# Sets COMPREPLY as the completion of a command line does.
complete_words() { # <word...>: the last one is to be completed
  declare -g line=("$@")
  _init_completion() {
    # shellcheck disable=SC2034 # for the caller
    words=("${line[@]}") cword=$((${#line[@]} - 1))
    cur=${line[-1]} prev=${line[-2]}
  }
  _filedir() { COMPREPLY=(FILES); }
  # shellcheck source=completions/snapfork
  source "$completion"
  COMPREPLY=()
  _snapfork snapfork
}

@test "--help lists the verbs of the table, and for each verb its options, and no others" {
  local help verb
  help=$(snapfork --help)
  assert_equal "$(grep -oE '^  [a-z]+ ?' <<<"${help%%Common options*}" | tr -d ' ' | sort)" "$(table_verbs | sort)"
  for verb in $(table_verbs); do
    check_help snapfork "$verb"
    # -V and its like are letters of options that have a long name there.
    assert_equal "$(snapfork "$verb" --help | grep -oE '(^|[ []|; )--?[a-z-]+' | grep -oE -- '--[a-z-]+|-n' | sort -u | paste -sd ' ')" \
      "$({ options_of "$verb" && common_options; } | sort -u | paste -sd ' ')"
  done
}

@test "the manual has each verb and option of the table, with its value, and no others" {
  local verb option value synopsis
  assert_equal "$(section SYNOPSIS | sed -nE 's/^\*snapfork\* \[_options_\] \*([a-z]+)\*.*/\1/p' | sort)" "$(table_verbs | sort)"
  for verb in $(table_verbs); do
    synopsis=$(section SYNOPSIS | grep "\] \*$verb\*")
    assert_equal "$(grep -oE '\*--?[a-z-]+\*' <<<"$synopsis" | tr -d '*' | grep -vx -- -- | sort)" \
      "$(options_of "$verb" | grep -vx -e --timeout -e --wait | sort)"
  done
  section OPTIONS | grep -E '^\*-' >headings
  for option in $(all_options | grep -vx -e --state -e --memory -e --disk); do
    grep -qF "*$option*" headings || fail "not in OPTIONS: $option"
    value=$(value_of "$option")
    [[ ! $value =~ ^[A-Z] ]] || grep -qF "*$option* _${value}_" headings || fail "another value in OPTIONS: $option $value"
  done
  assert_equal "$(grep -oE '\*--[a-z-]+\*' headings | tr -d '*' | sort -u)" \
    "$(all_options | grep -vx -e --state -e --memory -e --disk -e -n)"
}

@test "the driver takes the options of the table for its verbs, and for no other verb" {
  local verb option value
  for verb in $(table_verbs); do
    for option in $(all_options | grep -vx -e --help -e --version); do
      value=$(value_of "$option")
      case $value in
        '') ;;
        *'|'*) value=${value%%|*} ;;
        *) value=1 ;;
      esac
      # An operand too many ends each call that the options would not.
      run --separate-stderr snapfork "$verb" "$option" ${value:+"$value"} '?'
      if grep -qx -- "$option" < <(options_of "$verb" && common_options); then
        refute_contains "$stderr" "the option $option is not for"
        refute_contains "$stderr" 'unknown option'
      else
        assert_equal "$status" 2
        assert_contains "$stderr" "the option $option is not for $verb"
      fi
    done
  done
}

@test "the completion offers the verbs, the options of each verb, and the words that an option takes" {
  local verb option value
  complete_words snapfork ''
  for verb in $(table_verbs); do
    [[ " ${COMPREPLY[*]} " == *" $verb "* ]] || fail "not offered: $verb"
  done
  for verb in $(table_verbs); do
    complete_words snapfork "$verb" -
    assert_equal "$(printf '%s\n' "${COMPREPLY[@]}" | sort -u)" \
      "$({ options_of "$verb" && common_options; } | sort -u)"
  done
  while read -r option value; do
    complete_words snapfork fork "$option" ''
    case $value in
      FILE* | PATH | SOCK | DIR) assert_equal "${COMPREPLY[*]}" FILES ;;
      *'|'*) assert_equal "${COMPREPLY[*]}" "${value//|/ }" ;;
      *) assert_equal "${COMPREPLY[*]}" '' ;;
    esac
  done < <(sed -n 's/^value //p' <<<"$table")
  make_fake_guest web
  complete_words snapfork fork ''
  assert_equal "${COMPREPLY[*]}" web
  complete_words snapfork import ''
  assert_equal "${COMPREPLY[*]}" ''
}

# Prints how it was started.
make_verb() { # <path>
  mkdir -p "${1%/*}"
  # shellcheck disable=SC2016 # for the script
  printf '#!/bin/sh\necho "$0" "$@"\necho "$SNAPFORK_ROOT"\nexit 7\n' >"$1"
  chmod +x "$1"
}

@test "snapfork NAME runs snapfork-NAME from the PATH, with the options before NAME first" {
  make_verb bin/snapfork-hello
  PATH=$PWD/bin:$PATH
  cd "$SNAPFORK_ROOT/.."
  SNAPFORK_ROOT=root run -7 snapfork -v --json --timeout 5 hello --bogus -- 'a b' --json
  assert_equal "${lines[0]}" "$BATS_TEST_TMPDIR/bin/snapfork-hello -v --json --timeout 5 --bogus -- a b --json"
  assert_equal "${lines[1]}" "$BATS_TEST_TMPDIR/root"
  # It is offered by the completion.
  complete_words snapfork hel
  assert_equal "${COMPREPLY[*]}" hello
}

@test "snapfork NAME prefers libexec to the PATH, and a verb of its own to both" {
  copy_driver here
  make_verb here/libexec/snapfork/snapfork-hello
  make_verb bin/snapfork-hello
  make_verb bin/snapfork-list
  PATH=$PWD/bin:$PATH
  run -7 here/snapfork hello
  assert_equal "${lines[0]}" "$PWD/here/libexec/snapfork/snapfork-hello"
  run -0 here/snapfork list
  refute_contains "$output" snapfork-list
}

@test "a NAME without a program is an unknown verb, and a path is not looked up" {
  make_verb bin/snapfork-hello
  make_verb x/y
  chmod -x bin/snapfork-hello
  PATH=$PWD/bin:$PATH
  local name
  for name in hello nothing ../x/y /x/y '*' @ 'fork run' '' -; do
    run -2 --separate-stderr snapfork "$name"
    assert_equal "$output" ''
    [[ -z $name ]] || assert_contains "$stderr" "unknown verb '$name': import, promote, demote, fork, run, restore, standby, stop, delete, export, push, pull, record, list or status is needed"
  done
}

@test "the last one of --wait and --timeout counts" {
  make_fake_guest a
  spawn template-lock a -- tail -f /dev/null
  # shellcheck disable=SC2016 # expands there
  wait_until_held a
  run -1 --separate-stderr snapfork delete --wait --timeout 0.1 a
  assert_contains "$stderr" "cannot lock 'a'"
}
