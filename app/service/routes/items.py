"""Items, kept in PostgreSQL and read through the cache."""

import contextlib
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Response
from pydantic import BaseModel, Field

from service import items
from service.cache import Cache, CacheUnavailableError
from service.database import Database
from service.items import MAX_ID, Item, NewItem
from service.metrics import Metrics
from service.routes.problem import Problem, Responses
from service.settings import Settings

PAGE_MAX_ITEMS = 100
KEY_PREFIX = "item:"
# Seconds. A cache that takes longer saves nothing: the database is asked instead.
CACHE_BUDGET = 0.25

ItemId = Annotated[int, Path(ge=1, le=MAX_ID)]
UNAVAILABLE: Responses = {
    503: {"model": Problem, "description": "The database does not answer; `Retry-After` says when to try again"}
}
UNKNOWN: Responses = {
    503: {
        "model": Problem,
        "description": "With `Retry-After`, nothing was stored; without, that is not known: look before you try again",
    }
}
NO_ITEM: Responses = {404: {"model": Problem, "description": "No such item"}}
CACHE_HEADER = {"X-Cache": {"description": "`hit` or `miss`", "schema": {"type": "string", "enum": ["hit", "miss"]}}}
LOCATION_HEADER = {"Location": {"description": "Path of the item", "schema": {"type": "string"}}}


class Page(BaseModel):
    """The answer of `GET /items`."""

    items: Sequence[Item]
    next_before: int | None = Field(description="`before` of the next page; null on the last one.")


def items_routes(database: Database | None, cache: Cache, metrics: Metrics, settings: Settings) -> APIRouter:
    """Return the router of `/items`, which answers 503 without a database."""
    router = APIRouter(tags=["items"], responses=UNAVAILABLE)

    def configured() -> Database:
        if database is None:
            raise HTTPException(503, "No database is configured.")
        return database

    Configured = Annotated[Database, Depends(configured)]  # noqa: N806 - a type

    @router.get("/items")
    async def list_items(
        database: Configured,
        before: Annotated[int, Query(ge=1, le=MAX_ID, description="Only items with a smaller number.")] = MAX_ID,
        limit: Annotated[int, Query(ge=1, le=PAGE_MAX_ITEMS)] = 20,
    ) -> Page:
        """Return a page of items, the newest first."""
        page = await database.reads.read("list", lambda connection: items.newest(connection, before, limit))
        return Page(items=page, next_before=page[-1].id if len(page) == limit else None)

    @router.post("/items", status_code=201, responses={201: {"headers": LOCATION_HEADER}, **UNKNOWN})
    async def create_item(database: Configured, new: NewItem, response: Response) -> Item:
        """Store an item. It is never stored twice for one request."""
        item = await database.primary.write("insert", lambda connection: items.insert(connection, new))
        metrics.items_created.inc()
        response.headers["Location"] = f"/items/{item.id}"
        return item

    @router.get("/items/{item_id}", responses={200: {"headers": CACHE_HEADER}, **NO_ITEM})
    async def get_item(database: Configured, item_id: ItemId, response: Response) -> Item:
        """Return an item, from the cache if it is there."""
        key = f"{KEY_PREFIX}{item_id}"
        response.headers["X-Cache"] = "miss"
        try:
            cached = await cache.get(key, CACHE_BUDGET)
        except CacheUnavailableError:
            return await _find(database, item_id, metrics)
        if cached is not None:
            metrics.items_read.labels("cache").inc()
            response.headers["X-Cache"] = "hit"
            return Item.model_validate_json(cached)
        item = await _find(database, item_id, metrics)
        with contextlib.suppress(CacheUnavailableError):
            await cache.put(key, item.model_dump_json().encode(), settings.cache_default_ttl, CACHE_BUDGET)
        return item

    return router


async def _find(database: Database, item_id: int, metrics: Metrics) -> Item:
    """Return an item from the database.

    That there is none is for the primary to say, since a standby may be behind; and it is not cached, since it may
    change.

    Raises:
        HTTPException: there is no such item (404).

    """
    item = await database.reads.read("find", lambda connection: items.find(connection, item_id))
    if item is None:
        item = await database.primary.read("find", lambda connection: items.find_on_primary(connection, item_id))
    if item is None:
        raise HTTPException(404, "There is no item with this number.")
    metrics.items_read.labels("database").inc()
    return item
