#!/bin/sh
# Takes over what the other way of persistence has left: Redis itself would ignore it, start empty, and have the
# replicas follow it into emptiness.
set -eu
data=${1:-/data}
conf=${2:-/run/redis/redis.conf}
aof=$data/appendonlydir

if grep -q '^appendonly yes' "$conf"; then
  if [ -f "$data/dump.rdb" ] && [ ! -d "$aof" ]; then
    echo "persistence was rdb: its snapshot becomes the base of the append-only file"
    rm -rf "$aof.new"
    mkdir "$aof.new"
    cp "$data/dump.rdb" "$aof.new/appendonly.aof.1.base.rdb"
    echo "file appendonly.aof.1.base.rdb seq 1 type b" >"$aof.new/appendonly.aof.manifest"
    mv "$aof.new" "$aof"
  fi
elif [ -d "$aof" ]; then
  echo "persistence was aof: the append-only file becomes a snapshot"
  socket=$(dirname "$conf")/adopt.sock
  redis-server --port 0 --unixsocket "$socket" --dir "$data" --appendonly yes --save '' &
  until [ "$(redis-cli -s "$socket" PING 2>/dev/null)" = PONG ]; do
    kill -0 $! || exit 1
    sleep 0.2
  done
  [ "$(redis-cli -s "$socket" SAVE)" = OK ]
  redis-cli -s "$socket" SHUTDOWN NOSAVE
  wait $!
  # Away at once, and not file by file: a half of it would be adopted by the next start.
  rm -rf "$aof.old"
  mv "$aof" "$aof.old"
  rm -rf "$aof.old"
fi
