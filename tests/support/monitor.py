"""A stand-in for Pulumi's engine: records every registration exactly, answers as Kubernetes and the provider would.

The SDK's own mocks let much pass in silence: names that no cluster gave, secrets that lost their mark, a resource that
is there twice. This monitor gives names and marks secrets, and refuses what the engine or a reviewer would refuse.
"""
# ruff: noqa: ARG002, N802 - the names are those of the engine's protocol

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pulumi
from google.protobuf.json_format import MessageToDict
from pulumi.runtime.proto import provider_pb2, resource_pb2

from tests.support.graph import Graph, Path, Resource

STACK_TYPE = "pulumi:pulumi:Stack"
# The program's own top level may hold these beside components.
TOP_LEVEL_TYPES = frozenset({"pulumi:providers:kubernetes", "kubernetes:core/v1:Namespace"})

_SIGNATURE = "4dabf18193072939515e22adb298388d"  # Pulumi's mark of a value that is not plain JSON
_SECRET_SIGNATURE = "1b47061264138c4ac30d75fd1eb44270"
_UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


class RefusedError(Exception):
    """The program did something that a real run would not survive or a review would not let pass."""


class RecordingMonitor:
    """The engine's side of a run. The SDK calls its methods from several threads."""

    def __init__(self, project: str, stack: str) -> None:
        self._project = project
        self._stack = stack
        self._lock = threading.Lock()
        self._resources: dict[str, Resource] = {}
        self._components: set[str] = set()
        self._outputs: dict[str, Mapping[str, Any]] = {}
        self._hooks: dict[str, pulumi.ResourceHook] = {}
        self._root = ""

    def graph(self) -> Graph:
        """What has been registered so far."""
        resources = sorted(self._resources.values(), key=lambda resource: resource.urn)
        return Graph(resources=tuple(resources), outputs=self._outputs.get(self._root, {}), hooks=self._hooks)

    def check_complete(self) -> None:
        """Refuse components that never registered outputs: their `up` would not know that they are done."""
        for urn in sorted(self._components - self._outputs.keys()):
            raise RefusedError(f"{urn} never called register_outputs")

    def SupportsFeature(self, request: resource_pb2.SupportsFeatureRequest) -> resource_pb2.SupportsFeatureResponse:
        """All but output values: secrets then arrive as the marked values that an engine stores."""
        return resource_pb2.SupportsFeatureResponse(hasSupport=request.id != "outputValues")

    def RegisterResource(self, request: resource_pb2.RegisterResourceRequest) -> resource_pb2.RegisterResourceResponse:
        """Record a resource and answer with the state that it would have in a cluster."""
        urn = self._urn(request)
        if request.type == STACK_TYPE:
            self._root = urn
            return resource_pb2.RegisterResourceResponse(urn=urn)
        state = MessageToDict(request.object)
        secrets: list[Path] = []
        props = {key: _plain(value, secrets, (key,)) for key, value in state.items()}
        identity = _complete(request.type, urn, props, state) if request.custom else ""
        resource = Resource(
            urn=urn,
            type=request.type,
            name=request.name,
            id=identity,
            props=props,
            secrets=tuple(secrets),
            parent=None if request.parent in ("", self._root) else request.parent,
            dependencies=tuple(sorted(request.dependencies)),
            protect=request.protect,
            retain_on_delete=request.retainOnDelete,
            aliases=tuple(alias.urn or f"{alias.spec.type}::{alias.spec.name}" for alias in request.aliases),
            timeouts=_timeouts(request),
            provider=request.provider.rpartition("::")[0].rpartition("::")[2],
            hooks=tuple(request.hooks.before_update),
        )
        with self._lock:
            self._record(resource, is_component=not request.custom)
        return resource_pb2.RegisterResourceResponse(urn=urn, id=identity, object=state)

    def RegisterResourceOutputs(self, request: resource_pb2.RegisterResourceOutputsRequest) -> None:
        """Record the outputs of a component or of the stack."""
        with self._lock:
            if request.urn in self._outputs:
                raise RefusedError(f"{request.urn} called register_outputs twice")
            outputs = MessageToDict(request.outputs)
            self._outputs[request.urn] = {key: _plain(value, [], (key,)) for key, value in outputs.items()}

    def Invoke(self, request: resource_pb2.ResourceInvokeRequest) -> provider_pb2.InvokeResponse:
        """Refuse: an answer that nobody thought about would hide what the program asks for."""
        raise RefusedError(f"no answer is known for the invoke {request.tok}")

    def ReadResource(self, request: resource_pb2.ReadResourceRequest) -> resource_pb2.ReadResourceResponse:
        """Refuse, as `Invoke` does."""
        raise RefusedError(f"no answer is known for reading {request.type} {request.name}")

    def RegisterPackage(self, request: resource_pb2.RegisterPackageRequest) -> resource_pb2.RegisterPackageResponse:
        """Give packages a reference; the SDK asks for one before each resource of a package."""
        return resource_pb2.RegisterPackageResponse(ref="")

    def register_resource_hook(self, hook: pulumi.ResourceHook) -> None:
        """Know a hook; where the SDK would open a port for the engine to call it back, a test calls it."""
        if hook.name in self._hooks:
            raise RefusedError(f"the hook {hook.name} is registered twice")
        if hook.opts is None or not hook.opts.on_dry_run:
            raise RefusedError(f"the hook {hook.name} is silent in previews, so it would speak too late")
        self._hooks[hook.name] = hook

    def SignalAndWaitForShutdown(self, request: object) -> None:
        """Let the program end."""

    def _urn(self, request: resource_pb2.RegisterResourceRequest) -> str:
        chain = request.type
        if request.parent not in ("", self._root):
            chain = f"{request.parent.split('::')[2]}${chain}"
        return f"urn:pulumi:{self._stack}::{self._project}::{chain}::{request.name}"

    def _record(self, resource: Resource, is_component: bool) -> None:
        if resource.urn in self._resources:
            raise RefusedError(f"{resource.urn} is registered twice")
        if is_component:
            self._components.add(resource.urn)
        elif resource.parent not in self._components and resource.type not in TOP_LEVEL_TYPES:
            raise RefusedError(f"{resource.urn} has no component as its parent")
        self._resources[resource.urn] = resource


