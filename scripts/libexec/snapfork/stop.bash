# SPDX-License-Identifier: Apache-2.0
# snapfork stop: ends the virtual machines of guests.
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables: see scripts/snapfork

parts+=(pager_path pager)

stop() {
  read_parts
  one_by_one
  stop_limit=$lock_timeout lock_timeout='' # --timeout is for the virtual machine
  require_guest "${operands[0]}"
  under_locks --exclusive "${operands[0]}" ::: "${operands[0]}"
}

stop_locked() { # <id>
  local id=$1 call=(snapshot-meta stop) api session
  require_guest "$id"
  [[ -z $stop_limit ]] || call+=(--timeout "$stop_limit")
  if [[ -n $graceful ]]; then
    get_value api "$id" snapfork.api_socket
    [[ -n $api ]] || get_value api "$id" SocketPath
    if [[ -n $api ]] && step fc-api "$api" PUT /actions '{"action_type":"SendCtrlAltDel"}'; then
      call+=(--ends-within "$graceful")
    else
      say "'$id' cannot be asked to shut down; it is ended"
    fi
  fi
  step "${call[@]}" "$id"
  if [[ -n $run_dir ]]; then
    name_session "$id"
    remove_vmm "$session"
  fi
  use_file_from_now_on "$id"
  say "'$id' is stopped"
}
