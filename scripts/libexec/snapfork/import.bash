# SPDX-License-Identifier: Apache-2.0
# snapfork import: clones a snapshot into the store, or makes a template of an OCI image layout.
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables: see scripts/snapfork

import() {
  local id=${operands[0]} call=(snapshot-meta init --dry-run --of-copies) found disks pipe i
  read_parts
  if [[ -n $oci_layout ]]; then
    import_layout "$id"
    return
  fi
  [[ -z $tag$share ]] || usage_error 'the options --tag and --share are for --oci'
  [[ -n $state_file && -n $memory_file ]] || usage_error '--state FILE and --memory FILE are needed for import'
  require_store
  refuse_guest "$id"
  ((!assume_no_paths)) || import_options+=(--assume-no-paths)
  [[ -z $firecracker ]] || import_options+=(--firecracker "$firecracker")
  call+=("$id" --state "$state_file" --memory "$memory_file" "${disk_options[@]}" "${import_options[@]}")
  # Refuses before anything is copied what init would refuse afterwards. init prints the warnings again.
  if ((dry_run && !quiet)); then attend without_output "${call[@]}"; else attend without_output "${call[@]}" -q; fi
  # `ask` cannot read zero bytes. A pipe has room for the names of all disks that a VMM can have.
  open_pipe disks
  exec {pipe}>"/dev/fd/$disks"
  attend "${call[@]}" -q --print-disks >&"$pipe"
  exec {pipe}>&-
  mapfile -d '' -t found <&"$disks"
  exec {disks}<&-
  disk_files=() disk_paths=()
  for ((i = 0; i < ${#found[@]}; i += 2)); do
    disk_files+=("${found[i]}") disk_paths+=("${found[i + 1]}")
  done
  under_locks --exclusive --no-wait "$id" ::: "$id"
}

import_layout() { # <id>
  [[ -z $state_file$memory_file$base_file$firecracker && ${#disk_options[@]} == 0 ]] \
    || usage_error 'the layout of --oci has the state, the memory and the disks: leave out --state, --memory, --disk, --base and --firecracker'
  require_store
  refuse_guest "$id"
  check_programs template-oci
  read_file "$libexec/lib/oci.bash"
  under_locks --exclusive --no-wait "$id" ::: "$id"
}

import_locked() { # <id>
  if [[ -n $oci_layout ]]; then
    refuse_guest "$1"
    purge_leftovers_of "$1"
    import_oci "$1" "$oci_layout"
    undo=''
    return
  fi
  local id=$1 call=(snapshot-meta init) i file staging=$root/.snapfork/tmp/import.$1
  refuse_guest "$id"
  for file in "$state_file" "${base_file:-$memory_file}" "${disk_files[@]}"; do check_room 1 "$file"; done
  [[ -z $base_file ]] || check snapshot-meta merge-diff --dry-run --of-copy "$memory_file" "$base_file"
  import_id=$id importing=$id undo=undo_import
  step snapshot-meta purge "$id"
  step mkdir -p -- "$staging/disks" || exit 5 # mkdir printed the reason
  step without_output reflink-clone "${progress[@]}" --durable --steady "$state_file" "$staging/state"
  step without_output reflink-clone "${progress[@]}" --durable --steady "${base_file:-$memory_file}" "$staging/memory"
  [[ -z $base_file ]] || step chmod u+w -- "$staging/memory" # the memory of a template is sealed
  [[ -z $base_file ]] || step snapshot-meta merge-diff "$memory_file" "$staging/memory"
  call+=("$id" --state "$staging/state" --memory "$staging/memory" "${import_options[@]}")
  for i in "${!disk_files[@]}"; do
    step without_output reflink-clone "${progress[@]}" --durable --steady "${disk_files[i]}" "$staging/disks/${disk_files[i]##*/}"
    call+=(--disk "$staging/disks/${disk_files[i]##*/}=${disk_paths[i]}")
  done
  [[ -z $name ]] || call+=(--name "$name")
  ((!quiet)) || call+=(-q)
  step "${call[@]}"
  hold_signals
  importing=''
  if ((dry_run)); then undo='' && undo_import; fi
  say "'$id' is imported"
}

undo_import() {
  step snapshot-meta purge "$import_id"
  # The guest belongs to this flow, complete or not: it did not exist when the flow took the lock.
  if ((!dry_run)) && [[ -n $importing && -d $root/guests/$importing ]]; then discard "$importing"; fi
}
