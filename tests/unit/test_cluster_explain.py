"""What is said of pods and databases that keep an `up` from ending well."""

import json
from pathlib import Path
from typing import Any

import pytest

from cluster import explain


def pod(name: str, **status: object) -> dict[str, Any]:
    return {"metadata": {"name": name}, "status": {"conditions": [], **status}}


def container(ready: bool = False, **states: object) -> dict[str, Any]:
    return {"name": "redis", "ready": ready, "state": {}, **states}


def kubectl_that_knows(tmp_path: Path, objects: list[dict[str, Any]], code: int = 0) -> dict[str, str]:
    """An environment whose kubectl answers with these objects, whatever it is asked."""
    answer = tmp_path / "objects.json"
    answer.write_text(json.dumps({"items": objects}))
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(f"#!/bin/sh\ncat {answer}\nexit {code}\n")
    kubectl.chmod(0o755)
    return {"PATH": f"{tmp_path}:/usr/bin:/bin"}


def told(tmp_path: Path, pods: list[dict[str, Any]], code: int = 0) -> list[str]:
    """What is told when the kubectl on PATH knows these pods."""
    return explain.unready_pods("any", "demo", kubectl_that_knows(tmp_path, pods, code))


def test_a_pod_that_cannot_be_scheduled_is_told_with_the_scheduler_s_words(tmp_path: Path) -> None:
    message = "0/1 nodes are available: 1 Insufficient cpu."
    waiting = pod("redis-0", conditions=[{"type": "PodScheduled", "status": "False", "message": message}])
    assert told(tmp_path, [waiting]) == [f"redis-0: {message}; `kubectl describe pod` says more"]


def test_a_container_that_crashes_is_told_with_its_last_words(tmp_path: Path) -> None:
    crashing = container(
        state={"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}},
        lastState={"terminated": {"message": "the service cannot start\n  CACHE_TTL: No such setting\n"}},
    )
    (line,) = told(tmp_path, [pod("fastapi-1", containerStatuses=[crashing])])
    assert "redis CrashLoopBackOff - back-off 10s - the service cannot start CACHE_TTL: No such setting" in line


def test_nothing_is_told_of_pods_that_are_ready_or_done(tmp_path: Path) -> None:
    ready = pod("redis-0", conditions=[{"type": "Ready", "status": "True"}], containerStatuses=[container(ready=True)])
    assert told(tmp_path, [ready, pod("migration", phase="Succeeded")]) == []


def test_a_cluster_that_does_not_answer_hides_nothing_of_pulumi_s_own_error(tmp_path: Path) -> None:
    assert told(tmp_path, [pod("redis-0")], code=1) == []
    assert explain.unready_pods("any", "demo", {"PATH": str(tmp_path / "nowhere")}) == []


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (
            {"phase": "Setting up primary", "phaseReason": "Creating primary instance hot-postgres-1"},
            "hot-postgres: Setting up primary; Creating primary instance hot-postgres-1",
        ),
        (
            {
                "phase": "Waiting for the instances to become active",
                "conditions": [
                    {"type": "Ready", "status": "False", "reason": "ClusterIsNotReady", "message": "Not Ready"},
                    {"type": "ContinuousArchiving", "status": "False", "reason": "Failing", "message": "no bucket"},
                ],
            },
            "hot-postgres: Waiting for the instances to become active; ContinuousArchiving is false, no bucket",
        ),
        ({}, "hot-postgres: the operator has not looked at it: does it run?"),
    ],
)
def test_a_database_that_is_not_healthy_is_told_in_the_operator_s_words(
    tmp_path: Path, status: dict[str, Any], line: str
) -> None:
    database = {"metadata": {"name": "hot-postgres"}, "status": status}
    assert explain.unhealthy_databases("any", "demo", kubectl_that_knows(tmp_path, [database])) == [line]


def test_nothing_is_told_of_a_healthy_database_or_where_there_is_no_such_kind(tmp_path: Path) -> None:
    database = {"metadata": {"name": "hot-postgres"}, "status": {"phase": "Cluster in healthy state"}}
    assert explain.unhealthy_databases("any", "demo", kubectl_that_knows(tmp_path, [database])) == []
    assert explain.unhealthy_databases("any", "demo", kubectl_that_knows(tmp_path, [database], code=1)) == []
