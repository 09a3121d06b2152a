"""Values by key, kept in Redis for a while."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from starlette.requests import ClientDisconnect

from service.cache import Cache
from service.routes.problem import Problem, Responses
from service.settings import Settings

VALUE_TYPE = "application/octet-stream"
KEY_PATTERN = r"^[A-Za-z0-9._:-]+$"
KEY_MAX_CHARS = 200
KEY_PREFIX = "cache:"  # other users of the same Redis are not ours to overwrite

Key = Annotated[
    str, Path(max_length=KEY_MAX_CHARS, pattern=KEY_PATTERN, description="Letters, digits and `.` `_` `:` `-`.")
]


MISS: Responses = {404: {"model": Problem, "description": "No such key, or no longer"}}
UNAVAILABLE: Responses = {
    503: {"model": Problem, "description": "Redis does not answer; `Retry-After` says when to try again"}
}


def cache_routes(cache: Cache, settings: Settings) -> APIRouter:
    """Return the router of `/cache/{key}`, with the limits of the settings in its OpenAPI."""
    router = APIRouter(tags=["cache"], responses=UNAVAILABLE)
    value_schema = {"type": "string", "format": "binary", "maxLength": settings.cache_max_value_bytes}

    @router.get(
        "/cache/{key}",
        response_class=Response,
        responses={200: {"content": {VALUE_TYPE: {"schema": value_schema}}}, **MISS},
    )
    async def get_value(key: Key) -> Response:
        """Return the bytes that were stored."""
        value = await cache.get(KEY_PREFIX + key)
        if value is None:
            raise _no_such_key()
        # A browser must not take somebody's stored bytes for a page of this site.
        return Response(value, media_type=VALUE_TYPE, headers={"X-Content-Type-Options": "nosniff"})

    @router.put(
        "/cache/{key}",
        status_code=204,
        responses={413: {"model": Problem, "description": f"More than {settings.cache_max_value_bytes} bytes"}},
        openapi_extra={"requestBody": {"content": {"*/*": {"schema": value_schema}}}},
    )
    async def put_value(
        key: Key,
        request: Request,
        ttl: Annotated[
            int, Query(ge=1, le=settings.cache_max_ttl, description="Time to live, seconds.")
        ] = settings.cache_default_ttl,
    ) -> None:
        """Store the request's body as it is, whatever its type, in place of what was there."""
        value = await _read_value(request, settings.cache_max_value_bytes)
        await cache.put(KEY_PREFIX + key, value, ttl)

    @router.delete("/cache/{key}", status_code=204, responses=MISS)
    async def delete_value(key: Key) -> None:
        """Forget a key."""
        if not await cache.delete(KEY_PREFIX + key):
            raise _no_such_key()

    return router


async def _read_value(request: Request, limit: int) -> bytes:
    """Read a request's body of at most `limit` bytes, and never hold more of it than one chunk above that.

    FastAPI's own `max_body_size` would do, but answers some of the uploads in plain text instead of JSON.

    Raises:
        HTTPException: the body is larger, or says that it is (413), or its client went away (400).

    """
    too_large = HTTPException(413, f"The value is larger than {limit} bytes.")
    if int(request.headers.get("content-length", 0)) > limit:
        raise too_large
    value = bytearray()
    try:
        async for chunk in request.stream():
            value += chunk
            if len(value) > limit:
                raise too_large
    except ClientDisconnect:
        raise HTTPException(400, "The connection was closed before the end of the value.") from None
    return bytes(value)


def _no_such_key() -> HTTPException:
    return HTTPException(404, "There is no value with this key.")
