"""Monitoring on real pods, when what it looks at, or what it is told, is bad."""

import json
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest

from checks import client_pod, monitoring, service_pod
from checks.kube import Kube, Object
from checks.outcome import eventually
from checks.stack import Stack

GARBAGE = """
import http.server
class Garbage(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>{this is no metric\\n" * 1000)
http.server.HTTPServer(("", 8080), Garbage).serve_forever()
"""
SILENCE = """
import socket, time
server = socket.create_server(("", 8080))
clients = []
while True:
    clients.append(server.accept())
"""
SCRAPES = 60.0  # seconds, of some scrapes and a look-up


@pytest.fixture(scope="module")
def beside(dev_stack: Stack) -> Kube:
    """kubectl in the namespace of monitoring."""
    return Kube(dev_stack.kube.context, dev_stack.settings.kubernetes.monitoring_namespace)


@pytest.fixture
def api(dev_stack: Stack) -> Iterator[httpx2.Client]:
    """The API of a Prometheus whose targets are all up, whatever the test before this one has restarted."""
    with monitoring.prometheus(dev_stack) as client:

        def missing() -> str | None:
            waiting = [item["scrapeUrl"] for item in monitoring.active_targets(client) if item["health"] != "up"]
            return f"{', '.join(waiting)} is not up" if waiting else None

        eventually(missing, SCRAPES, pause=1)
        yield client


def target(api: httpx2.Client, job: str) -> dict[str, Any] | None:
    return next((item for item in monitoring.active_targets(api) if item["labels"]["job"] == job), None)


def is_down(api: httpx2.Client, job: str, reason: str) -> Callable[[], str | None]:
    def missing() -> str | None:
        found = target(api, job)
        if found is not None and found["health"] == "down" and reason in found["lastError"]:
            return None
        return f"{job} is not down because of {reason!r}: {found}"

    return missing


@contextmanager
def bad_target(stack: Stack, name: str, program: str) -> Generator[None]:
    """A pod that answers scrapes in its own way, behind an annotated Service, while the block runs."""
    service: Object = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "labels": {"app.kubernetes.io/name": name},
            "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"},
        },
        "spec": {"selector": {"app": name}, "ports": [{"port": 8080}]},
    }
    pod = client_pod.manifest(
        name, service_pod.image(stack.kube), labels={"app": name}, volumes={}, command=("python", "-c", program)
    )
    with stack.kube.temporary(service, pod):
        yield


def test_a_target_that_answers_with_garbage_is_down_and_the_others_are_up(dev_stack: Stack, api: httpx2.Client) -> None:
    with bad_target(dev_stack, "garbage", GARBAGE):
        eventually(is_down(api, "garbage", "expected a valid start token"), SCRAPES, pause=1)
        others = [item for item in monitoring.active_targets(api) if item["labels"]["job"] != "garbage"]
        assert {item["health"] for item in others} == {"up"}
    eventually(lambda: None if target(api, "garbage") is None else "garbage is still a target", SCRAPES)


def test_a_target_that_hangs_is_down_and_the_others_are_scraped_as_before(dev_stack: Stack, api: httpx2.Client) -> None:
    with bad_target(dev_stack, "silence", SILENCE):
        eventually(is_down(api, "silence", "deadline exceeded"), SCRAPES, pause=1)
        others = [item for item in monitoring.active_targets(api) if item["labels"]["job"] != "silence"]
        assert {item["health"] for item in others} == {"up"}


def test_an_exporter_that_hangs_leaves_its_pod_ready_and_its_target_down(dev_stack: Stack, api: httpx2.Client) -> None:
    kube = dev_stack.kube
    # All processes but the first, which is the script that starts the program.
    signal = "for p in /proc/[0-9]*; do case $(cat $p/comm) in prometheus-*) kill -{} ${{p#/proc/}};; esac; done"
    pod = "redis-replica-0"

    def stopped(name: str) -> None:
        kube.run("exec", pod, "--container=metrics", "--", "sh", "-c", signal.format(name))

    def down() -> str | None:
        found = [item for item in monitoring.active_targets(api) if item["labels"]["pod"] == pod]
        return None if [item["health"] for item in found] == ["down"] else f"{pod} is not down: {found}"

    stopped("STOP")
    try:
        eventually(down, SCRAPES, pause=1)
        [condition] = [
            item["status"] for item in kube.get("pod", pod)["status"]["conditions"] if item["type"] == "Ready"
        ]
        assert condition == "True"
    finally:
        stopped("CONT")
    eventually(lambda: None if down() else f"{pod} is still down", SCRAPES, pause=1)


