"""Checks of monitoring: what is scraped, what is counted, who is told, and what people see of it."""

import secrets
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx2

from checks import alert_sink, service_pod
from checks.kube import Kube, Object
from checks.outcome import CheckError, NotApplicableError, eventually
from checks.stack import Stack
from checks.web import client, successful
from components.monitoring_settings import MonitoringSettings
from components.prometheus_config import ALERTMANAGER_PORT, CHECK_ALERT, PROMETHEUS_PORT
from watched import expected_pods

SELECTS = 300
SCREENSHOTS = Path("build/screenshots")
SERVICES = {"standalone": "svc/prometheus", "operator": "svc/prometheus-operated"}
"""By the mode of monitoring: the stack's own Service, and the one that the operator makes for its Prometheus."""
_PAGES = {"targets": "/classic/targets", "graph": "/classic/graph?g0.expr=up&g0.tab=0&g0.range_input=15m"}
_NOTIFIED_SECONDS = 30.0
_PAGE_SECONDS = 60
_SELECT_CNT = 'sum by (pod) (pgpool2_pool_nodes_select_cnt{{namespace="{namespace}"}})'

Jobs = Mapping[tuple[str, str], int]
"""How many targets there are, by namespace and job."""


def targets(stack: Stack) -> str:
    """Prometheus scrapes every pod that it should, all are up, and there is nothing else that it scrapes."""
    own, wanted = _monitoring(stack), expected_targets(stack)
    seconds = 4.0 * own.scrape_interval_seconds  # a pod that has just come is found and then scraped
    with prometheus(stack) as api:
        eventually(lambda: unlike(wanted, active_targets(api)), seconds, pause=1)
    return f"{sum(wanted.values())} up: " + ", ".join(f"{count} of {job}" for (_, job), count in sorted(wanted.items()))


def expected_targets(stack: Stack) -> Jobs:
    """What should be scraped: the stack's pods, and those of annotated Services in further namespaces."""
    wanted = dict(expected_pods(stack.settings))
    standalone = _monitoring(stack).standalone
    for namespace in [] if standalone is None else standalone.namespaces:
        slices = stack.kube.objects("endpointslices", namespace=namespace)
        for service in stack.kube.objects("services", namespace=namespace):
            metadata = service["metadata"]
            if metadata.get("annotations", {}).get("prometheus.io/scrape") == "true":
                job = metadata.get("labels", {}).get("app.kubernetes.io/name", metadata["name"])
                wanted[namespace, job] = addresses(slices, metadata["name"])
    return wanted


def addresses(slices: list[Object], service: str) -> int:
    """How many addresses the EndpointSlices of a Service hold."""
    return len(
        {
            address
            for item in slices
            if item["metadata"].get("labels", {}).get("kubernetes.io/service-name") == service
            for endpoint in item.get("endpoints") or []
            for address in endpoint["addresses"]
        }
    )


def active_targets(api: httpx2.Client) -> list[dict[str, Any]]:
    """The targets of Prometheus, as its API gives them."""
    return successful(api, "GET", "/api/v1/targets?state=active").json()["data"]["activeTargets"]


def unlike(wanted: Jobs, found: list[dict[str, Any]]) -> str | None:
    """What is wrong with the targets that were found; `None` when they are those that are wanted, and up."""
    down = [f"{item['scrapeUrl']} ({item['lastError']})" for item in found if item["health"] == "down"]
    if down:
        return f"down: {'; '.join(down)}"
    if waiting := [item["scrapeUrl"] for item in found if item["health"] != "up"]:
        return f"not scraped yet: {', '.join(waiting)}"
    counts = Counter((item["labels"]["namespace"], item["labels"]["job"]) for item in found)
    problems = [
        f"{counts[key]} of {'/'.join(key)}, expected {wanted.get(key, 0)}"
        for key in sorted({*wanted, *counts})
        if counts[key] != wanted.get(key, 0)
    ]
    return f"targets: {'; '.join(problems)}" if problems else None


def select_count(stack: Stack) -> str:
    """The counter of selects that Pgpool-II sent to its nodes grows by as many as were sent."""
    own = _monitoring(stack)
    if stack.settings.pgpool.exporter is None:
        raise NotApplicableError("pgpool.exporter is not set")
    query = _SELECT_CNT.format(namespace=stack.settings.kubernetes.namespace)
    with prometheus(stack) as api:
        before = values(api, query)
        service_pod.run(stack.kube, "pgpool.py", "selects", str(SELECTS), "10", seconds=60)

        def missing() -> str | None:
            more = growth(before, values(api, query))
            return None if more >= SELECTS else f"{SELECTS} selects were sent, and the counters grew by {more:g}"

        # Asked by the exporter, scraped, and looked up: an interval each.
        eventually(missing, 4.0 * own.scrape_interval_seconds, pause=1)
        more = growth(before, values(api, query))
    return f"{SELECTS} selects, and the counters of {len(before)} pods grew by {more:g}"


