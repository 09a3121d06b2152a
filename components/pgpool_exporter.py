"""What reads the figures of a Pgpool-II: an exporter beside each of its pods, behind the Service `pgpool-stats`.

Rules and dashboards know these figures by the names of pgpool2_exporter. sql_exporter names a series after its query,
with the column as a label: the rest of the way is relabelled as the series are read, or recorded.
"""

import re
from typing import Annotated, Any, Literal

from pulumi_kubernetes.core.v1 import ContainerArgsDict, EnvVarArgsDict
from pydantic import Field, StringConstraints, field_validator, model_validator

from components import plain_yaml
from components.endpoints import Login, Relabeling
from components.kube.pods import container_base, secret_variable
from components.model import Image, Resources, Settings

PORT = 9719
PORT_NAME = "http-metrics"
CONFIG = "sql-exporter.yaml"
MOUNT = "/etc/sql-exporter"
_INTERVAL = "5s"  # well within a scrape interval, so that what is scraped is fresh; a session lives for two of them
_READS = ("SELECT", "SHOW", "TABLE", "VALUES")
# What sql_exporter says of itself with every series; the pod already says where it is from.
_OWN_LABELS = ("col", "database", "driver", "host", "sql_job", "user")

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]


class CustomQuery(Settings):
    """A query of your own: each column of `values` is a series `sql_<name>` with the label `col`."""

    name: Name = Field(description="What the series are called, after `sql_`; not one of the exporter's own.")
    help: str = Field(min_length=1, description="What the figures are.")
    labels: list[Name] = Field(default=[], description="Columns of text that tell one row from another.")
    values: list[Name] = Field(min_length=1, description="Columns of numbers.")
    query: str = Field(description="One statement that reads: SELECT, SHOW, TABLE or VALUES.")

    @field_validator("query")
    @classmethod
    def _reads(cls, query: str) -> str:
        words = query.split(maxsplit=1)
        if not words or words[0].upper() not in _READS or ";" in query.rstrip().removesuffix(";"):
            raise ValueError(f"got {query!r}; expected one statement that begins with {', '.join(_READS)}")
        if re.search(r"\bINTO\b", query, re.IGNORECASE):
            raise ValueError(f"got {query!r}; expected a statement that reads, and INTO writes")
        return query.rstrip().removesuffix(";")


class PgpoolExporter(Settings):
    """An exporter in every pod of Pgpool-II. It takes one of the pod's sessions."""

    exporter: Literal["sql_exporter", "pgpool2_exporter"] = Field(
        default="sql_exporter", description="Which program the image is of."
    )
    image: Image
    custom_queries: list[CustomQuery] = Field(
        default=[], description="Queries of your own, sent through Pgpool-II as the role that reads statistics."
    )
    resources: Resources = Resources(cpu="10m", memory="48Mi")

    @model_validator(mode="after")
    def _queries_can_be_asked(self) -> "PgpoolExporter":
        names = [query.name for query in self.custom_queries]
        if names and self.exporter != "sql_exporter":
            raise ValueError(
                f"`customQueries` need exporter `sql_exporter`: {self.exporter} has queries of its own only"
            )
        taken = {query["name"] for query in _QUERIES}
        if problems := sorted({name for name in names if name in taken or names.count(name) > 1}):
            raise ValueError(f"customQueries: {', '.join(problems)} is there already; expected names of their own")
        return self


_OF_NODE = ["node_id", "hostname", "port", "role"]
# What Pgpool-II does with a server, and whether it answered the last time that it was asked for its health.
_STATES = ("status", "pg_status")
_QUERIES: list[dict[str, Any]] = [
    {
        "name": "pool_nodes",
        "help": "The servers behind Pgpool-II.",
        "labels": [*_OF_NODE, *_STATES],
        "values": ["lb_weight", "select_cnt", "replication_delay"],
        "query": "SHOW POOL_NODES",
    },
    {
        "name": "pool_processes",
        "help": "The processes of Pgpool-II, by what they do.",
        "labels": ["pool_pid", "status"],
        "values": ["client_connection_count"],
        "query": "SHOW POOL_PROCESSES",
    },
    {
        "name": "pool_backend_stats",
        "help": "Statements sent to each server, and errors that it answered.",
        "labels": _OF_NODE,
        "values": [
            f"{what}_cnt"
            for what in ("select", "insert", "update", "delete", "ddl", "other", "panic", "fatal", "error")
        ],
        "query": "SHOW POOL_BACKEND_STATS",
    },
    {
        "name": "pool_health_check_stats",
        "help": "Health checks of each server by Pgpool-II itself.",
        "labels": _OF_NODE,
        "values": [f"{what}_count" for what in ("total", "success", "fail", "skip", "retry")],
        "query": "SHOW POOL_HEALTH_CHECK_STATS",
    },
    {
        "name": "pool_cache",
        "help": "The query cache.",
        "values": [
            *("num_cache_hits", "num_selects", "cache_hit_ratio", "num_hash_entries", "used_hash_entries"),
            *("num_cache_entries", "used_cache_entries_size", "free_cache_entries_size"),
            "fragment_cache_entries_size",
        ],
        "query": "SHOW POOL_CACHE",
    },
    {
        # What is scraped is what was last answered; this tells when that was.
        "name": "pool_answer",
        "help": "When a server last answered through Pgpool-II, in seconds since 1970.",
        "values": ["timestamp_seconds"],
        "query": "SELECT extract(epoch FROM clock_timestamp()) AS timestamp_seconds",
    },
]


