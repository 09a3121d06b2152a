"""What is said of pods that keep an `up` from ending well."""

import json
from pathlib import Path
from typing import Any

from cluster import explain


def pod(name: str, **status: object) -> dict[str, Any]:
    return {"metadata": {"name": name}, "status": {"conditions": [], **status}}


def container(ready: bool = False, **states: object) -> dict[str, Any]:
    return {"name": "redis", "ready": ready, "state": {}, **states}


def told(tmp_path: Path, pods: list[dict[str, Any]], code: int = 0) -> list[str]:
    """What is told when the kubectl on PATH knows these pods."""
    answer = tmp_path / "pods.json"
    answer.write_text(json.dumps({"items": pods}))
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(f"#!/bin/sh\ncat {answer}\nexit {code}\n")
    kubectl.chmod(0o755)
    return explain.unready_pods("any", "demo", {"PATH": f"{tmp_path}:/usr/bin:/bin"})


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
