"""What every component's settings are made of: the strict base model and the few shared parts."""

from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo

MEBIBYTE = 1024 * 1024
_UNITS = {"Mi": MEBIBYTE, "Gi": 1024 * MEBIBYTE}

Memory = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]*(Mi|Gi)$")]
"""A Kubernetes quantity of memory or storage in whole Mi or Gi, so that it has one spelling in a diff."""

Cpu = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]*m?$")]
"""A Kubernetes quantity of CPU: whole cores (`2`) or millicores (`500m`)."""

DnsLabel = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
"""An RFC 1123 label: what Kubernetes takes as the name of a namespace, a Service or a Secret here."""


class Settings(BaseModel):
    """Base of all settings: camelCase in the stack file, unknown keys refused, never changed after loading."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True, strict=True)


class Image(Settings):
    """A container image: `reference` of one that exists, or `build`, a folder of this repository to build it from."""

    reference: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9][a-z0-9./_:-]*@sha256:[0-9a-f]{64}$",
        description="A published image, pinned by digest: `host/name:tag@sha256:…`.",
    )
    build: str | None = Field(
        default=None,
        pattern=r"^images/[a-z0-9-]+$",
        description="The folder of the Dockerfile, relative to the repository: `images/redis`.",
    )
    context: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9][a-z0-9/-]*$",
        description="The build context when it is not the Dockerfile's own folder, relative to the repository.",
    )
    tool: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9-]+$",
        description="A program of `cluster/toolchain/` to build first; its folder is the build context then.",
    )
    version: str | None = Field(
        default=None,
        pattern=r"^[0-9][0-9.]*$",
        description="What the tag of a `build` starts with, for an operator that reads the version off it.",
    )

    @model_validator(mode="after")
    def _one_source(self) -> "Image":
        if (self.reference is None) == (self.build is None):
            raise ValueError("expected exactly one of `reference` and `build`")
        for name in ("context", "tool", "version"):
            if getattr(self, name) is not None and self.build is None:
                raise ValueError(f"`{name}` belongs to `build`, which is not set")
        if self.context is not None and self.tool is not None:
            raise ValueError("expected at most one of `context` and `tool`: a tool's folder is the context")
        return self


class Resources(Settings):
    """Requests and limits of one container. Memory and local storage are never overcommitted: request = limit."""

    cpu: Cpu = Field(default="100m", description="CPU request.")
    cpu_limit: Cpu = Field(default="1", description="CPU limit; at least the request.")
    memory: Memory = Field(default="128Mi", description="Memory request and limit.")
    ephemeral_storage: Memory = Field(
        default="128Mi", description="Request and limit of local, lost-with-the-pod storage."
    )

    @model_validator(mode="after")
    def _limit_covers_the_request(self) -> "Resources":
        if to_millicores(self.cpu) > to_millicores(self.cpu_limit):
            raise ValueError(f"`cpu` {self.cpu} is over `cpuLimit` {self.cpu_limit}: raise the limit too")
        return self


Spread = Annotated[
    Literal["soft", "hard"],
    Field(description="`soft` prefers different nodes; `hard` leaves a pod pending rather than doubling up on a node."),
]


def to_bytes(quantity: str) -> int:
    """The bytes of a `Memory` quantity: `to_bytes("64Mi") == 67108864`."""
    return int(quantity[:-2]) * _UNITS[quantity[-2:]]


def to_millicores(quantity: str) -> int:
    """The millicores of a `Cpu` quantity: `to_millicores("2") == 2000`."""
    return int(quantity[:-1]) if quantity.endswith("m") else int(quantity) * 1000


def model_of(field: FieldInfo) -> type[Settings] | None:
    """The group of settings that a field holds, also when it may be left out; `None` for a single value."""
    candidates = get_args(field.annotation) or (field.annotation,)
    return next((item for item in candidates if isinstance(item, type) and issubclass(item, Settings)), None)
