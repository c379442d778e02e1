# SPDX-License-Identifier: Apache-2.0
# keeper.bash: tests that kill page servers. $server is the keeper.
# shellcheck shell=bash disable=SC2154 # set by serve

# Makes ./run a tmpfs, as /run is.
mount_run() {
  mkdir -m 700 run
  mount -t tmpfs none run 2>/dev/null || skip 'needs to mount a tmpfs'
}

keeper_teardown() {
  end_servers
  common_teardown
  umount -l run 2>/dev/null || true
}

# The servers of the keeper: the one that serves, then its successor.
server_pids() {
  local children
  read -r children 2>/dev/null <"/proc/$server/task/$server/children" || true
  # shellcheck disable=SC2086 # a list
  [[ -z $children ]] || printf '%s\n' $children
}

# The keeper starts a successor only when the server before it serves, so the oldest child serves.
serving_pid() {
  local pids
  mapfile -t pids < <(server_pids)
  printf '%s\n' "${pids[0]-}"
}

has_successor() {
  local pids
  mapfile -t pids < <(server_pids)
  # A successor that waits has no other thread than that of its log.
  ((${#pids[@]} == 2)) && [[ $(readlink "/proc/${pids[1]}/exe") == */uffd-serve ]]
}
# Whether a successor other than this one exists.
has_successor_but() { # <pid>
  local pids
  mapfile -t pids < <(server_pids)
  [[ -n ${pids[1]-} && ${pids[1]} != "$1" ]]
}
wait_for_successor() { wait_until 10 has_successor; }

is_replaced() { # <pid>
  local now
  now=$(serving_pid)
  [[ -n $now && $now != "$1" ]] && uffd-ctl health >/dev/null 2>&1
}

# Kills the server that serves, and waits until the next one answers.
kill_server() { # [signal]
  local pid
  wait_for_successor
  pid=$(serving_pid)
  kill -"${1-KILL}" "$pid"
  wait_until 10 is_replaced "$pid"
}

is_served() { # <session>
  [[ $(uffd-ctl --json session "$1" 2>/dev/null | jq -r .state) == serving ]]
}

resident() { uffd-ctl --json session "$1" | jq .bytes_resident; } # <session>
has_installed() {                                                 # <session> <bytes>
  local bytes
  bytes=$(resident "$1" 2>/dev/null) && ((bytes >= $2))
}

# Whether a connection waits in the queue of a socket of s/: it has the name of the listening socket.
has_queued() {
  (($(grep -cF "$PWD/s/" /proc/net/unix) > 1))
}

# Kills the server that serves COUNT times, at random moments, while VMMs of the model run. Each of them knows what it must
# read. A server that is killed before it serves counts, too.
kill_servers_under_the_model() { # <count> <option of pager-model>...
  under_the_model kill_at_random "$@"
}

# Stops the server that serves COUNT times. Its successor dies at the same time, so the keeper has something to do.
stop_servers_under_the_model() { # <count> <option of pager-model>...
  under_the_model stop_at_random "$@"
}

under_the_model() { # <function> <count> <option of pager-model>...
  local act=$1 count=$2 acts=0 model before='' poll_fd pids seed=${MODEL_SEED:-$RANDOM$RANDOM}
  shift 2
  printf '# MODEL_SEED=%s\n' "$seed" >&3
  rm -f enough
  spawn_to model.out "$HELPERS/pager-model" --mem memory --seed "$seed" --until enough "$@"
  model=$spawned_pid
  exec {poll_fd}<> <(:)
  while ((acts < count)) && ! is_gone "$model"; do
    mapfile -t pids < <(server_pids)
    if [[ -n ${pids-} && ${pids[0]} != "$before" ]]; then
      before=${pids[0]}
      read -rt "0.0$((RANDOM % 100 + 100))" -u "$poll_fd" || true
      ! "$act" || ((++acts))
    fi
  done
  exec {poll_fd}>&-
  # Also for a caller that ignores errors.
  if is_gone "$model"; then
    fail "the model ended after $acts times" "$(<model.out)" "$(tail -n 20 server.log)"
    return 1
  fi
  : >enough
  wait_for_end "$model" 0 || {
    fail "$(<model.out)"
    return 1
  }
  printf '# %s times; %s\n' "$acts" "$(head -n 1 model.out)" >&3
}

# These use the variables of under_the_model.
kill_at_random() { kill -KILL "${pids[0]}" 2>/dev/null; }
stop_at_random() {
  ((${#pids[@]} > 1)) || return 1
  kill -STOP "${pids[0]}" && kill -KILL "${pids[1]}" || return 1
  read -rt 0.05 -u "$poll_fd" || true
  kill -CONT "${pids[0]}"
  read -rt 0.05 -u "$poll_fd" || true
  kill -KILL "${pids[0]}"
}

# Kills the keeper and its servers: the keeper is stopped first, so that it starts no other server, and ends last, so that no
# server starts another keeper. (The end of the keeper would continue servers that are stopped: their process group is orphaned.)
# The pids are in $killed.
kill_keeper_and_servers() {
  kill -STOP "$server" 2>/dev/null || true
  mapfile -t killed < <(server_pids)
  killed+=("$server")
  kill -KILL "${killed[@]}" 2>/dev/null || true
}

# For teardown: servers do not end with their keeper.
end_servers() {
  [[ -z ${server-} ]] || kill_keeper_and_servers
}

# User and system time of a process, in clock ticks.
cpu_of() { # <pid>
  local stat
  stat=$(<"/proc/$1/stat")
  # shellcheck disable=SC2086 # fields
  set -- ${stat##*) }
  printf '%s\n' "$((${12} + ${13}))"
}

is_forgotten() { ! uffd-ctl session "$1" >/dev/null 2>&1; } # <session>