def config(settings: PgpoolExporter, database: str, tls: bool) -> str:
    """sql_exporter's configuration. Who logs in is in its environment, as libpq's variables.

    Args:
        settings: of the exporter.
        database: to connect to.
        tls: whether Pgpool-II asks its clients for TLS. Its certificate is for the Service, and not for the loopback.
    """
    sslmode = "require" if tls else "disable"
    url = f"postgres://localhost:9999/{database}?sslmode={sslmode}&connect_timeout=4&application_name=metrics"
    queries = [*_QUERIES, *(query.model_dump() for query in settings.custom_queries)]
    job = {"name": "pgpool", "interval": _INTERVAL, "connections": [url], "queries": queries}
    return plain_yaml.text({"jobs": [job]})


def container(image: str, settings: PgpoolExporter, monitor: Login, database: str, tls: bool) -> ContainerArgsDict:
    """The exporter's container: it has no probe, since a pod of Pgpool-II is well without it."""
    base: ContainerArgsDict = {
        **container_base("metrics", image, settings.resources),
        "ports": [{"name": PORT_NAME, "container_port": PORT, "protocol": "TCP"}],
    }
    if settings.exporter == "pgpool2_exporter":
        environment: list[EnvVarArgsDict] = [
            secret_variable("POSTGRES_USERNAME", monitor.username),
            secret_variable("POSTGRES_PASSWORD", monitor.password),
            {"name": "POSTGRES_DATABASE", "value": database},
            {"name": "PGPOOL_SERVICE", "value": "localhost"},
            {"name": "PGPOOL_SERVICE_PORT", "value": "9999"},
            {"name": "SSLMODE", "value": "require" if tls else "disable"},
        ]
        return {**base, "env": environment}
    return {
        **base,
        "args": [f"-config.file={MOUNT}/{CONFIG}", f"-web.listen-address=:{PORT}"],
        "env": [
            {"name": "LOGLEVEL", "value": "warn"},
            secret_variable("PGUSER", monitor.username),
            secret_variable("PGPASSWORD", monitor.password),
        ],
        "volume_mounts": [{"name": "exporter", "mount_path": MOUNT, "read_only": True}],
    }


def relabelings(settings: PgpoolExporter) -> list[Relabeling]:
    """How sql_exporter's series get the names of pgpool2_exporter's."""
    if settings.exporter == "pgpool2_exporter":
        return []
    named: Relabeling = {
        "source_labels": ["__name__", "col"],
        "regex": "sql_(pool_(?:nodes|processes|backend_stats|health_check_stats|cache|answer));(.+)",
        "target_label": "__name__",
        "replacement": "pgpool2_${1}_${2}",
    }
    states: list[Relabeling] = [
        {
            # A counter that had the state of its server as a label would begin anew with each change.
            "source_labels": ["__name__"],
            "regex": "pgpool2_pool_nodes_(select_cnt|replication_delay)",
            "target_label": label,
            "replacement": "",
        }
        for label in _STATES
    ]
    return [named, *states] + [
        {"source_labels": ["__name__"], "regex": "pgpool2_pool_.+", "target_label": label, "replacement": ""}
        for label in _OWN_LABELS
    ]


def recorded(settings: PgpoolExporter) -> dict[str, str]:
    """What pgpool2_exporter would count by itself, as PromQL by name."""
    if settings.exporter == "pgpool2_exporter":
        return {}
    processes = "pgpool2_pool_processes_client_connection_count"
    weight = "pgpool2_pool_nodes_lb_weight"
    own = ", ".join(label for label in _OWN_LABELS if label != "col")
    states = ", ".join(_STATES)
    return {
        # A Pgpool-II that hangs fails no query either: the last answer only grows old.
        "pgpool2_up": (
            f'(1 - max without ({own}, query) (sql_exporter_last_scrape_failed{{query="pool_nodes"}}))'
            " * on (namespace, job, pod) group_left ()"
            " (time() - max by (namespace, job, pod) (pgpool2_pool_answer_timestamp_seconds) < bool 45)"
        ),
        "pgpool2_frontend_total": f"count without (pool_pid, status) ({processes})",
        "pgpool2_frontend_used": (
            f'count without (pool_pid, status) ({processes}{{status!="Wait for connection"}})'
            f" or 0 * count without (pool_pid, status) ({processes})"
        ),
        "pgpool2_pool_nodes_status": (
            f'max without ({states}) ({weight}{{status=~"up|waiting", pg_status!="down"}} >= bool 0)'
            f" or max without ({states}) ({weight} < bool 0)"
        ),
    }
