"""The CloudNativePG operator: its release manifest, read, checked, and made resources of."""

import copy
import hashlib
import re
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
import yaml

from components.kube.rollout import timeouts
from components.postgres_settings import tag_version

SUPPORTED = "1.30"
"""The release whose fields and behaviour this program is written for; 1.31 drops the method `in_tree` of backups."""
DOWNLOAD_SECONDS = 30
ROLLOUT_SECONDS = 180

Document = Mapping[str, Any]


class ManifestError(pulumi.RunError):
    """The release manifest cannot be used. Pulumi shows the sentence without a traceback."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """A release manifest.

    Attributes:
        namespace: where it puts the operator.
        documents: its objects, as they stand there.
    """

    namespace: str
    documents: Sequence[Document]


def read(source: str, root: Path) -> Release:
    """The release manifest at `source`.

    Args:
        source: a file relative to `root`, or `https://…#sha256=…`.
        root: the folder of the program.

    Raises:
        ManifestError: it is not there, has another checksum, is not a release of CloudNativePG, or not one of the
            supported version.
    """
    text = _download(source) if source.startswith("https://") else _load(source, root)
    try:
        # The C loader: the real one is over a megabyte of schemas, read on every preview.
        documents = [document for document in yaml.load_all(text, Loader=yaml.CSafeLoader) if document is not None]
    except yaml.YAMLError:
        raise ManifestError(f"{source} is not YAML: expected the release manifest of CloudNativePG") from None
    kinds = [document.get("kind") if isinstance(document, dict) else None for document in documents]
    if kinds.count("Namespace") != 1 or kinds.count("Deployment") != 1 or "CustomResourceDefinition" not in kinds:
        raise ManifestError(
            f"{source} is not the release manifest of CloudNativePG: expected one Namespace, one Deployment and its "
            "CustomResourceDefinitions"
        )
    image = _container(documents[kinds.index("Deployment")])["image"]
    version = tag_version(image) or "unknown"
    if not f"{version}.".startswith(f"{SUPPORTED}."):
        raise ManifestError(f"{source} is of version {version} ({image}): expected CloudNativePG {SUPPORTED}")
    return Release(namespace=documents[kinds.index("Namespace")]["metadata"]["name"], documents=documents)


def _load(source: str, root: Path) -> bytes:
    path = root / source
    if not path.is_file():
        raise ManifestError(
            f"there is no {source}: expected the release manifest of CloudNativePG {SUPPORTED}, which `make up` and "
            "`make preview` put there for the stack dev"
        )
    return path.read_bytes()


def _download(source: str) -> bytes:
    url, _, checksum = source.partition("#sha256=")
    try:
        with urllib.request.urlopen(url, timeout=DOWNLOAD_SECONDS) as answer:  # noqa: S310 - https, by the settings
            content: bytes = answer.read()
    except (urllib.error.URLError, TimeoutError) as error:
        raise ManifestError(f"{url} cannot be had ({error}): expected the release manifest of CloudNativePG") from None
    found = hashlib.sha256(content).hexdigest()
    if found != checksum:
        raise ManifestError(f"{url} has the SHA-256 {found}: expected {checksum}, as the stack file says")
    return content


def install(name: str, release: Release, image: str | None, parent: pulumi.Resource) -> list[pulumi.Resource]:
    """Register the objects of a release; what a Cluster must come after is returned.

    Args:
        name: of the component, which the names of the resources begin with.
        release: see `read`.
        image: to run instead of the release's own.
        parent: the component.
    """
    done: list[pulumi.Resource] = []
    for documents in _in_order(release.documents):
        done += [_register(name, adapted(document, image), parent, list(done)) for document in documents]
    return done


def _in_order(documents: Sequence[Document]) -> Iterator[list[Document]]:
    """The namespace, what the operator needs to start, the operator, its Service, which waits for the operator."""
    late = ("Namespace", "Deployment", "Service")
    by_kind = {kind: [document for document in documents if document["kind"] == kind] for kind in late}
    yield by_kind["Namespace"]
    yield [document for document in documents if document["kind"] not in late]
    yield by_kind["Deployment"]
    yield by_kind["Service"]


def _register(name: str, document: Document, parent: pulumi.Resource, after: list[pulumi.Resource]) -> pulumi.Resource:
    api, kind, object_name = document["apiVersion"], document["kind"], document["metadata"]["name"]
    slug = re.sub("[^a-z0-9]+", "-", f"{kind}-{object_name}".lower())
    return pulumi.CustomResource(
        f"kubernetes:{api if '/' in api else f'core/{api}'}:{kind}",
        f"{name}-operator-{slug}",
        dict(document),
        pulumi.ResourceOptions(
            parent=parent,
            depends_on=after,
            custom_timeouts=timeouts(ROLLOUT_SECONDS) if kind in ("Deployment", "Service") else None,
            # A definition takes all its objects along: the databases of every other stack in this Kubernetes too.
            retain_on_delete=kind == "CustomResourceDefinition" or None,
        ),
    )


def adapted(document: Document, image: str | None) -> Document:
    """`document` as it is installed here; a copy where it differs from the release's."""
    if document["kind"] == "CustomResourceDefinition":
        # One that an earlier stack left behind is taken over, whoever is said to own its fields.
        annotations = {**document["metadata"].get("annotations", {}), "pulumi.com/patchForce": "true"}
        return {**document, "metadata": {**document["metadata"], "annotations": annotations}}
    if document["kind"] != "Deployment":
        return document
    result = copy.deepcopy(dict(document))
    container = _container(result)
    container["terminationMessagePolicy"] = "FallbackToLogsOnError"
    # A tenth of a core, the release's limit, makes every step of a failover wait.
    limits = {**container["resources"]["limits"], "cpu": "1", "ephemeral-storage": "128Mi"}
    requests = {**container["resources"]["requests"], "memory": limits["memory"], "ephemeral-storage": "128Mi"}
    container["resources"] = {"requests": requests, "limits": limits}
    for volume in result["spec"]["template"]["spec"].get("volumes", []):
        if "emptyDir" in volume:
            volume["emptyDir"] = {"sizeLimit": "64Mi"}
    if image is not None:
        container |= {"image": image, "imagePullPolicy": "IfNotPresent"}
        for variable in container["env"]:
            # The pods of PostgreSQL copy the instance manager out of this image.
            if variable["name"] == "OPERATOR_IMAGE_NAME":
                variable["value"] = image
    return result


def _container(deployment: Document) -> dict[str, Any]:
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return container
