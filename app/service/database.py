"""The database: bounded in time, back by itself after a failover, and honest about a write that may have been done."""

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any, Self, TypeAlias, TypeVar

import psycopg
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests

from service.metrics import Metrics
from service.postgres import CredentialsError, primary_conninfo, read_conninfo
from service.settings import Settings

log = logging.getLogger(__name__)

T = TypeVar("T")
Statement: TypeAlias = Callable[[AsyncConnection], Awaitable[T]]

# All in seconds. One operation waits for a connection and for its statements, a second attempt included, within its
# own budget; what is left of that when the wait is over is the statement's.
OPERATION_BUDGET = 2.0
WAIT_SECONDS = 1.5
PING_BUDGET = 0.5  # a probe has one second by default and must be answered within it
CHECK_SECONDS = 0.5
CANCEL_SECONDS = 0.2
# How long the pool tries again by itself before the next request makes it try: the sooner, the faster it is back.
RECONNECT_SECONDS = 1.0
LIFETIME = 600.0  # so that readers who fell back to the primary find the standbys again
WAITING_PER_CONNECTION = 8  # more requests in the queue than this are turned away at once

# An ERROR of these classes comes from something that broke, or from a pooler whose server broke, perhaps after the
# commit: connection, intervention, system, internal. Any other ERROR says that the statement has been undone.
_UNCERTAIN_CLASSES = frozenset({"08", "57", "58", "XX"})


class DatabaseUnavailableError(Exception):
    """The database did not do an operation in time, and has not done any of it."""


class DatabaseBusyError(DatabaseUnavailableError):
    """Too many requests wait for a connection already."""


class UnknownOutcomeError(Exception):
    """The connection was lost while a write was being done: it may have been done, and may not."""


class _Connection(AsyncConnection[tuple[Any, ...]]):
    """A connection that knows when it was made, by `time.monotonic()`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as the base's
        super().__init__(*args, **kwargs)
        self.made_at = time.monotonic()


def _connection_class(note_refusal: Callable[[Exception], None]) -> type[_Connection]:
    """Return a class whose connections are noted when they cannot be made: the pool tells nobody why."""

    class Connection(_Connection):
        @classmethod
        async def connect(cls, conninfo: str = "", **kwargs: Any) -> Self:  # noqa: ANN401 - as the base's
            try:
                return await super().connect(conninfo, **kwargs)
            except psycopg.Error as error:
                note_refusal(error)
                raise

    return Connection


class Way:
    """One way to the database, through a pool of its own."""

    def __init__(
        self, name: str, conninfo: Callable[[], str], size: int, metrics: Metrics, *, for_writes: bool
    ) -> None:
        self._name = name
        self._conninfo = conninfo
        self._metrics = metrics
        self._up = True
        self._reason = ""
        self._dropped_at = 0.0
        self._pool = AsyncConnectionPool(
            self._read_conninfo,
            connection_class=_connection_class(self._note_refusal),
            # A statement that was prepared by name would have to be found again behind a pooler.
            kwargs={"autocommit": True, "prepare_threshold": None},
            name=name,
            min_size=0,
            max_size=size,
            max_waiting=size * WAITING_PER_CONNECTION,
            max_lifetime=LIFETIME,
            reconnect_timeout=RECONNECT_SECONDS,
            check=self._check_writable if for_writes else None,
            open=False,
        )
        metrics.watch_pool(name, self._pool.get_stats)

    async def open(self) -> None:
        """Make the pool usable; the first connection is made for the first request."""
        await self._pool.open()

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()

    async def read(self, operation: str, statement: Statement[T], budget: float = OPERATION_BUDGET) -> T:
        """Return what a reading statement returns, from a second connection when the first breaks.

        Raises:
            DatabaseUnavailableError: there is no answer within the budget, in seconds.

        """
        deadline = time.monotonic() + budget
        try:
            try:
                result = await self._once(statement, deadline)
            except (psycopg.OperationalError, psycopg.InternalError) as error:
                if isinstance(error, PoolTimeout | TooManyRequests):
                    raise
                result = await self._once(statement, deadline)
        except (psycopg.Error, TimeoutError) as error:
            raise self._failed(operation, error) from error
        self._note_success()
        return result

    async def write(self, operation: str, statement: Statement[T]) -> T:
        """Return what a writing statement returns. It runs once, or again where it is certain to have done nothing.

        Raises:
            DatabaseUnavailableError: it was not done.
            UnknownOutcomeError: it was sent, and what came of it will never be known.

        """
        deadline = time.monotonic() + OPERATION_BUDGET
        try:
            try:
                result = await self._once(statement, deadline)
            except psycopg.errors.ReadOnlySqlTransaction:  # a primary that is one no more, which refused
                result = await self._once(statement, deadline)
        except (psycopg.Error, TimeoutError) as error:
            failure = self._failed(operation, error)
            raise (failure if _has_done_nothing(error) else UnknownOutcomeError()) from error
        self._note_success()
        return result

    async def _once(self, statement: Statement[T], deadline: float) -> T:
        wait = min(WAIT_SECONDS, deadline - time.monotonic())
        async with self._pool.connection(timeout=wait) as connection:
            try:
                return await _within(deadline - time.monotonic(), connection, statement)
            except (psycopg.OperationalError, psycopg.errors.ReadOnlySqlTransaction, TimeoutError) as error:
                if connection.closed or isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
                    await self._drop(connection)
                raise

    async def _check_writable(self, connection: _Connection) -> None:
        """Refuse a connection that is dead or leads to a standby, before a write is sent on it.

        A pooler asks the primary, because the function is volatile.
        """
        try:
            read_only = await _within(CHECK_SECONDS, connection, _is_standby)
            if read_only:
                raise psycopg.OperationalError("the server is a standby")
        except (psycopg.Error, TimeoutError) as error:
            self._note_refusal(error)
            await self._drop(connection)
            raise

    async def _drop(self, connection: _Connection) -> None:
        """Close a connection that met a lost server, and all that are as old, since they may lead to the same one."""
        await connection.close()
        if connection.made_at > self._dropped_at:  # else another request has done it
            self._dropped_at = time.monotonic()
            await self._pool.drain()

    def _read_conninfo(self) -> str:
        """Return where and as whom to connect at this moment, so that a rotation needs no restart."""
        try:
            return self._conninfo()
        except CredentialsError as error:
            self._note_refusal(error)
            raise

    def _note_refusal(self, error: Exception) -> None:
        """Keep why there is no connection, for the line that an operation logs when it gets none."""
        self._reason = str(error) or "the server does not answer"

    def _failed(self, operation: str, error: Exception) -> DatabaseUnavailableError:
        """Count and log a failure, an outage once, at its start; and return what the caller is told."""
        self._metrics.postgres_errors.labels(operation).inc()
        fields = {"way": self._name, "operation": operation, "error": type(error).__name__}
        if isinstance(error, TooManyRequests) or (isinstance(error, PoolTimeout) and self._is_exhausted()):
            log.warning("PostgreSQL is asked for more than its connections can do", extra={"fields": fields})
            return DatabaseBusyError()
        if isinstance(error, psycopg.Error) and error.sqlstate is not None and _has_done_nothing(error):
            # It answers, so it is not down. The text stays out, for it may quote values.
            log.warning("PostgreSQL refused an operation", extra={"fields": {**fields, "code": error.sqlstate}})
            return DatabaseUnavailableError()
        if self._up:
            reason = self._reason if isinstance(error, PoolTimeout) else ""
            log.warning("PostgreSQL is down", extra={"fields": {**fields, "reason": reason}})
        self._up = False
        self._metrics.postgres_up.labels(self._name).set(0)
        return DatabaseUnavailableError()

    def _is_exhausted(self) -> bool:
        """Return whether every connection is in use, rather than lost and not to be had again."""
        return not self._reason and self._pool.get_stats()["pool_size"] == self._pool.max_size

    def _note_success(self) -> None:
        if not self._up:
            log.info("PostgreSQL is up again", extra={"fields": {"way": self._name}})
        self._up = True
        self._reason = ""
        self._metrics.postgres_up.labels(self._name).set(1)


class Database:
    """The primary, and the way that reads go, which may be the same."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        size = settings.postgres_pool_size
        self.primary = Way("primary", lambda: primary_conninfo(settings), size, metrics, for_writes=True)
        self.reads = self.primary
        if settings.postgres_read_hosts:
            self.reads = Way("read", lambda: read_conninfo(settings), size, metrics, for_writes=False)

    async def open(self) -> None:
        """Make both ways usable."""
        for way in {self.primary, self.reads}:
            await way.open()

    async def close(self) -> None:
        """Close every connection."""
        for way in {self.primary, self.reads}:
            await way.close()

    async def is_up(self) -> bool:
        """Return whether the primary answers within PING_BUDGET."""
        try:
            await self.primary.read("ping", _is_standby, PING_BUDGET)
        except DatabaseUnavailableError:
            return False
        return True

    async def schema_version(self) -> int | None:
        """Return the newest migration that readers see, 0 for none, or None when no answer comes within PING_BUDGET."""
        try:
            return await self.reads.read("ping", _schema_version, PING_BUDGET)
        except DatabaseUnavailableError:
            return None


