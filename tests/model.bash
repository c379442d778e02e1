# model.bash: a page server against a random VMM that knows what it must find (tests/helpers/model-vmm.cc).
# shellcheck shell=bash

# 12 MiB in all: noise, a hole of 3 MiB, stored zeros, holes between pages, noise.
make_model_memory() { # <file>
  local page
  head -c 4M /dev/urandom >"$1"
  truncate -s 7M "$1"
  head -c 1M /dev/zero >>"$1"
  head -c 4M /dev/urandom >>"$1"
  for ((page = 2100; page < 2160; page += 2)); do
    fallocate -p -o $((page * 4096)) -l 4096 "$1" 2>/dev/null || return 0 # no holes here: noise is as good
  done
}

# One round: a session of one seed, with orders to the server meanwhile that follow from the seed, too.
# Prints what went wrong.
model_round() { # <seed> <seconds> <vmm option>...
  local seed=$1 seconds=$2 vmm body='' status=0
  shift 2
  case $((seed % 4)) in
    0) body=',"lazy":true' ;;
    1) body=',"window":64' ;;
  esac
  ((seed % 3)) || body+=",\"hot_list_path\":\"$PWD/hot\""
  curl -sS --unix-socket c.sock -o reply -d \
    "{\"session_id\":\"m\",\"backing_memory_path\":\"$PWD/memory\",\"cache_key\":\"k\"$body}" http://localhost/sessions
  "$HELPERS/model-vmm" --mem memory --socket s/m.sock --seed "$seed" --seconds "$seconds" "$@" \
    >model.log 2>&1 3>&- 4>&- &
  vmm=$!
  if ((seed % 5 < 3)); then
    model_orders "$vmm" "$seed"
  fi
  wait "$vmm" || status=$?
  ((status == 0)) || printf 'seed %s (%s): status %s: %s\n' "$seed" "$*" "$status" "$(<model.log)"
  return "$status"
}

# Completes slowly, pauses, gives a list, and goes on to the end.
model_orders() { # <vmm> <seed>
  local rate=$((1 << (18 + $2 % 6)))
  model_post complete "{\"wait\":false,\"bytes_per_second\":$rate}"
  model_post prefetch "{\"hot_list_path\":\"$PWD/hot\"}"
  model_post pause-prefetch ''
  model_post prefetch ''
  model_post pause-prefetch ''
  (($2 % 2)) || model_post complete '{}'
}

model_post() { # <action> <body>
  curl -sS --max-time 60 --unix-socket c.sock -o reply -d "$2" "http://localhost/sessions/m/$1"
}

# Every third page, in no order.
make_model_list() { # <memory> <list>
  local bytes
  bytes=$(stat -c %s "$1")
  {
    echo "# snapfork-trace 1 page_size=4096 memory_bytes=$bytes regions=0+$((bytes / 3 / 4096 * 4096)),$((bytes / 3 / 4096 * 4096))+$((bytes / 3 / 4096 * 4096)),$((bytes / 3 / 4096 * 8192))+$((bytes - bytes / 3 / 4096 * 8192))"
    seq 0 3 $((bytes / 4096 - 1)) | shuf --random-source="$1"
  } >trace
  hotpage-record record trace >"$2"
}
