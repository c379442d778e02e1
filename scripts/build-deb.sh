#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `make deb`: builds the Debian packages of the committed and uncommitted tree into a directory. A copy of the tree is
# built, so that nothing is written into it or beside it.
# Usage: scripts/build-deb.sh OUTPUT-DIR [VERSION]: with VERSION, the programs and the packages have that version.
set -euo pipefail
shopt -s inherit_errexit

readonly output=$1
version=$(sed -n 's/.*kVersion = "\(.*\)".*/\1/p' src/base/version.h)
packaged=$(dpkg-parsechangelog -S Version)
if [[ $packaged != "$version" ]]; then
  printf 'build-deb: debian/changelog has version %s, src/base/version.h %s: they must be the same\n' \
    "$packaged" "$version" >&2
  exit 1
fi
# The copy stays between two calls, and files that have not changed keep their times: make builds only what is new.
readonly copy=$output/source
mkdir -p "$copy"
git ls-files -z --cached --others --exclude-standard \
  | rsync -rlp --checksum --from0 --files-from=- --ignore-missing-args . "$copy"
cd "$copy"
if [[ -n ${2-} ]]; then
  sed -i "s/kVersion = \".*\"/kVersion = \"$2\"/" src/base/version.h
  sed -i "1s/(.*)/($2)/" debian/changelog
fi
dpkg-buildpackage --build=binary --no-sign --no-pre-clean
