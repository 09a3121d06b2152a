"""The database's schema: numbered SQL files, of which the database remembers those that it has."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "migrations"


@dataclass(frozen=True)
class Migration:
    """One step of the schema.

    Attributes:
        version: its number; steps are applied in this order.
        name: what the file is called, without its ending: `0001_items`.
        sql: the statements, which run in one transaction.
    """

    version: int
    name: str
    sql: bytes

    @property
    def checksum(self) -> str:
        """The SHA-256 of `sql`, in hexadecimal digits."""
        return hashlib.sha256(self.sql).hexdigest()


def read_migrations(folder: Path = FOLDER) -> list[Migration]:
    """Return the migrations of a folder, by version.

    Raises:
        ValueError: a file is not called NNNN_name.sql, or two have one number.

    """
    found: dict[int, Migration] = {}
    for path in sorted(folder.iterdir()):
        match = re.fullmatch(r"(\d{4})_[a-z0-9_]+\.sql", path.name)
        if match is None:
            raise ValueError(f"{path.name} in {folder.name}/ is not called like 0001_items.sql")
        migration = Migration(int(match[1]), path.stem, path.read_bytes())
        if migration.version in found:
            raise ValueError(f"{found[migration.version].name} and {migration.name} have the same number")
        found[migration.version] = migration
    return [found[version] for version in sorted(found)]


LATEST = read_migrations()[-1].version
"""The version that this code needs."""
