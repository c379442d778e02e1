# SPDX-License-Identifier: Apache-2.0
# snapfork run: starts a Firecracker and loads a fork into it, or becomes a command that does so.
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables: see scripts/snapfork

if ((has_command)); then
  parts+=(pager_path pager run_command)
else
  parts+=(pager_path vmm pager)
fi

run() {
  if ((has_command)); then
    read_parts
    check_command
  else
    [[ -z $socket || -z $firecracker$netns && ${#firecracker_args[@]} -eq 0 ]] \
      || usage_error 'run: --socket uses a VMM that runs: --firecracker, --firecracker-arg and --netns cannot be given'
    [[ -z $socket ]] || ((!prepare)) || usage_error 'run: --prepare and --socket exclude each other'
    if [[ -n $jailer$jail_uid$jail_gid || ${#jailer_args[@]} -gt 0 ]]; then
      read_file "$libexec/lib/jail.bash"
      check_jail_options
    fi
    require_guest "${operands[0]}"
  fi
  under_locks --exclusive --no-wait "${operands[0]}" ::: "${operands[0]}"
}

run_locked() { # <id>
  require_guest "$1"
  if ((has_command)); then become_command "$1"; else start_guest "$1"; fi
}
