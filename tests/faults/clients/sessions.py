"""Holds sessions open and reads in each until its stdin ends: `sessions.py COUNT WAY DATABASE SECONDS`.

Prints `{"warm": true}` once every session has seen where its reads go, and at the end for each session the addresses of
the servers that answered it, and why it broke, if it did. A session that broke stays so.
"""

import json
import sys
import threading
import time

import psycopg
from connection import connect, summary

PAUSE = 0.05  # seconds between two reads of a session
WARM = 10  # reads of a session before it is warm: one that is balanced by statement has met both nodes by then


class Session:
    """One session and what it has seen."""

    def __init__(self, way: str, database: str) -> None:
        self.connection = connect(way, database)
        self.reads = 0
        self.servers: set[str] = set()
        self.error: str | None = None

    def read(self) -> None:
        """Read once, unless it is broken."""
        if self.error is not None:
            return
        try:
            row = self.connection.execute("SELECT host(inet_server_addr())").fetchone()
        except psycopg.Error as error:
            self.error = summary(error)
            return
        self.reads += 1
        self.servers.update(row or ())


def main(count: int, way: str, database: str, seconds: float) -> None:
    """Read in all sessions, and print as the module says."""
    stopped = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stopped.set()), daemon=True).start()
    deadline = time.monotonic() + seconds
    sessions = [Session(way, database) for _ in range(count)]
    warm = threading.Barrier(count + 1)

    def work(session: Session) -> None:
        for _ in range(WARM):
            session.read()
        warm.wait()
        while not stopped.wait(PAUSE) and time.monotonic() < deadline:
            session.read()

    # A thread each: one that hangs must not hold up the others.
    threads = [threading.Thread(target=work, args=[session]) for session in sessions]
    for thread in threads:
        thread.start()
    warm.wait()
    print(json.dumps({"warm": True}), flush=True)
    for thread in threads:
        thread.join()
    result = [{"servers": sorted(s.servers), "reads": s.reads, "error": s.error} for s in sessions]
    print(json.dumps({"sessions": result}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4]))