def _timeouts(request: resource_pb2.RegisterResourceRequest) -> dict[str, str]:
    given = request.customTimeouts
    return {key: value for key in ("create", "update", "delete") if (value := getattr(given, key))}


def _complete(type_: str, urn: str, props: dict[str, Any], state: dict[str, Any]) -> str:
    """Fill in what a provider would; returns the id."""
    if type_.startswith("kubernetes:"):
        metadata = props.setdefault("metadata", {})
        if "name" not in metadata:
            metadata["name"] = f"{urn.rpartition('::')[2]}-{_generation(urn, props)[:8]}"
            state.setdefault("metadata", {})["name"] = metadata["name"]
        return "/".join(filter(None, [metadata.get("namespace"), metadata["name"]]))
    if type_ == "random:index/randomPassword:RandomPassword":
        password = hashlib.sha256(json.dumps([urn, props], sort_keys=True).encode()).hexdigest()[: props["length"]]
        state["result"] = {_SIGNATURE: _SECRET_SIGNATURE, "value": password}
        return "none"
    if type_ == "pulumi:providers:kubernetes":
        return "provider-id"
    raise RefusedError(f"no answer is known for resources of type {type_}")


def _generation(urn: str, props: Mapping[str, Any]) -> str:
    """Hex digits that differ whenever the engine would make the object anew, and with it its generated name."""
    content = [props.get("data"), props.get("stringData")] if props.get("immutable") else []
    return hashlib.sha256(json.dumps([urn, content], sort_keys=True).encode()).hexdigest()


def _plain(value: object, secrets: list[Path], path: Path) -> object:
    """`value` of the wire without its marks and with whole numbers as ints; the paths of secrets go into `secrets`."""
    if isinstance(value, dict) and _SIGNATURE in value:
        if value[_SIGNATURE] != _SECRET_SIGNATURE:
            raise RefusedError(f"{'.'.join(map(str, path))} is an asset or a reference, not a plain value")
        content = _plain(value["value"], [], path)
        secrets.extend(_leaves(content, path))
        return content
    if isinstance(value, dict):
        return {key: _plain(value[key], secrets, (*path, key)) for key in sorted(value)}
    if isinstance(value, list):
        return [_plain(item, secrets, (*path, index)) for index, item in enumerate(value)]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if value == _UNKNOWN:
        raise RefusedError(f"{'.'.join(map(str, path))} is not known, though every resource has been made")
    return value


def _leaves(value: object, path: Path) -> Iterator[Path]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _leaves(item, (*path, index))
    else:
        yield path
