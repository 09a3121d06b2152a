"""Kubernetes' own OpenAPI schemas, strictly: a field that a version of Kubernetes does not know is an error."""

import functools
from typing import Any

import jsonschema
from jsonschema.protocols import Validator
from kubernetes_validate.utils import schema_contents
from referencing import Registry, Resource

OLDEST, NEWEST = "1.32", "1.37"
"""The Kubernetes versions that the stack's objects must fit."""


def check(manifest: dict[str, Any], version: str) -> None:
    """Refuse what Kubernetes `version` ("1.32") would refuse, or drop in silence.

    Raises:
        jsonschema.ValidationError: naming the field.
        FileNotFoundError: that Kubernetes has no such kind.
    """
    group, _, api = manifest["apiVersion"].rpartition("/")
    prefix = f"{group.partition('.')[0]}-" if group else ""
    _validator(version, f"{manifest['kind'].lower()}-{prefix}{api}").validate(manifest)


@functools.cache
def _validator(version: str, name: str) -> Validator:
    return jsonschema.Draft202012Validator(_schema(version, name), registry=_definitions(version))


@functools.cache
def _definitions(version: str) -> Registry:
    # Nearly two megabytes, which is why kubernetes_validate's own `validate`, which reads them each time, is not used.
    return Resource.from_contents(_schema(version, "_definitions")) @ Registry()


def _schema(version: str, name: str) -> dict[str, Any]:
    return schema_contents(f"kubernetes-json-schema/v{version}.0-local-strict/{name}.json", version)
