"""Run in a pod of the service by the checks of Pgpool-II, from stdin; prints what it found as one line of JSON.

Arguments: what to do (the name of a function below), then its own. Loops are here and not in the check, because each
kubectl costs more than the statements of a whole loop.
"""

import json
import os
import secrets
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.sql import SQL, Identifier

SERVER = "SELECT host(inet_server_addr())"  # stable: it is balanced like any read
PRIMARY = "SELECT host(inet_server_addr()) FROM (SELECT pg_is_in_recovery()) AS volatile"  # never is


def connect(address: str | None = None) -> psycopg.Connection:
    """A session through the Service, or with one pod of it by its address; the certificate is checked all the same."""
    return psycopg.connect(
        host=os.environ["POSTGRES_HOST"],
        hostaddr=address,
        port=os.environ["POSTGRES_PORT"],
        dbname=os.environ["POSTGRES_DATABASE"],
        user=Path(os.environ["POSTGRES_USERNAME_FILE"]).read_text().strip(),
        password=Path(os.environ["POSTGRES_PASSWORD_FILE"]).read_text().strip(),
        sslmode=os.environ.get("POSTGRES_SSLMODE", "prefer"),
        sslrootcert=os.environ.get("POSTGRES_CA_FILE"),
        connect_timeout=10,
        autocommit=True,
        prepare_threshold=None,
    )


def asked(connection: psycopg.Connection, statement: str) -> list[dict[str, Any]]:
    """What one of Pgpool-II's own statements answers."""
    return connection.cursor(row_factory=dict_row).execute(statement.encode()).fetchall()


def show(statement: str, *addresses: str) -> dict[str, list[dict[str, Any]]]:
    """What each of some pods answers to a SHOW, by its address."""
    answers = {}
    for address in addresses:
        with connect(address) as connection:
            answers[address] = asked(connection, statement)
    return answers


def selects(count: str, sessions: str) -> dict[str, Any]:
    """Send `count` selects over so many sessions; the address of the primary, and how many each server answered."""
    with connect() as connection:
        [[primary]] = connection.execute(PRIMARY)
    served: Counter[str] = Counter()
    for _ in range(int(sessions)):
        with connect() as connection:
            for _ in range(int(count) // int(sessions)):
                [[server]] = connection.execute(SERVER)
                served[server] += 1
    return {"primary": primary, "served": served}


def writes(count: str) -> dict[str, Any]:
    """Insert `count` rows into a table of its own, and count them where they are then."""
    table = new_table()
    with connect() as connection:
        connection.execute(SQL("CREATE TABLE {} (number int PRIMARY KEY)").format(table))
        try:
            insert = SQL("INSERT INTO {} VALUES (%s)").format(table)
            for number in range(int(count)):
                connection.execute(insert, [number])
            with connection.transaction():  # after a write in it, a transaction reads from the primary
                connection.execute(SQL("DELETE FROM {} WHERE number < 0").format(table))
                [[stored]] = connection.execute(SQL("SELECT count(*) FROM {}").format(table))
        finally:
            connection.execute(SQL("DROP TABLE {}").format(table))
    return {"stored": stored}


def cache(address: str) -> dict[str, Any]:
    """Read a row twice, change it, read it twice again; what was read, and the cache's hits after each read."""
    table = new_table()
    seen = []
    with connect(address) as connection:
        connection.execute(SQL("CREATE TABLE {} AS SELECT 'old' AS value").format(table))
        try:
            for number in range(4):
                if number == 2:
                    connection.execute(SQL("UPDATE {} SET value = 'new'").format(table))
                [[value]] = connection.execute(SQL("SELECT value FROM {}").format(table))
                [counters] = asked(connection, "SHOW POOL_CACHE")
                seen.append({"value": value, "hits": int(counters["num_cache_hits"])})
        finally:
            connection.execute(SQL("DROP TABLE {}").format(table))
    return {"seen": seen}


def new_table() -> Identifier:
    """A name that nobody else has."""
    return Identifier(f"hotstack_check_{secrets.token_hex(8)}")


TASKS = {"show": show, "selects": selects, "writes": writes, "cache": cache}
print(json.dumps(TASKS[sys.argv[1]](*sys.argv[2:])))
