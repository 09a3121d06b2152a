"""The stack file as one typed, frozen tree: `Pulumi.<stack>.yaml` under the `hotstack:` namespace.

On the command line, `python settings.py describe STACK` tells what a stack wants of the machine around it.
"""

import argparse
import gc
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import pulumi
import yaml
from pydantic import Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from components.bucket import BucketSettings
from components.fastapi_app import FastApiSettings
from components.model import DnsLabel, Image, Settings, model_of
from components.monitoring_settings import MonitoringSettings
from components.object_store import ObjectStoreSettings
from components.pgpool_settings import PgpoolSettings, backend_connections
from components.postgres_settings import PostgresSettings
from components.redis_settings import RedisSettings

ROOT = Path(__file__).parent
TOOLCHAIN = ROOT / "cluster" / "toolchain"
NAMESPACE = "hotstack:"
OTHER_CONNECTIONS = 10
"""Of PostgreSQL's connections: three that it keeps for superusers, the rest for its operator and for exporters."""
_NOT_IN_IMAGES = {"tests", "__pycache__", "README.md", "pyproject.toml"}  # as the contexts' .dockerignore says, too


class SettingsError(pulumi.RunError):
    """The stack file cannot be used; the message lists every reason. Pulumi shows it without a traceback."""


class KubernetesSettings(Settings):
    """Which cluster, and where in it."""

    context: str = Field(min_length=1, description="The kubeconfig context; `hotstack` is the embedded cluster.")
    namespace: DnsLabel = Field(description="The namespace that the stack makes and lives in.")
    pod_security: Literal["baseline", "restricted"] = Field(
        default="restricted",
        description="Pod Security level that the namespace enforces; `restricted` is warned about in any case.",
    )
    monitoring_namespace: DnsLabel = Field(default="monitoring", description="Whose pods may scrape metrics.")
    image_registry: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9]([a-z0-9.:/_-]*[a-z0-9])?$",
        description="Registry and path that images built from `images/` are pushed to, for clusters that pull.",
    )


class StackSettings(Settings):
    """Everything that a stack file may say."""

    kubernetes: KubernetesSettings
    redis: RedisSettings
    bucket: BucketSettings | None = Field(default=None, description="Where backups go: a bucket that exists.")
    object_store: ObjectStoreSettings | None = Field(
        default=None, description="Where backups go: an S3 server in the stack itself, for trials."
    )
    postgres: PostgresSettings
    pgpool: PgpoolSettings
    fastapi: FastApiSettings
    monitoring: MonitoringSettings | None = Field(
        default=None, description="What scrapes, alerts and draws; nothing when not set."
    )

    @property
    def protect(self) -> bool:
        """Whether anything in the namespace is protected, which would go with it."""
        stores = (self.redis, self.postgres, self.object_store)
        return any(store is not None and store.protect for store in stores)

    @property
    def keeps_volumes(self) -> bool:
        """Whether volumes outlive the stack, which would go with the namespace."""
        return self.redis.keeps_volumes or (self.object_store is not None and self.object_store.keep_volumes)

    @model_validator(mode="after")
    def _backups_have_one_bucket(self) -> "StackSettings":
        own = self.postgres.cloudnative_pg
        wanted = own is not None and (own.backup is not None or own.recovery is not None)
        if self.bucket is not None and self.object_store is not None:
            raise ValueError("hotstack:bucket and hotstack:objectStore are both there: expected at most one of them")
        if wanted and self.bucket is None and self.object_store is None:
            raise ValueError(
                "hotstack:postgres has `backup` or `recovery`, and there is no bucket: expected hotstack:bucket, or "
                "hotstack:objectStore"
            )
        return self

    @model_validator(mode="after")
    def _connections_suffice(self) -> "StackSettings":
        """Counted before anything is created, since no part of the stack would see it alone."""
        pgpool, readers = self._connections()
        needed = pgpool + readers + OTHER_CONNECTIONS
        if needed > self.postgres.max_connections:
            raise ValueError(
                f"hotstack:postgres.maxConnections is {self.postgres.max_connections}, and up to {needed} may be open "
                f"on one server: {pgpool} of Pgpool-II (pods in a rollout x numInitChildren x maxPool, and one for "
                f"each exporter, for both endpoints), {readers} of readers (pods in a rollout x poolSize), "
                f"{OTHER_CONNECTIONS} of others (the operator, monitoring, superusers); raise it, or lower one of these"
            )
        sessions = 2 * readers
        if sessions > self.pgpool.sessions_per_pod:
            raise ValueError(
                f"hotstack:fastapi may open {sessions} sessions (pods in a rollout x database.poolSize, to write and, "
                f"without standbys, to read), and a pod of hotstack:pgpool serves {self.pgpool.sessions_per_pod} "
                "(numInitChildren - reservedConnections, and one less where it has an exporter): raise "
                "pooling.numInitChildren, or lower database.poolSize"
            )
        return self

    def _connections(self) -> tuple[int, int]:
        """Most connections to one server of PostgreSQL: those of Pgpool-II, and those of the service's readers."""
        pods = self.fastapi.replicas + 1  # one more while they roll
        pgpool = backend_connections(self.pgpool, balanced=self.postgres.instances > 1)
        return pgpool, pods * self.fastapi.database.pool_size

    def image_reference(self, image: Image) -> str:
        """The reference to run `image` by; what is built here is tagged by the content it is built from."""
        if image.build is None:
            return str(image.reference)
        registry = "" if self.kubernetes.image_registry is None else f"{self.kubernetes.image_registry}/"
        name = image.build.removeprefix("images/")
        version = "" if image.version is None else f"{image.version}-"
        return f"{registry}hotstack/{name}:{version}{content_key(*build_folders(image))}"


