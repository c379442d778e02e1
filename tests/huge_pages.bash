# SPDX-License-Identifier: Apache-2.0
# huge_pages.bash: 2 MiB pages from the kernel's pool for a test. A test file that loads it has a function `fail`, and calls
# return_huge_pages in its teardown, when no process uses the pages. Until then no other test changes the pool.
# shellcheck shell=bash

huge_page_pool=/proc/sys/vm/nr_hugepages
borrowed_huge_pages=0
huge_page_lock=

free_huge_pages() { sed -n 's/^HugePages_Free: *//p' /proc/meminfo; }

change_pool() { # <by that many>
  local rest=$(($(<"$huge_page_pool") + $1))
  printf '%d\n' $((rest > 0 ? rest : 0)) >"$huge_page_pool"
  ((borrowed_huge_pages += $1)) || true
}

# Enlarges the pool by that number of pages. Skips the test, with the reason, if not that many are free then.
borrow_huge_pages() { # <count>
  [[ -w $huge_page_pool ]] || skip "not permitted to enlarge the pool of huge pages ('$huge_page_pool')"
  exec {huge_page_lock}<"$huge_page_pool"
  flock --timeout 200 "$huge_page_lock" || fail "another test, or a process that one left, uses the pool of huge pages"
  local free
  change_pool "$1"
  free=$(free_huge_pages)
  ((free >= $1)) || skip "$1 huge pages of 2 MiB are needed and $free are free"
}

return_huge_pages() {
  [[ -n $huge_page_lock ]] || return 0
  change_pool $((-borrowed_huge_pages))
  flock --unlock "$huge_page_lock" # processes that were started since have this descriptor, too
  exec {huge_page_lock}<&-
  huge_page_lock=
}
