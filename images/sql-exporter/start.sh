#!/bin/sh
# Starts sql_exporter, and starts it anew when it ends: a container that is down makes its pod unready, and Pgpool-II
# serves without its exporter.
trap 'kill "$child"; exit 0' TERM INT
while :; do
  prometheus-sql-exporter "$@" &
  child=$!
  wait "$child"
  echo "sql_exporter ended with $?, and is started anew in 5 seconds" >&2
  sleep 5 &
  child=$!
  wait "$child"
done
