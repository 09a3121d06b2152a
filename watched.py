"""What the settings of all parts mean to the rules that watch them."""

from components.endpoints import MetricsEndpoint
from components.model import to_bytes
from components.monitoring_rules import Postgres, Watched
from components.monitoring_settings import MonitoringSettings
from settings import StackSettings


def watched(stack: StackSettings, own: MonitoringSettings, endpoints: list[MetricsEndpoint]) -> Watched:
    """What the rules of a stack are about.

    Args:
        stack: all settings.
        own: those of monitoring.
        endpoints: the parts that have metrics.
    """
    where = stack.kubernetes
    return Watched(
        namespace=where.namespace,
        monitoring_namespace=where.monitoring_namespace,
        pods=expected_pods(stack),
        redis_replicas=stack.redis.pods - 1,
        postgres=_postgres(stack),
        pgpool_children=stack.pgpool.sessions_per_pod,
        slo=own.slo,
        own_prometheus=own.mode == "standalone",
        interval_seconds=own.scrape_interval_seconds,
        recorded={endpoint.job: endpoint.recorded for endpoint in endpoints if endpoint.recorded},
    )


def expected_pods(stack: StackSettings) -> dict[tuple[str, str], int]:
    """How many pods there should be to scrape, by namespace and job."""
    where = stack.kubernetes
    counts = {"fastapi": stack.fastapi.replicas}
    if stack.redis.exporter is not None:
        counts["redis"] = stack.redis.pods
    if stack.pgpool.exporter is not None:
        counts["pgpool"] = stack.pgpool.replicas
    if stack.postgres.cloudnative_pg is not None:
        counts["postgres"] = stack.postgres.instances
    result = {(where.namespace, job): count for job, count in counts.items()}
    if stack.monitoring is not None and (standalone := stack.monitoring.standalone) is not None:
        servers = ["prometheus", "alertmanager", *([] if standalone.grafana is None else ["grafana"])]
        result |= {(where.monitoring_namespace, job): 1 for job in servers}
    return result


def _postgres(stack: StackSettings) -> Postgres | None:
    settings, own = stack.postgres, stack.postgres.cloudnative_pg
    if own is None:
        return None
    return Postgres(
        standbys=settings.instances - 1,
        data_bytes=to_bytes(settings.storage.size),
        wal_bytes=None if own.wal_storage is None else to_bytes(own.wal_storage.size),
        backup_schedule=None if own.backup is None else own.backup.schedule,
    )
