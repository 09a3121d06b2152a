"""Reads until its stdin ends: `reader.py kept|fresh WAY DATABASE SECONDS`, with one session or with one for each read.

Prints `{"warm": true}` once it is at work, and at the end how many reads there were and why how many failed. A read is
tried once; a kept session that broke is replaced for the next one.
"""

import json
import sys
import threading
import time
from collections import Counter

import psycopg
from connection import PAUSE, connect, summary

WARM = 100


def main(sessions: str, way: str, database: str, seconds: float) -> None:
    """Read, and print as the module says."""
    stopped = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stopped.set()), daemon=True).start()
    deadline = time.monotonic() + seconds
    connection: psycopg.Connection | None = None
    # A new session costs as much as many reads: it must not be the load that is measured.
    pause = PAUSE if sessions == "kept" else PAUSE * 5
    succeeded, longest = 0, 0.0
    failed: Counter[str] = Counter()
    while not stopped.wait(pause) and time.monotonic() < deadline:
        started = time.monotonic()
        try:
            connection = connection or connect(way, database)
            connection.execute("SELECT count(*) FROM (SELECT 1 FROM fault_rows LIMIT 1) AS rows").fetchone()
        except psycopg.Error as error:
            failed[summary(error)] += 1
            session_ends = True
        else:
            succeeded += 1
            session_ends = sessions == "fresh"
            if succeeded == WARM:
                print(json.dumps({"warm": True}), flush=True)
        if session_ends and connection is not None:
            connection.close()
            connection = None
        longest = max(longest, time.monotonic() - started)
    reads = succeeded + failed.total()
    print(json.dumps({"reads": reads, "failed": failed, "longest": round(longest, 3)}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4]))
