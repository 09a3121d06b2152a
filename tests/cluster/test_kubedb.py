"""KubeDB's operator is licensed and not here; its objects are taken by the API server under a strict definition."""

import copy
import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from cluster.instance import Instance
from cluster.toolchain import ensure
from tests.support.openapi import DEFINITIONS
from tests.support.postgres import KUBEDB, build

_POSTGRESES = "/apis/kubedb.com/v1/namespaces/default/postgreses"
_SECONDS = 60


class Kubectl:
    """`kubectl` on the instance of this tier."""

    def __init__(self, instance: Instance) -> None:
        self._command = [
            str(ensure("kubernetes")["kubernetes"].parent / "kubectl"),
            "--kubeconfig",
            str(instance.kubeconfig),
        ]

    def __call__(self, *arguments: str, content: object = None) -> subprocess.CompletedProcess[str]:
        """Run it; `content` is what `-f -` reads."""
        return subprocess.run(
            [*self._command, *arguments], input=json.dumps(content), capture_output=True, text=True, timeout=_SECONDS
        )


@pytest.fixture(scope="module")
def kubectl(embedded_cluster: Instance) -> Iterator[Kubectl]:
    run = Kubectl(embedded_cluster)
    definition = str(DEFINITIONS / "kubedb-postgres.yaml")
    assert run("apply", "-f", definition).returncode == 0
    waited = run("wait", "--for=condition=Established", f"--timeout={_SECONDS}s", "-f", definition)
    assert waited.returncode == 0, waited.stderr
    yield run
    run("delete", "--ignore-not-found", "-f", definition)


def test_the_api_server_takes_every_object_with_none_of_its_fields_dropped(kubectl: Kubectl) -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kubedb-shapes"}}
    objects = [_moved(manifest) for manifest in build(base=KUBEDB).manifests() if manifest["kind"] != "Namespace"]
    assert kubectl("apply", "-f", "-", content=namespace).returncode == 0
    try:
        everything = {"apiVersion": "v1", "kind": "List", "items": objects}
        done = kubectl("apply", "--validate=strict", "-f", "-", content=everything)
        assert done.returncode == 0, done.stderr
        (wanted,) = [manifest for manifest in objects if manifest["kind"] == "Postgres"]
        kept = json.loads(kubectl("get", "postgres", "hot-postgres", "-n", "kubedb-shapes", "-o", "json").stdout)
        assert kept["spec"] == wanted["spec"]
    finally:
        kubectl("delete", "--wait=false", "namespace", "kubedb-shapes")


def test_the_api_server_refuses_a_field_that_kubedb_does_not_document(kubectl: Kubectl) -> None:
    (postgres,) = [manifest for manifest in build(base=KUBEDB).manifests() if manifest["kind"] == "Postgres"]
    wrong = _moved(postgres, "default")
    wrong["spec"]["databaseSecret"] = {"secretName": "hot-postgres-auth"}
    # Past kubectl's own check, which knows the definition too.
    done = kubectl("create", "--raw", f"{_POSTGRESES}?fieldValidation=Strict&dryRun=All", "-f", "-", content=wrong)
    assert done.returncode != 0
    assert 'unknown field "spec.databaseSecret"' in done.stderr


def _moved(manifest: dict[str, Any], namespace: str = "kubedb-shapes") -> dict[str, Any]:
    """A copy of `manifest` in another namespace."""
    result = copy.deepcopy(manifest)
    result["metadata"]["namespace"] = namespace
    return result