def test_an_exporter_that_dies_leaves_its_pod_ready_and_is_back(dev_stack: Stack, api: httpx2.Client) -> None:
    kube, pod = dev_stack.kube, kube_pod(dev_stack)
    restarts = kube.get("pod", pod)["status"]["containerStatuses"]
    kill = "for p in /proc/[0-9]*; do case $(cat $p/comm) in prometheus-sql*) kill -KILL ${p#/proc/};; esac; done"
    kube.run("exec", pod, "--container=metrics", "--", "sh", "-c", kill)

    def back() -> str | None:
        found = [item for item in monitoring.active_targets(api) if item["labels"]["pod"] == pod]
        return None if [item["health"] for item in found] == ["up"] else f"{pod} is not up: {found}"

    eventually(back, SCRAPES, pause=1)
    after = kube.get("pod", pod)["status"]["containerStatuses"]
    assert [item["restartCount"] for item in after] == [item["restartCount"] for item in restarts]
    assert all(item["ready"] for item in after)


def kube_pod(stack: Stack) -> str:
    """The name of a pod of Pgpool-II."""
    return stack.kube.ready_pods("app=pgpool")[0]["metadata"]["name"]


def test_a_custom_query_that_fails_is_seen_and_spoils_no_other(dev_stack: Stack, api: httpx2.Client) -> None:
    kube = dev_stack.kube
    text = kube.get("configmap", "pgpool-exporter")["data"]["sql-exporter.yaml"]
    bad = "  - name: mine\n    help: x\n    values:\n    - count\n    query: SELECT count FROM there_is_no_such_table\n"

    def tell(content: str) -> None:
        kube.run(
            "patch", "configmap", "pgpool-exporter", "--patch", json.dumps({"data": {"sql-exporter.yaml": content}})
        )
        kube.run("rollout", "restart", "deployment/pgpool")
        kube.run("rollout", "status", "deployment/pgpool", "--timeout=120s", timeout=130)

    tell(text.rstrip("\n") + "\n" + bad)
    try:
        query = 'sql_exporter_last_scrape_failed{query="mine"} == 1 unless on (pod) pgpool2_up == 0'

        def unseen() -> str | None:
            found = api.get("/api/v1/query", params={"query": query}).json()["data"]["result"]
            return None if len(found) == 2 else f"{len(found)} pods tell of the query that fails, expected 2"

        eventually(unseen, SCRAPES, pause=1)
    finally:
        tell(text)


def test_a_rule_file_that_cannot_be_read_is_an_alert_and_the_other_rules_go_on(dev_stack: Stack, beside: Kube) -> None:
    rules = beside.get("configmap", "prometheus-rules")["data"]

    def tell(content: str) -> None:
        beside.run("patch", "configmap", "prometheus-rules", "--patch", json.dumps({"data": {"redis.yaml": content}}))
        beside.run("delete", "pod", "prometheus-0", timeout=90)
        beside.run("rollout", "status", "statefulset/prometheus", "--timeout=120s", timeout=130)

    tell("groups: [{name: redis, rules: [{alert: Broken, expr: 'sum('}]}]")
    try:
        with monitoring.prometheus(dev_stack) as api:

            def quiet() -> str | None:
                alerts = api.get("/api/v1/alerts").json()["data"]["alerts"]
                names = {alert["labels"]["alertname"] for alert in alerts}
                missing = {"PrometheusRuleFileRejected", "Watchdog"} - names
                return f"{missing} do not fire, only {names}" if missing else None

            eventually(quiet, SCRAPES, pause=1)
    finally:
        tell(rules["redis.yaml"])
