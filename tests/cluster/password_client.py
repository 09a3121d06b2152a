"""Run in a pod by test_shapes: a client that keeps the password it started with, and counts what becomes of it.

Prints its counts as a line of JSON every second until it is deleted.
"""

import json
import time
from collections import Counter
from pathlib import Path

import redis
from redis.exceptions import AuthenticationError, AuthorizationError, RedisError, ResponseError

PASSWORD = Path("/run/secrets/redis/password").read_text().rstrip("\r\n")


def outcome(host: str, *command: str) -> str:
    """What becomes of one command on a connection of its own."""
    try:
        with redis.Redis(host, 6379, password=PASSWORD, protocol=2, socket_timeout=2) as client:
            client.execute_command(*command)
    except (AuthenticationError, AuthorizationError, ResponseError):
        return "refused"  # NOAUTH, WRONGPASS, NOPERM, READONLY
    except RedisError:
        return "away"
    return "ok"


def main() -> None:
    """Write through redis-service and read through redis-read, ten times a second."""
    counts: Counter[str] = Counter()
    printed = time.monotonic()
    while True:
        counts[f"write {outcome('redis-service', 'SET', 'test-rotation', 'x', 'EX', '600')}"] += 1
        counts[f"read {outcome('redis-read', 'GET', 'test-rotation')}"] += 1
        if time.monotonic() - printed > 1:
            print(json.dumps(counts), flush=True)
            printed = time.monotonic()
        time.sleep(0.1)


main()
