# SPDX-License-Identifier: Apache-2.0
# snapfork pull: copies a layout from a registry and makes a template of it.
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables: see scripts/snapfork

pull() {
  read_parts
  require_store
  refuse_guest "${operands[0]}"
  check_programs template-oci skopeo
  read_file "$libexec/lib/oci.bash"
  check_layout_path "$root"
  under_locks --exclusive --no-wait "${operands[0]}" ::: "${operands[0]}"
}

pull_locked() { # <id>
  local id=$1 image pulled=$root/.snapfork/tmp/pull.$1
  refuse_guest "$id"
  name_image "$place"
  purge_leftovers_of "$id"
  step mkdir -p -m 700 -- "$pulled" || exit 5 # mkdir printed the reason
  copy_image "$image" "oci:$pulled/layout:latest"
  import_oci "$id" "$pulled/layout"
  undo=''
  step rm -rf -- "$pulled"
  say "'$id' is pulled from '$place'"
}
