#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# scripts/commit-msg, a git hook: which commit messages it refuses.
# shellcheck disable=SC2154 # run sets output and stderr

load helpers

setup() {
  common_setup
  require_cmd git
  export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org \
    GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org
  unset GIT_DIR GIT_INDEX_FILE GIT_WORK_TREE
  git init -q repository
  cd repository || return 1
  mkdir src docs
  cp "$BATS_TEST_DIRNAME/../../scripts/commit-msg" .git/hooks/
}
teardown() { common_teardown; }

commit() { # <changed file> <message>
  printf '%s\n' "$2" >>"$1"
  git add -A
  git commit -q -m "$2"
}

@test "commit-msg accepts a subject for docs, and a subject with a body for src" {
  commit docs/a 'docs: name the options of the hook'
  commit src/a $'pager: refuse a second handshake\n\nA second one replaced the first.'
  # A name in capitals is not a sentence that begins.
  commit docs/a 'meta: SIGHUP ends a wait'
}

@test "commit-msg refuses a subject without an area, in upper case, with a full stop, or of 61 characters" {
  run -1 commit docs/a 'name the options'
  assert_contains "$output" "does not have the form 'area: do the thing'"
  run -1 commit docs/a 'docs: Name the options'
  assert_contains "$output" "lower case"
  run -1 commit docs/a 'docs: name the options.'
  assert_contains "$output" "full stop"
  commit docs/a "docs: $(printf 'a%.0s' {1..54})"
  run -1 commit docs/a "docs: $(printf 'a%.0s' {1..55})"
  assert_contains "$output" "the subject has 61 characters, 60 are permitted"
}

@test "commit-msg refuses a change of src without a body, and a body right below the subject" {
  run -1 commit src/a 'pager: refuse a second handshake'
  assert_contains "$output" "a commit that changes src/ needs a body"
  run -1 commit src/a $'pager: refuse a second handshake\nA second one replaced the first.'
  assert_contains "$output" "line 2 must be empty"
}

@test "commit-msg ignores the comments of an editor, and accepts the messages that git makes" {
  printf 'docs: a\n\n# A comment. This line is not a body.\n' >message
  .git/hooks/commit-msg message
  printf 'fixup! docs: a\n' >message
  .git/hooks/commit-msg message
  mkdir -p src
  : >src/b
  git add src/b
  printf 'pager: a\n\n# A comment is not a body.\n' >message
  run -1 .git/hooks/commit-msg message
  assert_contains "$output" "needs a body"
}
