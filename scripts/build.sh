#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds targets of the Makefile, which calls this as "+MAKE=... BUILD_DIR=... scripts/build.sh TARGET...". Uses all
# processors unless make was given -j, reports how many files are built, and counts them. The seconds that it
# took are in BUILD_DIR/seconds.
set -euo pipefail
shopt -s inherit_errexit

main() {
  local make=("$MAKE" --no-print-directory) files quiet=0 started=$SECONDS flags=${MAKEFLAGS-}
  [[ $flags == -* || ${flags%% *} != *s* ]] || quiet=1 # make -s
  # With -j, make passes a jobserver, or -j1.
  [[ " $flags" =~ \ (-j|--jobserver) ]] || make+=("-j$(nproc)")
  "${make[@]}" "$BUILD_DIR/flags"
  # A dry run prints a line with this format for each file. If it fails, so does the build below.
  files=$("${make[@]}" -n FLAGS_ARE_NEW=1 "$@" 2>/dev/null | grep -cF '%-6s %s\n' || true)
  if ((files && !quiet)); then
    printf 'building (%d files%s)\n' "$files" "$( ((files < 40)) || printf ', some minutes')"
  fi
  : >"$BUILD_DIR/steps"
  "${make[@]}" STEPS="$files" STEPS_FILE="$BUILD_DIR/steps" "$@"
  printf '%d\n' $((SECONDS - started)) >"$BUILD_DIR/seconds"
  ((quiet || !files)) || printf 'built in %d s\n' $((SECONDS - started))
}

main "$@"
