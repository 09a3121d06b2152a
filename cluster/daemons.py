"""The processes of a node, in the order in which they start, with their configuration."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from string import Template

from cluster import paths
from cluster.files import write_whole
from cluster.instance import API_PORT, DNS_SERVICE_IP, POD_RANGE, SERVICE_RANGE, Instance
from cluster.packages import CNI_PLUGINS
from cluster.process import NAMESPACES, Daemon

_ETCD_URL = "https://127.0.0.1:2379"
_ISSUER = "https://kubernetes.default.svc.cluster.local"


@dataclass(frozen=True)
class NodeDaemons:
    """All processes of a node; those of `clients` want an API server that answers."""

    servers: tuple[Daemon, ...]
    clients: tuple[Daemon, ...]

    def all(self) -> tuple[Daemon, ...]:
        """Return every one of them, the holder of the namespaces included."""
        return (NAMESPACES, *self.servers, *self.clients)


def of_node(instance: Instance, kubernetes: Path, kube_router: Path, pause_image: str) -> NodeDaemons:
    """Return the processes of a node, and write their configuration into the instance's folder."""
    return NodeDaemons(
        servers=(
            _etcd(instance),
            _containerd(instance, pause_image),
            *_published_ports(instance),
            _apiserver(instance, kubernetes),
        ),
        clients=(
            _controller_manager(instance, kubernetes),
            _scheduler(instance, kubernetes),
            _kubelet(instance, kubernetes),
            _kube_proxy(instance, kubernetes),
            _kube_router(instance, kube_router),
        ),
    )


def _etcd(instance: Instance) -> Daemon:
    pki = instance.pki
    return Daemon(
        "etcd",
        (
            "etcd",
            f"--data-dir={instance.folder}/etcd",
            f"--listen-client-urls={_ETCD_URL}",
            f"--advertise-client-urls={_ETCD_URL}",
            f"--cert-file={pki}/etcd.crt",
            f"--key-file={pki}/etcd.key",
            f"--trusted-ca-file={pki}/etcd-ca.crt",
            "--client-cert-auth",
            "--listen-peer-urls=http://127.0.0.1:2380",
        ),
    )


def _containerd(instance: Instance, pause_image: str) -> Daemon:
    cni_config = instance.folder / "cni"
    cni_config.mkdir(parents=True, exist_ok=True)
    write_whole(cni_config / "pods.conflist", _render("cni.conflist", pod_range=POD_RANGE))
    config = _write_config(
        instance, "containerd.toml", pause_image=pause_image, cni_plugins=CNI_PLUGINS, cni_config=cni_config
    )
    return Daemon("containerd", ("containerd", f"--config={config}"))


def _published_ports(instance: Instance) -> tuple[Daemon, ...]:
    """One forwarder for each port of the host's loopback, outside of the node's namespace and over its wire."""
    return tuple(
        Daemon(
            f"port-{port}",
            (
                "socat",
                f"TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr",
                f"TCP:{instance.node_address}:{port},nodelay",
            ),
            on_host=True,
        )
        for port in instance.published_ports
    )


def _apiserver(instance: Instance, binary: Path) -> Daemon:
    pki = instance.pki
    return Daemon(
        "kube-apiserver",
        (
            str(binary),
            "kube-apiserver",
            f"--secure-port={API_PORT}",
            f"--advertise-address={instance.node_address}",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            f"--client-ca-file={pki}/ca.crt",
            f"--tls-cert-file={pki}/apiserver.crt",
            f"--tls-private-key-file={pki}/apiserver.key",
            f"--etcd-servers={_ETCD_URL}",
            f"--etcd-cafile={pki}/etcd-ca.crt",
            f"--etcd-certfile={pki}/apiserver-to-etcd.crt",
            f"--etcd-keyfile={pki}/apiserver-to-etcd.key",
            f"--kubelet-certificate-authority={pki}/ca.crt",
            f"--kubelet-client-certificate={pki}/apiserver-to-kubelet.crt",
            f"--kubelet-client-key={pki}/apiserver-to-kubelet.key",
            "--kubelet-preferred-address-types=InternalIP",  # the node's name resolves nowhere
            f"--service-account-issuer={_ISSUER}",
            f"--service-account-key-file={pki}/service-account.pub",
            f"--service-account-signing-key-file={pki}/service-account.key",
        ),
    )


def _controller_manager(instance: Instance, binary: Path) -> Daemon:
    pki = instance.pki
    kubeconfig = pki / "kube-controller-manager.kubeconfig"
    return Daemon(
        "kube-controller-manager",
        (
            str(binary),
            "kube-controller-manager",
            "--bind-address=127.0.0.1",
            f"--kubeconfig={kubeconfig}",
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            "--leader-elect=false",  # there is only one, and a killed one is back without waiting for a lease
            "--use-service-account-credentials",
            "--allocate-node-cidrs",
            f"--cluster-cidr={POD_RANGE}",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            f"--root-ca-file={pki}/ca.crt",
            f"--service-account-private-key-file={pki}/service-account.key",
        ),
    )


def _scheduler(instance: Instance, binary: Path) -> Daemon:
    kubeconfig = instance.pki / "kube-scheduler.kubeconfig"
    return Daemon(
        "kube-scheduler",
        (
            str(binary),
            "kube-scheduler",
            "--bind-address=127.0.0.1",
            f"--kubeconfig={kubeconfig}",
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            "--leader-elect=false",
        ),
    )


def _kubelet(instance: Instance, binary: Path) -> Daemon:
    config = _write_config(
        instance, "kubelet.yaml", pki=instance.pki, cgroup=instance.full_name, dns_service_ip=DNS_SERVICE_IP
    )
    return Daemon(
        "kubelet",
        (
            str(binary),
            "kubelet",
            f"--config={config}",
            f"--kubeconfig={instance.pki}/kubelet.kubeconfig",
            f"--hostname-override={instance.full_name}",
            f"--node-ip={instance.node_address}",
        ),
    )


def _kube_proxy(instance: Instance, binary: Path) -> Daemon:
    config = _write_config(
        instance, "kube-proxy.yaml", pki=instance.pki, pod_range=POD_RANGE, node_name=instance.full_name
    )
    return Daemon("kube-proxy", (str(binary), "kube-proxy", f"--config={config}"))


def _kube_router(instance: Instance, binary: Path) -> Daemon:
    return Daemon(
        "kube-router",
        (
            str(binary),
            f"--kubeconfig={instance.pki}/kube-router.kubeconfig",
            "--run-firewall=true",
            "--run-router=false",
            "--run-service-proxy=false",
            f"--hostname-override={instance.full_name}",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
        ),
    )


def _write_config(instance: Instance, template: str, **values: object) -> Path:
    """Write a configuration whose digest is in its name: one that changes is a new command line, so a restart."""
    text = _render(template, **values)
    stem, suffix = template.rsplit(".", 1)
    folder = instance.folder / "config"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.{suffix}"
    if not path.exists():  # kube-proxy ends when its configuration is written again, even with the same text
        write_whole(path, text)
    return path


def _render(template: str, **values: object) -> str:
    return Template((paths.MANIFESTS / "node" / template).read_text()).substitute(values)
