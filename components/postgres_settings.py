"""What a stack file may say about PostgreSQL, and what of it cannot work."""

import re
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from components.cloudnative_pg_parameters import FIXED_PARAMETERS
from components.model import Cpu, DnsLabel, Image, Memory, Resources, Settings, Spread

SqlName = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_]{0,62}$")]
"""A name in PostgreSQL that needs no quotes."""

MONITOR_ROLE = "monitor"
"""The role that may read statistics, and nothing else."""

_TAKEN_ROLES = frozenset(
    {"postgres", "streaming_replica", "cnpg_pooler_pgbouncer", "cnpg_metrics_exporter", MONITOR_ROLE}
)
_PARAMETER = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?")


class Storage(Settings):
    """A volume of each pod."""

    size: Memory = Field(default="2Gi", description="Its size; it can grow later, and never shrink.")
    storage_class: str | None = Field(default=None, description="StorageClass; the cluster's default when not set.")


class PostgresResources(Resources):
    """Requests and limits of PostgreSQL, which wants more than most."""

    cpu: Cpu = Field(default="250m", description="CPU request.")
    memory: Memory = Field(default="512Mi", description="Memory request and limit.")
    ephemeral_storage: Memory = Field(
        default="1Gi", description="Request and limit of local storage, where logs on their way to a bucket wait."
    )


class PostgresAuth(Settings):
    """Generated passwords. The one before is void at once: pods that log in roll with the change."""

    superuser_rotation: int = Field(default=1, ge=1, description="Raise it by one for a new password of `postgres`.")
    application_rotation: int = Field(default=1, ge=1, description="Raise it by one for a new one of the application.")
    monitor_rotation: int = Field(default=1, ge=1, description="Raise it by one for a new one of monitoring.")


class SynchronousReplication(Settings):
    """Whether a commit waits for standbys."""

    method: Literal["any", "first", "none"] = Field(
        default="any", description="`any` quorum of standbys, the `first` ones by name, or `none`: asynchronous."
    )
    number: int = Field(default=1, ge=1, description="How many standbys a commit waits for.")
    data_durability: Literal["required", "preferred"] = Field(
        default="required",
        description="`required` stops writes without enough standbys; `preferred` goes on without, and may lose them.",
    )
    failover_quorum: bool = Field(
        default=True, description="Promote only a standby that is sure to have every acknowledged commit."
    )

    @model_validator(mode="after")
    def _none_says_no_more(self) -> "SynchronousReplication":
        if self.method == "none" and self.model_fields_set - {"method"}:
            raise ValueError("with method `none` nothing is waited for: expected no other key beside it")
        return self


class Failover(Settings):
    """How long each step from a failing primary to the next one may take, in seconds."""

    delay_seconds: int = Field(default=0, ge=0, description="How long a primary may be unready before it is replaced.")
    switchover_delay_seconds: int = Field(
        default=30, ge=5, le=3600, description="For a primary that steps down to end cleanly; then it is cut off."
    )
    smart_shutdown_seconds: int = Field(
        default=0, ge=0, description="How long a stopping pod waits for its clients to leave; it takes no new ones."
    )
    stop_delay_seconds: int = Field(
        default=60, ge=10, le=3600, description="For a pod to stop in all; more than `smartShutdownSeconds`."
    )
    lease_seconds: int = Field(
        default=3, ge=3, description="How long a primary that vanished without a word still counts as one."
    )
    lease_renew_seconds: int = Field(
        default=2, ge=2, description="How long a primary tries to renew its lease before it asks who has it."
    )
    lease_retry_seconds: int = Field(default=1, ge=1, description="How often a standby asks for the lease.")
    # For a pod that hangs: one that is gone is noticed at once. And a busy one must not pass for it.
    readiness_period_seconds: int = Field(default=5, ge=1, description="How often a pod is asked whether it serves.")
    readiness_failures: int = Field(default=3, ge=1, description="After so many refusals in a row it is not ready.")
    liveness_timeout_seconds: int = Field(
        default=30, ge=10, description="A pod that does not answer for so long is killed; an isolated primary too."
    )

    @model_validator(mode="after")
    def _steps_fit_into_each_other(self) -> "Failover":
        if self.smart_shutdown_seconds >= self.stop_delay_seconds:
            raise ValueError(
                f"`smartShutdownSeconds` {self.smart_shutdown_seconds} leaves nothing of `stopDelaySeconds` "
                f"{self.stop_delay_seconds} to end in: expected less"
            )
        # What the leader election of Kubernetes' client library asks for.
        if not self.lease_retry_seconds * 1.2 < self.lease_renew_seconds < self.lease_seconds:
            raise ValueError(
                "a lease must outlast its renewal: expected `leaseSeconds` > `leaseRenewSeconds` > "
                f"1.2 x `leaseRetrySeconds`, got {self.lease_seconds}, {self.lease_renew_seconds}, "
                f"{self.lease_retry_seconds}"
            )
        return self


