# SPDX-License-Identifier: Apache-2.0
# checks.bash: whether guests exist.
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables: see scripts/snapfork

require_store() {
  [[ -d $root ]] || fail 5 "no store at '$root': No such file or directory; create it or set SNAPFORK_ROOT"
}

# Returns whether guests/ has an entry of that name. The programs decide whether it is a guest.
has_name() { # <id>
  [[ -e $root/guests/$1 || -L $root/guests/$1 ]]
}

require_guest() { # <id>
  require_store
  # Without this permission every guest would look absent.
  [[ -x $root && (! -e $root/guests || -x $root/guests) ]] \
    || fail 5 "cannot $verb '$1': no permission to look into '$root'; use the account that owns the store"
  has_name "$1" || fail 1 "cannot $verb '$1': no such guest in '$root'; see 'snapfork list'"
}

refuse_guest() { # <id>
  ! has_name "$1" || fail 1 "cannot $verb: the guest '$1' exists; choose another id or delete it"
}
