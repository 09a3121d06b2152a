"""What the FastAPI service needs for its database: where it is, how to log in, and the Job that migrates it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.batch.v1 import JobSpecArgsDict
from pulumi_kubernetes.core.v1 import ContainerArgsDict, EnvVarArgsDict, VolumeArgsDict, VolumeMountArgsDict
from pydantic import Field

from components.endpoints import PostgresEndpoint
from components.kube.pods import container_base, pod_base
from components.kube.security import scratch_mount, scratch_volume
from components.model import Resources, Settings

LOGIN_MOUNT = "/run/secrets/postgres"
CA_MOUNT = "/run/secrets/postgres-ca"
_MIGRATION_ATTEMPTS = 3


class FastApiDatabase(Settings):
    """How the service uses its database."""

    pool_size: int = Field(
        default=5,
        ge=1,
        le=100,
        description="Connections that a pod opens at most to write, and as many again to read from the replicas.",
    )
    migration_timeout_seconds: int = Field(
        default=180, ge=30, le=3600, description="How long the Job may wait for the database and migrate it."
    )

    @property
    def migration_deadline_seconds(self) -> int:
        """After so long the Job has failed, all of its attempts included."""
        return self.migration_timeout_seconds * _MIGRATION_ATTEMPTS


@dataclass(frozen=True, kw_only=True, slots=True)
class DatabaseWiring:
    """A database and the ways to it.

    Attributes:
        settings: the `database` part of the service's settings.
        primary: where to write.
        readers: where to read, each tried when those before it do not answer; empty to read where it writes.
    """

    settings: FastApiDatabase
    primary: PostgresEndpoint
    readers: Sequence[PostgresEndpoint]

    @property
    def endpoints(self) -> Sequence[PostgresEndpoint]:
        """Every way to the database."""
        return [self.primary, *self.readers]


def environment(wiring: DatabaseWiring) -> list[EnvVarArgsDict]:
    """The variables that lead the service to its database; secrets as paths of files."""
    primary, readers = wiring.primary, wiring.readers
    result: list[EnvVarArgsDict] = [
        {"name": "POSTGRES_HOST", "value": primary.host},
        {"name": "POSTGRES_PORT", "value": str(primary.port)},
        {"name": "POSTGRES_DATABASE", "value": primary.database},
        {"name": "POSTGRES_USERNAME_FILE", "value": f"{LOGIN_MOUNT}/username"},
        {"name": "POSTGRES_PASSWORD_FILE", "value": f"{LOGIN_MOUNT}/password"},
        {"name": "POSTGRES_POOL_SIZE", "value": str(wiring.settings.pool_size)},
    ]
    if readers:
        hosts = pulumi.Output.all(*(reader.host for reader in readers)).apply(",".join)
        result += [
            {"name": "POSTGRES_READ_HOSTS", "value": hosts},
            {"name": "POSTGRES_READ_PORTS", "value": ",".join(str(reader.port) for reader in readers)},
        ]
    if primary.ca is not None:
        result += [
            {"name": "POSTGRES_SSLMODE", "value": "verify-full"},
            {"name": "POSTGRES_CA_FILE", "value": f"{CA_MOUNT}/ca.crt"},
        ]
    return result


def volumes(primary: PostgresEndpoint) -> list[VolumeArgsDict]:
    """The application's login, and the certificate that the server's is checked by."""
    login = primary.application
    result: list[VolumeArgsDict] = [
        {
            "name": "postgres",
            "secret": {
                "secret_name": login.secret,
                "default_mode": 0o440,
                "items": [{"key": key.key, "path": key.key} for key in (login.username, login.password)],
            },
        }
    ]
    if primary.ca is not None:
        result.append(
            {
                "name": "postgres-ca",
                "secret": {
                    "secret_name": primary.ca.name,
                    "default_mode": 0o440,
                    # Never the CA's private key, which lies beside it.
                    "items": [{"key": primary.ca.key, "path": "ca.crt"}],
                },
            }
        )
    return result


def mounts(primary: PostgresEndpoint) -> list[VolumeMountArgsDict]:
    """Where `volumes` are seen by a container."""
    result: list[VolumeMountArgsDict] = [{"name": "postgres", "mount_path": LOGIN_MOUNT, "read_only": True}]
    if primary.ca is not None:
        result.append({"name": "postgres-ca", "mount_path": CA_MOUNT, "read_only": True})
    return result


def migration_name(image: str) -> str:
    """The Job's name: of the image, so that each version of the service migrates once."""
    return f"fastapi-migration-{hashlib.sha256(image.encode()).hexdigest()[:10]}"


def migration_job(image: str, resources: Resources, labels: dict[str, str], wiring: DatabaseWiring) -> JobSpecArgsDict:
    """The Job that brings the database to what this version of the service needs.

    Args:
        image: the service's own.
        resources: of the one container.
        labels: of its pod, without those that let it reach the database.
        wiring: of which only the primary is used.
    """
    primary, seconds = wiring.primary, wiring.settings.migration_timeout_seconds
    container: ContainerArgsDict = {
        **container_base("migration", image, resources),
        "command": ["python", "-m", "service.migrate"],
        "env": [
            *environment(DatabaseWiring(settings=wiring.settings, primary=primary, readers=[])),
            {"name": "MIGRATE_TIMEOUT_SECONDS", "value": str(seconds)},
        ],
        "volume_mounts": [scratch_mount("tmp", "/tmp"), *mounts(primary)],  # noqa: S108 - an emptyDir of the pod's own
    }
    return {
        "backoff_limit": _MIGRATION_ATTEMPTS - 1,
        "active_deadline_seconds": wiring.settings.migration_deadline_seconds,
        "template": {
            "metadata": {"labels": {**labels, **dict([primary.client_label])}},
            "spec": {
                **pod_base("fastapi", [container]),
                "restart_policy": "Never",
                "volumes": [scratch_volume("tmp"), *volumes(primary)],
            },
        },
    }
