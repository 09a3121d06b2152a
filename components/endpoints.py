"""Where components meet: small frozen values that one component offers and another takes."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi


@dataclass(frozen=True, kw_only=True, slots=True)
class SecretKey:
    """One key of a Secret, by reference; the value itself is only ever seen by the pods that mount it."""

    name: pulumi.Input[str]
    key: str


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
