"""The checks of monitoring and what their figures are made of, with stand-ins for Prometheus and for kubectl."""

import json
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

from bench.monitoring import cpu_seconds, percent_of_a_core
from checks import alert_sink, monitoring
from checks.outcome import CheckError, NotApplicableError
from tests.fixtures.record import sample
from tests.support import openapi
from tests.unit.test_checks import stack_with, unreachable

WANTED = {("demo", "redis"): 1, ("monitoring", "prometheus"): 1}


def target(job: str, namespace: str, health: str = "up") -> dict[str, Any]:
    return {
        "labels": {"job": job, "namespace": namespace},
        "health": health,
        "scrapeUrl": f"http://{job}/metrics",
        "lastError": "connection refused" if health == "down" else "",
    }


REDIS, PROMETHEUS = target("redis", "demo"), target("prometheus", "monitoring")


class TestTargets:
    def test_those_that_are_wanted_and_up_are_well(self) -> None:
        assert monitoring.unlike(WANTED, [REDIS, PROMETHEUS]) is None

    @pytest.mark.parametrize(
        ("found", "problem"),
        [
            ([PROMETHEUS], "targets: 0 of demo/redis, expected 1"),
            ([REDIS, REDIS, PROMETHEUS], "targets: 2 of demo/redis, expected 1"),
            ([REDIS, PROMETHEUS, target("mine", "demo")], "targets: 1 of demo/mine, expected 0"),
            ([target("redis", "demo", "down"), PROMETHEUS], "down: http://redis/metrics (connection refused)"),
            ([target("redis", "demo", "unknown"), PROMETHEUS], "not scraped yet: http://redis/metrics"),
        ],
        ids=["missing", "too many", "unexpected", "down", "new"],
    )
    def test_what_is_wrong_is_named(self, found: list[dict[str, Any]], problem: str) -> None:
        assert monitoring.unlike(WANTED, found) == problem

    def test_in_further_namespaces_the_addresses_of_annotated_services_are_expected(self) -> None:
        annotated = {"annotations": {"prometheus.io/scrape": "true"}}
        services = [
            {"metadata": {"name": "kube-dns", "labels": {"app.kubernetes.io/name": "coredns"}, **annotated}},
            {"metadata": {"name": "quiet"}},
        ]
        of_dns = {"metadata": {"labels": {"kubernetes.io/service-name": "kube-dns"}}}
        slices = [
            {**of_dns, "endpoints": [{"addresses": ["10.0.0.1"]}, {"addresses": ["10.0.0.2"]}]},
            {**of_dns, "endpoints": None},
            {
                "metadata": {"labels": {"kubernetes.io/service-name": "quiet"}},
                "endpoints": [{"addresses": ["10.0.0.3"]}],
            },
        ]

        def answer(arguments: str, _: str) -> str:
            return json.dumps({"items": services if arguments.startswith("get services") else slices})

        wanted = monitoring.expected_targets(stack_with(answer))
        assert wanted["kube-system", "coredns"] == 2
        assert wanted["demo", "postgres"] == 3
        assert ("kube-system", "quiet") not in wanted

    def test_without_monitoring_there_is_nothing_to_check(self) -> None:
        stack = stack_with(unreachable)
        unmonitored = type(stack)(stack.settings.model_copy(update={"monitoring": None}), stack.kube)
        for check in (monitoring.targets, monitoring.select_count, monitoring.alertmanager, monitoring.ui):
            with pytest.raises(NotApplicableError, match="monitoring is not set"):
                check(unmonitored)


