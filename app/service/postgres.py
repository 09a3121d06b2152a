"""How the service connects to PostgreSQL, or to a pooler that speaks for it."""

from collections.abc import Sequence
from pathlib import Path

from psycopg.conninfo import make_conninfo

from service.settings import Settings

# A host that is gone must not hold up a failover: a socket is given up for dead after these. A connect of two seconds
# is the shortest that libpq knows.
_LIVELINESS = {
    "connect_timeout": "2",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "2",
    "tcp_user_timeout": "5000",  # milliseconds, the others seconds
}


class CredentialsError(Exception):
    """A file with credentials cannot be read or is empty; the text names the setting."""


def primary_conninfo(settings: Settings) -> str:
    """Return the connection string for the way that writes go; it holds the password.

    Raises:
        CredentialsError: a file of the credentials is not as it should be.

    """
    return _conninfo(settings, [settings.postgres_host or ""], [settings.postgres_port])


def read_conninfo(settings: Settings) -> str:
    """Return the connection string for the way that reads go: several hosts, of which the first that answers is taken.

    Raises:
        CredentialsError: a file of the credentials is not as it should be.

    """
    return _conninfo(settings, settings.postgres_read_hosts, settings.postgres_read_ports)


def _conninfo(settings: Settings, hosts: Sequence[str], ports: Sequence[int]) -> str:
    ca = settings.postgres_ca_file
    return make_conninfo(
        host=",".join(hosts),
        port=",".join(map(str, ports)),
        dbname=settings.postgres_database,
        user=_content("POSTGRES_USERNAME_FILE", settings.postgres_username_file),
        password=_content("POSTGRES_PASSWORD_FILE", settings.postgres_password_file),
        sslmode=settings.postgres_sslmode or ("prefer" if ca is None else "verify-full"),
        sslrootcert=None if ca is None else str(ca),
        gssencmode="disable",  # a round trip that no pooler has an answer to
        **_LIVELINESS,
    )


def _content(setting: str, path: Path | None) -> str | None:
    """Return what a file holds, without the line break at its end."""
    if path is None:
        return None
    try:
        content = path.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise CredentialsError(f"cannot read {setting}: {type(error).__name__}") from None
    if not content:
        raise CredentialsError(f"{setting} is empty")
    return content
