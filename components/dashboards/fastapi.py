"""The service: its requests, its cache, its database, its processes. Names are those of `app/service/metrics.py`."""

from components.dashboards.model import Dashboard, Panel, Query, Row

# What the kubelet and Prometheus call says nothing about users.
USERS = 'route!~"/livez|/readyz|/metrics"'
"""The label matcher of requests that people sent."""

_REQUESTS = Row(
    "Requests",
    (
        Panel(
            title="Requests by route",
            description="Requests a second, without those of the kubelet and of Prometheus.",
            unit="ops",
            queries=(
                Query(
                    f"sum by (method, route) (rate(http_requests_total{{$fastapi, {USERS}}}[$__rate_interval]))",
                    "{{method}} {{route}}",
                ),
            ),
        ),
        Panel(
            title="Answers by status",
            description="Answers a second. 5xx is the service's fault, 4xx the client's.",
            unit="ops",
            queries=(
                Query(
                    f"sum by (status) (rate(http_requests_total{{$fastapi, {USERS}}}[$__rate_interval]))", "{{status}}"
                ),
            ),
        ),
        Panel(
            title="Latency",
            description="Half of all requests, 95 % and 99 % of them, were answered within this time.",
            unit="s",
            queries=tuple(
                Query(
                    f"histogram_quantile({quantile}, sum by (le) ("
                    f"rate(http_request_duration_seconds_bucket{{$fastapi, {USERS}}}[$__rate_interval])))",
                    name,
                )
                for quantile, name in ((0.5, "median"), (0.95, "95 %"), (0.99, "99 %"))
            ),
        ),
        Panel(
            title="Latency by route",
            description="95 % of a route's requests were answered within this time.",
            unit="s",
            queries=(
                Query(
                    "histogram_quantile(0.95, sum by (le, method, route) ("
                    f"rate(http_request_duration_seconds_bucket{{$fastapi, {USERS}}}[$__rate_interval])))",
                    "{{method}} {{route}}",
                ),
            ),
        ),
        Panel(
            title="Probes",
            description="95 % of `/livez` and `/readyz` were answered within this time. A slow one restarts a pod.",
            unit="s",
            queries=(
                Query(
                    "histogram_quantile(0.95, sum by (le, route) (rate(http_request_duration_seconds_bucket"
                    '{$fastapi, route=~"/livez|/readyz"}[$__rate_interval])))',
                    "{{route}}",
                ),
            ),
        ),
    ),
)

_OBJECTIVES = Row(
    "Objectives",
    tuple(
        Panel(
            title=f"{what.capitalize()} requests",
            description=f"Share of requests that {meaning}, in windows that alerts compare with the error budget.",
            unit="percentunit",
            queries=tuple(
                Query(f'fastapi:requests_{what}:ratio{window}{{namespace="$namespace"}}', window)
                for window in ("5m", "1h", "6h", "3d")
            ),
        )
        for what, meaning in (("failed", "were answered with 5xx"), ("slow", "took too long"))
    ),
)

_CACHE = Row(
    "Cache",
    (
        Panel(
            title="Redis as the service sees it",
            description="1 while Redis answers a pod. At 0 `/cache` answers 503, and items come from the database.",
            unit="short",
            queries=(Query("redis_up{$fastapi}", "{{pod}}"),),
        ),
        Panel(
            title="Lookups in the cache",
            description="Reads a second that found a value, and that did not.",
            unit="ops",
            queries=(
                Query("sum(rate(cache_hits_total{$fastapi}[$__rate_interval]))", "hits"),
                Query("sum(rate(cache_misses_total{$fastapi}[$__rate_interval]))", "misses"),
            ),
        ),
        Panel(
            title="Errors of the cache",
            description="Operations a second that Redis did not serve.",
            unit="ops",
            queries=(
                Query("sum by (operation) (rate(cache_errors_total{$fastapi}[$__rate_interval]))", "{{operation}}"),
            ),
        ),
    ),
)

_DATABASE = Row(
    "Database",
    (
        Panel(
            title="PostgreSQL as the service sees it",
            description="1 while a pod gets answers, by the way to them: for writes, and for reads.",
            unit="short",
            queries=(Query("postgres_up{$fastapi}", "{{pod}} {{way}}"),),
        ),
        Panel(
            title="Items",
            description="Items a second that were stored, and that were read, by where they came from.",
            unit="ops",
            queries=(
                Query("sum(rate(items_created_total{$fastapi}[$__rate_interval]))", "created"),
                Query("sum by (source) (rate(items_read_total{$fastapi}[$__rate_interval]))", "read from {{source}}"),
            ),
        ),
        Panel(
            title="Errors of the database",
            description="Operations a second that PostgreSQL did not serve.",
            unit="ops",
            queries=(
                Query("sum by (operation) (rate(postgres_errors_total{$fastapi}[$__rate_interval]))", "{{operation}}"),
            ),
        ),
        Panel(
            title="Connection pools",
            description="Connections of each pod, and requests that wait for one.",
            unit="short",
            queries=(
                Query("postgres_pool_size{$fastapi}", "{{pod}} {{way}}"),
                Query("postgres_pool_waiting{$fastapi}", "{{pod}} {{way}} waiting"),
            ),
        ),
    ),
)

_PROCESSES = Row(
    "Processes",
    (
        Panel(
            title="CPU of the service",
            description="Share of one core; a process uses one at most.",
            unit="percentunit",
            queries=(Query("rate(process_cpu_seconds_total{$fastapi}[$__rate_interval])", "{{pod}}"),),
        ),
        Panel(
            title="Memory of the service",
            description="Resident memory. At the pod's limit the kernel ends it.",
            unit="bytes",
            queries=(Query("process_resident_memory_bytes{$fastapi}", "{{pod}}"),),
        ),
        Panel(
            title="Open files of the service",
            description="File descriptors, connections included. A line that only rises is a leak.",
            unit="short",
            queries=(Query("process_open_fds{$fastapi}", "{{pod}}"),),
        ),
    ),
)

FASTAPI = Dashboard(
    name="fastapi", title="FastAPI service", job="fastapi", rows=(_REQUESTS, _OBJECTIVES, _CACHE, _DATABASE, _PROCESSES)
)
