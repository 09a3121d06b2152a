"""Each rule finds what it is there for, and nothing in a pod that keeps it."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from policies import rules

SPEC: dict[str, Any] = {
    "automountServiceAccountToken": False,
    "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [
        {
            "name": "main",
            "image": "example.com/app@sha256:" + "0" * 64,
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "ports": [{"containerPort": 80}],
            "resources": {
                part: {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "1Gi"} for part in ("requests", "limits")
            },
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
        }
    ],
    "volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "1Mi"}}],
}


def deployment(change: Callable[[dict[str, Any]], object] = lambda _: None) -> dict[str, Any]:
    spec = copy.deepcopy(SPEC)
    change(spec)
    template = {"metadata": {"labels": {"app": "x"}}, "spec": spec}
    selector = {"matchLabels": {"app": "x"}}
    return {"kind": "Deployment", "metadata": {"name": "x"}, "spec": {"selector": selector, "template": template}}


def container(**fields: object) -> Callable[[dict[str, Any]], object]:
    return lambda spec: spec["containers"][0].update(fields)


def context(**fields: object) -> Callable[[dict[str, Any]], object]:
    return lambda spec: spec["containers"][0]["securityContext"].update(fields)


def pod(**fields: object) -> Callable[[dict[str, Any]], object]:
    return lambda spec: spec.update(fields)


BROKEN: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "network of the node": (pod(hostNetwork=True), "the pod sets hostNetwork"),
    "processes of the node": (pod(hostPID=True), "the pod sets hostPID"),
    "a sysctl": (
        pod(securityContext={**SPEC["securityContext"], "sysctls": [{"name": "net.core.somaxconn", "value": "1"}]}),
        "the pod sets sysctl net.core.somaxconn",
    ),
    "a folder of the node": (
        pod(volumes=[{"name": "host", "hostPath": {"path": "/"}}]),
        "volume host is of a type that leads out of the pod",
    ),
    "a port of the node": (container(ports=[{"hostPort": 80}]), "container main takes a port of the node"),
    "privileged": (context(privileged=True), "container main is privileged"),
    "gaining privileges": (context(allowPrivilegeEscalation=True), "container main may gain privileges"),
    "silent about gaining privileges": (context(allowPrivilegeEscalation=None), "container main may gain privileges"),
    "root by user": (context(runAsUser=0), "container main may run as root"),
    "root by the container's own word": (context(runAsNonRoot=False), "container main may run as root"),
    "a capability added": (
        context(capabilities={"drop": ["ALL"], "add": ["SYS_ADMIN"]}),
        "container main keeps capabilities",
    ),
    "capabilities kept": (context(capabilities={}), "container main keeps capabilities"),
    "no seccomp": (pod(securityContext={"runAsNonRoot": True}), "container main has no seccomp profile"),
    "unconfined seccomp": (context(seccompProfile={"type": "Unconfined"}), "container main has no seccomp profile"),
    "unmasked proc": (context(procMount="Unmasked"), "container main sees more of /proc than its own"),
    "a root filesystem to write to": (
        context(readOnlyRootFilesystem=False),
        "container main may write to its root filesystem",
    ),
    "a bad init container": (
        pod(initContainers=[{**SPEC["containers"][0], "name": "init", "terminationMessagePolicy": "File"}]),
        "container init does not fall back to logs on error",
    ),
    "no limit of storage": (
        lambda spec: spec["containers"][0]["resources"]["limits"].pop("ephemeral-storage"),
        "container main has no ephemeral-storage in limits",
    ),
    "no request of CPU": (
        lambda spec: spec["containers"][0]["resources"]["requests"].pop("cpu"),
        "container main has no cpu in requests",
    ),
    "a volume without a bound": (
        pod(volumes=[{"name": "scratch", "emptyDir": {}}]),
        "volume scratch has no sizeLimit",
    ),
    "a message in a file": (
        container(terminationMessagePolicy="File"),
        "container main does not fall back to logs on error",
    ),
    "a token": (pod(automountServiceAccountToken=True), "the pod mounts a token of the API server"),
    "a token by default": (
        lambda spec: spec.pop("automountServiceAccountToken"),
        "the pod mounts a token of the API s",
    ),
    "an image by tag": (
        container(image="example.com/app:1.0"),
        "container main runs example.com/app:1.0, which is not pinned by digest",
    ),
}


def test_a_pod_that_keeps_every_rule_violates_none() -> None:
    assert rules.violations(deployment(), rules.PUBLISHED) == []


@pytest.mark.parametrize(("change", "expected"), BROKEN.values(), ids=BROKEN)
def test_a_violation_is_told_in_one_sentence(change: Callable[[dict[str, Any]], object], expected: str) -> None:
    (reason,) = rules.violations(deployment(change), rules.PUBLISHED)
    assert reason.startswith(f"Deployment x: {expected}")


def test_binding_a_low_port_is_the_one_capability_that_may_be_added() -> None:
    added = context(capabilities={"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]})
    assert rules.violations(deployment(added), rules.EVERYWHERE) == []


@pytest.mark.parametrize(
    "spec",
    [
        {"selector": {"matchLabels": {"app.kubernetes.io/version": "1"}}},
        {"selector": {"matchExpressions": [{"key": "version", "operator": "Exists"}]}},
        {"selector": {"version": "1"}},
        {"podSelector": {"matchLabels": {"helm.sh/chart": "x-1"}}},
    ],
    ids=["labels", "expression", "service", "policy"],
)
def test_a_version_in_a_selector_is_found_in_every_form_of_selector(spec: dict[str, Any]) -> None:
    assert len(rules.selectors_without_version({"kind": "Any", "spec": spec})) == 1


def test_a_service_account_that_mounts_its_token_is_found() -> None:
    account = {"kind": "ServiceAccount", "metadata": {"name": "x"}}
    assert rules.violations(account, rules.EVERYWHERE) == [
        "ServiceAccount x: the service account mounts a token of the API server"
    ]
    assert rules.violations({**account, "automountServiceAccountToken": False}, rules.EVERYWHERE) == []


@pytest.mark.parametrize(
    "manifest",
    [
        {"kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": SPEC["containers"]}},
        {"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": {"spec": {"containers": []}}}}}},
    ],
    ids=["pod", "cron job"],
)
def test_pods_are_found_in_every_kind_that_makes_them(manifest: dict[str, Any]) -> None:
    assert rules.no_service_account_token(manifest) == ["the pod mounts a token of the API server"]
