#!/bin/sh
# Ready: PONG (so neither loading nor refusing), and a replica has received the primary's data at least once.
# A replica whose primary is away stays ready: its reads are stale, but they outlive the primary.
set -eu
[ "$(sh /etc/redis/ping.sh)" = PONG ]
[ -n "${REDIS_PRIMARY:-}" ] || exit 0
sh /etc/redis/ping.sh INFO replication | tr -d '\r' | awk -F: '
  $1 == "master_link_status" && $2 == "up" { linked = 1 }
  $1 == "master_link_down_since_seconds" && $2 >= 0 { linked_before = 1 }
  $1 == "master_sync_in_progress" && $2 == "1" { syncing = 1 }
  END { exit !((linked || linked_before) && !syncing) }'
