"""The cache in Redis: bounded in time, and back by itself after Redis was away."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias, TypeVar, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import AuthenticationError, ReadOnlyError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from service.metrics import Metrics
from service.settings import Settings

log = logging.getLogger(__name__)

T = TypeVar("T")
Operation: TypeAlias = Callable[[Redis], Awaitable[T]]

# All in seconds. One operation connects and reads at most twice, which its own budget cuts short.
CONNECT_TIMEOUT = 0.5
READ_TIMEOUT = 1.0
OPERATION_BUDGET = 2.0
PING_BUDGET = 0.5  # a probe has one second by default and must be answered within it
MAX_CONNECTIONS = 64

# What a connection to a primary that is gone, or is one no more, ends in. A new connection reaches the new primary.
_LOST = (RedisConnectionError, RedisTimeoutError, ReadOnlyError)


class CacheUnavailableError(Exception):
    """Redis did not do an operation in time."""


class PasswordFile(CredentialProvider):
    """Redis credentials from a file that is read at every connect, so that a rotated password needs no restart."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get_credentials(self) -> tuple[str]:
        """Return the password, without the line break at the file's end.

        Raises:
            AuthenticationError: the file cannot be read or is empty.

        """
        try:
            password = self._path.read_text().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise AuthenticationError(f"cannot read REDIS_PASSWORD_FILE: {type(error).__name__}") from None
        if not password:
            raise AuthenticationError("REDIS_PASSWORD_FILE is empty")
        return (password,)


class Cache:
    """Values by key, for all requests of a process through one client.

    Every operation raises CacheUnavailableError within its budget, in seconds, if Redis does not serve it. Keys are
    taken as they are: each kind of value has a prefix of its own.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._client = self._new_client()
        self._up = True

    async def get(self, key: str, budget: float = OPERATION_BUDGET) -> bytes | None:
        """Return the value of a key, or None if there is none (any more)."""
        value = await self._run("get", lambda client: client.get(key), budget)
        (self._metrics.cache_misses if value is None else self._metrics.cache_hits).inc()
        return cast("bytes | None", value)  # str only with decode_responses, which is off

    async def put(self, key: str, value: bytes, ttl: int, budget: float = OPERATION_BUDGET) -> None:
        """Store a value for `ttl` seconds, in place of the one that was there."""
        await self._run("put", lambda client: client.set(key, value, ex=ttl), budget)

    async def delete(self, key: str) -> bool:
        """Remove a key, and return whether it was there."""
        return await self._run("delete", lambda client: client.delete(key)) > 0

    async def is_up(self) -> bool:
        """Return whether Redis answers within PING_BUDGET."""
        try:
            await self._run("ping", lambda client: client.ping(), PING_BUDGET)
        except CacheUnavailableError:
            return False
        return True

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    async def _run(self, name: str, operation: Operation[T], budget: float = OPERATION_BUDGET) -> T:
        try:
            async with asyncio.timeout(budget):
                result = await self._run_or_reconnect(operation)
        except (RedisError, TimeoutError) as error:
            self._metrics.cache_errors.labels(name).inc()
            self._note_failure(name, error)
            raise CacheUnavailableError from error
        self._note_success()
        return result

    async def _run_or_reconnect(self, operation: Operation[T]) -> T:
        client = self._client
        try:
            return await operation(client)
        except _LOST:
            await self._replace(client)
            return await operation(self._client)

    async def _replace(self, lost: Redis) -> None:
        """Drop every connection of a client that met a lost one, since the others lead to the same server.

        A new pool, because to disconnect the old one and go on with it would race with the requests that take from it.
        """
        if self._client is not lost:
            return  # another request has done it
        self._client = self._new_client()
        with contextlib.suppress(RedisError):
            await lost.aclose()

    def _new_client(self) -> Redis:
        password_file = self._settings.redis_password_file
        pool = BlockingConnectionPool(
            host=self._settings.redis_host,
            port=self._settings.redis_port,
            credential_provider=PasswordFile(password_file) if password_file else None,
            max_connections=MAX_CONNECTIONS,
            timeout=None,  # a burst waits for a connection; the budget bounds that too
            socket_connect_timeout=CONNECT_TIMEOUT,
            socket_timeout=READ_TIMEOUT,
            retry=Retry(NoBackoff(), 0),  # the client's own retries would outlast the budget on one dead connection
            protocol=2,  # RESP3 would add push messages, by which a server may stretch the time-outs
        )
        return Redis.from_pool(pool)

    def _note_success(self) -> None:
        if not self._up:
            log.info("Redis is up again")
        self._up = True
        self._metrics.redis_up.set(1)

    def _note_failure(self, operation: str, error: Exception) -> None:
        """Log the failure: an outage once, at its start, rather than once a request."""
        fields = {"operation": operation, "error": type(error).__name__}
        if isinstance(error, ResponseError):
            # It answers, so it is not down. The text stays out, for it may quote the command and with it the value.
            log.warning("Redis refused an operation", extra={"fields": fields})
            return
        if self._up:
            reason = str(error) if isinstance(error, (RedisConnectionError, RedisTimeoutError)) else ""
            log.warning("Redis is down", extra={"fields": {**fields, "reason": reason}})
        self._up = False
        self._metrics.redis_up.set(0)