class Operator(Settings):
    """The CloudNativePG operator: one a cluster of Kubernetes, for all databases in it."""

    mode: Literal["managed", "present"] = Field(
        default="present",
        description="`managed` installs a release with the stack; `present` relies on one that somebody else keeps.",
    )
    manifest: str | None = Field(
        default=None,
        pattern=r"^(https://[^#\s]+#sha256=[0-9a-f]{64}|[A-Za-z0-9_][A-Za-z0-9_./-]*\.yaml)$",
        description="The release for `managed`: a file, relative to the repository, or `https://…#sha256=…`.",
    )
    image: Image | None = Field(default=None, description="Run this image instead of the release's, for `managed`.")
    namespace: DnsLabel = Field(default="cnpg-system", description="Where the operator runs, for `present`.")

    @model_validator(mode="after")
    def _fits_its_mode(self) -> "Operator":
        if (self.mode == "managed") != (self.manifest is not None):
            raise ValueError("expected `manifest` with mode `managed`, and only then")
        if self.mode == "present" and self.image is not None:
            raise ValueError("`image` has a meaning with mode `managed` only: a present operator is not ours to change")
        if self.mode == "managed" and "namespace" in self.model_fields_set:
            raise ValueError("`namespace` has a meaning with mode `present` only: a release names its own")
        return self


class Backup(Settings):
    """Backups to an S3 bucket, and the write-ahead log beside them."""

    method: Literal["plugin", "in_tree"] = Field(
        default="plugin",
        description="The Barman Cloud plugin beside the operator, or what is built into it up to 1.30.",
    )
    schedule: str = Field(
        default="0 0 2 * * *", description="When, in six fields: second, minute, hour, day of month, month, weekday."
    )
    retention: str = Field(
        default="30d", pattern=r"^[1-9][0-9]*[dwm]$", description="How far back one can go: days, weeks or months."
    )
    encryption: Literal["AES256", "aws:kms", "none"] = Field(
        default="AES256", description="What the bucket's server is asked to encrypt with."
    )
    compression: Literal["gzip", "bzip2", "snappy", "none"] = Field(default="gzip", description="Of all that is sent.")
    immediate: bool = Field(default=True, description="Make the first backup at once; nothing can be restored before.")
    target: Literal["prefer-standby", "primary"] = Field(default="prefer-standby", description="Whose data is read.")
    server_name: DnsLabel = Field(
        default="hot-postgres", description="The folder in the bucket; a cluster that recovers needs one of its own."
    )

    @model_validator(mode="after")
    def _is_a_schedule(self) -> "Backup":
        fields = self.schedule.split()
        if len(fields) != 6 or not all(re.fullmatch(r"[0-9A-Za-z*/,?-]+", field) for field in fields):
            raise ValueError(
                f"`schedule` {self.schedule!r} is not one: expected six fields, seconds first, like `0 0 2 * * *`"
            )
        return self


