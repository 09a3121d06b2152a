"""The application: settings, cache and routes put together."""

import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from service import __version__
from service.cache import Cache, CacheUnavailableError
from service.database import Database, DatabaseBusyError, DatabaseUnavailableError, UnknownOutcomeError
from service.metrics import Metrics
from service.observe import RequestObserver
from service.routes.cache import cache_routes
from service.routes.info import info_routes
from service.routes.items import items_routes
from service.routes.operations import operations_routes
from service.settings import Settings, SettingsError, load_settings

RETRY_AFTER_SECONDS = 2
SENTENCES: dict[type[Exception], str] = {
    CacheUnavailableError: "Redis is unavailable. Please try again.",
    DatabaseUnavailableError: "The database is unavailable. Please try again.",
    DatabaseBusyError: "Too many requests wait for the database. Please try again.",
    UnknownOutcomeError: "The database was lost on the way. The item may be stored, or not: look before you try again.",
}


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the ASGI application; uvicorn calls this with `--factory`.

    Without settings they are read from the environment. If that does not hold good ones, the process ends with a
    message that lists what is wrong, before it listens.
    """
    settings = settings or _settings_or_exit()
    metrics = Metrics()
    cache = Cache(settings, metrics)
    database = Database(settings, metrics) if settings.postgres_host is not None else None

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None, None]:
        if database is not None:
            await database.open()
        yield
        if database is not None:
            await database.close()
        await cache.close()

    app = FastAPI(title=settings.app_name, version=__version__, lifespan=lifespan)
    app.add_middleware(RequestObserver, metrics=metrics)
    for error, sentence in SENTENCES.items():
        app.add_exception_handler(error, _unavailable(sentence, retry=error is not UnknownOutcomeError))
    app.include_router(info_routes(settings))
    app.include_router(operations_routes(cache, database, metrics))
    app.include_router(cache_routes(cache, settings))
    app.include_router(items_routes(database, cache, metrics, settings))
    return app


def _settings_or_exit() -> Settings:
    try:
        return load_settings()
    except SettingsError as error:
        sys.exit(str(error))


def _unavailable(sentence: str, *, retry: bool) -> Callable[[Request, Exception], Awaitable[JSONResponse]]:
    """Return a handler that answers 503 with a sentence. `Retry-After` is left out where a retry could do harm."""

    async def answer(_: Request, __: Exception) -> JSONResponse:
        headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if retry else {}
        return JSONResponse({"detail": sentence}, status_code=503, headers=headers)

    return answer
