"""The release of an operator: which manifest is taken, and what is made of it."""

import hashlib
import io
import urllib.error
from collections.abc import Callable
from pathlib import Path

import pytest

from components import cloudnative_pg_operator
from components.cloudnative_pg_operator import ManifestError
from policies.rules import EVERYWHERE, violations
from tests.support import openapi
from tests.support.graph import Graph
from tests.support.postgres import build
from tests.support.program import ROOT, STAND_IN_RELEASE

URL = "https://example.com/cnpg-1.30.0.yaml"
RELEASE = (ROOT / STAND_IN_RELEASE).read_text()


def refusal(source: str, root: Path = ROOT) -> str:
    with pytest.raises(ManifestError) as refused:
        cloudnative_pg_operator.read(source, root)
    return str(refused.value)


def answering(monkeypatch: pytest.MonkeyPatch, answer: Callable[[], io.BytesIO]) -> None:
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: answer())


def test_a_manifest_that_is_not_there_is_named_with_who_would_have_put_it_there() -> None:
    told = refusal("build/no-such-release.yaml")
    assert told.startswith("there is no build/no-such-release.yaml: expected the release manifest of CloudNativePG")
    assert "`make up`" in told


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("kind: ConfigMap\napiVersion: v1\n", "is not the release manifest of CloudNativePG"),
        ("just words\n", "is not the release manifest of CloudNativePG"),
        ("", "is not the release manifest of CloudNativePG"),
        ("a: [\n", "is not YAML"),
        (RELEASE.replace("1.30.0", "1.31.0"), "is of version 1.31.0"),
        (RELEASE.replace("1.30.0", "1.3.0"), "is of version 1.3.0"),
        (RELEASE.replace(":1.30.0", ":latest"), "is of version unknown"),
    ],
    ids=["another object", "words", "nothing", "half a file", "a later release", "an old release", "a moving one"],
)
def test_a_manifest_that_is_another_is_refused(content: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "release.yaml").write_text(content)
    assert refusal("release.yaml", tmp_path).startswith(f"release.yaml {expected}")


def test_a_downloaded_manifest_is_taken_when_it_is_the_one_that_the_stack_file_means(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answering(monkeypatch, lambda: io.BytesIO(RELEASE.encode()))
    checksum = hashlib.sha256(RELEASE.encode()).hexdigest()
    assert cloudnative_pg_operator.read(f"{URL}#sha256={checksum}", ROOT).namespace == "cnpg-system"
    told = refusal(f"{URL}#sha256={'0' * 64}")
    assert told == f"{URL} has the SHA-256 {checksum}: expected {'0' * 64}, as the stack file says"


def test_a_manifest_that_cannot_be_downloaded_is_named_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> io.BytesIO:
        raise urllib.error.URLError("no route to host")

    answering(monkeypatch, away)
    assert refusal(f"{URL}#sha256={'0' * 64}").startswith(f"{URL} cannot be had (<urlopen error no route to host>)")


@pytest.mark.parametrize("version", [openapi.OLDEST, openapi.NEWEST])
def test_every_object_of_the_release_is_made_and_valid(version: str) -> None:
    released = build().released()
    documents = cloudnative_pg_operator.read(STAND_IN_RELEASE, ROOT).documents
    assert sorted(resource.object_name for resource in released) == sorted(
        document["metadata"]["name"] for document in documents
    )
    for resource in released:
        openapi.check(dict(resource.props), version)


def test_the_operator_starts_after_all_it_needs_and_its_service_after_it() -> None:
    graph = build()
    (namespace,), (deployment,), (service,) = map(graph.released, ("Namespace", "Deployment", "Service"))
    others = {resource.urn for resource in graph.released()} - {deployment.urn, service.urn}
    assert others <= set(deployment.dependencies)
    assert deployment.urn in service.dependencies
    assert all(namespace.urn in item.dependencies for item in graph.released() if item is not namespace)


def test_the_operator_runs_the_image_of_the_stack_file_and_gives_it_to_the_pods_of_postgresql() -> None:
    (deployment,) = build().released("Deployment")
    container = deployment.container
    assert (container["image"], container["imagePullPolicy"]) == ("hotstack/cloudnative-pg:1.30.0", "IfNotPresent")
    variables = {variable["name"]: variable["value"] for variable in container["env"]}
    assert variables == {
        "OPERATOR_IMAGE_NAME": "hotstack/cloudnative-pg:1.30.0",
        "MONITORING_QUERIES_CONFIGMAP": "cnpg-default-monitoring",
    }


def test_the_operator_runs_the_releases_own_image_when_the_stack_file_names_none() -> None:
    (deployment,) = [
        item for item in cloudnative_pg_operator.read(STAND_IN_RELEASE, ROOT).documents if _runs_pods(item)
    ]
    container = cloudnative_pg_operator.adapted(deployment, None)["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "ghcr.io/cloudnative-pg/cloudnative-pg:1.30.0"


def _runs_pods(document: cloudnative_pg_operator.Document) -> bool:
    return document["kind"] == "Deployment"


def test_the_operator_keeps_the_rules_of_all_pods_but_the_one_about_tokens() -> None:
    (deployment,) = build().released("Deployment")
    assert violations(dict(deployment.props), EVERYWHERE) == [
        "Deployment cnpg-controller-manager: the pod mounts a token of the API server"
    ]


def test_definitions_stay_when_the_stack_goes_since_they_would_take_every_database_along() -> None:
    def kept(graph: Graph) -> set[str]:
        return {resource.kind for resource in graph.resources if resource.retain_on_delete}

    assert kept(build()) == {"CustomResourceDefinition"}


def test_definitions_that_an_earlier_stack_left_are_taken_over() -> None:
    (definition,) = build().released("CustomResourceDefinition")
    annotations = definition.props["metadata"]["annotations"]
    assert annotations["pulumi.com/patchForce"] == "true"
    assert "controller-gen.kubebuilder.io/version" in annotations, "the release's own stay"
