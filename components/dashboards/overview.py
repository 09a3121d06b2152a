"""The stack at a glance: is it well, and if not, which part to look at."""

from components.dashboards.fastapi import USERS
from components.dashboards.model import Dashboard, Panel, Query, Row

# An alert about the stack as a whole names no pod, and Prometheus' own no namespace.
_ANY_ALERT = 'alertstate="firing", namespace=~"$namespace|", pod=~"$instance|"'
_FAILED = f'sum(rate(http_requests_total{{$fastapi, {USERS}, status=~"5.."}}[$__rate_interval]))'
_ANSWERED = f"sum(rate(http_requests_total{{$fastapi, {USERS}}}[$__rate_interval]))"

_NOW = Row(
    "Now",
    (
        Panel(
            title="Firing alerts",
            description="By name and severity. Watchdog always fires: without it, nobody would be told of others.",
            unit="short",
            kind="value",
            queries=(
                Query(f"count by (alertname, severity) (ALERTS{{{_ANY_ALERT}}})", "{{alertname}} ({{severity}})"),
            ),
        ),
        Panel(
            title="Pods that answer",
            description="Pods of each part that answered the last scrape, and how many there should be.",
            unit="short",
            kind="value",
            queries=(
                Query("sum by (job) (up{$scope})", "{{job}}"),
                Query('sum by (job) (hotstack:pods:expected{namespace="$namespace"})', "{{job}} expected"),
            ),
        ),
        Panel(
            title="Primaries",
            description="One of each, or nobody can write.",
            unit="short",
            kind="value",
            queries=(
                Query('count by (job) (redis_instance_info{$redis, role="master"})', "Redis"),
                Query("count by (job) (cnpg_pg_replication_in_recovery{$postgres} == 0)", "PostgreSQL"),
            ),
        ),
    ),
)

_USERS = Row(
    "Users",
    (
        Panel(
            title="Requests",
            description="Requests a second to the service, and those that it failed.",
            unit="ops",
            queries=(Query(_ANSWERED, "answered"), Query(f"{_FAILED} or vector(0)", "failed")),
        ),
        Panel(
            title="Objectives",
            description="Share of the requests of the last five minutes that failed, or took too long.",
            unit="percentunit",
            queries=(
                Query('fastapi:requests_failed:ratio5m{namespace="$namespace"}', "failed"),
                Query('fastapi:requests_slow:ratio5m{namespace="$namespace"}', "slow"),
            ),
        ),
        Panel(
            title="Slowest requests",
            description="99 % of requests were answered within this time.",
            unit="s",
            queries=(
                Query(
                    "histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket"
                    f"{{$fastapi, {USERS}}}[$__rate_interval])))",
                    "99 %",
                ),
            ),
        ),
    ),
)

_PARTS = Row(
    "Parts",
    (
        Panel(
            title="Followers",
            description="Replicas of Redis and standbys of PostgreSQL that are connected to their primary.",
            unit="short",
            queries=(
                Query("sum(redis_connected_slaves{$redis})", "Redis"),
                Query("sum(cnpg_pg_replication_streaming_replicas{$postgres})", "PostgreSQL"),
            ),
        ),
        Panel(
            title="Furthest behind",
            description="The follower that is furthest behind its primary.",
            unit="s",
            queries=(
                Query("max(redis_connected_slave_lag_seconds{$redis})", "Redis"),
                Query("max(cnpg_pg_stat_replication_replay_lag_seconds{$postgres})", "PostgreSQL"),
            ),
        ),
        Panel(
            title="How full",
            description="Of what runs out: memory of Redis, connections of PostgreSQL, children of Pgpool-II.",
            unit="percentunit",
            queries=(
                Query(
                    "max(redis_memory_used_bytes{$redis} / (redis_memory_max_bytes{$redis} > 0))",
                    "memory of Redis",
                ),
                Query(
                    "max(sum by (pod) (cnpg_backends_total{$postgres})"
                    ' / sum by (pod) (cnpg_pg_settings_setting{$postgres, name="max_connections"}))',
                    "connections of PostgreSQL",
                ),
                Query(
                    "max(sum by (namespace, pod) (pgpool2_frontend_used{$pgpool})"
                    ' / on (namespace) group_left () hotstack:pgpool_children:expected{namespace="$namespace"})',
                    "children of Pgpool-II",
                ),
            ),
        ),
        Panel(
            title="Work",
            description="Commands of Redis, transactions of PostgreSQL, SELECTs that Pgpool-II distributed, a second.",
            unit="ops",
            queries=(
                Query("sum(rate(redis_commands_processed_total{$redis}[$__rate_interval]))", "Redis"),
                Query("sum(rate(cnpg_pg_stat_database_xact_commit{$postgres}[$__rate_interval]))", "PostgreSQL"),
                Query("sum(rate(pgpool2_pool_nodes_select_cnt{$pgpool}[$__rate_interval]))", "Pgpool-II"),
            ),
        ),
        Panel(
            title="Time of a scrape",
            description="The slowest scrape of each part. Nothing newer than this can be seen here.",
            unit="s",
            queries=(Query("max by (job) (scrape_duration_seconds{$scope})", "{{job}}"),),
        ),
        Panel(
            title="Series",
            description="Samples of a scrape, by part: what monitoring costs.",
            unit="short",
            queries=(Query("sum by (job) (scrape_samples_post_metric_relabeling{$scope})", "{{job}}"),),
        ),
    ),
)

OVERVIEW = Dashboard(name="overview", title="The stack", job=None, rows=(_NOW, _USERS, _PARTS))
