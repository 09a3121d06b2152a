"""Writes numbered rows until a failover is behind it: `writer.py NAME WAY DATABASE ROWS SECONDS`.

Prints `{"warm": true}` once it is at work, and at the end what became of its rows. Those it does not mention were
acknowledged. It stops after ROWS of them and enough on a second timeline, or when SECONDS are over.
"""

import json
import sys
import time

import psycopg
from connection import PAUSE, connect, summary

WARM = 300  # rows before it says so, and again on the new timeline
INSERT = """
    INSERT INTO fault_rows (client, number, timeline, at)
    VALUES (%s, %s, substring(pg_walfile_name(pg_current_wal_lsn()), 1, 8), clock_timestamp())
    RETURNING timeline
"""


def main(name: str, way: str, database: str, rows: int, seconds: float) -> None:
    """Write, and print as the module says."""
    deadline = time.monotonic() + seconds
    connection: psycopg.Connection | None = None
    attempts, acknowledged = 0, 0
    unknown: list[int] = []  # the connection broke: stored or not, nobody knows
    refused: list[int] = []  # not stored, the server said so
    errors: dict[str, int] = {}
    on_timeline: dict[str, int] = {}

    def done() -> bool:
        *old, last = on_timeline.values() or [0]
        return acknowledged >= rows and bool(old) and last >= WARM

    while not done() and time.monotonic() < deadline:
        try:
            if connection is None:
                connection = connect(way, database)
            attempts += 1
            row = connection.execute(INSERT, [name, attempts]).fetchone()
        except psycopg.Error as error:
            errors[summary(error)] = errors.get(summary(error), 0) + 1
            if connection is not None:
                # Nothing else is certain: a standby stores no row.
                certain = isinstance(error, psycopg.errors.ReadOnlySqlTransaction)
                (refused if certain else unknown).append(attempts)
                connection.close()
                connection = None
            time.sleep(PAUSE * 10)
            continue
        acknowledged += 1
        timeline = row[0] if row else ""
        on_timeline[timeline] = on_timeline.get(timeline, 0) + 1
        if acknowledged == WARM:
            print(json.dumps({"warm": True}), flush=True)
        time.sleep(PAUSE)
    result = {"attempts": attempts, "unknown": unknown, "refused": refused, "timelines": on_timeline, "errors": errors}
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), float(sys.argv[5]))
