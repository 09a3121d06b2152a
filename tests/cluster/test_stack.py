"""What the dev stack does when pods are restarted, deleted, evicted or away."""

import json
import subprocess
import time
from collections.abc import Iterator
from functools import partial

import httpx2
import pytest

import settings
from checks.cluster import node_address
from checks.kube import Kube, KubectlError
from checks.outcome import eventually
from checks.stack import Stack
from tests.cluster.load import at_least, load
from tests.faults.redis import redis_scaled_away

WORKLOADS = ("statefulset/redis", "statefulset/redis-replica", "deployment/fastapi-deployment")


@pytest.fixture(autouse=True)
def rolled_out(dev_stack: Stack) -> None:
    """Each test starts from a whole stack, whatever the one before did to it."""
    for workload in WORKLOADS:
        dev_stack.kube.run("rollout", "status", workload, "--timeout=120s", timeout=130)


@pytest.fixture
def app(dev_stack: Stack) -> Iterator[httpx2.Client]:
    """A client of the app's NodePort."""
    base = f"http://{node_address(dev_stack)}:{dev_stack.settings.fastapi.node_port}"
    # A connection a request, or all of them would go to one pod.
    with httpx2.Client(base_url=base, timeout=10, trust_env=False, headers={"Connection": "close"}) as client:
        yield client


@pytest.mark.usefixtures("dev_stack")
@pytest.mark.parametrize("command", [["preview", "--diff"], ["up", "--yes", "--skip-preview"]], ids=["preview", "up"])
def test_pulumi_right_after_up_has_nothing_to_change(command: list[str]) -> None:
    pulumi = ["pulumi", "--non-interactive", *command, "--expect-no-changes", "--stack", "dev"]
    done = subprocess.run(pulumi, cwd=settings.ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_app_answers_503_while_redis_is_away_and_recovers_by_itself(dev_stack: Stack, app: httpx2.Client) -> None:
    before = containers(dev_stack.kube, "app=fastapi")
    app.put("/cache/test-away", content=b"kept").raise_for_status()
    with redis_scaled_away(dev_stack.kube):
        started = time.monotonic()
        away = app.get("/cache/test-away")
        seconds = time.monotonic() - started
        assert (away.status_code, away.json()["detail"]) == (503, "Redis is unavailable. Please try again.")
        assert away.headers["Retry-After"].isdecimal()
        assert seconds < 3, f"a request must not hang while Redis is away, this one took {seconds:.1f} s"
        assert [app.get(path).status_code for path in ("/", "/livez", "/readyz")] == [200, 200, 200]

    eventually(lambda: None if app.get("/cache/test-away").content == b"kept" else "no value yet", seconds=60)
    assert containers(dev_stack.kube, "app=fastapi") == before, "the app's own processes had no need to restart"


def test_a_rolling_restart_of_the_app_loses_no_request(dev_stack: Stack) -> None:
    kube = dev_stack.kube
    old = set(containers(kube, "app=fastapi"))
    with load(node_address(dev_stack), dev_stack.settings.fastapi.node_port or 0, "/") as outcomes:
        kube.run("rollout", "restart", "deployment/fastapi-deployment")
        kube.run("rollout", "status", "deployment/fastapi-deployment", "--timeout=120s", timeout=130)
        # The old pods drain and stop after the new ones are there.
        kube.run("wait", "--for=delete", *(f"pod/{name}" for name, _, _ in old), "--timeout=120s", timeout=130)
        at_least(outcomes, 500, seconds=60)
    print(
        f"rolling restart: {outcomes.total()} requests, {outcomes.total() - outcomes['200']} failed: {dict(outcomes)}"
    )
    assert not old & set(containers(kube, "app=fastapi")), "the restart must have replaced every pod"
    assert set(outcomes) == {"200"}


def test_redis_data_survives_the_loss_of_every_redis_pod(dev_stack: Stack) -> None:
    kube = dev_stack.kube
    keys = [f"test-survives:{number}" for number in range(100)]
    # WAITAOF: all of it has been written to the disk of the primary, so a kill may lose nothing.
    script = "".join(f"SET {key} kept EX 600\n" for key in keys) + "WAITAOF 1 0 5000\n"
    assert redis_cli(kube, "redis-0", stdin=script).split()[-2] == "1"
    before = containers(kube, "app=redis")
    kube.run("delete", "pods", "--selector=app=redis", "--grace-period=1", timeout=90)
    for workload in WORKLOADS[:2]:
        kube.run("rollout", "status", workload, "--timeout=120s", timeout=130)
    after = containers(kube, "app=redis")
    assert not set(after) & set(before), "every pod must be another one"
    for pod, _, _ in after:
        eventually(partial(missing_keys, kube, pod, keys), seconds=30)


def test_the_disruption_budget_refuses_to_evict_a_second_pod_of_the_app(dev_stack: Stack) -> None:
    kube = dev_stack.kube
    first, second = (name for name, _, _ in containers(kube, "app=fastapi"))
    eventually(lambda: no_disruption_allowed(kube), seconds=30)
    evict(kube, first)
    with pytest.raises(KubectlError, match=r"TooManyRequests.*disruption budget"):
        evict(kube, second)


def containers(kube: Kube, selector: str) -> list[tuple[str, str, int]]:
    """Name, uid and restarts of the pods that are not on their way out, in the order of their names."""
    pods = [pod for pod in kube.objects("pods", selector) if "deletionTimestamp" not in pod["metadata"]]
    return sorted(
        (pod["metadata"]["name"], pod["metadata"]["uid"], pod["status"]["containerStatuses"][0]["restartCount"])
        for pod in pods
    )


def redis_cli(kube: Kube, pod: str, *arguments: str, stdin: str = "") -> str:
    return kube.run("exec", "--stdin", pod, "--", "redis-cli", *arguments, stdin=stdin)


def missing_keys(kube: Kube, pod: str, keys: list[str]) -> str | None:
    found = redis_cli(kube, pod, "EXISTS", *keys).strip()
    return None if found == str(len(keys)) else f"{pod} has {found} of {len(keys)} keys"


def no_disruption_allowed(kube: Kube) -> str | None:
    allowed = kube.get("poddisruptionbudget", "fastapi")["status"]["disruptionsAllowed"]
    return None if allowed == 1 else f"the budget allows {allowed} disruptions"


def evict(kube: Kube, pod: str) -> None:
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": kube.namespace}}
    path = f"/api/v1/namespaces/{kube.namespace}/pods/{pod}/eviction"
    kube.run("create", f"--raw={path}", "--filename=-", stdin=json.dumps(eviction))
