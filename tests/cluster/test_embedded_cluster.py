"""What becomes of an embedded cluster that is killed, cut short or removed: on an instance of these tests' own."""

import contextlib
import json
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import cluster_memory
from cluster import addons, cgroups, node, process
from cluster import instance as instances
from cluster.instance import Instance
from cluster.toolchain import ensure

ROOT = Path(__file__).parents[2]
DRILL = instances.get("drill")
PORT = 8080
SERVE = f"""
use IO::Socket::INET;
my $server = IO::Socket::INET->new(LocalPort => {PORT}, Listen => 5, ReuseAddr => 1) or die "cannot listen: $!";
while (my $client = $server->accept) {{ print $client "hello"; close $client; }}
"""


@pytest.fixture(scope="module", autouse=True)
def _removed_at_the_end() -> Iterator[None]:
    yield
    node.down(DRILL)


@pytest.fixture
def cluster() -> Instance:
    """The instance, healthy."""
    node.up(DRILL)
    return DRILL


@pytest.fixture
def kept_file(cluster: Instance) -> str:
    """Something new in the file `/data/file` of a pod's volume."""
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    }
    keeper = _pod("keeper", ["sleep", "infinity"])
    keeper["spec"]["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    keeper["spec"]["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    _apply(claim, keeper)
    content = uuid.uuid4().hex
    _in_pod("keeper", f"echo {content} > /data/file && sync /data/file")
    assert cluster.volumes.is_dir()
    return content


def _pod(name: str, command: list[str], labels: dict[str, str] | None = None) -> dict[str, Any]:
    """A pod that is nobody in particular and ends at once."""
    image = addons.addon_images(ensure(*addons.TOOLS)).shell.reference
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "securityContext": {"runAsUser": 10001, "runAsGroup": 10001, "fsGroup": 10001},
            "containers": [{"name": "main", "image": image, "command": command}],
        },
    }


def _kubectl(*arguments: str, stdin: str | None = None) -> str:
    command = [str(ensure("kubernetes")["kubernetes"]), "kubectl", f"--kubeconfig={DRILL.kubeconfig}", *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr.strip()}"
    return done.stdout.strip()


