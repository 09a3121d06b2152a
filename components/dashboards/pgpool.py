"""Pgpool-II: its backends, its clients, its query cache. Names are those of pgpool2_exporter."""

from components.dashboards.model import Dashboard, Panel, Query, Row


def _statements(kinds: tuple[str, ...]) -> tuple[Query, ...]:
    """A query for each kind of statement, or of error, that `SHOW POOL_BACKEND_STATS` counts."""
    return tuple(
        Query(f"sum(rate(pgpool2_pool_backend_stats_{kind}_cnt{{$pgpool}}[$__rate_interval]))", kind) for kind in kinds
    )


_NODES = Row(
    "Backends",
    (
        Panel(
            title="Pgpool-II instances and backends",
            description="Pods that answer, and backends that all of them see up.",
            unit="short",
            kind="value",
            queries=(
                Query("sum(pgpool2_up{$pgpool})", "instances up"),
                Query("sum(min by (node_id) (pgpool2_pool_nodes_status{$pgpool}))", "backends up"),
            ),
        ),
        Panel(
            title="Status of backends",
            description="1 while a pod of Pgpool-II has a backend in use that answers it, else 0.",
            unit="short",
            queries=(Query("pgpool2_pool_nodes_status{$pgpool}", "{{pod}} {{hostname}}"),),
        ),
        Panel(
            title="Replication delay",
            description="As Pgpool-II measures it; 0 where its streaming replication check is off.",
            unit="bytes",
            queries=(Query("pgpool2_pool_nodes_replication_delay{$pgpool}", "{{pod}} {{hostname}}"),),
        ),
        Panel(
            title="SELECTs by backend",
            description="SELECTs a second that each backend got. The primary's are those that a standby cannot answer.",
            unit="ops",
            queries=(
                Query(
                    "sum by (hostname) (rate(pgpool2_pool_nodes_select_cnt{$pgpool}[$__rate_interval]))",
                    "{{hostname}}",
                ),
            ),
        ),
        Panel(
            title="Statements",
            description="Statements a second, by kind, to all backends.",
            unit="ops",
            queries=_statements(("select", "insert", "update", "delete", "ddl", "other")),
        ),
        Panel(
            title="Errors of backends",
            description="Messages a second by which backends refused something, or ended a session.",
            unit="ops",
            queries=_statements(("error", "fatal", "panic")),
        ),
    ),
)

_CLIENTS = Row(
    "Clients",
    (
        Panel(
            title="Children",
            description="Processes, each for one client, and those that have one. Pgpool-II starts more as they fill.",
            unit="short",
            queries=(
                Query("sum by (pod) (pgpool2_frontend_used{$pgpool})", "{{pod}} used"),
                Query("sum by (pod) (pgpool2_frontend_total{$pgpool})", "{{pod}} total"),
            ),
        ),
        Panel(
            title="Children in use",
            description="Clients, of as many as a pod can serve. At 100 % new ones wait, or are refused.",
            unit="percentunit",
            queries=(
                Query(
                    "sum by (namespace, pod) (pgpool2_frontend_used{$pgpool})"
                    ' / on (namespace) group_left () hotstack:pgpool_children:expected{namespace="$namespace"}',
                    "{{pod}}",
                ),
            ),
        ),
    ),
)

_CACHE = Row(
    "Query cache",
    (
        Panel(
            title="Hit ratio of the query cache",
            description="Share of SELECTs that were answered without a backend; 0 where the cache is off.",
            unit="percentunit",
            queries=(Query("pgpool2_pool_cache_cache_hit_ratio{$pgpool}", "{{pod}}"),),
        ),
        Panel(
            title="Entries of the query cache",
            description="Results that are kept.",
            unit="short",
            queries=(Query("pgpool2_pool_cache_num_cache_entries{$pgpool}", "{{pod}}"),),
        ),
        Panel(
            title="Hash table of the query cache",
            description="Places for results, and those in use: when all are, no new result is kept.",
            unit="short",
            queries=(
                Query("pgpool2_pool_cache_used_hash_entries{$pgpool}", "{{pod}} used"),
                Query("pgpool2_pool_cache_num_hash_entries{$pgpool}", "{{pod}} total"),
            ),
        ),
    ),
)

PGPOOL = Dashboard(name="pgpool", title="Pgpool-II", job="pgpool", rows=(_NODES, _CLIENTS, _CACHE))
