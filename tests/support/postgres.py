"""`PostgresHA` by itself, with the settings that a test is about."""

import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from components import cloudnative_pg_operator
from components.endpoints import PostgresEndpoint, S3Endpoint, SecretKey
from components.postgres import PostgresHA, PostgresHAArgs
from components.postgres_settings import PostgresSettings
from tests.support.graph import Graph
from tests.support.program import ROOT, STAND_IN_RELEASE, merge, run

IMAGE = "hotstack/postgres:17.6-0123456789ab"
CLOUDNATIVE_PG: Mapping[str, Any] = {
    "cloudnativePg": {
        "image": {"build": "images/postgres", "version": "17.6"},
        "operator": {"mode": "managed", "manifest": STAND_IN_RELEASE, "image": {"build": "images/cloudnative-pg"}},
    }
}
KUBEDB: Mapping[str, Any] = {"engine": "kubedb", "kubedb": {}}
BUCKET = S3Endpoint(
    url="http://versitygw.demo.svc:7070",
    bucket="backups",
    region="eu-central-1",
    access_key_id=SecretKey(name="s3-keys", key="id"),
    secret_access_key=SecretKey(name="s3-keys", key="secret"),
    client_label=("s3-client", "true"),
    workloads=(),
)


def settings(overrides: Mapping[str, Any] | None = None, base: Mapping[str, Any] = CLOUDNATIVE_PG) -> PostgresSettings:
    """Settings as a stack file would say them: `base` with `overrides` merged in; `None` takes a key away.

    Raises:
        pydantic.ValidationError: they cannot be used.
    """
    return PostgresSettings.model_validate_json(_text(overrides, base))


def build(
    overrides: Mapping[str, Any] | None = None,
    base: Mapping[str, Any] = CLOUDNATIVE_PG,
    bucket: S3Endpoint | None = None,
    server_names: Sequence[str] = (),
) -> Graph:
    """The graph of the component with these settings; there is one run per process for the same."""
    return _run(_text(overrides, base), bucket, tuple(server_names))[0]


def endpoints(
    overrides: Mapping[str, Any] | None = None, base: Mapping[str, Any] = CLOUDNATIVE_PG
) -> tuple[PostgresEndpoint, PostgresEndpoint | None, dict[str, str]]:
    """What the component offers: its two endpoints, and their hosts once they are known."""
    graph, component = _run(_text(overrides, base), None, ())
    return component.primary, component.replicas, dict(graph.outputs)


def _text(overrides: Mapping[str, Any] | None, base: Mapping[str, Any]) -> str:
    return json.dumps(merge(base, overrides or {}))


@functools.cache
def _run(text: str, bucket: S3Endpoint | None, server_names: tuple[str, ...]) -> tuple[Graph, PostgresHA]:
    wanted = PostgresSettings.model_validate_json(text)
    made: list[PostgresHA] = []

    def program() -> None:
        provider = kubernetes.Provider("kubernetes", context="none")
        opts = pulumi.ResourceOptions(provider=provider)
        namespace = kubernetes.core.v1.Namespace("namespace", metadata={"name": "demo"}, opts=opts)
        operator = None if wanted.cloudnative_pg is None else wanted.cloudnative_pg.operator
        source = None if operator is None else operator.manifest
        postgres = PostgresHA(
            "postgres",
            PostgresHAArgs(
                settings=wanted,
                image=None if operator is None else IMAGE,
                namespace=namespace.metadata["name"],
                scraper_namespace="monitoring",
                release=None if source is None else cloudnative_pg_operator.read(source, ROOT),
                operator_image=None if source is None else "hotstack/cloudnative-pg:1.30.0",
                bucket=bucket,
                server_names=server_names,
            ),
            pulumi.ResourceOptions(providers=[provider]),
        )
        made.append(postgres)
        pulumi.export("primary", postgres.primary.host)
        pulumi.export("replicas", None if postgres.replicas is None else postgres.replicas.host)

    outcome = run(program)
    if outcome.error is not None:
        raise outcome.error
    return outcome.graph, made[0]
