"""Settings of `PgpoolLB`. Names of Pgpool-II's own parameters are kept, so that its manual applies to them."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from components.model import DnsLabel, Image, Memory, Resources, Settings, Spread, to_bytes
from components.pgpool_catalog import hba_problem, parameter_problem
from components.pgpool_exporter import PgpoolExporter

# What the layout decides, by how names begin: the operator fails over and not Pgpool-II, one Service stands before all
# pods, a pod logs to its standard error, and no password is in a file that anybody can read.
_FAILOVER = (
    *("auto_failback", "backend_", "detach_false_primary", "fail_over", "failback_", "failover_", "follow_primary_"),
    *("health_check", "recovery_", "replication_", "search_primary", "sr_check_"),
)
_WATCHDOG = (
    *("arping", "delegate_", "heartbeat_", "hostname", "if_", "pgpool_port", "ping_path", "trusted_server"),
    *("use_watchdog", "wd_"),
)
_PLACES = ("listen_addresses", "pcp_", "pid_file_name", "pool_passwd", "port", "ssl", "unix_socket_")
_LOG_FILES = (
    "log_destination",
    "log_directory",
    "log_file",
    "log_rotation",
    "log_truncate",
    "logdir",
    "logging_",
    "syslog_",
)
_DECIDED = (*_FAILOVER, *_WATCHDOG, *_PLACES, *_LOG_FILES)

ParameterName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]


class PgpoolPooling(Settings):
    """How many clients a pod serves, and for how long it keeps their connections to PostgreSQL. Times in seconds."""

    num_init_children: int = Field(
        default=32, ge=2, le=2000, description="Processes of a pod; each serves one client at a time."
    )
    max_pool: int = Field(
        default=1, ge=1, le=64, description="Connections that each keeps: one for every pair of user and database."
    )
    reserved_connections: int = Field(
        default=1,
        ge=0,
        description="Processes that only say `Sorry, too many clients already`; with 0, those clients wait unheard.",
    )
    listen_backlog_multiplier: int = Field(
        default=2, ge=1, le=100, description="Clients that may wait to be accepted, as a multiple of `numInitChildren`."
    )
    process_management_mode: Literal["static", "dynamic"] = Field(
        default="static", description="`dynamic` starts processes as clients come, some every two seconds."
    )
    process_management_strategy: Literal["lazy", "gentle", "aggressive"] = Field(
        default="gentle", description="How soon idle processes end, for `dynamic`."
    )
    min_spare_children: int = Field(default=5, ge=1, description="Idle processes to have at least, for `dynamic`.")
    max_spare_children: int = Field(default=10, ge=1, description="Idle processes to have at most, for `dynamic`.")
    child_life_time: int = Field(default=300, ge=0, description="An idle process starts anew; 0: never.")
    child_max_connections: int = Field(default=0, ge=0, description="So does one after so many clients; 0: never.")
    connection_life_time: int = Field(
        default=300, ge=0, description="A kept connection is closed, so that new standbys get their share; 0: never."
    )
    client_idle_limit: int = Field(default=0, ge=0, description="An idle client is disconnected; 0: never.")

    @model_validator(mode="after")
    def _can_work(self) -> "PgpoolPooling":
        if self.reserved_connections >= self.num_init_children:
            raise ValueError(
                f"`reservedConnections` {self.reserved_connections} leaves no client any of the `numInitChildren` "
                f"{self.num_init_children}: expected fewer"
            )
        for_dynamic = {"process_management_strategy", "min_spare_children", "max_spare_children"}
        if self.process_management_mode == "static" and for_dynamic & self.model_fields_set:
            raise ValueError(
                "`processManagementStrategy`, `minSpareChildren` and `maxSpareChildren` have a meaning with "
                "processManagementMode `dynamic` only"
            )
        if self.process_management_mode == "dynamic" and not (
            self.min_spare_children < self.max_spare_children <= self.num_init_children
        ):
            raise ValueError(
                f"expected minSpareChildren ({self.min_spare_children}) < maxSpareChildren ({self.max_spare_children}) "
                f"<= numInitChildren ({self.num_init_children}), or Pgpool-II does not start"
            )
        return self


class PgpoolLoadBalancing(Settings):
    """Where reads go. Writes, and all that Pgpool-II cannot tell from a write, go to the primary."""

    level: Literal["statement", "session", "off"] = Field(
        default="statement",
        description="Choose a server for every read, or once for a session, or send all to the primary.",
    )
    primary_weight: float = Field(default=1, ge=0, le=1000, description="The primary's share of reads; 0: none.")
    replicas_weight: float | None = Field(
        default=None, ge=0, le=1000, description="Share of all standbys together; their number when not set."
    )
    disable_load_balance_on_write: Literal["off", "transaction", "trans_transaction", "dml_adaptive", "always"] = Field(
        default="transaction",
        description="After a write, until when reads follow it to the primary: `transaction` is the end of that one.",
    )
    allow_sql_comments: bool = Field(
        default=False, description="Balance and cache statements that begin with a comment, as those of some ORMs do."
    )

    @model_validator(mode="after")
    def _somebody_serves(self) -> "PgpoolLoadBalancing":
        if self.primary_weight == 0 and self.replicas_weight == 0:
            raise ValueError("`primaryWeight` and `replicasWeight` are both 0: expected a share for one of them")
        return self


class PgpoolQueryCache(Settings):
    """Results kept in memory. Writes that do not come through this Pgpool-II are not noticed."""

    enabled: bool = False
    memqcache_method: Literal["shmem", "memcached"] = Field(
        default="shmem", description="A pod's own memory, or a memcached that all pods share."
    )
    memqcache_memcached_host: str | None = Field(
        default=None, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", description="For `memcached`."
    )
    memqcache_memcached_port: int = Field(default=11211, ge=1, le=65535, description="For `memcached`.")
    memqcache_total_size: Memory = Field(default="64Mi", description="For `shmem`; it counts as the pod's memory.")
    memqcache_expire: int = Field(default=60, ge=0, description="Seconds until a result is forgotten; 0: never.")

    @model_validator(mode="after")
    def _fits_its_method(self) -> "PgpoolQueryCache":
        if (self.memqcache_method == "memcached") != (self.memqcache_memcached_host is not None):
            raise ValueError("expected `memqcacheMemcachedHost` with memqcacheMethod `memcached`, and only then")
        return self


class PgpoolPcp(Settings):
    """Pgpool-II's control port, which is open on a pod's loopback only: `pcp_node_info -h localhost -U pcp -w`."""

    enabled: bool = True
    rotation: int = Field(default=1, ge=1, description="Raise it for a new password.")


class PgpoolSettings(Settings):
    """Settings of `PgpoolLB`."""

    image: Image
    version: Literal["4.6"] = Field(
        default="4.6", description="Of Pgpool-II in the image: which parameters there are depends on it."
    )
    replicas: int = Field(default=2, ge=1, le=9, description="Pods.")
    configuration: Literal["config_map", "environment"] = Field(
        default="config_map",
        description="pgpool.conf in the ConfigMap `pgpool-config`, or variables `PGPOOL_PARAMS_…`.",
    )
    pooling: PgpoolPooling = PgpoolPooling()
    load_balancing: PgpoolLoadBalancing = PgpoolLoadBalancing()
    query_cache: PgpoolQueryCache = PgpoolQueryCache()
    pcp: PgpoolPcp = PgpoolPcp()
    exporter: PgpoolExporter | None = Field(default=None, description="Metrics of each pod; none when not set.")
    connect_timeout: int = Field(
        default=3000, ge=100, le=60000, description="Milliseconds between two attempts to reach a PostgreSQL."
    )
    authentication_timeout: int = Field(
        default=30, ge=1, le=600, description="Seconds that a client has to say who it is."
    )
    tls_secret_name: DnsLabel | None = Field(
        default=None, description="Secret of type kubernetes.io/tls that clients are shown; they must use TLS then."
    )
    pool_hba: list[str] = Field(
        default=[], description="Lines of pool_hba.conf; every user from everywhere by SCRAM when empty."
    )
    parameters: dict[ParameterName, str] = Field(
        default={}, description="Further parameters of pgpool.conf, such as `database_redirect_preference_list`."
    )
    resources: Resources = Resources(memory="256Mi")
    spread: Spread = "soft"
    drain_seconds: int = Field(
        default=5, ge=1, le=300, description="How long a stopping pod goes on serving before it ends its sessions."
    )
    rollout_timeout_seconds: int = Field(default=300, ge=60, le=3600, description="How long `up` waits for the pods.")

    @property
    def sessions_per_pod(self) -> int:
        """Clients that one pod serves at once.

        Connections are spread over pods by chance: who must never be turned away counts on one pod's, not on the sum.
        """
        exporters = 0 if self.exporter is None else 1
        return self.pooling.num_init_children - self.pooling.reserved_connections - exporters

    @property
    def pods_in_a_rollout(self) -> int:
        """Most pods that there are at a time."""
        return self.replicas if self.caches_per_pod else self.replicas + 1

    @property
    def caches_per_pod(self) -> bool:
        """Whether pods keep results of queries that no other pod would know to be outdated."""
        return self.query_cache.enabled and self.query_cache.memqcache_method == "shmem"

    @model_validator(mode="after")
    def _one_cache(self) -> "PgpoolSettings":
        if self.caches_per_pod and self.replicas > 1:
            raise ValueError(
                f"queryCache with memqcacheMethod `shmem` and {self.replicas} replicas would serve outdated results, "
                "since no pod sees what clients of another write: expected 1 replica, or `memcached`"
            )
        return self

    @model_validator(mode="after")
    def _pgpool_understands(self) -> "PgpoolSettings":
        if self.pool_hba and self.configuration == "environment":
            raise ValueError("`poolHba` is a file, and configuration `environment` has none: expected `config_map`")
        problems = [
            f"poolHba: got {line!r}; {problem}"
            for line in self.pool_hba
            if (problem := hba_problem(line, self.tls_secret_name is not None))
        ]
        decided = own_parameters(self)
        for name, value in self.parameters.items():
            if name in decided or name.startswith(_DECIDED):
                problems.append(
                    f"parameters.{name} is not for `parameters`: the component or a setting of its own decides it"
                )
            elif problem := parameter_problem(self.version, name, value):
                problems.append(f"parameters.{name}: got {value!r}; {problem}")
        if problems:
            raise ValueError("; ".join(problems))
        return self


def own_parameters(settings: PgpoolSettings) -> dict[str, str]:
    """The parameters that follow from settings alone."""
    pooling, balancing, cache = settings.pooling, settings.load_balancing, settings.query_cache
    result: dict[str, object] = {
        **pooling.model_dump(),
        "connection_cache": True,
        "connect_timeout": settings.connect_timeout,
        "authentication_timeout": settings.authentication_timeout,
        "allow_clear_text_frontend_auth": False,
        "enable_pool_hba": True,
        "load_balance_mode": balancing.level != "off",
        "statement_level_load_balance": balancing.level == "statement",
        "disable_load_balance_on_write": balancing.disable_load_balance_on_write,
        "allow_sql_comments": balancing.allow_sql_comments,
        "memory_cache_enabled": cache.enabled,
        "memqcache_method": cache.memqcache_method,
        "memqcache_expire": cache.memqcache_expire,
        # What pods remember of the catalog lies in there too, also without a query cache; a small one is enough for it.
        "memqcache_total_size": to_bytes(cache.memqcache_total_size if cache.enabled else "8Mi"),
        "memqcache_max_num_cache": 100_000 if cache.enabled else 10_000,
        "memqcache_oiddir": "/var/run/pgpool",
    }
    if cache.memqcache_memcached_host is not None:
        result["memqcache_memcached_host"] = cache.memqcache_memcached_host
        result["memqcache_memcached_port"] = cache.memqcache_memcached_port
    if pooling.process_management_mode == "static":
        for name in ("process_management_strategy", "min_spare_children", "max_spare_children"):
            del result[name]
    return {name: _text(value) for name, value in result.items()}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


def backend_connections(settings: PgpoolSettings, balanced: bool) -> int:
    """Most connections that all pods together can have open to one PostgreSQL server.

    Each process keeps `max_pool` of them to each of the two endpoints. While pods roll there is one pod more. Twice as
    many, because a promotion ends no session: a standby that becomes the primary keeps those that came by the endpoint
    of the replicas, and gets those of the primary on top. Cancel requests do not count: PostgreSQL serves them without
    taking one of `max_connections`. With an exporter, a pod asks each endpoint for its health.

    Args:
        settings: of the Pgpool-II.
        balanced: whether it has an endpoint of replicas.
    """
    endpoints = 2 if balanced else 1
    pooling = settings.pooling
    checks = 0 if settings.exporter is None else 1
    return settings.pods_in_a_rollout * (pooling.num_init_children * pooling.max_pool + checks) * endpoints
