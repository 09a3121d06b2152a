"""One metric sample and one log line for every request."""

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.metrics import Metrics

log = logging.getLogger("service.access")

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# Called every few seconds by the kubelet and Prometheus; logged only when they fail.
QUIET_ROUTES = frozenset({"/livez", "/readyz", "/metrics"})
LOGGED_PATH_CHARS = 256


class RequestObserver:
    """ASGI middleware that measures and logs requests.

    Labels hold the route's template and a known method, never what a client made up: their number stays bounded. The
    log holds the path, but neither query, headers nor body.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application, and record how it answered if this is a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = 500  # what the server sends for an exception that nobody caught
        started = time.perf_counter()

        async def send_noting_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, send_noting_status)
        finally:
            self._record(scope, status, time.perf_counter() - started)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in METHODS else "OTHER"
        route = getattr(scope.get("route"), "path", "unmatched")
        self.metrics.requests.labels(method, route, str(status)).inc()
        self.metrics.latency.labels(method, route).observe(seconds)
        if route in QUIET_ROUTES and status < 400:
            return
        fields = {
            "method": scope["method"],
            "path": scope["path"][:LOGGED_PATH_CHARS],
            "route": route,
            "status": status,
            "ms": round(seconds * 1000, 2),
            "client": scope["client"][0] if scope.get("client") else None,
        }
        log.info("request", extra={"fields": fields})
