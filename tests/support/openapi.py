"""The schemas of Kubernetes and of its extensions, strictly: a field that one of them does not know is an error."""

import functools
from pathlib import Path
from typing import Any

import jsonschema
import yaml
from jsonschema.protocols import Validator
from kubernetes_validate.utils import schema_contents
from referencing import Registry, Resource

OLDEST, NEWEST = "1.32", "1.37"
"""The Kubernetes versions that the stack's objects must fit."""

DEFINITIONS = Path(__file__).parent / "crds"
# Their definitions come with the release, which is not in this repository; the cluster tier's API server has them.
_CHECKED_ELSEWHERE = frozenset({"postgresql.cnpg.io", "barmancloud.cnpg.io"})


def check(manifest: dict[str, Any], version: str) -> None:
    """Refuse what Kubernetes `version` ("1.32") would refuse, or drop in silence.

    Raises:
        jsonschema.ValidationError: naming the field.
        FileNotFoundError: that Kubernetes has no such kind.
    """
    group, _, api = manifest["apiVersion"].rpartition("/")
    if group in _CHECKED_ELSEWHERE:
        return
    if (group, manifest["kind"]) in _definitions_of_kinds():
        validator(_definitions_of_kinds()[group, manifest["kind"]], api).validate(manifest)
        return
    prefix = f"{group.partition('.')[0]}-" if group else ""
    _validator(version, f"{manifest['kind'].lower()}-{prefix}{api}").validate(manifest)


def validator(definition: dict[str, Any], version: str) -> Validator:
    """For the objects of a CustomResourceDefinition in one of its versions ("v1"); it knows no other field."""
    (schema,) = [
        item["schema"]["openAPIV3Schema"] for item in definition["spec"]["versions"] if item["name"] == version
    ]
    properties = {**schema["properties"], "metadata": {"type": "object"}}
    for name in ("apiVersion", "kind"):
        properties[name] = {"type": "string"}
    return jsonschema.Draft202012Validator(_strict({**schema, "properties": properties}))


def _strict(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema of Kubernetes as one of JSON Schema that refuses what Kubernetes would drop."""
    result = {key: value for key, value in schema.items() if key not in {"default", "description", "format"}}
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    if "properties" in schema:
        result["properties"] = {name: _strict(item) for name, item in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            result.setdefault("additionalProperties", False)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            result[key] = _strict(schema[key])
    return result


@functools.cache
def _definitions_of_kinds() -> dict[tuple[str, str], dict[str, Any]]:
    definitions = [yaml.safe_load(path.read_text()) for path in sorted(DEFINITIONS.glob("*.yaml"))]
    return {(item["spec"]["group"], item["spec"]["names"]["kind"]): item for item in definitions}


@functools.cache
def _validator(version: str, name: str) -> Validator:
    return jsonschema.Draft202012Validator(_schema(version, name), registry=_definitions(version))


@functools.cache
def _definitions(version: str) -> Registry:
    # Nearly two megabytes, which is why kubernetes_validate's own `validate`, which reads them each time, is not used.
    return Resource.from_contents(_schema(version, "_definitions")) @ Registry()


def _schema(version: str, name: str) -> dict[str, Any]:
    return schema_contents(f"kubernetes-json-schema/v{version}.0-local-strict/{name}.json", version)
