#!/bin/sh
# Completes redis.conf with what differs from pod to pod, then becomes redis-server.
# The password is read from a file and written to one: it never stands in an argument list or the environment.
set -eu
umask 077
conf=/run/redis/redis.conf
auth=/etc/redis-auth

cat /etc/redis/redis.conf >"$conf"
if [ -n "${REDIS_PRIMARY:-}" ]; then
  echo "replicaof $REDIS_PRIMARY 6379" >>"$conf"
fi
if [ -f "$auth/password" ]; then
  password=$(cat "$auth/password")
  # The previous password stays valid, so that a rotation breaks no client that has not rolled yet.
  previous=
  if [ -f "$auth/previous-password" ]; then
    previous=">$(cat "$auth/previous-password")"
  fi
  {
    echo "user default on >$password $previous ~* &* +@all"
    echo "masterauth $password"
  } >>"$conf"
fi
exec redis-server "$conf"
