"""What a run of the program declared, as plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi

Path = tuple[str | int, ...]
"""Where a value is inside `props`: `("stringData", "password")`."""

SECRET = "[secret]"
LOGIN_NAMES = frozenset({"username", "access-key-id"})
"""Keys of Secrets that hold the name beside a password, which is no secret."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Resource:
    """One registered resource.

    Attributes:
        urn: the engine's name of it; the parts between `::` are stack, project, chain of types, name.
        type: `kubernetes:apps/v1:StatefulSet`.
        name: its name in Pulumi; see `object_name` for the one in Kubernetes.
        id: empty for a component.
        props: the inputs in Kubernetes' spelling; whole numbers are ints, secret values stand there unwrapped.
        secrets: paths of the leaves of `props` that are marked secret.
        parent: URN of the parent, `None` for the stack's own children.
        dependencies: URNs that it comes after, sorted.
        protect: whether the engine refuses to delete or replace it.
        retain_on_delete: whether the engine forgets it instead of deleting it.
        aliases: `type::name` of its former identities; an empty part is unchanged.
        timeouts: `{"create": "300s", ...}`; empty when nothing was said.
        provider: name of the provider in Pulumi, empty when the engine would choose one.
        hooks: names of the hooks that may refuse an update of it.
    """

    urn: str
    type: str
    name: str
    id: str
    props: Mapping[str, Any]
    secrets: tuple[Path, ...]
    parent: str | None
    dependencies: tuple[str, ...]
    protect: bool
    retain_on_delete: bool
    aliases: tuple[str, ...]
    timeouts: Mapping[str, str]
    provider: str
    hooks: tuple[str, ...]

    @property
    def is_kubernetes(self) -> bool:
        """Whether it is an object in the cluster."""
        return self.type.startswith("kubernetes:")

    @property
    def is_released(self) -> bool:
        """Whether it is of the release of an operator, and so the work of others."""
        return "-operator-" in self.name

    @property
    def kind(self) -> str:
        """`StatefulSet`; for what is not in Kubernetes the last part of the type."""
        return self.type.rsplit(":", 1)[-1]

    @property
    def object_name(self) -> str:
        """`metadata.name` in Kubernetes."""
        return self.props["metadata"]["name"]

    @property
    def spec(self) -> Mapping[str, Any]:
        """The `spec` of an object in Kubernetes."""
        return self.props["spec"]

    @property
    def pod(self) -> Mapping[str, Any]:
        """The pod template (`metadata` and `spec`) of a workload."""
        return self.props["spec"]["template"]

    @property
    def containers(self) -> Sequence[Mapping[str, Any]]:
        """The containers of a workload's pods."""
        return self.pod["spec"]["containers"]

    @property
    def container(self) -> Mapping[str, Any]:
        """The container that a workload is for; an exporter comes after it."""
        return self.containers[0]

    def masked(self) -> dict[str, Any]:
        """`props` with every secret value as `[secret]`."""
        secrets = set(self.secrets)
        return {key: _masked(value, secrets, (key,)) for key, value in self.props.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Graph:
    """Everything that one run registered, by URN, the stack's outputs, and the hooks by name.

    Questions are about what is the project's own; `released` is for the releases of operators.
    """

    resources: tuple[Resource, ...]
    outputs: Mapping[str, Any]
    hooks: Mapping[str, pulumi.ResourceHook] = field(compare=False)

    def refusal(self, resource: Resource, old: Mapping[str, Any]) -> str:
        """What the hooks of `resource` say to an update from the inputs `old`; empty when they let it pass."""
        update = pulumi.ResourceHookArgs(
            urn=resource.urn,
            id=resource.id,
            name=resource.name,
            type=resource.type,
            old_inputs=old,
            new_inputs=resource.props,
        )
        for name in resource.hooks:
            try:
                self.hooks[name](update)
            except ValueError as error:
                return str(error)
        return ""

    def all(self, kind: str) -> tuple[Resource, ...]:
        """The resources of a kind: `all("StatefulSet")`, `all("RandomPassword")`."""
        return tuple(resource for resource in self.resources if resource.kind == kind and not resource.is_released)

    def released(self, kind: str = "") -> tuple[Resource, ...]:
        """What the release of an operator is made of, of one kind or all."""
        return tuple(resource for resource in self.resources if resource.is_released and kind in ("", resource.kind))

    def one(self, kind: str, name: str) -> Resource:
        """The resource of that kind and name: in Kubernetes, or in Pulumi where that generates the former."""
        found = [resource for resource in self.all(kind) if name in _names(resource)]
        if len(found) != 1:
            there = sorted(_names(resource)[-1] for resource in self.all(kind))
            raise LookupError(f"{len(found)} resources are a {kind} named {name!r}; there are {there}")
        return found[0]

    def objects(self) -> tuple[Resource, ...]:
        """The objects in Kubernetes."""
        return tuple(resource for resource in self.resources if resource.is_kubernetes and not resource.is_released)

    def manifests(self) -> list[dict[str, Any]]:
        """The objects in Kubernetes as `kubectl` would take them; secret values stand in them."""
        return [dict(resource.props) for resource in self.objects()]

    def workloads(self) -> tuple[Resource, ...]:
        """The objects that run pods; of what an operator runs for the stack, there are none."""
        return tuple(resource for resource in self.objects() if "template" in resource.props.get("spec", {}))

    def images(self) -> set[str]:
        """The images of all pods: of the workloads, of PostgreSQL, and of an operator that the stack installs."""
        workloads = [*self.workloads(), *self.released("Deployment")]
        run = {container["image"] for workload in workloads for container in workload.containers}
        return run | {cluster.spec["imageName"] for cluster in self.all("Cluster")}

    def passwords(self) -> set[str]:
        """What nobody may see: the values in the stack's Secrets, but for the names that one logs in by."""
        return {
            str(secret.props["stringData"][key])
            for secret in self.all("Secret")
            for _, key in secret.secrets
            if key not in LOGIN_NAMES
        }


def _names(resource: Resource) -> Sequence[str]:
    if not resource.is_kubernetes or resource.object_name.startswith(f"{resource.name}-"):
        return [resource.name]
    return [resource.object_name]


def _masked(value: object, secrets: set[Path], path: Path) -> object:
    if path in secrets:
        return SECRET
    if isinstance(value, Mapping):
        return {key: _masked(item, secrets, (*path, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_masked(item, secrets, (*path, index)) for index, item in enumerate(value)]
    return value
