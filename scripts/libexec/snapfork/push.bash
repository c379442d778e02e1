# SPDX-License-Identifier: Apache-2.0
# snapfork push: exports a template and copies the layout to a registry.
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables: see scripts/snapfork

push() {
  local id=${operands[0]} call image pushed=${layout:-}
  read_parts
  require_guest "$id"
  check_programs template-oci skopeo
  read_file "$libexec/lib/oci.bash"
  name_image "$place"
  if [[ -z $layout ]]; then
    temporary=''
    undo=remove_layout
    capture temporary "${TMPDIR:-/var/tmp}/snapfork-push" mktemp -d -- "${TMPDIR:-/var/tmp}/snapfork-push.XXXXXXXXXX" || exit 5
    pushed=$temporary/layout
  fi
  check_layout_path "$pushed"
  # Each id has a tag of its own, so that two pushes may use one layout at the same time.
  call=(template-oci export --tag "$id" "$id" "$pushed" "${progress[@]}")
  ((!quiet)) || call+=(-q)
  step without_output "${call[@]}"
  copy_image "oci:$pushed:$id" "$image"
  hold_signals
  if [[ -z $layout ]]; then undo='' && remove_layout; fi
  say "'$id' is pushed to '$place'"
}

remove_layout() {
  [[ -z $temporary ]] || step rm -rf -- "$temporary"
}
