"""Where components meet: small frozen values that one component offers and another takes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi


@dataclass(frozen=True, kw_only=True, slots=True)
class SecretKey:
    """One key of a Secret, by reference; the value itself is only ever seen by the pods that mount it."""

    name: pulumi.Input[str]
    key: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Login:
    """A PostgreSQL role and its password, by reference: a Secret with the keys of type `kubernetes.io/basic-auth`.

    Attributes:
        secret: name of the Secret.
        role: name of the role, which is in the Secret too, for who needs it before there is a pod.
    """

    secret: pulumi.Input[str]
    role: str

    @property
    def username(self) -> SecretKey:
        """Where the role's name is."""
        return SecretKey(name=self.secret, key="username")

    @property
    def password(self) -> SecretKey:
        """Where its password is."""
        return SecretKey(name=self.secret, key="password")


@dataclass(frozen=True, kw_only=True, slots=True)
class RedisEndpoint:
    """A Redis that clients can reach.

    Attributes:
        host: DNS name of the Service, complete with its namespace.
        port: TCP port of the Service.
        password: where the password of the default user is; `None` when Redis asks for none.
        client_label: the pod label that its NetworkPolicy lets in.
        workloads: what must have rolled out before a client may rely on `password`.
    """

    host: pulumi.Input[str]
    port: int
    password: SecretKey | None
    client_label: tuple[str, str]
    workloads: Sequence[pulumi.Resource]


@dataclass(frozen=True, kw_only=True, slots=True)
class PostgresEndpoint:
    """A PostgreSQL that clients can reach, or something that speaks for it.

    Attributes:
        host: DNS name of the Service, complete with its namespace.
        port: TCP port of the Service.
        database: name of the application's database.
        application: the role that owns `database`.
        superuser: for administration; never for an application.
        monitor: a role that may read statistics (`pg_monitor`), and nothing else.
        logins_key: a text that changes whenever a password of these roles does, for the checksum that rolls pods.
        ca: the certificate that signed the server's; `None` when it speaks no TLS.
        client_label: the pod label that its NetworkPolicy lets in.
        workloads: what must be ready before a client may rely on it.
    """

    host: pulumi.Input[str]
    port: int
    database: str
    application: Login
    superuser: Login
    monitor: Login
    logins_key: str
    ca: SecretKey | None
    client_label: tuple[str, str]
    workloads: Sequence[pulumi.Resource]


@dataclass(frozen=True, kw_only=True, slots=True)
class S3Endpoint:
    """A bucket, and the keys that open it.

    Attributes:
        url: of the server, with scheme and port; `None` for Amazon's own.
        bucket: name of the bucket.
        region: what clients sign their requests for.
        access_key_id: where the key's id is.
        secret_access_key: where the key itself is.
        client_label: the pod label that its NetworkPolicy lets in; `None` for a server outside of the cluster.
        workloads: what must be ready before a client may rely on it.
    """

    url: pulumi.Input[str] | None
    bucket: str
    region: str
    access_key_id: SecretKey
    secret_access_key: SecretKey
    client_label: tuple[str, str] | None
    workloads: Sequence[pulumi.Resource]


Relabeling = Mapping[str, str | list[str]]
"""One entry of Prometheus' `metric_relabel_configs`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricsEndpoint:
    """Where a part's metrics are: said once, for those who discover Services and for operators that are told of them.

    Attributes:
        job: the part's name, and the label `job` of its series; also the label `app.kubernetes.io/name` of `service`.
        namespace: where its pods are.
        pods: labels of the pods.
        service: labels of a Service of the part that has a port `port_name`; `None` when only pods have one.
        port: TCP port of the pods.
        port_name: its name, in pods and Service alike.
        path: where the text is.
        relabelings: of its series as they are read: what is dropped, and what gets the name that rules know.
        recorded: series that follow from others, by name: PromQL.
    """

    job: str
    namespace: pulumi.Input[str]
    pods: Mapping[str, str]
    service: Mapping[str, str] | None
    port: int
    port_name: str
    path: str = "/metrics"
    relabelings: Sequence[Relabeling] = ()
    recorded: Mapping[str, str] = field(default_factory=dict)

    @property
    def annotations(self) -> dict[str, str]:
        """What a Service says to be scraped."""
        return {
            "prometheus.io/scrape": "true",
            "prometheus.io/port": str(self.port),
            "prometheus.io/path": self.path,
        }
