"""Every topology and auth mode on real pods, and the ways from one to another."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from checks import redis, service_pod
from checks.__main__ import CHECKS, result_line
from checks.client_pod import manifest
from checks.cluster import node_address
from checks.kube import Kube, Object
from checks.outcome import NotApplicableError
from checks.stack import Stack
from cluster.instance import Instance
from components.redis import CLIENT_LABEL
from tests.cluster.load import load
from tests.cluster.project import NODE_PORT, STACK, Project

OWN_SECRET = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "own-password", "namespace": STACK},
    # What a person may choose, and a shell, an ACL file or a configuration file may stumble over.
    "stringData": {"secret-of-redis": 'it\'s "a" \\ $password # from `elsewhere`\r\n'},
}
NONE = {"mode": "none"}
GENERATED = {"mode": "generated"}
EXISTING = {"mode": "existing", "secretName": "own-password", "secretKey": "secret-of-redis"}
KEPT = {"mode": "aof", "size": "256Mi", "keepVolumes": True}
STANDALONE = {"topology": "standalone"}
REPLICATION = {"topology": "replication", "replicas": 1}
# Those that a topology or an auth mode can break.
NAMES = ("ping", "replicas", "read-after-write", "self-heal", "port-forward", "test-pod")
REDIS_CHECKS = [(name, check) for name, check in CHECKS if name.removeprefix("redis-") in NAMES]
RESTART_SECONDS = 30


@pytest.fixture(scope="module")
def project(
    dev_stack: Stack,  # noqa: ARG001 - its images and its environment
    embedded_cluster: Instance,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Project]:
    """The program with a stack file that tests may write."""
    project = Project(tmp_path_factory.mktemp("project"), embedded_cluster.folder / f"pulumi-{STACK}")
    stack = project.up({**STANDALONE, "auth": NONE})
    # What a user of auth mode `existing` brings along.
    stack.kube.run("apply", "--filename=-", stdin=json.dumps(OWN_SECRET))
    yield project
    project.destroy()


@pytest.mark.parametrize("auth", [NONE, GENERATED, EXISTING], ids=lambda auth: auth["mode"])
@pytest.mark.parametrize("topology", [STANDALONE, REPLICATION], ids=lambda topology: topology["topology"])
def test_a_shape_passes_the_checks_of_redis_and_its_next_preview_shows_no_change(
    topology: dict[str, Any], auth: dict[str, str], project: Project
) -> None:
    stack = project.up({**topology, "auth": auth})
    project.preview()
    lines = [result_line(name, check, stack) for name, check in REDIS_CHECKS]
    print("\n".join(lines))
    assert [line for line in lines if line.startswith("FAIL")] == []
    skipped = [line.split()[1] for line in lines if line.startswith("skip")]
    assert skipped == (["redis-replicas"] if topology is STANDALONE else [])


def test_going_from_standalone_to_replication_leaves_the_primary_running(project: Project) -> None:
    before = uid(project.up({**STANDALONE, "auth": NONE}), "redis-0")
    stack = project.up({**REPLICATION, "auth": NONE})
    assert uid(stack, "redis-0") == before
    assert redis.replicas(stack).startswith("1 of 1 replicas follow redis-0")
    back = project.up({**STANDALONE, "auth": NONE})
    assert uid(back, "redis-0") == before
    with pytest.raises(NotApplicableError):
        redis.replicas(back)


def test_data_survives_a_change_of_persistence_in_both_directions(project: Project) -> None:
    written: list[str] = []
    for mode in ("rdb", "aof", "rdb", "aof"):
        stack = project.up({**STANDALONE, "auth": NONE, "persistence": {**KEPT, "mode": mode}})
        found = redis_cli(stack, "MGET", *written).split() if written else []
        assert found == written, f"with {mode}"
        written.append(f"while-{mode}-{len(written)}")
        redis_cli(stack, "SET", written[-1], written[-1])


def test_an_update_that_cannot_start_fails_and_taking_it_back_is_enough(project: Project) -> None:
    whole = {**STANDALONE, "auth": NONE, "rolloutTimeoutSeconds": 60}
    redis_cli(project.up(whole), "SET", "before", "the update")
    # More than any node has: not even scheduled.
    too_large = {"cpu": "1000", "cpuLimit": "1000", "memory": "64Mi"}
    assert f'"{STACK}/redis" failed' in project.failing_up({**whole, "resources": too_large})
    stack = project.up(whole)
    assert redis_cli(stack, "GET", "before").strip() == "the update"


def test_volumes_that_are_kept_outlive_the_stack(project: Project) -> None:
    kept = {**STANDALONE, "auth": NONE, "persistence": KEPT}
    redis_cli(project.up(kept), "SET", "outlives", "the stack")
    project.destroy()
    stack = project.up(kept)
    assert redis_cli(stack, "GET", "outlives").strip() == "the stack"
    # For the tests that come after this one, in whatever order.
    stack.kube.run("apply", "--filename=-", stdin=json.dumps(OWN_SECRET))


def test_a_password_rotation_refuses_no_client_that_still_has_the_previous_password(project: Project) -> None:
    stack = project.up({"topology": "replication", "replicas": 2, "auth": GENERATED})
    kube = stack.kube
    old = password_secret(kube)
    with_old_password = kube.secret(*old)
    with kube.temporary(client_pod(kube, *old)):
        started = time.monotonic()
        with load(node_address(stack), NODE_PORT, "/cache/test-rotation") as outcomes:
            project.up({"topology": "replication", "replicas": 2, "auth": {**GENERATED, "rotation": 2}})
            seconds = time.monotonic() - started
            time.sleep(3)  # some more requests, now that nothing rolls any more
        counts = json.loads(kube.run("logs", "password-client").splitlines()[-1])
        app_log = kube.run("logs", "--selector=app=fastapi", "--tail=-1")
    print(f"rotation in {seconds:.0f} s: client with the previous password {counts}; app {dict(outcomes)}")

    assert kube.secret(*password_secret(kube)) != with_old_password
    assert [name for name in counts if name.endswith("refused")] == []
    assert counts["read ok"] > 0
    # Without Sentinel the primary's restart is a moment without writes: the app says so, and a client waits.
    assert 0 < counts["longest seconds without a write"] < RESTART_SECONDS
    assert set(outcomes) <= {"404", "503"}, "404: there is no such key"
    assert "AuthenticationError" not in app_log


def redis_cli(stack: Stack, *arguments: str) -> str:
    return stack.kube.run("exec", "redis-0", "--", "redis-cli", *arguments)


def uid(stack: Stack, pod: str) -> str:
    return stack.kube.get("pod", pod)["metadata"]["uid"]


def password_secret(kube: Kube) -> tuple[str, str]:
    """Name and key of the Secret that redis-0 has its password from."""
    volumes = kube.get("pod", "redis-0")["spec"]["volumes"]
    secret = next(volume["secret"] for volume in volumes if volume["name"] == "auth")
    return secret["secretName"], "password"


def client_pod(kube: Kube, secret: str, key: str) -> Object:
    """A pod that runs password_client.py on the app's image."""
    return manifest(
        "password-client",
        service_pod.image(kube),
        labels=dict([CLIENT_LABEL]),
        volumes={"/run/secrets/redis": {"secret": {"secretName": secret, "items": [{"key": key, "path": "password"}]}}},
        command=("python", "-c", Path(__file__).with_name("password_client.py").read_text()),
    )
