"""The application: settings, cache and routes put together."""

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from service import __version__
from service.cache import Cache, CacheUnavailableError
from service.metrics import Metrics
from service.observe import RequestObserver
from service.routes.cache import cache_routes
from service.routes.info import info_routes
from service.routes.operations import operations_routes
from service.settings import Settings, SettingsError, load_settings

RETRY_AFTER_SECONDS = 2


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the ASGI application; uvicorn calls this with `--factory`.

    Without settings they are read from the environment. If that does not hold good ones, the process ends with a
    message that lists what is wrong, before it listens.
    """
    settings = settings or _settings_or_exit()
    metrics = Metrics()
    cache = Cache(settings, metrics)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None, None]:
        yield
        await cache.close()

    app = FastAPI(title=settings.app_name, version=__version__, lifespan=lifespan)
    app.add_middleware(RequestObserver, metrics=metrics)
    app.add_exception_handler(CacheUnavailableError, _answer_unavailable)
    app.include_router(info_routes(settings))
    app.include_router(operations_routes(cache, metrics))
    app.include_router(cache_routes(cache, settings))
    return app


def _settings_or_exit() -> Settings:
    try:
        return load_settings()
    except SettingsError as error:
        sys.exit(str(error))


async def _answer_unavailable(_: Request, __: Exception) -> JSONResponse:
    return JSONResponse(
        {"detail": "Redis is unavailable. Please try again."},
        status_code=503,
        headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
    )