async def _is_standby(connection: AsyncConnection) -> bool:
    cursor = await connection.execute("SELECT pg_is_in_recovery()")
    [standby] = await cursor.fetchone() or [True]
    return standby


async def _schema_version(connection: AsyncConnection) -> int:
    try:
        cursor = await connection.execute("SELECT max(version) FROM schema_migrations")
    except psycopg.errors.UndefinedTable:
        return 0
    [version] = await cursor.fetchone() or [None]
    return version or 0


def _has_done_nothing(error: Exception) -> bool:
    """Return whether an error proves that the statement was not sent, or was undone by the server."""
    if isinstance(error, PoolTimeout | TooManyRequests):
        return True
    code = error.sqlstate if isinstance(error, psycopg.Error) else None
    return code is not None and code[:2] not in _UNCERTAIN_CLASSES


async def _within(seconds: float, connection: AsyncConnection, statement: Statement[T]) -> T:
    """Return what a statement returns, or close its connection after so many seconds.

    A plain time-out of asyncio's would not do: psycopg then waits for the server's last word, which may never come.

    Raises:
        TimeoutError: the time is over. What comes of the statement is not known, even if its result came meanwhile:
            a commit that waits for a standby is acknowledged when it is told to wait no longer.

    """
    late = asyncio.Event()
    watchman = asyncio.create_task(_give_up_after(seconds, connection, late))
    try:
        result = await statement(connection)
    except psycopg.Error:
        if not late.is_set():
            raise
        raise TimeoutError from None
    finally:
        watchman.cancel()
    if late.is_set():
        await connection.close()
        raise TimeoutError
    return result


async def _give_up_after(seconds: float, connection: AsyncConnection, late: asyncio.Event) -> None:
    """Tell the server to stop, so that it does not keep a dead client's work, and hang up if it does not."""
    await asyncio.sleep(seconds)
    late.set()
    with contextlib.suppress(psycopg.Error):
        await connection.cancel_safe(timeout=CANCEL_SECONDS)
    await asyncio.sleep(CANCEL_SECONDS)
    with contextlib.suppress(psycopg.Error, OSError), socket.socket(fileno=os.dup(connection.fileno())) as duplicate:
        duplicate.shutdown(socket.SHUT_RDWR)