def values(api: httpx2.Client, query: str) -> dict[str, float]:
    """The values that a query has now, by the pod that they are of.

    Raises:
        CheckError: it has none.
    """
    results = successful(api, "GET", f"/api/v1/query?{urlencode({'query': query})}").json()["data"]["result"]
    if not results:
        raise CheckError(f"{query} has no series")
    return {result["metric"].get("pod", ""): float(result["value"][1]) for result in results}


def growth(before: Mapping[str, float], after: Mapping[str, float]) -> float:
    """By how much the counters of pods grew in all; one that is gone is not counted, and one that is new from 0 on."""
    return sum(value - before.get(pod, 0) for pod, value in after.items())


def alertmanager(stack: Stack) -> str:
    """Prometheus' Watchdog reaches Alertmanager, and an alert that is fired now reaches a receiver."""
    if _monitoring(stack).mode != "standalone":
        raise NotApplicableError("monitoring.mode is operator: the cluster's Alertmanager is not ours to fire at")
    kube = _beside(stack)
    mark = secrets.token_hex(8)
    with kube.temporary(*alert_sink.manifests(service_pod.image(stack.kube))):
        with (
            kube.port_forward("svc/alertmanager", ALERTMANAGER_PORT) as port,
            client(f"http://127.0.0.1:{port}") as api,
        ):
            firing = {alert["labels"]["alertname"] for alert in successful(api, "GET", "/api/v2/alerts").json()}
            if "Watchdog" not in firing:
                raise CheckError("the alert Watchdog, which always fires, has not reached Alertmanager")
            successful(api, "POST", "/api/v2/alerts", json=[alert_of(mark, datetime.now(UTC))])
        eventually(lambda: alert_sink.unheard(kube, mark), _NOTIFIED_SECONDS)
    return "Watchdog fires, and a test alert was received by a webhook"


def alert_of(mark: str, now: datetime) -> dict[str, object]:
    """A test alert that ends by itself in a minute."""
    ends = (now + timedelta(minutes=1)).isoformat()
    return {"labels": {"alertname": CHECK_ALERT, "severity": "none", "mark": mark}, "endsAt": ends}


def ui(stack: Stack) -> str:
    """The pages of targets and of a graph open in a browser without a window, and show what there is."""
    _monitoring(stack)
    browser = shutil.which("chromium")
    if browser is None:
        raise NotApplicableError("there is no chromium on PATH: install it, on Debian by the package chromium")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    with _beside(stack).port_forward(SERVICES[_monitoring(stack).mode], PROMETHEUS_PORT) as port:
        for name, path in _PAGES.items():
            text = opened(browser, f"http://127.0.0.1:{port}{path}", SCREENSHOTS / f"prometheus-{name}.png")
            if problem := unlike_a_page(name, text):
                raise CheckError(f"{path}: {problem}")
    return ", ".join(f"{SCREENSHOTS}/prometheus-{name}.png" for name in _PAGES)


def opened(browser: str, url: str, screenshot: Path) -> str:
    """The page at `url` as the browser has it after its scripts ran, once a picture of it is kept.

    Raises:
        CheckError: the browser failed, or took longer than a minute.
    """
    text = ""
    for way in (f"--screenshot={screenshot.absolute()}", "--dump-dom"):
        with tempfile.TemporaryDirectory() as profile:
            arguments = [
                *("--headless", "--disable-gpu", "--hide-scrollbars", "--window-size=1400,1600"),
                # Everything here runs as root, and shows a page of our own; nothing is asked of anybody else.
                *("--no-sandbox", "--no-proxy-server", "--disable-background-networking"),
                *(f"--user-data-dir={profile}", "--virtual-time-budget=10000", way, url),
            ]
            try:
                done = subprocess.run([browser, *arguments], capture_output=True, text=True, timeout=_PAGE_SECONDS)
            except subprocess.TimeoutExpired:
                raise CheckError(f"{url}: the browser was not done after {_PAGE_SECONDS} s") from None
        if done.returncode != 0:
            raise CheckError(f"{url}: the browser failed: {done.stderr.strip()[-200:]}")
        text = done.stdout
    return text


def unlike_a_page(name: str, text: str) -> str | None:
    """What a page lacks of what people look for on it; `None` when all is there."""
    wanted = {"targets": ("pgpool", "redis", "postgres", "fastapi"), "graph": ("rickshaw_graph", "<path")}[name]
    missing = [part for part in wanted if part not in text]
    return f"there is no {', '.join(missing)} on it" if missing else None


@contextmanager
def prometheus(stack: Stack) -> Generator[httpx2.Client, None, None]:
    """A client of the stack's Prometheus, while the block runs.

    Raises:
        NotApplicableError: the stack is not monitored.
        KubectlError: there is none.
    """
    service = SERVICES[_monitoring(stack).mode]
    with _beside(stack).port_forward(service, PROMETHEUS_PORT) as port, client(f"http://127.0.0.1:{port}") as api:
        yield api


def _beside(stack: Stack) -> Kube:
    """kubectl in the namespace of monitoring."""
    return Kube(stack.kube.context, stack.settings.kubernetes.monitoring_namespace, stack.kube.secrets)


def _monitoring(stack: Stack) -> MonitoringSettings:
    if stack.settings.monitoring is None:
        raise NotApplicableError("monitoring is not set")
    return stack.settings.monitoring
