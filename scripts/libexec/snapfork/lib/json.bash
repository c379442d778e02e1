# SPDX-License-Identifier: Apache-2.0
# json.bash: JSON strings, the record of a failure, and a whole call with --json.
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables: see scripts/snapfork

readonly code_names=('' no usage unsupported bad_data system)

json_string() { # <variable> <text>: sets it to the text as a JSON string, quotes included
  local escaped=${2//\\/\\\\}
  escaped=${escaped//\"/\\\"}
  printf -v "$1" '"%s"' "${escaped//[[:cntrl:]]/?}"
}

# A record that cannot be written does not change the exit status: the caller still has the status, and the message on
# standard error.
error_record() { # <program> <exit status> <message>
  local program message
  json_string program "$1"
  json_string message "$3"
  printf '{"type":"error","v":1,"program":%s,"exit_code":%d,"code":"%s","message":%s}\n' \
    "$program" "$2" "${code_names[$2]-unknown}" "$message" 2>/dev/null || true
}

# Runs the same call without --json, and makes a record of its message if it fails.
with_error_record() { # <arguments...>
  local out said line message='' status=0
  exec {out}>&1
  child_undoes=1
  ask said snapfork_to "$out" "$@" || status=$?
  [[ -z $said ]] || printf '%s\n' "$said" >&2
  if ((status)); then
    # The last refusal is the reason; lines before it are informational, for example about a wait.
    while IFS= read -r line; do
      [[ $line != [a-z]*': cannot '* && ($line != [a-z]*': '* || $message == *': cannot '* || $line == *': try '*) ]] \
        || [[ $line == *': warning: '* ]] || message=$line
    done <<<"$said"
    error_record "${message%%: *}" "$status" "${message#*: }"
  elif ((!dry_run)) && [[ $verb == @(import|promote|demote|delete) ]]; then
    printf "{\"type\":\"$verb\",\"v\":1,\"id\":\"%s\"}\n" "${operands[@]}" 2>/dev/null \
      || fail 5 "cannot write 'standard output'"
  fi
  exit "$status"
}

snapfork_to() { # <descriptor for standard output> <arguments...>: messages go to standard output
  local out=$1
  exec "$BASH" "$self" "${@:2}" 2>&1 >&"$out" {out}>&-
}
