# SPDX-License-Identifier: Apache-2.0
# message.bash: messages, the printed form of each call, and the plan of a dry run.
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables: see scripts/snapfork

# Sets `shown` to the text with "?" for each control character, bidirectional override and byte that is not UTF-8, as
# base/utf8.h does.
printable() { # <text>
  local LC_ALL=C rest
  shown=${1//[[:cntrl:]]/?}
  [[ $shown == *[$'\x80'-$'\xff']* ]] || return 0
  shown=${shown//$'\xc2'[$'\x80'-$'\x9f']/?}
  shown=${shown//$'\xd8\x9c'/?}
  shown=${shown//$'\xe2\x80'[$'\x8e\x8f\xa8'-$'\xae']/?}
  shown=${shown//$'\xe2\x81'[$'\xa6'-$'\xa9']/?}
  rest=${shown//[$'\xc2'-$'\xdf'][$'\x80'-$'\xbf']/}
  rest=${rest//[$'\xe0'-$'\xef'][$'\x80'-$'\xbf'][$'\x80'-$'\xbf']/}
  rest=${rest//[$'\xf0'-$'\xf4'][$'\x80'-$'\xbf'][$'\x80'-$'\xbf'][$'\x80'-$'\xbf']/}
  [[ $rest != *[$'\x80'-$'\xff']* ]] || shown=${shown//[$'\x80'-$'\xff']/?}
}

fail() { # <exit status> <message>
  local shown
  printable "$2"
  printf 'snapfork: %s\n' "$shown" >&2
  fail_record "$1" "$2"
  exit "$1"
}

usage_error() { # <message>
  local shown
  printable "$1"
  printf "snapfork: %s\nsnapfork: try 'snapfork --help' for more information\n" "$shown" >&2
  if ((usage_records)) && [[ -z $errors ]]; then error_record snapfork 2 "$1"; else fail_record 2 "$1"; fi
  exit 2
}

say() { # <message>: informational
  local shown
  printable "$1"
  ((quiet || dry_run)) || printf 'snapfork: %s\n' "$shown" >&2
}

show() { # <command...>: prints the call as a line for a shell, followed by `after`
  ((verbose || dry_run)) || return 0
  local line
  [[ $1 != with*_* ]] || shift # see without_output
  printf -v line ' %q' "$@"
  local shown
  printable "$line${after:+ $after}"
  line=$shown
  if ((dry_run)); then
    plan_line "${line# }"
  else
    printf '+%s\n' "$line" >&2
  fi
}

# Without the "+ " before them, the lines of a dry run are a script that has the same effect.
plan_line() { # <text>
  local text
  if ((json)); then
    json_string text "$1"
    printf '{"type":"plan","v":1,"command":%s}\n' "$text" >&"$plan"
  else
    printf '+ %s\n' "$1" >&"$plan"
  fi
}
