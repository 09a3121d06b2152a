"""Settings of `RedisStack`."""

from typing import Literal

from pydantic import Field, model_validator

from components.model import DnsLabel, Image, Memory, Resources, Settings, Spread
from components.redis_exporter import RedisExporter


class RedisAuth(Settings):
    """Whether and with which password clients log in."""

    mode: Literal["generated", "existing", "none"] = Field(
        default="generated",
        description="`none` opens Redis to every pod with the client label; say it only on purpose.",
    )
    rotation: int = Field(
        default=1,
        ge=1,
        description="Raise it by one for a new password; the one before stays valid until the next rotation.",
    )
    secret_name: DnsLabel | None = Field(
        default=None, description="The Secret that holds the password, for `existing`."
    )
    secret_key: str = Field(default="password", min_length=1, description="Its key, for `existing`.")

    @model_validator(mode="after")
    def _fits_its_mode(self) -> "RedisAuth":
        if (self.mode == "existing") != (self.secret_name is not None):
            raise ValueError("expected `secretName` with mode `existing`, and only then")
        if self.mode != "existing" and "secret_key" in self.model_fields_set:
            raise ValueError("`secretKey` has a meaning with mode `existing` only")
        if self.mode != "generated" and "rotation" in self.model_fields_set:
            raise ValueError(
                "`rotation` has a meaning with mode `generated` only: an existing password is yours to change"
            )
        return self


class RedisPersistence(Settings):
    """What survives a restart of a pod."""

    mode: Literal["none", "rdb", "aof"] = Field(
        default="aof", description="`aof` loses at most a second of writes, `rdb` what came after the last snapshot."
    )
    size: Memory = Field(default="1Gi", description="Size of each pod's volume.")
    storage_class: str | None = Field(default=None, description="StorageClass; the cluster's default when not set.")
    keep_volumes: bool = Field(default=True, description="Keep the volumes when the stack is destroyed.")


class RedisSettings(Settings):
    """Settings of `RedisStack`."""

    topology: Literal["standalone", "replication"] = Field(
        default="standalone", description="One Redis, or a fixed primary with replicas that follow it."
    )
    replicas: int = Field(default=2, ge=1, le=16, description="Replicas beside the primary; for `replication` only.")
    image: Image
    auth: RedisAuth = RedisAuth()
    persistence: RedisPersistence = RedisPersistence()
    exporter: RedisExporter | None = Field(default=None, description="Metrics of each pod; none when not set.")
    resources: Resources = Field(default=Resources(), description="Of each pod; `maxmemory` follows the memory.")
    eviction_policy: Literal[
        "allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-lfu", "volatile-ttl", "noeviction"
    ] = Field(default="allkeys-lru", description="`allkeys-…` for a cache, `noeviction` for data that must stay.")
    spread: Spread = "soft"
    rollout_timeout_seconds: int = Field(
        default=300, ge=60, le=3600, description="How long `up` waits for each workload."
    )
    protect: bool = Field(default=False, description="Refuse to delete or replace what holds data.")

    @property
    def keeps_volumes(self) -> bool:
        """Whether volumes outlive the stack."""
        return self.persistence.mode != "none" and self.persistence.keep_volumes

    @property
    def pods(self) -> int:
        """Redis pods in all."""
        return 1 if self.topology == "standalone" else 1 + self.replicas

    @model_validator(mode="after")
    def _can_work(self) -> "RedisSettings":
        if self.topology == "standalone" and "replicas" in self.model_fields_set:
            raise ValueError("`replicas` has no meaning with topology `standalone`: remove it, or use `replication`")
        if self.topology == "replication" and self.persistence.mode == "none":
            raise ValueError(
                "persistence `none` with topology `replication` lets a restarted, empty primary wipe its replicas: "
                "expected `rdb` or `aof`"
            )
        return self
