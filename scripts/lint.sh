#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs all linters on all tracked and new files; any warning is an error. Called by `make lint`.
set -euo pipefail
shopt -s inherit_errexit

main() {
  cd "$(dirname "$0")/.."
  local failed=0 sources shells pages page flags
  mapfile -t sources < <(git ls-files --cached --others --exclude-standard '*.cc' '*.h' '*.c')
  mapfile -t shells < <(make -s list-shell | tr ' ' '\n')
  mapfile -t pages < <(git ls-files --cached --others --exclude-standard 'man/*.scd')
  read -ra flags < <(make -s print-cppflags)

  printf 'clang-format: %d files\n' "${#sources[@]}"
  clang-format --dry-run --Werror "${sources[@]}" || failed=1

  printf 'includes between the folders of src/\n'
  scripts/check-includes.sh || failed=1

  printf 'license tag and purpose of each source\n'
  scripts/check-headers.sh || failed=1

  printf 'words to avoid\n'
  scripts/check-words.sh || failed=1

  printf 'expansions in the driver where a trap can run\n'
  scripts/check-traps.sh || failed=1

  printf 'tests: conditions of wait_until that are evaluated only once\n'
  ! git grep -nE '(wait_until|retry) [0-9]+ (test|\[) [^|]*\$\(' -- 'tests/*.bats' 'tests/*.bash' || failed=1

  printf 'shellcheck, shfmt: %d files\n' "${#shells[@]}"
  shellcheck -x "${shells[@]}" || failed=1
  shfmt -i 2 -ci -bn -d "${shells[@]}" || failed=1

  printf 'groff: %d man pages\n' "${#pages[@]}"
  for page in "${pages[@]}"; do
    local warnings
    warnings=$(scdoc <"$page" | groff -man -ww -Tutf8 2>&1 >/dev/null) || failed=1
    if [[ -n $warnings ]]; then
      printf '%s: %s\n' "$page" "$warnings" >&2
      failed=1
    fi
  done

  local tidy
  mapfile -t tidy < <(printf '%s\n' "${sources[@]}" | grep -E '^(src|tests)/.*\.cc$')
  printf 'clang-tidy: %d files\n' "${#tidy[@]}"
  printf '%s\0' "${tidy[@]}" \
    | xargs -0 -P "$(nproc)" -I '{}' clang-tidy --quiet '{}' -- "${flags[@]}" 2>/dev/null || failed=1

  if ((failed)); then
    printf 'lint: failed\n' >&2
    return 1
  fi
  printf 'lint: clean\n'
}

main "$@"