def build_folders(image: Image) -> tuple[Path, Path]:
    """Folder of the Dockerfile of an image with `build`, and of what else decides its content."""
    folder = ROOT / str(image.build)
    if image.tool is not None:
        return folder, TOOLCHAIN / image.tool
    return folder, folder if image.context is None else ROOT / image.context


def content_key(*folders: Path) -> str:
    """Twelve hex digits of what an image is built from: names and contents of the files in `folders`."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            parts = path.relative_to(folder).parts
            if path.is_file() and not any(part.startswith(".") or part in _NOT_IN_IMAGES for part in parts):
                digest.update(f"{'/'.join(parts)}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def from_pulumi() -> StackSettings:
    """The settings of the running Pulumi program.

    Raises:
        SettingsError: see `parse`.
    """
    # pulumi.Config can only be asked for keys that one knows; a misspelled key must be found too.
    config = pulumi.runtime.config.CONFIG.get() or pulumi.runtime.config.get_config_env()
    return parse(pulumi.get_stack(), config)


def from_file(stack: str) -> StackSettings:
    """The settings in the file of `stack`, without Pulumi.

    Raises:
        SettingsError: there is no such file, it is not YAML, or see `parse`.
    """
    path = ROOT / f"Pulumi.{stack}.yaml"
    if not path.is_file():
        raise SettingsError(unknown_stack(stack))
    try:
        content = yaml.load(path.read_text(), Loader=yaml.CSafeLoader) or {}
    except yaml.YAMLError as error:
        raise SettingsError(f"{path.name} is not YAML: {error}") from None
    config = content.get("config", {}) if isinstance(content, dict) else None
    if not isinstance(config, dict) or not all(isinstance(key, str) for key in config):
        raise SettingsError(f"{path.name} has no settings: expected `config:` with keys like `{NAMESPACE}redis:`")
    return parse(stack, config)


def parse(stack: str, config: Mapping[str, object]) -> StackSettings:
    """Settings from Pulumi's flat config map.

    Args:
        stack: name of the stack, for messages.
        config: keys like `hotstack:redis`, values as objects or as JSON text; other namespaces are left alone.

    Raises:
        SettingsError: naming every wrong value by its path in the stack file, with what was expected.
    """
    ours = {key.removeprefix(NAMESPACE): value for key, value in config.items() if key.startswith(NAMESPACE)}
    if not ours:
        raise SettingsError(unknown_stack(stack))
    try:
        # By way of JSON: strict types, as the stack file wrote them.
        settings = StackSettings.model_validate_json(
            json.dumps({key: _decoded(value) for key, value in ours.items()}, default=str)
        )
        problems = list(_missing_sources(settings))
    except ValidationError as error:
        problems = [_problem(detail) for detail in error.errors(include_url=False)]
    if problems:
        raise SettingsError("\n  ".join([f"Pulumi.{stack}.yaml cannot be used:", *sorted(problems)]))
    return settings


def _missing_sources(settings: StackSettings) -> Iterator[str]:
    for path, image in images(settings).items():
        if image.build is None:
            continue
        folder, context = build_folders(image)
        if not (folder / "Dockerfile").is_file():
            yield f"{NAMESPACE}{path}.build: got {image.build!r}; expected a folder with a Dockerfile"
        if image.context is not None and not context.is_dir():
            yield f"{NAMESPACE}{path}.context: got {image.context!r}; expected a folder"
        if image.tool is not None and not context.is_dir():
            yield f"{NAMESPACE}{path}.tool: got {image.tool!r}; expected the name of a folder in cluster/toolchain"


def unknown_stack(stack: str) -> str:
    """The sentence for a stack that has no settings."""
    known = ", ".join(sorted(path.name.split(".")[1] for path in ROOT.glob("Pulumi.*.yaml")))
    return f"unknown stack {stack!r}: expected a Pulumi.{stack}.yaml with `hotstack:` settings; there are {known}"


def _decoded(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _problem(detail: ErrorDetails) -> str:
    # What is wrong between components has no path of its own: it names all that take part in it.
    return f"{_path(detail)}: {_expectation(detail)}" if detail["loc"] else _expectation(detail)


def _path(detail: ErrorDetails) -> str:
    path = ""
    for part in detail["loc"]:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return NAMESPACE + path.removeprefix(".")


def _expectation(detail: ErrorDetails) -> str:
    kind, given = detail["type"], json.dumps(detail["input"], default=str)
    if kind == "extra_forbidden":
        return f"unknown key; expected one of {', '.join(_known_keys(detail['loc'][:-1]))}"
    if kind == "missing":
        return "missing, and there is no default"
    if kind == "value_error":
        return detail["msg"].removeprefix("Value error, ")
    return f"got {given}; {detail['msg'][0].lower()}{detail['msg'][1:]}"


def _known_keys(path: Sequence[int | str]) -> list[str]:
    model: type[Settings] = StackSettings
    for part in path:
        fields = {field.alias or name: field for name, field in model.model_fields.items()}
        model = model_of(fields[str(part)]) or model
    return [field.alias or name for name, field in model.model_fields.items()]


def images(settings: StackSettings) -> dict[str, Image]:
    """The images that a stack runs, by their paths in the stack file."""
    found = {
        "redis.image": settings.redis.image,
        "pgpool.image": settings.pgpool.image,
        "fastapi.image": settings.fastapi.image,
    }
    if settings.object_store is not None:
        found["objectStore.image"] = settings.object_store.image
    if settings.redis.exporter is not None:
        found["redis.exporter.image"] = settings.redis.exporter.image
    if settings.pgpool.exporter is not None:
        found["pgpool.exporter.image"] = settings.pgpool.exporter.image
    if settings.monitoring is not None and (standalone := settings.monitoring.standalone) is not None:
        found["monitoring.standalone.prometheusImage"] = standalone.prometheus_image
        found["monitoring.standalone.alertmanagerImage"] = standalone.alertmanager_image
        if standalone.grafana is not None:
            found["monitoring.standalone.grafana.image"] = standalone.grafana.image
    if (postgres := settings.postgres.cloudnative_pg) is not None:
        found["postgres.cloudnativePg.image"] = postgres.image
        if postgres.operator.image is not None:
            found["postgres.cloudnativePg.operator.image"] = postgres.operator.image
    return found


def describe(settings: StackSettings) -> dict[str, object]:
    """What a stack wants of the machine around it: its kube context, and the images to build before `pulumi up`."""
    to_build = []
    for image in images(settings).values():
        if image.build is not None:
            folder, context = build_folders(image)
            reference = settings.image_reference(image)
            source = {"context": str(context)} if image.tool is None else {"tool": image.tool}
            to_build.append({"reference": reference, "dockerfile": str(folder / "Dockerfile"), **source})
    postgres = settings.postgres.cloudnative_pg
    return {
        "context": settings.kubernetes.context,
        "namespace": settings.kubernetes.namespace,
        "imageRegistry": settings.kubernetes.image_registry,
        "images": to_build,
        "operatorManifest": None if postgres is None else postgres.operator.manifest,
    }


def main(arguments: Sequence[str]) -> int:
    """The command line: `describe STACK`."""
    parser = argparse.ArgumentParser(prog="settings.py", description="What a stack wants of the machine around it.")
    parser.add_argument("command", choices=["describe"])
    parser.add_argument("stack")
    try:
        print(json.dumps(describe(from_file(parser.parse_args(arguments).stack))))
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    gc.freeze()  # as in __main__.py
    sys.exit(main(sys.argv[1:]))
