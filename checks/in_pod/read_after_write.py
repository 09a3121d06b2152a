"""Run in a pod by the check redis-read-after-write, from stdin: prints what it counted as one line of JSON.

Every operation has a connection of its own, because a Service balances connections: behind two unrelated Redis half of
the reads would go to the one that the write did not go to.
"""

import json
import os
import secrets
from pathlib import Path

import redis

OPERATIONS = 400
PREFIX = f"hotstack-check:{secrets.token_hex(8)}"
COUNTER = f"{PREFIX}:counter"


def password() -> str | None:
    """The password that the pod's own service uses."""
    file = os.environ.get("REDIS_PASSWORD_FILE")
    return Path(file).read_text().rstrip("\r\n") if file else None


def once(*command: str) -> bytes:
    """The reply to one command on a new connection."""
    with redis.Redis("redis-service", 6379, password=password(), socket_timeout=5, protocol=2) as client:
        return client.execute_command(*command)


def main() -> None:
    """Write and read back, count, tidy up, print."""
    keys = [f"{PREFIX}:{number}" for number in range(OPERATIONS)]
    misses = 0
    for key in keys:
        once("SET", key, key, "EX", "300")
        misses += once("GET", key) != key.encode()
    for _ in range(OPERATIONS):
        once("INCR", COUNTER)
    counter = int(once("GET", COUNTER) or 0)
    once("DEL", COUNTER, *keys)
    print(json.dumps({"writes": OPERATIONS, "misses": misses, "increments": OPERATIONS, "counter": counter}))


main()
