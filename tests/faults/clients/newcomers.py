"""Opens sessions one after the other, several at a time, until its stdin ends: `newcomers.py WAY DATABASE SECONDS`.

Each reads once and leaves. Prints `{"warm": true}` once it is at work, and at the end how many sessions there were, why
how many failed, and how long the slowest took.
"""

import json
import sys
import threading
import time
from collections import Counter

import psycopg
from connection import PAUSE, connect, summary

WORKERS = 4
WARM = 50


def main(way: str, database: str, seconds: float) -> None:
    """Open sessions, and print as the module says."""
    stopped = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stopped.set()), daemon=True).start()
    deadline = time.monotonic() + seconds
    lock = threading.Lock()
    durations: list[float] = []
    failed: Counter[str] = Counter()

    def work() -> None:
        while not stopped.wait(PAUSE) and time.monotonic() < deadline:
            started, reason = time.monotonic(), None
            try:
                with connect(way, database) as connection:
                    connection.execute("SELECT 1").fetchone()
            except psycopg.Error as error:
                reason = summary(error)
            with lock:
                durations.append(time.monotonic() - started)
                if reason is not None:
                    failed[reason] += 1
                elif len(durations) - failed.total() == WARM:
                    print(json.dumps({"warm": True}), flush=True)

    threads = [threading.Thread(target=work) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    result = {"sessions": len(durations), "failed": failed, "longest": round(max(durations), 3)}
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
