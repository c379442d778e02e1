# SPDX-License-Identifier: Apache-2.0
# oci.bash: templates and OCI image layouts, for import, push and pull.
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables: see scripts/snapfork

# Makes a template of a layout, under the exclusive lock of its id. The caller has removed the leftovers of the id, and
# undoes the flow by purge_leftovers.
import_oci() { # <id> <layout>
  local call=(template-oci import "$1" "$2" "${progress[@]}")
  [[ -z $tag ]] || call+=(--tag "$tag")
  [[ -z $share ]] || call+=(--share "$share")
  [[ -z $name ]] || call+=(--name "$name")
  ((!assume_no_paths)) || call+=(--assume-no-paths)
  ((!quiet)) || call+=(-q)
  call+=("${import_options[@]}")
  step "${call[@]}"
  hold_signals
}

# Removes the leftovers of an id, now and if the flow fails.
purge_leftovers_of() { # <id>
  purged=$1 undo=purge_leftovers
  step snapshot-meta purge "$1"
}

purge_leftovers() {
  step snapshot-meta purge "$purged"
}

# Runs skopeo, which has the credentials. Its progress are messages.
copy_image() { # <from> <to>
  local call=(skopeo copy)
  ((!quiet)) || call+=(--quiet)
  step with_output_as_messages "${call[@]}" "$1" "$2" \
    || fail 5 "cannot copy '$1' to '$2': skopeo failed"
}

# Sets `image` to the name of an image for skopeo. Without a transport such as "docker://" it is in a registry.
name_image() { # <reference>
  image=$1
  [[ $1 == *://* || $1 =~ ^(dir|docker-archive|docker-daemon|oci|oci-archive|containers-storage): ]] || image=docker://$1
}

# skopeo divides oci:PATH:TAG at a colon.
check_layout_path() { # <path>
  [[ $1 != *:* ]] || fail 1 "cannot use '$1' as a layout: skopeo accepts no colon in its path"
}