class TestValues:
    def asked(self, **values: str) -> dict[str, float]:
        results = [{"metric": {"pod": pod}, "value": [0, value]} for pod, value in values.items()]
        answer = httpx2.MockTransport(lambda _: httpx2.Response(200, json={"data": {"result": results}}))
        with httpx2.Client(base_url="http://prometheus", transport=answer) as api:
            return monitoring.values(api, "sum by (pod) (x)")

    def test_values_are_known_by_their_pod(self) -> None:
        assert self.asked(a="7", b="1e3") == {"a": 7, "b": 1000}

    def test_a_query_without_series_is_a_failure(self) -> None:
        with pytest.raises(CheckError, match="has no series"):
            self.asked()

    def test_a_pod_that_is_gone_takes_nothing_from_the_growth_of_others(self) -> None:
        assert monitoring.growth({"gone": 1000, "stays": 10}, {"stays": 25, "new": 3}) == 18


class TestAlert:
    def test_it_ends_by_itself(self) -> None:
        alert = monitoring.alert_of("a mark", datetime(2026, 1, 31, 12, tzinfo=UTC))
        assert alert["endsAt"] == "2026-01-31T12:01:00+00:00"
        assert alert["labels"] == {"alertname": "HotstackCheck", "severity": "none", "mark": "a mark"}

    def test_it_was_heard_when_its_mark_is_in_the_log_of_the_receiver(self) -> None:
        kube = stack_with(lambda *_: '{"alerts": [{"labels": {"mark": "this one"}}]}').kube
        assert alert_sink.unheard(kube, "this one") is None
        assert alert_sink.unheard(kube, "another") == "the test alert has not reached the receiver"

    @pytest.mark.parametrize("version", [openapi.OLDEST, openapi.NEWEST])
    def test_the_receiver_is_one_that_kubernetes_takes(self, version: str) -> None:
        for manifest in alert_sink.manifests("hotstack/fastapi:0"):
            openapi.check(manifest, version)


class TestPages:
    def test_a_page_with_all_targets_is_well(self) -> None:
        assert monitoring.unlike_a_page("targets", "redis postgres pgpool fastapi") is None

    def test_what_is_not_on_a_page_is_named(self) -> None:
        assert monitoring.unlike_a_page("targets", "redis postgres fastapi") == "there is no pgpool on it"
        assert monitoring.unlike_a_page("graph", "No datapoints found") == "there is no rickshaw_graph, <path on it"

    def test_without_a_browser_the_check_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "/nowhere")
        with pytest.raises(NotApplicableError, match="install it, on Debian by the package chromium"):
            monitoring.ui(stack_with(unreachable))


SUMMARY = {
    "pods": [
        {
            "podRef": {"name": "pgpool-1", "namespace": "demo"},
            "containers": [
                {"name": "pgpool", "cpu": {"usageCoreNanoSeconds": 9_000_000_000}},
                {"name": "metrics", "cpu": {"usageCoreNanoSeconds": 500_000_000}},
            ],
        },
        {
            "podRef": {"name": "prometheus-0", "namespace": "monitoring"},
            "containers": [{"name": "prometheus", "cpu": {"usageCoreNanoSeconds": 2_000_000_000}}],
        },
        {"podRef": {"name": "starting", "namespace": "monitoring"}},
    ]
}


class TestFigures:
    def test_exporters_count_and_what_they_look_at_does_not(self) -> None:
        assert cpu_seconds(SUMMARY, "monitoring") == {"pgpool-1/metrics": 0.5, "prometheus-0/prometheus": 2.0}

    def test_a_core_is_a_hundred_percent_and_a_container_that_is_new_does_not_count(self) -> None:
        assert percent_of_a_core({"a": 1.0, "gone": 5.0}, {"a": 2.0, "new": 9.0}, 50) == 2.0


def test_a_recorded_scrape_has_one_series_of_each_shape_and_no_moments() -> None:
    exposition = (
        "# TYPE redis_up untyped\n"
        'redis_up{pod="a",quoted="x\\"y,z=\\"1"} 1 1795386847581\n'
        'redis_up{pod="b",quoted="z"} 0 1795386847581\n'
        'redis_up{pod="b"} 0 1795386847581\n'
    )
    assert sample(exposition).splitlines() == [
        "# TYPE redis_up untyped",
        'redis_up{pod="a",quoted="x\\"y,z=\\"1"} 1',
        'redis_up{pod="b"} 0',
    ]
