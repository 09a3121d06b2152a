"""Run in a pod by test_shapes: a client that keeps the password it started with, and counts what becomes of it.

Prints its counts as a line of JSON every second until it is deleted.
"""

import json
import time
from collections import Counter
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, AuthorizationError, RedisError, ResponseError
from redis.retry import Retry

PASSWORD = Path("/run/secrets/redis/password").read_text().rstrip("\r\n")
NO_RETRY = Retry(NoBackoff(), 0)  # redis-py would try again with a password that was refused, and hide the refusal


def outcome(host: str, *command: str) -> str:
    """What becomes of one command on a connection of its own."""
    try:
        with redis.Redis(host, 6379, password=PASSWORD, protocol=2, socket_timeout=2, retry=NO_RETRY) as client:
            client.execute_command(*command)
    except (AuthenticationError, AuthorizationError, ResponseError):
        return "refused"  # NOAUTH, WRONGPASS, NOPERM, READONLY
    except RedisError:
        return "away"
    return "ok"


def main() -> None:
    """Write through redis-service and read through redis-read, ten times a second."""
    counts: Counter[str] = Counter()
    longest = 0.0
    written = printed = time.monotonic()
    while True:
        write = outcome("redis-service", "SET", "test-rotation", "x", "EX", "600")
        read = outcome("redis-read", "GET", "test-rotation")
        counts.update([f"write {write}", f"read {read}"])
        now = time.monotonic()
        if write == "ok":
            longest, written = max(longest, now - written), now
        if now - printed > 1:
            print(json.dumps({**counts, "longest seconds without a write": round(longest, 1)}), flush=True)
            printed = now
        time.sleep(0.1)


main()
