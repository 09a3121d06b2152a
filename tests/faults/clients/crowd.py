"""Many clients at once: `crowd.py CLIENTS WAY DATABASE SECONDS`.

Each opens a session, reads, keeps it for a moment, leaves, and comes again until SECONDS are over. Prints at the end
how many sessions were served, and what the others were told. One more client only asks for TLS, and reads what it is
told instead: libpq shows nobody an error that came before TLS, since anyone could have sent it.
"""

import asyncio
import json
import struct
import sys
import time
from collections import Counter

import psycopg
from connection import conninfo, summary

STAYS = 0.5  # seconds that a client that is served keeps its session
COMES_AGAIN = 0.5  # seconds until it comes again
PATIENCE = "20"  # seconds to connect: a client that waits in a queue is not yet turned away
TLS_REQUEST = struct.pack("!ii", 8, 80877103)  # length and code, as PostgreSQL's protocol has them


async def main(clients: int, way: str, database: str, seconds: float) -> None:
    """Let all clients in at once, and print as the module says."""
    deadline = time.monotonic() + seconds
    where = conninfo(way, database, connect_timeout=PATIENCE)
    told: Counter[str] = Counter()
    words: Counter[str] = Counter()
    waited: list[float] = []

    async def client() -> None:
        while time.monotonic() < deadline:
            started = time.monotonic()
            try:
                connection = await psycopg.AsyncConnection.connect(where, autocommit=True, prepare_threshold=None)
                async with connection:
                    await connection.execute("SELECT 1")
                    waited.append(time.monotonic() - started)
                    await asyncio.sleep(STAYS)
            except psycopg.Error as error:
                told[summary(error)] += 1
            await asyncio.sleep(COMES_AGAIN)

    async def listener() -> None:
        host, port = way.split(":")
        while time.monotonic() < deadline:
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(TLS_REQUEST)
            answer = await reader.read(1024)
            if answer.startswith(b"E"):
                words[message(answer)] += 1
            writer.close()
            await asyncio.sleep(COMES_AGAIN)

    await asyncio.gather(listener(), *(client() for _ in range(clients)))
    result = {"served": len(waited), "told": told, "words": words, "longest": round(max(waited, default=0), 2)}
    print(json.dumps(result), flush=True)


def message(error: bytes) -> str:
    """The field `M` of an ErrorResponse: a byte for its kind, four for its length, then fields that end in a zero."""
    fields = error[5:].split(b"\0")
    return next((field[1:].decode() for field in fields if field.startswith(b"M")), "")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4])))
