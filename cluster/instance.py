"""The embedded clusters that can stand side by side, and what each of them owns on the machine.

Everything is derived from the name, so that two instances can never share anything and a checkout that finds an
instance of another checkout finds all of it.
"""

from dataclasses import dataclass
from pathlib import Path

from cluster import paths

API_PORT = 6443
INGRESS_NODE_PORT = 30080
# Both instances use the same ranges: each has a network namespace of its own, and nothing outside routes to them.
POD_RANGE = "10.244.0.0/24"
SERVICE_RANGE = "10.96.0.0/16"
API_SERVICE_IP = "10.96.0.1"
DNS_SERVICE_IP = "10.96.0.10"


@dataclass(frozen=True)
class Instance:
    """One embedded cluster: its folder, its addresses and the ports it publishes on the host's loopback."""

    name: str
    host_address: str  # the host's end of the veth pair; both ends lie in one /30
    node_address: str  # the node's end of it
    published_ports: tuple[int, ...]  # on 127.0.0.1 of the host, led to the same port of the node

    @property
    def full_name(self) -> str:
        """Name of the node and of the cgroup."""
        return f"hotstack-{self.name}"

    def daemon_cgroup(self, daemon: str) -> str:
        """Path of the cgroup that holds one daemon and what it starts itself."""
        return f"{self.full_name}/daemons/{daemon}"

    @property
    def host_link(self) -> str:
        """Name of the host's end of the veth pair (the kernel allows 15 characters)."""
        return f"hs-{self.name}"

    @property
    def folder(self) -> Path:
        """All state that must survive a reboot."""
        return paths.state() / self.name

    @property
    def runtime(self) -> Path:
        """Sockets and other state that dies with the processes."""
        return paths.runtime() / self.name

    @property
    def lock(self) -> Path:
        """Lock file that `up` and `down` hold; outside of the folders that they make and remove."""
        return paths.runtime() / f"{self.name}.lock"

    @property
    def ownership_marker(self) -> Path:
        """File that says that the folder was made for this instance, and may be removed with all that is in it."""
        return self.folder / "hotstack-instance"

    @property
    def ready_marker(self) -> Path:
        """File that exists once the instance has been a working cluster, and so may hold data."""
        return self.folder / "became-ready"

    @property
    def kubeconfig(self) -> Path:
        """Administrator's kubeconfig, with the one context `hotstack`."""
        return self.folder / "kubeconfig"

    @property
    def pki(self) -> Path:
        """Keys and certificates."""
        return self.folder / "pki"

    @property
    def logs(self) -> Path:
        """One log file a daemon."""
        return self.folder / "logs"

    @property
    def volumes(self) -> Path:
        """What pods keep on volumes of the default StorageClass."""
        return self.folder / "volumes"

    @property
    def containerd_socket(self) -> Path:
        """Socket of the instance's containerd, as the host sees it."""
        return self.runtime / "containerd" / "containerd.sock"

    @property
    def api_url(self) -> str:
        """The API server over the veth pair."""
        return f"https://{self.node_address}:{API_PORT}"

    @property
    def ingress_url(self) -> str:
        """The ingress controller over the veth pair."""
        return f"http://{self.node_address}:{INGRESS_NODE_PORT}"


_INSTANCES = {
    "dev": Instance("dev", "10.231.0.1", "10.231.0.2", published_ports=(API_PORT, 30001)),
    "test": Instance("test", "10.231.0.5", "10.231.0.6", published_ports=()),
    # For the tests that kill and remove a cluster, so that those of `test` find theirs as they left it.
    "drill": Instance("drill", "10.231.0.9", "10.231.0.10", published_ports=()),
}
NAMES = tuple(_INSTANCES)


def get(name: str) -> Instance:
    """Return the instance of that name.

    Raises:
        ValueError: there is no such instance.
    """
    if name not in _INSTANCES:
        raise ValueError(f"there is no instance {name!r} of the embedded cluster: expected one of {', '.join(NAMES)}")
    return _INSTANCES[name]
