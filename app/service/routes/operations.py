"""What the kubelet and Prometheus ask for."""

from typing import Literal

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from service.cache import Cache
from service.metrics import Metrics


class Liveness(BaseModel):
    """The answer of `GET /livez`."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """The answer of `GET /readyz`."""

    status: Literal["ok"] = "ok"
    redis: Literal["up", "down"]


def operations_routes(cache: Cache, metrics: Metrics) -> APIRouter:
    """Return the router of the probes and of `/metrics`."""
    router = APIRouter(tags=["operations"])

    @router.get("/livez")
    async def livez() -> Liveness:
        """Tell that the event loop runs; a restart would not bring back anything that is outside of this process."""
        return Liveness()

    # Redis down does not make a pod unready. All pods share one Redis: they would leave the Service together, and
    # clients would get refused connections, for `GET /` too, in place of an answer that says what is wrong.
    @router.get("/readyz")
    async def readyz() -> Readiness:
        """Tell that requests can be served, and whether Redis answers."""
        return Readiness(redis="up" if await cache.is_up() else "down")

    @router.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def metrics_text() -> Response:
        """Return every series in the Prometheus text format."""
        return Response(metrics.render(), media_type=CONTENT_TYPE_LATEST)

    return router
