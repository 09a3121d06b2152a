#!/bin/sh
# Starts redis_exporter, and starts it anew when it ends: a container that is down makes its pod unready, and Redis
# serves without its exporter. The password is read from a file, and is in no argument.
trap 'kill "$child"; exit 0' TERM INT
while :; do
  if [ -n "${PASSWORD_FILE:-}" ]; then
    REDIS_PASSWORD="$(cat "$PASSWORD_FILE")"
    export REDIS_PASSWORD
  fi
  prometheus-redis-exporter "$@" &
  child=$!
  wait "$child"
  echo "redis_exporter ended with $?, and is started anew in 5 seconds" >&2
  sleep 5 &
  child=$!
  wait "$child"
done
