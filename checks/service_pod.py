"""A pod of the service, which has clients for Redis and PostgreSQL and may reach both, to run programs in."""

import json
from pathlib import Path
from typing import Any

from checks.kube import Kube
from checks.outcome import CheckError

SELECTOR = "app=fastapi"
_PROGRAMS = Path(__file__).parent / "in_pod"


def name(kube: Kube) -> str:
    """The name of a pod that serves.

    Raises:
        CheckError: there is none.
    """
    # By `deployment/NAME`, kubectl itself would take the oldest, after a rollout one that is about to be killed.
    pods = kube.ready_pods(SELECTOR)
    if not pods:
        raise CheckError("no pod of the service is ready")
    return pods[0]["metadata"]["name"]


def image(kube: Kube) -> str:
    """The reference of the service's image."""
    template = kube.get("deployment", "fastapi-deployment")["spec"]["template"]["spec"]
    return template["containers"][0]["image"]


def run(kube: Kube, program: str, *arguments: str, seconds: float) -> dict[str, Any]:
    """Run a Python program of `in_pod/` from stdin, and return the JSON that it prints.

    Raises:
        CheckError: no pod is ready, the program failed, or it took longer than `seconds`.
    """
    answer = kube.run(
        *("exec", "--stdin", name(kube), "--", "python", "-", *arguments),
        stdin=(_PROGRAMS / program).read_text(),
        timeout=seconds,
    )
    return json.loads(answer)
