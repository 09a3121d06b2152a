#!/bin/sh
# Prints what Redis answers to PING; fails when it does not answer.
set -eu
if [ -f /etc/redis-auth/password ]; then
  REDISCLI_AUTH=$(tr -d '\r\n' </etc/redis-auth/password)
  export REDISCLI_AUTH
fi
exec redis-cli -t 3 "${@:-PING}"
