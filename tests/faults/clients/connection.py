"""How the clients of the fault tests connect: as the application does, with its login and its limits of time."""

from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

LOGIN = Path("/run/secrets/postgres")
PAUSE = 0.01  # seconds between two statements of a client: the machine has other work to do meanwhile
# A host that is gone must not hold up a client. Two seconds is the shortest connect time-out that libpq knows.
LIVELINESS = {
    "connect_timeout": "2",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "2",
    "tcp_user_timeout": "5000",
}


def conninfo(way: str, database: str, **options: str) -> str:
    """Return the connection string of a way, `host:port[,host:port…]`, of which the first that answers is taken."""
    hosts, ports = zip(*(place.split(":") for place in way.split(",")), strict=True)
    return make_conninfo(
        host=",".join(hosts),
        port=",".join(ports),
        dbname=database,
        user=(LOGIN / "username").read_text().strip(),
        password=(LOGIN / "password").read_text().strip(),
        sslmode="prefer",  # TLS where it is spoken; whose certificate it is matters to other tests
        gssencmode="disable",
        **(LIVELINESS | options),
    )


def connect(way: str, database: str) -> psycopg.Connection:
    """Return a new session in which every statement is a transaction of its own.

    Raises:
        psycopg.OperationalError: none of the hosts serves.
    """
    # Not prepared: a pooler may give the next statement another server.
    return psycopg.connect(conninfo(way, database), autocommit=True, prepare_threshold=None)


def summary(error: Exception) -> str:
    """The first line of an error: what the server said, or libpq."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
