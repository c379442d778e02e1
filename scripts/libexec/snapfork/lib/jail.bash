# SPDX-License-Identifier: Apache-2.0
# jail.bash: a Firecracker in a jail: the options, and the part of the call of fc-run that describes the jail.
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables: see scripts/snapfork

jail_files=() # what the VMM opens, as options of fc-run

check_jail_options() {
  if [[ -z $jailer ]]; then
    [[ -z $jail_uid$jail_gid && ${#jailer_args[@]} -eq 0 ]] \
      || usage_error "$verb: --uid, --gid and --jailer-arg need --jailer PATH"
    return
  fi
  [[ -n $jail_uid && -n $jail_gid ]] || usage_error "$verb: --jailer needs --uid N and --gid N"
  [[ -z $socket ]] || usage_error "$verb: --socket uses a VMM that runs: --jailer cannot be given"
  ((!prepare)) || usage_error "$verb: --prepare and --jailer exclude each other: a jail gets the socket of the session when it is made"
}

# Adds the jail to vmm_start.
add_jail() {
  local arg
  vmm_start+=(--jailer "$jailer" --uid "$jail_uid" --gid "$jail_gid" --jail-base "$root/guests/$vmm_id"
    --jail-dir "$root/.snapfork/tmp/jail.$vmm_id" --jail-read "$root/guests/$vmm_id/snapshots/snapshot-latest/state"
    "${jail_files[@]}")
  for arg in "${jailer_args[@]}"; do vmm_start+=(--jailer-arg "$arg"); done
}

# Adds the memory, once it is known where it comes from: the file, or the socket of the session.
add_jail_memory() {
  if [[ $backend == uffd ]]; then
    vmm_start+=(--jail-show "$run_dir/s/$vmm_session.sock")
    return
  fi
  vmm_start+=(--jail-read "$root/guests/$vmm_id/snapshots/snapshot-latest/memory")
  ((!dry_run)) || attend without_output "${vmm_start[@]}" --dry-run
}

# Adds the options that start the same VMM in the same jail, from another directory, to words.
add_jail_options() {
  local arg program=$jailer
  [[ $program != */* || $program == /* ]] || program=$PWD/$program
  words+=(--jailer "$program" --uid "$jail_uid" --gid "$jail_gid")
  for arg in "${jailer_args[@]}"; do words+=(--jailer-arg "$arg"); done
  program=$firecracker
  [[ $program != */* || $program == /* ]] || program=$PWD/$program
  [[ -z $program ]] || words+=(--firecracker "$program")
  for arg in "${firecracker_args[@]}"; do words+=(--firecracker-arg "$arg"); done
}
