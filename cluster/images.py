"""Container images built without Docker and without a registry.

An image's tag is the digest of what goes into it, so one that exists is never built again. The result is an archive in
the cache, shared by all instances and checkouts of the machine.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cluster import api, containerd, paths
from cluster.errors import ClusterError
from cluster.instance import Instance
from cluster.locks import held
from cluster.stages import stage

BASE = "docker.io/library/debian:trixie-slim"
_UNFINISHED = ".unfinished-"
_VERSIONS_KEPT = 4


@dataclass(frozen=True)
class Image:
    """An image to build."""

    reference: str  # what a pod's `image:` says: `[registry/]hotstack/<name>:<digest of its content>`
    dockerfile: Path
    context: Path

    @property
    def full_reference(self) -> str:
        """The same with the registry that container runtimes add where none is named."""
        return _full(self.reference)

    @property
    def archive(self) -> Path:
        """Where the built image is, as an OCI archive."""
        repository, tag = self.reference.rsplit(":", 1)
        return _folder() / repository.replace("/", "-").replace(":", "-") / f"{tag}.tar"


def load(instance: Instance, wanted: Iterable[Image]) -> None:
    """Bring images into an instance that runs, built first where the cache has none.

    Images that the instance has already are left alone. Other versions of them go, unless a pod has need of one: the
    kubelet must not tidy up here, since it could not pull again what it takes away.

    Raises:
        ClusterError: an image could not be built or imported.
    """
    wanted = tuple(wanted)
    present = containerd.images(instance)
    for image in wanted:
        if image.full_reference not in present:
            archive = build(image)
            with stage(f"importing image {image.reference} into {instance.full_name}"):
                containerd.import_archive(instance, archive)
    _forget_unused(instance, wanted)


def _forget_unused(instance: Instance, wanted: Iterable[Image]) -> None:
    digests = containerd.images(instance)
    names = {image.full_reference for image in wanted}
    repositories = {_repository(name) for name in names}
    in_use = containerd.images_of_containers(instance) | set(map(_full, api.images_of_pods(instance)))
    kept = {digests.get(name) for name in names | in_use}
    # By digest, since containerd knows each image by a second name that is no reference.
    outdated = {digest for name, digest in digests.items() if _repository(name) in repositories} - kept
    if outdated:
        containerd.remove_images(instance, sorted(name for name, digest in digests.items() if digest in outdated))


def _full(reference: str) -> str:
    host = reference.split("/")[0]
    names_registry = "." in host or ":" in host or host == "localhost"
    return reference if names_registry else f"docker.io/{reference}"


def _repository(name: str) -> str:
    return name.rsplit(":", 1)[0]


def build(image: Image) -> Path:
    """Return the archive of an image, built now unless the cache has it.

    Raises:
        ClusterError: the build failed; ends with the tool's own words. The cache is as it was before.
    """
    if image.archive.exists():
        return image.archive
    _folder().mkdir(parents=True, exist_ok=True)
    with held(_folder() / "build.lock"):
        for unfinished in _folder().glob(f"{_UNFINISHED}*"):  # of a build that was killed
            shutil.rmtree(unfinished)
        if not image.archive.exists():
            _ensure_base()
            with stage(f"building image {image.reference}"):
                _build(image.dockerfile, image.context, image.full_reference)
                _save(image.full_reference, image.archive)
            _forget_old(image.archive.parent)
    return image.archive


def _folder() -> Path:
    return paths.cache() / "images"


def ca_secret() -> list[str]:
    """Return the build option that lends the machine's CA bundle to a build, if the machine has one.

    A build behind a proxy with a CA of its own cannot download anything without it; nothing of it stays in the image.
    """
    bundle = Path(os.environ.get("SSL_CERT_FILE") or "/etc/ssl/certs/ca-certificates.crt")
    return [f"--secret=id=ca,src={bundle}"] if bundle.is_file() else []


def _build(dockerfile: Path, context: Path, ref: str) -> None:
    try:
        _buildah(
            "bud",
            "--layers=false",
            "--pull-never",
            "--network=host",
            *ca_secret(),
            f"--file={dockerfile}",
            f"--tag={ref}",
            str(context),
        )
    finally:
        # Also what a build that was killed has left.
        _buildah("rm", "--all")
        _buildah("rmi", "--prune")


def _save(ref: str, archive: Path) -> None:
    """Write the archive whole or not at all, and leave nothing of the image in buildah's storage."""
    archive.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_folder(), prefix=_UNFINISHED) as folder:
        part = Path(folder, archive.name)
        try:
            _buildah("push", ref, f"oci-archive:{part}:{ref}")
        finally:
            _buildah("rmi", ref)
        part.rename(archive)


def _forget_old(folder: Path) -> None:
    """Keep the archives of the last few versions of an image: every change of a source makes a new one."""
    by_age = sorted(folder.iterdir(), key=lambda archive: archive.stat().st_mtime, reverse=True)
    for archive in by_age[_VERSIONS_KEPT:]:
        archive.unlink()


def _ensure_base() -> None:
    """Make `debian:trixie-slim` from Debian's packages under its own name, so that Dockerfiles need not know."""
    if _buildah("images", "--quiet", "--filter", f"reference={BASE}").strip():
        return
    with stage(f"making image {BASE}"), tempfile.TemporaryDirectory(dir=_folder(), prefix=_UNFINISHED) as folder:
        context = Path(folder)
        _run("mmdebstrap", "--variant=minbase", "trixie", str(context / "base.tar"))
        dockerfile = context / "Dockerfile"
        dockerfile.write_text('FROM scratch\nADD base.tar /\nCMD ["bash"]\n')
        _build(dockerfile, context, BASE)


def _buildah(*arguments: str) -> str:
    # Not the user's own storage; and vfs, because overlay mounts may not be had where this runs.
    storage = (f"--root={_folder()}/storage", f"--runroot={paths.runtime()}/buildah", "--storage-driver=vfs")
    return _run("buildah", *storage, *arguments)


def _run(*argv: str) -> str:
    environment = os.environ | {"BUILDAH_ISOLATION": "chroot"}
    # setpriv has the kernel end the build when this process dies, by whatever signal.
    command = ["setpriv", "--pdeathsig", "TERM", *argv]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        last_lines = "\n".join((done.stdout + done.stderr).strip().splitlines()[-20:])
        raise ClusterError(f"`{' '.join(argv)}` failed:\n{last_lines}")
    return done.stdout
