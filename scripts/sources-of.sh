#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Prints the library sources that some files need: NAME.cc for each "folder/NAME.h" that they include, and what those need.
set -euo pipefail
shopt -s inherit_errexit

main() { # <file>...
  local todo=("$@") found file
  declare -A seen=()
  while ((${#todo[@]})); do
    mapfile -t found < <(sed -nE 's|^#include "([a-z]+(/[a-z0-9_]+)+)\.h".*|src/\1|p' "${todo[@]}" | sort -u)
    todo=()
    for file in "${found[@]}"; do
      [[ ! -v seen[$file] ]] || continue
      seen[$file]=1
      [[ ! -e $file.h ]] || todo+=("$file.h")
      [[ ! -e $file.cc ]] || todo+=("$file.cc")
    done
  done
  for file in "${!seen[@]}"; do
    [[ ! -e $file.cc ]] || printf '%s.cc\n' "$file"
  done | sort
}

main "$@"
