"""What the service counts, in the Prometheus text format."""

from collections.abc import Callable, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

# From a cache hit (under a millisecond) to the longest that a request waits for Redis (two seconds).
LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class Metrics:
    """The instruments of one application, in a registry of its own so that two in a process do not mix."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.requests = Counter(
            "http_requests", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self.latency = Histogram(
            "http_request_duration_seconds",
            "Time from a request's arrival to the end of its answer.",
            ["method", "route"],
            buckets=LATENCY_BUCKETS,
            registry=self.registry,
        )
        self.cache_hits = Counter("cache_hits", "Reads that found a value.", registry=self.registry)
        self.cache_misses = Counter("cache_misses", "Reads that found none.", registry=self.registry)
        self.cache_errors = Counter(
            "cache_errors", "Operations that Redis did not serve.", ["operation"], registry=self.registry
        )
        for operation in ("get", "put", "delete", "ping"):
            self.cache_errors.labels(operation)  # a series that starts at 0 shows its first increase
        self.redis_up = Gauge(
            "redis_up", "1 if Redis answered the last time it was asked, else 0.", registry=self.registry
        )
        self.items_created = Counter("items_created", "Items stored.", registry=self.registry)
        self.items_read = Counter(
            "items_read", "Single items found, by where they came from.", ["source"], registry=self.registry
        )
        for source in ("cache", "database"):
            self.items_read.labels(source)
        self.postgres_errors = Counter(
            "postgres_errors", "Operations that PostgreSQL did not serve.", ["operation"], registry=self.registry
        )
        for operation in ("insert", "find", "list", "ping"):
            self.postgres_errors.labels(operation)
        self.postgres_up = Gauge(
            "postgres_up",
            "1 if PostgreSQL answered the last time it was asked, else 0, by the way to it.",
            ["way"],
            registry=self.registry,
        )
        self.pool_size = Gauge(
            "postgres_pool_size", "Connections, made or in the making.", ["way"], registry=self.registry
        )
        self.pool_waiting = Gauge(
            "postgres_pool_waiting", "Requests that wait for a connection.", ["way"], registry=self.registry
        )

    def watch_pool(self, way: str, stats: Callable[[], Mapping[str, int]]) -> None:
        """Show the pool of a way to PostgreSQL, from what psycopg's `get_stats` tells at every scrape."""
        self.postgres_up.labels(way)
        self.pool_size.labels(way).set_function(lambda: stats()["pool_size"])
        self.pool_waiting.labels(way).set_function(lambda: stats()["requests_waiting"])

    def render(self) -> bytes:
        """Return every series in the Prometheus text format."""
        return generate_latest(self.registry)
