#!/bin/sh
# Completes redis.conf with what differs from pod to pod, then becomes redis-server.
# The password is read from a file and written to one in memory: it never stands in an argument list, and Redis, which
# quotes a line that it cannot read, never has one to quote.
set -eu
umask 077
conf=/run/redis/redis.conf
auth=/etc/redis-auth

read_password() { tr -d '\r\n' <"$1"; }
acl_hash() { read_password "$1" | sha256sum | cut -d ' ' -f 1; }

cat /etc/redis/redis.conf >"$conf"
if [ -n "${REDIS_PRIMARY:-}" ]; then
  echo "replicaof $REDIS_PRIMARY 6379" >>"$conf"
fi
if [ -f "$auth/password" ]; then
  # The previous password stays valid, so that a rotation breaks no client that has not rolled yet.
  previous=
  if [ -f "$auth/previous-password" ]; then
    previous="#$(acl_hash "$auth/previous-password")"
  fi
  {
    echo "user default on #$(acl_hash "$auth/password") $previous ~* &* +@all"
    # Not echo, which would take the backslashes for its own.
    printf 'masterauth "%s"\n' "$(read_password "$auth/password" | sed 's/[\\"]/\\&/g')"
  } >>"$conf"
fi
sh /etc/redis/adopt.sh
exec redis-server "$conf"
