#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# scripts/check-words.sh, check-headers.sh and check-traps.sh, which `make lint` calls: what they find and what they accept.
# shellcheck disable=SC2154 # run sets output and stderr

load helpers

setup() {
  common_setup
  require_cmd git perl
  unset GIT_DIR GIT_INDEX_FILE GIT_WORK_TREE
  git init -q repository
  cd repository || return 1
  mkdir -p scripts docs src/new
  cp "$BATS_TEST_DIRNAME"/../../scripts/{check-words.sh,check-headers.sh,check-traps.sh,words-to-avoid.txt} scripts/
}
teardown() { common_teardown; }

@test "check-words finds each kind of words in a comment, a string, a test name and a document, with file, line and advice" {
  # The words are assembled here, so that this file itself has no finding.
  local ever=ever no=no
  printf '// A file.\nint a;  // it waits for %s\n' ever >src/new/a.cc
  printf 'fail("is no %s");\n' directory >src/new/b.cc
  printf 'Fine.\n%s waits, waits.\n' Who >docs/a.md
  printf 'TEST_F(ATest, ItStays%s) {\nTEST(ALongNameOfATest,\n     ItIs%sFile) {\n' ForEver No >src/new/a_test.cc
  run -1 --separate-stderr scripts/check-words.sh docs src
  assert_contains "$stderr" "src/new/a_test.cc:1: 'For "
  assert_contains "$stderr" "src/new/a_test.cc:3: 'Is "
  assert_contains "$stderr" "src/new/a.cc:2: 'for $ever': write: forever; until it exits"
  assert_contains "$stderr" "src/new/b.cc:1: 'is $no directory': write: is not a X; has no X"
  assert_contains "$stderr" "docs/a.md:2: 'Who waits': write: name the actor"
}

@test "check-words accepts identifiers, questions and correct sentences" {
  printf 'int mended_texts = %s(who);  // There is no lock. It is no longer held.\n' mean"while" >src/new/a.cc
  printf 'Who holds the lock?\n\nNo process is left, and there are no cycles. Read tests/texts.json.\n' >docs/a.md
  run -0 scripts/check-words.sh docs src
  assert_equal "$output" ''
}

@test "check-words without operands checks every file" {
  run -0 scripts/check-words.sh
  printf 'Waits for %s.\n' ever | tee docs/a.md >README.md
  run -1 --separate-stderr scripts/check-words.sh
  assert_equal "$output" ''
  assert_equal "$(cut -d' ' -f1 <<<"$stderr")" $'README.md:1:\ndocs/a.md:1:'
}

@test "check-headers finds a source without the license tag or without a purpose below it" {
  local tag=SPDX-License-Identifier
  printf '// %s: Apache-2.0\n// What it is for.\nint a;\n' "$tag" >good.cc
  printf '#!/bin/sh\n# %s: Apache-2.0\n# What it is for.\n' "$tag" >good.sh
  printf '// What it is for.\n// %s: Apache-2.0\n' "$tag" >late.cc
  printf '// %s: Apache-2.0\n#include "a.h"\n' "$tag" >silent.cc
  printf '#!/bin/sh\n# %s: Apache-2.0\n# shellcheck disable=SC1\n' "$tag" >silent.sh
  run -0 scripts/check-headers.sh good.cc good.sh
  run -1 --separate-stderr scripts/check-headers.sh good.cc good.sh late.cc silent.cc silent.sh
  assert_equal "$(cut -d: -f1,2 <<<"$stderr" | sort -u | tr '\n' ' ')" 'late.cc:1 late.cc:2 silent.cc:2 silent.sh:3 '
  run -1 --separate-stderr scripts/check-headers.sh
  assert_contains "$stderr" late.cc:1
}

@test "check-traps finds each expansion of a command that bash parses again, unless it is in a subshell or marked" {
  require_cmd shfmt jq
  cat >found.bash <<'END'
f() {
  x=$(a)
  read -r x < <(a)
  a "b $(c "$(d)")"
  x=$(<file)
  a > >(b)
}
cat <<END2
$(a)
END2
END
  cat >accepted.bash <<'END'
f() { # without traps: it runs in a subshell
  a <<<"$(b)"
}
(x=$(a))
{ x=$(a); } &
x=$(a) # without traps: none is set yet
x='$(a)' y=$((1 + 1)) # $(a)
END
  run -0 scripts/check-traps.sh accepted.bash
  assert_equal "$output" ''
  run -1 --separate-stderr scripts/check-traps.sh accepted.bash found.bash
  assert_equal "$(cut -d: -f1,2 <<<"$stderr" | tr '\n' ' ')" \
    'found.bash:2 found.bash:3 found.bash:4 found.bash:5 found.bash:6 found.bash:9 '
}
