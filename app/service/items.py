"""Items: what they consist of, and the statements that keep them.

Each is a single statement without a transaction around it, so that a balancing pooler may send a read to any server.
"""

from collections.abc import Sequence
from typing import Annotated, LiteralString

from psycopg import AsyncConnection
from psycopg.rows import class_row
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

MAX_ID = 2**63 - 1  # of a bigint
NAME_MAX_CHARS = 200
DESCRIPTION_MAX_CHARS = 2000

# PostgreSQL has no character 0 in a text.
_Text = StringConstraints(pattern=r"^[^\x00]*$")


class NewItem(BaseModel):
    """What a client says about an item."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, _Text] = Field(min_length=1, max_length=NAME_MAX_CHARS)
    description: Annotated[str, _Text] | None = Field(None, max_length=DESCRIPTION_MAX_CHARS)


class Item(BaseModel):
    """An item as it is kept. It never changes."""

    id: int = Field(ge=1, le=MAX_ID)
    name: str
    description: str | None
    created_at: AwareDatetime


async def insert(connection: AsyncConnection, new: NewItem) -> Item:
    """Store an item and return it, with its number and its time."""
    async with connection.cursor(row_factory=class_row(Item)) as cursor:
        await cursor.execute(
            "INSERT INTO items (name, description) VALUES (%s, %s) RETURNING id, name, description, created_at",
            [new.name, new.description],
        )
        [item] = await cursor.fetchall()
        return item


_FIND: LiteralString = "SELECT id, name, description, created_at FROM items WHERE id = %s"


async def find(connection: AsyncConnection, item_id: int) -> Item | None:
    """Return the item with a number, if the server has it, which may be a standby that is behind."""
    return await _first(connection, _FIND, item_id)


async def find_on_primary(connection: AsyncConnection, item_id: int) -> Item | None:
    """Return the item with a number, if there is one: the comment keeps a pooler from asking a standby."""
    return await _first(connection, f"/*NO LOAD BALANCE*/ {_FIND}", item_id)


async def _first(connection: AsyncConnection, query: LiteralString, item_id: int) -> Item | None:
    async with connection.cursor(row_factory=class_row(Item)) as cursor:
        await cursor.execute(query, [item_id])
        return await cursor.fetchone()


async def newest(connection: AsyncConnection, before: int, limit: int) -> Sequence[Item]:
    """Return up to `limit` items whose number is less than `before`, the newest first.

    By the key of the last page rather than by an offset: a page far down costs what the first one does, and none of
    them moves while items are added.
    """
    async with connection.cursor(row_factory=class_row(Item)) as cursor:
        await cursor.execute(
            "SELECT id, name, description, created_at FROM items WHERE id < %s ORDER BY id DESC LIMIT %s",
            [before, limit],
        )
        return await cursor.fetchall()
