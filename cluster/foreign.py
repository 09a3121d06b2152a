"""Images for a cluster that is not ours: built by whichever tool is there, brought in by the cluster's own one."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cluster.errors import ClusterError
from cluster.images import Image, ca_secret
from cluster.stages import stage

_Command = tuple[str, ...]  # with {ref}, {archive}, {context} and {cluster} to be filled in


@dataclass(frozen=True)
class _Builder:
    """A tool that builds images, keeps them, and can hand them on."""

    build: _Command
    inspect: _Command  # fails for an image that is not there
    save: _Command
    push: _Command

    @property
    def tool(self) -> str:
        return self.build[0]


@dataclass(frozen=True)
class _Cluster:
    """A kind of cluster that takes images from a file.

    The context of a kind or k3d cluster is its name with a prefix; that of a minikube cluster is the name itself, which
    is `minikube` unless someone chose another: those that begin so are known.
    """

    context_prefix: str
    load: _Command

    @property
    def tool(self) -> str:
        return self.load[0]


_BUILDERS = (  # the first that works is taken
    _Builder(
        build=("docker", "build"),
        inspect=("docker", "image", "inspect", "{ref}"),
        save=("docker", "save", "--output={archive}", "{ref}"),
        push=("docker", "push", "{ref}"),
    ),
    _Builder(
        build=("podman", "build"),
        inspect=("podman", "image", "inspect", "{ref}"),
        save=("podman", "save", "--format=docker-archive", "--output={archive}", "{ref}"),
        push=("podman", "push", "{ref}"),
    ),
    _Builder(
        build=("buildah", "bud"),
        inspect=("buildah", "inspect", "--type=image", "{ref}"),
        save=("buildah", "push", "{ref}", "docker-archive:{archive}:{ref}"),
        push=("buildah", "push", "{ref}"),
    ),
)
_CLUSTERS = (
    _Cluster("kind-", ("kind", "load", "image-archive", "{archive}", "--name={cluster}")),
    _Cluster("k3d-", ("k3d", "image", "import", "{archive}", "--cluster={cluster}")),
    _Cluster("minikube", ("minikube", "image", "load", "{archive}", "--profile={context}")),
)


def load(context: str, registry: str | None, images: Iterable[Image]) -> None:
    """Build images that are not there yet, and make them available to the cluster of a kube context.

    They are pushed when the stack names a registry (it is part of their references then), and otherwise brought in by
    the cluster's own tool.

    Args:
        context: the kube context; its name tells the kind of the cluster, as their tools choose it.
        registry: where the cluster pulls from, if it does.
        images: what to build.

    Raises:
        ClusterError: no tool for it works on this machine (nothing was built then), or a tool failed.
    """
    wanted = list(images)
    if not wanted:
        return
    cluster = None if registry else _cluster_of(context)
    builder = _working_builder()
    for image in wanted:
        # A tag is made of the content that it was built from. Whether the cluster has it, nobody here knows.
        if not _is_built(image, builder):
            with stage(f"image {image.reference} built by {builder.tool}"):
                files = (f"--file={image.dockerfile}", f"--tag={image.full_reference}", str(image.context))
                _run(*builder.build, *ca_secret(), *files)
        if cluster is None:
            with stage(f"image {image.reference} pushed"):
                _run(*_filled(builder.push, ref=image.full_reference))
        else:
            with stage(f"image {image.reference} brought into {context}"):
                _bring_in(image, builder, cluster, context)


def _is_built(image: Image, builder: _Builder) -> bool:
    return subprocess.run(_filled(builder.inspect, ref=image.full_reference), capture_output=True).returncode == 0


def _bring_in(image: Image, builder: _Builder, cluster: _Cluster, context: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        archive = str(Path(folder, "image.tar"))
        _run(*_filled(builder.save, ref=image.full_reference, archive=archive))
        name = context.removeprefix(cluster.context_prefix)
        _run(*_filled(cluster.load, archive=archive, context=context, cluster=name))


def _cluster_of(context: str) -> _Cluster:
    for cluster in _CLUSTERS:
        if context.startswith(cluster.context_prefix):
            if shutil.which(cluster.tool) is None:
                raise ClusterError(f"the kube context {context!r} is one of {cluster.tool}, which is not on PATH")
            return cluster
    raise ClusterError(
        f"nothing is known of how images get into the cluster of the kube context {context!r}: "
        "name a registry that it pulls from in the stack file (kubernetes.imageRegistry)"
    )


def _working_builder() -> _Builder:
    for builder in _BUILDERS:
        # A docker client without its daemon fails here, and the next one gets its turn.
        if (
            shutil.which(builder.tool)
            and subprocess.run([builder.tool, "version"], capture_output=True).returncode == 0
        ):
            return builder
    names = ", ".join(builder.tool for builder in _BUILDERS)
    raise ClusterError(f"images have to be built, and none of {names} works on this machine: install or start one")


def _filled(command: _Command, **values: str) -> _Command:
    return tuple(part.format(**values) for part in command)


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True)
    if done.returncode != 0:
        last_lines = "\n".join((done.stdout + done.stderr).strip().splitlines()[-20:])
        raise ClusterError(f"`{' '.join(argv)}` failed:\n{last_lines}")