class Recovery(Settings):
    """What a new cluster begins with: the backups of another one. It means nothing to a cluster that is there."""

    method: Literal["plugin", "in_tree"] = Field(default="plugin", description="As the `method` of `backup`.")
    server_name: DnsLabel = Field(description="The other cluster's folder in the bucket: its `backup.serverName`.")
    target_time: str | None = Field(
        default=None, description="Up to this moment, like `2026-01-31T12:00:00Z`; to the very end when not set."
    )

    @model_validator(mode="after")
    def _is_a_moment(self) -> "Recovery":
        if self.target_time is not None:
            try:
                zone = datetime.fromisoformat(self.target_time).tzinfo
            except ValueError:
                zone = None
            if zone is None:
                raise ValueError(
                    f"`targetTime` {self.target_time!r} is not a moment: expected a date, a time and its zone, "
                    "like `2026-01-31T12:00:00Z`"
                )
        return self


class CloudNativePgSettings(Settings):
    """What only the engine `cloudnative-pg` knows."""

    image: Image = Field(description="PostgreSQL's image; its tag begins with the version, for the operator to read.")
    operator: Operator = Operator()
    wal_storage: Storage | None = Field(
        default=None, description="A volume of its own for the write-ahead log; it cannot be taken away again."
    )
    failover: Failover = Failover()
    zones: Spread = "soft"
    node_selector: dict[str, str] = Field(default={}, description="Labels of the nodes that the pods may run on.")
    backup: Backup | None = None
    recovery: Recovery | None = None

    @model_validator(mode="after")
    def _can_work(self) -> "CloudNativePgSettings":
        image = self.image
        version = image.version if image.build is not None else tag_version(str(image.reference))
        if version is None:
            wanted = "`version`" if image.build is not None else "a tag that begins with the version"
            raise ValueError(f"the operator reads PostgreSQL's version off the image: expected {wanted}, like `17.6`")
        if self.backup and self.recovery and self.backup.server_name == self.recovery.server_name:
            raise ValueError(
                f"`backup.serverName` and `recovery.serverName` are both {self.backup.server_name!r}: a cluster that "
                "recovers would write into the backups it reads; expected two names"
            )
        return self


class KubeDbSettings(Settings):
    """What only the engine `kubedb` knows."""

    version: str = Field(default="17.4", min_length=1, description="Name of a PostgresVersion of KubeDB's catalog.")
    standby_mode: Literal["Hot", "Warm"] = Field(default="Hot", description="A `Hot` standby serves reads.")
    storage_type: Literal["Durable", "Ephemeral"] = Field(default="Durable", description="`Ephemeral` is for trials.")
    client_auth_mode: Literal["scram", "md5", "cert"] = Field(default="scram", description="How clients log in.")
    ssl_mode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] = Field(
        default="disable", description="All but `disable` need `issuer`."
    )
    issuer: DnsLabel | None = Field(default=None, description="cert-manager's Issuer of the server's certificate.")
    deletion_policy: Literal["DoNotTerminate", "Halt", "Delete", "WipeOut"] = Field(
        default="Halt", description="What of the data goes with the object; `Halt` keeps volumes and Secrets."
    )
    operator_namespace: DnsLabel = Field(default="kubedb", description="Where KubeDB runs.")

    @model_validator(mode="after")
    def _has_a_certificate(self) -> "KubeDbSettings":
        if (self.ssl_mode == "disable") != (self.issuer is None):
            raise ValueError("expected `issuer` with every `sslMode` but `disable`, and only then")
        return self


