"""The node's own world: a network namespace with one wire to the host, and private places for fixed paths.

There is no default route in there: pods and services can reach nothing outside, and nothing outside is ever addressed.
"""

import subprocess

from cluster import process
from cluster.errors import ClusterError
from cluster.instance import SERVICE_RANGE, Instance

# containerd, the kubelet and the network plugins write to these paths whatever they are told. In the node's mount
# namespace they lead to the instance's folders instead, so that instances never meet and the host sees nothing of it.
_VOLATILE_PATHS = {"/run/containerd": "containerd", "/var/lib/cni": "cni", "/var/log/containers": "container-logs"}
_LASTING_PATHS = {"/var/lib/kubelet": "kubelet", "/var/lib/containerd": "containerd", "/var/log/pods": "pod-logs"}
# Of a folder: its device and inode. That something is mounted would not do, since the host may have a mount there too.
_IDENTITY = ("stat", "--format=%d:%i")


def ensure(instance: Instance) -> None:
    """Make the namespaces, their mounts, the wire and the routes, as far as they are not there yet.

    Raises:
        ClusterError: a step failed; the text says which.
    """
    process.start_namespaces(instance)
    _ensure_mounts(instance)
    _ensure_wire(instance)
    _ensure_routes(instance)


def _ensure_mounts(instance: Instance) -> None:
    places = {path: instance.runtime / name for path, name in _VOLATILE_PATHS.items()}
    places |= {path: instance.folder / name for path, name in _LASTING_PATHS.items()}
    for path, place in places.items():
        place.mkdir(parents=True, exist_ok=True)
        _run("mkdir", "-p", path)
        if _run_inside(instance, *_IDENTITY, path) != _run(*_IDENTITY, str(place)):
            _run_inside(instance, "mount", "--bind", str(place), path)


def _ensure_wire(instance: Instance) -> None:
    if subprocess.run(["ip", "link", "show", instance.host_link], capture_output=True).returncode != 0:
        holder = process.pid_of(instance, process.NAMESPACES)
        wire = ("type", "veth", "peer", "name", "eth0", "netns", str(holder))
        _run("ip", "link", "add", instance.host_link, *wire)
    _run("ip", "address", "replace", f"{instance.host_address}/30", "dev", instance.host_link)
    _run("ip", "link", "set", instance.host_link, "up")
    _run_inside(instance, "ip", "link", "set", "lo", "up")
    _run_inside(instance, "ip", "address", "replace", f"{instance.node_address}/30", "dev", "eth0")
    _run_inside(instance, "ip", "link", "set", "eth0", "up")


def _ensure_routes(instance: Instance) -> None:
    _run_inside(instance, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
    # Without a default route a service address needs one of its own before kube-proxy's rules can rewrite it.
    _run_inside(instance, "ip", "route", "replace", SERVICE_RANGE, "dev", "eth0")
    # A pod's connection to a Service without endpoints is refused, as by kube-proxy, whose own rule comes too late: by
    # then kube-router has accepted the packet. Nothing listens on port 9, and kube-proxy's rules precede this one.
    without_endpoints = ("--protocol", "tcp", "--jump", "REDIRECT", "--to-ports", "9")
    _ensure_service_range_rule(instance, "nat", "PREROUTING", *without_endpoints)
    # What leaves the node with a service address still on it belongs to a Service that kube-proxy has yet to learn of.
    # Dropped, it is sent again a second later and gets there; otherwise the connection table would remember the wrong
    # way.
    _ensure_service_range_rule(instance, "mangle", "POSTROUTING", "--jump", "DROP")


def _ensure_service_range_rule(instance: Instance, table: str, chain: str, *what: str) -> None:
    rule = (chain, "--destination", SERVICE_RANGE, *what)
    if not _succeeds_inside(instance, "iptables", "--table", table, "--check", *rule):
        _run_inside(instance, "iptables", "--table", table, "--append", *rule)


def remove_wire(instance: Instance) -> None:
    """Remove the veth pair at once; the kernel would do it some time after the namespace's last process."""
    subprocess.run(["ip", "link", "delete", instance.host_link], capture_output=True)


def _succeeds_inside(instance: Instance, *argv: str) -> bool:
    return subprocess.run(process.inside(instance, argv), capture_output=True).returncode == 0


def _run_inside(instance: Instance, *argv: str) -> str:
    return _run(*process.inside(instance, argv))


def _run(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True)
    if done.returncode != 0:
        raise ClusterError(f"`{' '.join(argv)}` failed: {done.stderr.strip()}")
    return done.stdout
