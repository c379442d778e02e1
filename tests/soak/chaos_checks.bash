# SPDX-License-Identifier: Apache-2.0
# chaos_checks.bash: the conditions that must hold after each round of tests/soak/chaos.sh.
# shellcheck shell=bash disable=SC2154 # variables of chaos.sh

broken() { # <text>
  printf '%s\n' "$1" >>"$dir/broken"
}

digest_of() { # <file>
  sha256sum <"$1" | cut -c1-64
}

# Prints names, types, modes, owners, links, times and contents.
untouched() {
  find "$dir"/{canary,outside,mounted,host} -printf '%p %y %m %u:%g %n %s %T@ %l\n' | sort
  find "$dir"/{canary,outside,mounted,host} -type f -print0 | sort -z | xargs -0 sha256sum
}

check_untouched() {
  untouched | cmp -s - "$dir/untouched" || broken "something outside of the stores was touched: $(untouched | diff - "$dir/untouched" | head -n 20)"
}

# A crash is always an error, and so is an exit status that these flows cannot cause.
check_flow() { # <flow> <status>
  local said
  said=$(<"$dir/flow/$rounds.$1.err")
  case $2 in
    0 | 1 | 3 | 5 | 12[5-7] | 129 | 130 | 137 | 143) ;;
    4) [[ $said == *'symbolic link'* ]] || broken "flow $1 ended with 4: $said" ;; # a link that the test made is bad data
    *) broken "flow $1 ended with $2: $said" ;;
  esac
  [[ ! $said =~ (unbound\ variable|syntax\ error|terminate\ called|Segmentation|Aborted|line\ [0-9]+:\ [a-zA-Z/]) ]] || broken "flow $1 said: $said"
  [[ ! $(<"$dir/flow/$rounds.$1.out") =~ \"wrong_pages\":[1-9] ]] || broken "flow $1: a guest read a wrong byte"
}

check_store() { # <store>
  local store=$1 id ids guest
  export SNAPFORK_ROOT=$dir/$store
  [[ -d $SNAPFORK_ROOT/guests ]] || return 0
  mapfile -t ids < <(find "$SNAPFORK_ROOT/.snapfork/locks" -name '*.lock' -printf '%f\n' | sed 's/\.lock$//')
  ((!${#ids[@]})) || template-lock --no-wait "${ids[@]}" -- true 2>"$dir/why" || broken "a lock stays: $(<"$dir/why")"
  snapshot-meta fsck --repair >"$dir/why" 2>&1 || broken "fsck --repair of $store: $(<"$dir/why")"
  snapshot-meta fsck >"$dir/why" 2>&1 || broken "fsck of $store: $(<"$dir/why")"
  for guest in "$SNAPFORK_ROOT"/guests/*; do
    id=${guest##*/}
    check_guest "$store" "$id"
  done
  unset SNAPFORK_ROOT
}

check_guest() { # <store> <id>
  local store=$1 id=$2 guest=$dir/$1/guests/$2 memory template disk
  memory=$guest/snapshots/snapshot-latest/memory
  snapshot-meta verify --deep "$id" >"$dir/why" 2>&1 || broken "verify of $store/$id: $(<"$dir/why")"
  [[ " ${digest[$store / memory]} " == *" $(digest_of "$memory") "* ]] || broken "the memory of $store/$id is not of its store"
  for disk in "$guest"/*.disk; do
    [[ $(digest_of "$disk") == "${digest[$store / disk]}" ]] || broken "$disk has changed"
    [[ $(stat -c %h "$disk") == 1 ]] || broken "$disk has two links"
  done
  if (($(stat -c %h "$memory") > 1)); then
    [[ $(stat -c %A "$memory") != *w* ]] || broken "the memory of $store/$id has links and can be written"
  fi
  template=$(snapshot-meta get "$id" ForkOfTemplate 2>/dev/null) || return 0
  [[ -n $template ]] || return 0
  [[ $(snapshot-meta get "$template" IsTemplate 2>/dev/null) == true ]] || broken "$store/$id lives and its template $template does not"
  [[ $(snapshot-meta forks "$template") == *"$id"* ]] || broken "$store/$id is not counted by $template"
  [[ $memory -ef $dir/$store/guests/$template/snapshots/snapshot-latest/memory ]] || broken "$store/$id has another memory than $template"
}

# A new fork of each template reads every byte from the page server.
check_served() {
  local store template record said
  for store in a b; do
    export SNAPFORK_ROOT=$dir/$store
    for template in t1 t2; do
      [[ $(snapshot-meta state "$template" 2>/dev/null) == Template ]] || continue
      record=$(snapfork -q fork --backend uffd "$template" served 2>"$dir/why") || broken "fork of $store/$template: $(<"$dir/why")"
      said=$(uffd-probe --json --mem "$dir/host/$store.$template.memory" \
        --socket "$(sed -E 's/.*"uffd_socket_path":"([^"]*)".*/\1/' <<<"$record")" 2>&1) || broken "$store/$template is served wrong: $said"
      snapfork -q delete served 2>"$dir/why" || broken "delete of $store/served: $(<"$dir/why")"
    done
  done
  unset SNAPFORK_ROOT
}

no_server() {
  [[ -z $(server_pids) ]]
}

# At the end everything can be deleted, forks first, and nothing is left.
empty_stores() {
  local store guest left
  for store in a b; do
    export SNAPFORK_ROOT=$dir/$store
    [[ -d $SNAPFORK_ROOT/guests ]] || continue
    for _ in 1 2 3 4 5; do
      for guest in "$SNAPFORK_ROOT"/guests/*; do
        snapfork -q delete "${guest##*/}" 2>"$dir/why"
      done
    done
    left=$(find "$SNAPFORK_ROOT/guests" "$SNAPFORK_ROOT"/.snapfork/{tmp,trash} -mindepth 1)
    [[ -z $left ]] || broken "left in $store: $left; $(<"$dir/why")"
  done
  await 30 no_server || broken "a page server stays: $(ps -o args -p "$(server_pids | paste -sd,)"); $(uffd-ctl sessions 2>&1)"
  check_untouched
}
