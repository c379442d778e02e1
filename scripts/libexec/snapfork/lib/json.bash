# SPDX-License-Identifier: Apache-2.0
# json.bash: JSON strings, and the record of a failure.
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables: see scripts/snapfork

readonly code_names=('' no usage unsupported bad_data system) # as exit_code_name in base/error.cc

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

# With --json, the exit trap prints one record for the failure of this process. Each program of snapfork, and this
# process, writes its record to the pipe SNAPFORK_ERROR_FD; the record of the step that ended the flow is the one.
collect_errors() {
  local pipe
  open_pipe pipe
  exec {errors}<>"/dev/fd/$pipe" {pipe}<&-
  export SNAPFORK_ERROR_FD=$errors
}

# The record of a failure of this process. Its caller collects it, or it goes to standard output.
fail_record() { # <exit status> <message>
  if [[ -n ${SNAPFORK_ERROR_FD-} && -p /dev/fd/$SNAPFORK_ERROR_FD ]]; then
    error_record snapfork "$1" "$2" >&"$SNAPFORK_ERROR_FD"
    first_error=''
  fi
  if ((json)) && [[ -z $errors && $verb != run ]]; then error_record snapfork "$1" "$2"; fi
}

# Reads the records that a step wrote. The last one is the reason if it failed.
take_error() { # <program>
  local line
  [[ -n $errors ]] || return 0
  step_error='' failed_step=$1
  while read -r -t 0 -u "$errors" && IFS= read -r -t 1 -u "$errors" line; do
    step_error=$line failed_step=''
  done
}

# Prints the record of the failure that ends this process.
report_failure() { # <exit status> <message of this process, or nothing>
  local record=${first_error:-$step_error}
  if [[ -n $2 ]]; then
    error_record snapfork "$1" "$2"
  elif [[ -n $record ]]; then
    printf '%s\n' "$record" 2>/dev/null || true
  else
    error_record "${failed_step:-snapfork}" "$1" "cannot $verb: ${failed_step:-a command} failed; standard error has its message"
  fi
}

# With --json, the records of a flow that did its work.
print_done() {
  ((json && !dry_run)) && [[ $verb == @(import|promote|demote|standby|stop|delete|export|push|pull) ]] || return 0
  printf "{\"type\":\"$verb\",\"v\":1,\"id\":\"%s\"}\n" "${operands[@]}" 2>/dev/null \
    || fail 5 "cannot write 'standard output'"
}
