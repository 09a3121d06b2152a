"""What the kubelet and Prometheus ask for."""

import asyncio
from typing import Literal

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from service.cache import Cache
from service.database import Database
from service.metrics import Metrics
from service.schema import LATEST


class Liveness(BaseModel):
    """The answer of `GET /livez`."""

    status: Literal["ok"] = "ok"


Health = Literal["up", "down"]


class Readiness(BaseModel):
    """The answer of `GET /readyz`: what is there of that which the service needs."""

    status: Literal["ok", "not ready"]
    redis: Health
    postgres: Health | Literal["unconfigured"] = "unconfigured"
    postgres_read: Health | Literal["unconfigured"] = "unconfigured"
    migrations: Literal["current", "behind", "unknown"] = "unknown"


def operations_routes(cache: Cache, database: Database | None, metrics: Metrics) -> APIRouter:
    """Return the router of the probes and of `/metrics`."""
    router = APIRouter(tags=["operations"])

    @router.get("/livez")
    async def livez() -> Liveness:
        """Tell that the event loop runs; a restart would not bring back anything that is outside of this process."""
        return Liveness()

    # Redis down does not make a pod unready. All pods share one Redis: they would leave the Service together, and
    # clients would get refused connections, for `GET /` too, in place of an answer that says what is wrong. The same
    # goes for PostgreSQL. But a schema that is older than this code waits for its migration, while the pods of the
    # version before serve: there a pod that is not ready holds up the rollout.
    @router.get(
        "/readyz",
        responses={503: {"model": Readiness, "description": "The database lacks a migration that this code needs"}},
    )
    async def readyz(response: Response) -> Readiness:
        """Tell that requests can be served, and what answers of that which they need."""
        readiness = await _readiness(cache, database)
        response.status_code = 200 if readiness.status == "ok" else 503
        return readiness

    @router.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def metrics_text() -> Response:
        """Return every series in the Prometheus text format."""
        return Response(metrics.render(), media_type=CONTENT_TYPE_LATEST)

    return router


async def _readiness(cache: Cache, database: Database | None) -> Readiness:
    if database is None:
        return Readiness(status="ok", redis=_health(await cache.is_up()))
    redis, postgres, version = await asyncio.gather(cache.is_up(), database.is_up(), database.schema_version())
    behind = version is not None and version < LATEST
    return Readiness(
        status="not ready" if behind else "ok",
        redis=_health(redis),
        postgres=_health(postgres),
        postgres_read=_health(version is not None),
        migrations="unknown" if version is None else "behind" if behind else "current",
    )


def _health(up: bool) -> Health:
    return "up" if up else "down"