def _apply(*objects: dict[str, Any]) -> None:
    """Apply objects, and wait for the pods among them."""
    _kubectl("apply", "--filename=-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
    for pod in (o for o in objects if o["kind"] == "Pod"):
        _wait_until_ready(pod["metadata"]["name"])


def _wait_until_ready(pod: str) -> None:
    _kubectl("wait", "--for=condition=Ready", "--timeout=60s", f"pod/{pod}")


def _in_pod(pod: str, script: str) -> str:
    return _kubectl("exec", pod, "--", "sh", "-c", script)


def _up_in_another_process() -> subprocess.Popen[str]:
    script = "from cluster import instance, node; node.up(instance.get('drill'))"
    return subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def _pids() -> dict[str, int | None]:
    return node.status(DRILL).pids


def _kill(pid: int | None) -> None:
    assert pid is not None
    cgroups.end(pid)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes():
        assert time.monotonic() < deadline, f"process {pid} outlives its kill"
        time.sleep(0.01)


def test_a_second_up_starts_nothing_and_says_so(cluster: Instance, capsys: pytest.CaptureFixture[str]) -> None:
    before = _pids()
    node.up(cluster)
    assert capsys.readouterr().out == "hotstack-drill: healthy, nothing to do\n"
    assert _pids() == before


def test_a_cluster_with_nothing_on_it_holds_less_memory_than_is_said() -> None:
    node.down(DRILL)
    node.up(DRILL)
    assert cluster_memory.pods_on_it(DRILL) == 0
    gib = cluster_memory.gib_in_all(DRILL)
    print(f"\nthe embedded cluster with nothing on it: {gib:.2f} GiB of memory")
    assert gib < cluster_memory.LIMIT_GIB


@pytest.mark.parametrize("victim", ["etcd", "containerd", "kubelet", "kube-router"])
def test_a_killed_process_is_noticed_and_replaced_and_nothing_else_is_touched(
    cluster: Instance, kept_file: str, victim: str
) -> None:
    before = _pids()
    _kill(before[victim])
    assert f"{victim} is not running" in node.status(cluster).problems
    node.up(cluster)
    after = _pids()
    assert {name for name in before if before[name] != after[name]} == {victim}
    assert node.status(cluster).problems == []
    assert _in_pod("keeper", "cat /data/file") == kept_file


def test_a_cluster_of_which_everything_was_killed_comes_back_with_its_data(cluster: Instance, kept_file: str) -> None:
    cgroups.kill(cluster.full_name)
    assert node.status(cluster).problems
    node.up(cluster)
    _wait_until_ready("keeper")
    assert _in_pod("keeper", "cat /data/file") == kept_file


def test_an_up_that_is_killed_half_way_is_no_obstacle_to_the_next_one(capsys: pytest.CaptureFixture[str]) -> None:
    node.down(DRILL)
    with _up_in_another_process() as first:
        assert first.stdout is not None
        for line in first.stdout:
            if "API server" in line and line.endswith(" s\n"):  # it runs, and nothing that needs it does yet
                first.send_signal(signal.SIGKILL)
                break
    assert first.returncode == -signal.SIGKILL
    assert cgroups.pids(DRILL.full_name)
    assert node.status(DRILL).problems == ["hotstack-drill was never ready"]
    node.up(DRILL)
    assert "removing what an interrupted start has left" in capsys.readouterr().out
    assert node.status(DRILL).problems == []


def test_two_ups_at_once_wait_for_each_other(cluster: Instance) -> None:
    before = _pids()
    _kill(before["kubelet"])
    both = [_up_in_another_process() for _ in range(2)]
    outputs = [up.communicate(timeout=120)[0] for up in both]
    assert [up.returncode for up in both] == [0, 0]
    assert sum("nothing to do" in output for output in outputs) == 1
    assert len(cgroups.pids(cluster.daemon_cgroup("kubelet"))) == 1


@pytest.mark.usefixtures("cluster")
def test_a_network_policy_lets_in_whom_it_names_and_nobody_else() -> None:
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "friends-only"},
        "spec": {
            "podSelector": {"matchLabels": {"role": "server"}},
            "ingress": [{"from": [{"podSelector": {"matchLabels": {"role": "friend"}}}]}],
        },
    }
    _apply(
        _pod("server", ["perl", "-e", SERVE], {"role": "server"}),
        _pod("friend", ["sleep", "infinity"], {"role": "friend"}),
        _pod("stranger", ["sleep", "infinity"], {"role": "stranger"}),
    )
    address = _kubectl("get", "pod", "server", "--output=jsonpath={.status.podIP}")
    call = f"timeout 2 bash -c 'cat < /dev/tcp/{address}/{PORT}' 2>/dev/null || echo refused"
    assert (_in_pod("friend", call), _in_pod("stranger", call)) == ("hello", "hello")
    _apply(policy)
    deadline = time.monotonic() + 30
    while _in_pod("stranger", call) == "hello" and time.monotonic() < deadline:
        time.sleep(0.2)  # enforced soon after it was accepted, as on any cluster
    assert (_in_pod("friend", call), _in_pod("stranger", call)) == ("hello", "refused")
    _kubectl("delete", "networkpolicy/friends-only", "pod/server", "pod/friend", "pod/stranger")


@pytest.mark.usefixtures("cluster")
def test_names_of_services_are_found_and_names_outside_do_not_exist() -> None:
    _apply(_pod("asker", ["sleep", "infinity"]))
    assert _in_pod("asker", "getent hosts kubernetes.default").split()[0] == instances.API_SERVICE_IP
    assert _in_pod("asker", "getent hosts example.org || echo none") == "none"
    _kubectl("delete", "pod/asker")


@pytest.mark.usefixtures("kept_file")
def test_down_leaves_nothing_running_mounted_or_on_disk(cluster: Instance) -> None:
    processes = cgroups.pids(cluster.full_name)
    network = Path(f"/proc/{_pids()['namespaces']}/ns/net").readlink()
    node.down(cluster)
    # A child of this very process stays in /proc until it is waited for, but has no command line any more.
    assert not [pid for pid in processes if process.command_line(pid)]
    assert network not in _network_namespaces()
    assert not Path(f"/sys/class/net/{cluster.host_link}").exists()
    assert not [tree for tree in cgroups.trees() if (tree / cluster.full_name).exists()]
    assert not [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if "drill" in line]
    assert not cluster.folder.exists()
    assert not cluster.runtime.exists()
    assert node.status(cluster).problems == ["hotstack-drill does not exist"]


def _network_namespaces() -> set[Path]:
    """The network namespaces that any process is in, as far as this one may know."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended, or is none of ours
            found.add((entry / "ns" / "net").readlink())
    return found