class PostgresSettings(Settings):
    """Settings of `PostgresHA`."""

    engine: Literal["cloudnative-pg", "kubedb"] = Field(
        default="cloudnative-pg", description="Who runs PostgreSQL; it cannot change while the stack lives."
    )
    instances: int = Field(default=3, ge=1, le=9, description="One primary, and standbys.")
    storage: Storage = Storage()
    resources: PostgresResources = Field(
        default=PostgresResources(), description="Of each pod; a quarter of the memory becomes `shared_buffers`."
    )
    max_connections: int = Field(
        default=100, ge=20, le=5000, description="What all clients together may open, on each instance."
    )
    parameters: dict[str, str] = Field(default={}, description="More of postgresql.conf, as texts.")
    database: SqlName = Field(default="app", description="The application's database.")
    owner: SqlName = Field(default="app", description="The role that owns it.")
    auth: PostgresAuth = PostgresAuth()
    synchronous: SynchronousReplication = SynchronousReplication()
    spread: Spread = "soft"
    rollout_timeout_seconds: int = Field(
        default=600, ge=60, le=7200, description="How long `up` waits until the cluster is healthy."
    )
    protect: bool = Field(default=False, description="Refuse to delete or replace what holds data.")
    cloudnative_pg: CloudNativePgSettings | None = Field(default=None, description="For engine `cloudnative-pg`.")
    kubedb: KubeDbSettings | None = Field(default=None, description="For engine `kubedb`.")

    @model_validator(mode="after")
    def _fits_its_engine(self) -> "PostgresSettings":
        if self.engine == "cloudnative-pg" and (self.cloudnative_pg is None or self.kubedb is not None):
            raise ValueError("engine `cloudnative-pg` needs `cloudnativePg`, and `kubedb` says nothing to it")
        if self.engine == "kubedb" and (self.kubedb is None or self.cloudnative_pg is not None):
            raise ValueError("engine `kubedb` needs `kubedb`, and `cloudnativePg` says nothing to it")
        if self.engine == "kubedb" and self.auth != PostgresAuth():
            raise ValueError(
                "KubeDB takes passwords at the first start only, so `auth` cannot rotate them: remove it, and rotate "
                "by a PostgresOpsRequest of type RotateAuth"
            )
        return self

    @model_validator(mode="after")
    def _can_replicate(self) -> "PostgresSettings":
        wanted = self.synchronous
        if wanted.method == "none":
            return self
        if self.instances == 1:
            raise ValueError(
                "a commit cannot wait for a standby that is not there: expected `instances` of at least 2, "
                "or `synchronous: {method: none}`"
            )
        if wanted.number >= self.instances:
            raise ValueError(
                f"`synchronous.number` {wanted.number} is more than the {self.instances - 1} standbys of "
                f"{self.instances} `instances`"
            )
        if self.engine == "kubedb" and wanted.model_fields_set & {"data_durability", "failover_quorum"}:
            raise ValueError("KubeDB has no `synchronous.dataDurability` and no `synchronous.failoverQuorum`")
        return self

    @model_validator(mode="after")
    def _can_be_configured(self) -> "PostgresSettings":
        for name in sorted(self.parameters):
            if name == "max_connections":
                raise ValueError("`parameters.max_connections` is counted against clients: set `maxConnections`")
            if name in FIXED_PARAMETERS:
                raise ValueError(f"`parameters.{name}` is the operator's own to set: remove it")
            if not _PARAMETER.fullmatch(name):
                raise ValueError(f"`parameters` has {name!r}: expected names of parameters, in small letters")
        if self.owner in _TAKEN_ROLES:
            raise ValueError(f"`owner` {self.owner!r} is the name of another role here: choose another")
        return self

    @property
    def logins_key(self) -> str:
        """What changes with every password: the rotations of superuser, application and monitoring."""
        auth = self.auth
        return f"{auth.superuser_rotation}-{auth.application_rotation}-{auth.monitor_rotation}"


def tag_version(reference: str) -> str | None:
    """The version that the tag of an image begins with: `tag_version("host/postgresql:17.6-minimal") == "17.6"`."""
    found = re.search(r":([0-9]+(\.[0-9]+)*)[^/]*$", reference.partition("@")[0])
    return None if found is None else found[1]
