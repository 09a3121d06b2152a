"""Backups that outlive their stack, and a bucket that is not there."""

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

import settings
from checks import backup
from checks.__main__ import result_line
from checks.kube import Kube
from checks.postgres import current_primary, sql
from checks.stack import Stack
from cluster.instance import Instance
from tests.cluster.project import STACK, Project

STANDALONE = {"topology": "standalone", "auth": {"mode": "none"}}
ELSEWHERE = "elsewhere"
KEYS = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "keys"},
    "stringData": {"ACCESS_KEY_ID": "somebody", "SECRET_ACCESS_KEY": "the key of somebody"},
}
REMOVAL_SECONDS = 120.0


@pytest.fixture
def project(
    dev_stack: Stack,  # noqa: ARG001 - its images, its operator and its environment
    embedded_cluster: Instance,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Project]:
    """The program with a stack file that tests may write; nothing is left of its namespace."""
    project = Project(tmp_path_factory.mktemp("project"), embedded_cluster.folder / f"pulumi-{STACK}")
    yield project
    project.destroy()
    Kube("hotstack", STACK).run("delete", "namespace", STACK, "--ignore-not-found", timeout=REMOVAL_SECONDS)


def test_a_stack_begins_with_the_backups_that_another_one_left(project: Project) -> None:
    kept = {"keepVolumes": True}
    first = {"method": "in_tree", "serverName": "first"}
    stack = project.up(STANDALONE, objectStore=kept, postgres={"cloudnativePg": {"backup": first}})
    kube = stack.kube
    sql(kube, current_primary(kube), "CREATE TABLE kept AS SELECT 'in the backup' AS note", "app")
    backup.backup(stack)
    sql(kube, current_primary(kube), "INSERT INTO kept VALUES ('in the log after it')", "app")
    backup.archive(stack, "backups")
    project.destroy()

    second = {"backup": {**first, "serverName": "second"}, "recovery": first}
    stack = project.up(STANDALONE, objectStore=kept, postgres={"cloudnativePg": second})
    rows = sql(kube, current_primary(kube), "SELECT note FROM kept ORDER BY note", "app")
    assert rows.splitlines() == ["in the backup", "in the log after it"]
    project.preview()
    # It has backups of its own, beside those that it began with.
    assert result_line("backup", backup.backup, stack).startswith("ok backup ")


def test_up_succeeds_without_the_bucket_and_the_check_and_a_metric_tell_of_it(project: Project) -> None:
    kube, elsewhere = Kube("hotstack", STACK), Kube("hotstack", ELSEWHERE)
    elsewhere.run("apply", "--filename=-", stdin=json.dumps(server_without_buckets()))
    try:
        # What a user of a bucket elsewhere brings along; the operator reads it when it makes the cluster.
        kube.run("create", "namespace", STACK)
        kube.run("apply", "--filename=-", stdin=json.dumps(KEYS))
        bucket = {"name": "nowhere", "url": f"http://s3.{ELSEWHERE}.svc:7070", "secretName": "keys"}
        stack = project.up(STANDALONE, bucket=bucket, postgres={"cloudnativePg": {"backup": {"method": "in_tree"}}})
        line = result_line("backup", backup.backup, stack)
        assert line.startswith("FAIL backup the write-ahead log does not get into bucket nowhere, after 90 s: ")
        assert "when calling the CreateBucket operation" in line
        told = metrics(kube, current_primary(kube))
        assert told["cnpg_pg_stat_archiver_failed_count"] > 0
        assert told["cnpg_pg_stat_archiver_last_failed_time"] > told["cnpg_pg_stat_archiver_last_archived_time"]
        # The database itself serves on.
        assert sql(kube, current_primary(kube), "SELECT 1", "app") == "1"
    finally:
        elsewhere.run("delete", "namespace", ELSEWHERE, timeout=REMOVAL_SECONDS)


def server_without_buckets() -> dict[str, Any]:
    """An S3 server of somebody else's, in a namespace of its own: it has no bucket, and nowhere to make one."""
    dev = settings.from_file("dev")
    assert dev.object_store is not None
    container = {
        "name": "versitygw",
        "image": dev.image_reference(dev.object_store.image),
        "args": ["posix", "/data"],
        "env": [
            {"name": variable, "valueFrom": {"secretKeyRef": {"name": "keys", "key": key}}}
            for variable, key in (
                ("ROOT_ACCESS_KEY_ID", "ACCESS_KEY_ID"),
                ("ROOT_SECRET_ACCESS_KEY", "SECRET_ACCESS_KEY"),
            )
        ],
        "volumeMounts": [{"name": "data", "mountPath": "/data", "readOnly": True}],
    }
    metadata = {"name": "s3", "labels": {"app": "s3"}}
    pod = {"containers": [container], "volumes": [{"name": "data", "emptyDir": {}}]}
    service = {"selector": {"app": "s3"}, "ports": [{"port": 7070}]}
    return {
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ELSEWHERE}},
            KEYS,
            {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod},
            {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service},
        ],
    }


def metrics(kube: Kube, pod: str) -> dict[str, float]:
    """What a scraper reads of an instance, by name and labels."""
    with (
        kube.port_forward(f"pod/{pod}", 9187) as port,
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer,
    ):
        lines = answer.read().decode().splitlines()
    samples = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in samples}
