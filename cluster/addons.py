"""What a node needs on top of Kubernetes: names, volumes, network policies and an ingress controller."""

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template

from cluster import paths
from cluster.images import Image
from cluster.instance import DNS_SERVICE_IP, INGRESS_NODE_PORT, Instance

TOOLS = ("coredns", "local-path-provisioner", "traefik")
"""Tools of the toolchain that run as pods."""

DEPLOYMENTS = (
    ("kube-system", "coredns"),
    ("local-path-storage", "local-path-provisioner"),
    ("traefik", "traefik"),
)
"""Namespace and name of what must be available in a healthy cluster."""


@dataclass(frozen=True)
class AddonImages:
    """The images of the add-ons."""

    pause: Image  # holds the namespaces of every pod
    shell: Image  # helper pods of the volume provisioner
    coredns: Image
    local_path_provisioner: Image
    traefik: Image

    def all(self) -> tuple[Image, ...]:
        """Return every one of them."""
        return (self.pause, self.shell, self.coredns, self.local_path_provisioner, self.traefik)


def addon_images(binaries: Mapping[str, Path]) -> AddonImages:
    """Return the images of the add-ons, around these binaries of the toolchain, by name."""
    catatonit = Path(shutil.which("catatonit") or "/usr/bin/catatonit")
    # A binary's folder in the toolchain's cache is named after all that the binary was built from.
    coredns, local_path_provisioner, traefik = (
        _image(name, binaries[name].parent, binaries[name].parent.name.encode()) for name in TOOLS
    )
    return AddonImages(
        pause=_image("pause", catatonit.parent, catatonit.read_bytes()),
        shell=_image("shell", paths.MANIFESTS / "images", b""),
        coredns=coredns,
        local_path_provisioner=local_path_provisioner,
        traefik=traefik,
    )


def _image(name: str, context: Path, content: bytes) -> Image:
    dockerfile = paths.MANIFESTS / "images" / f"{name}.Dockerfile"
    key = hashlib.sha256(dockerfile.read_bytes() + content).hexdigest()[:12]
    return Image(f"hotstack/{name}:{key}", dockerfile, context)


def manifests(instance: Instance, addon: AddonImages) -> str:
    """Return the objects of all add-ons as YAML documents."""
    values = {
        "coredns_image": addon.coredns.reference,
        "local_path_provisioner_image": addon.local_path_provisioner.reference,
        "shell_image": addon.shell.reference,
        "traefik_image": addon.traefik.reference,
        "dns_service_ip": DNS_SERVICE_IP,
        "ingress_node_port": INGRESS_NODE_PORT,
        "node_address": instance.node_address,
        "volumes": instance.volumes,
    }
    texts = [path.read_text() for path in sorted((paths.MANIFESTS / "addons").glob("*.yaml"))]
    return "\n---\n".join(Template(text).substitute(values) for text in texts)
