# SPDX-License-Identifier: Apache-2.0
# snapfork export: writes a template as an OCI image layout.
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables: see scripts/snapfork

export_template() {
  local call=(template-oci export "${operands[0]}" "$place" "${progress[@]}")
  read_parts
  require_guest "${operands[0]}"
  check_programs template-oci
  [[ $place != - ]] || ((!json)) || usage_error "the option --json is not for '-': standard output is the tar"
  [[ -z $tag ]] || call+=(--tag "$tag")
  ((!quiet)) || call+=(-q)
  if [[ $place == - ]]; then step "${call[@]}"; else step without_output "${call[@]}"; fi
  hold_signals
}
