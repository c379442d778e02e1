# SPDX-License-Identifier: Apache-2.0
# snapfork run: starts a Firecracker and loads a fork into it, or becomes a command that does so.
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables: see scripts/snapfork

# What fc-run guest cannot do: a jail, a VMM that waits, another lock than that of the guest, the page server.
can_start_at_once() {
  [[ $backend != uffd && -z $socket$jailer$lock_timeout$outer_locks ]] && ((!prepare && !dry_run))
}

if ((has_command)); then
  parts+=(pager_path pager run_command)
elif can_start_at_once; then
  parts+=(vmm pager)
  for part in pager_path vmm_result start_at_once; do read_file "$libexec/lib/$part.bash"; done
else
  parts+=(pager_path vmm_result vmm pager)
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
    if can_start_at_once; then
      ! start_at_once "${operands[0]}" || return 0
      read_parts
      if ((${#lock_fds[@]})); then
        start_with_facts "${operands[0]}"
        return
      fi
    fi
  fi
  under_locks --exclusive --no-wait "${operands[0]}" ::: "${operands[0]}"
}

run_locked() { # <id>
  require_guest "$1"
  if ((has_command)); then become_command "$1"; else start_guest "$1"; fi
}
