"""Monitoring: what is discovered and scraped, who may do what, and what is refused."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.prometheus_config import scrape_timeout
from tests.support.cluster_rules import may_connect, stranger
from tests.support.program import Overrides, attempt, build
from tests.support.prometheus import config, discovered, relabeled

PROMETHEUS = "monitoring"
START = Path(__file__).parents[2] / "components" / "prometheus_files" / "start.sh"
SECRET = {"secretName": "mine", "secretKey": "key"}


class TestDiscovery:
    @pytest.mark.parametrize(
        ("service", "job", "port"),
        [
            ("redis-metrics", "redis", 9121),
            ("pgpool-stats", "pgpool", 9719),
            ("postgres-metrics", "postgres", 9187),
            ("fastapi-service", "fastapi", 8000),
            ("prometheus", "prometheus", 9090),
            ("alertmanager", "alertmanager", 9093),
        ],
    )
    def test_a_part_is_scraped_at_its_port_under_its_name(self, service: str, job: str, port: int) -> None:
        graph = build("dev")
        labels = discovered(graph.one("Service", service).props, f"{job}-0", "10.0.0.1:1")
        [scrape] = config(graph)["scrape_configs"]
        found = relabeled(scrape["relabel_configs"], labels)
        assert found is not None
        assert found["__address__"] == f"10.0.0.1:{port}"
        assert (found["job"], found["service"], found["pod"]) == (job, service, f"{job}-0")
        assert found["namespace"] == ("monitoring" if job in ("prometheus", "alertmanager") else "demo")

    def test_services_that_do_not_ask_for_it_and_pods_that_are_done_are_not_scraped(self) -> None:
        graph = build("dev")
        [scrape] = config(graph)["scrape_configs"]
        quiet = discovered(graph.one("Service", "redis-service").props, "redis-0", "10.0.0.1:6379")
        done = discovered(graph.one("Service", "redis-metrics").props, "redis-0", "10.0.0.1:9121")
        assert relabeled(scrape["relabel_configs"], quiet) is None
        assert relabeled(scrape["relabel_configs"], done | {"__meta_kubernetes_pod_phase": "Succeeded"}) is None

    def test_prometheus_may_only_look_and_only_where_it_scrapes(self) -> None:
        graph = build("dev")
        [scrape] = config(graph)["scrape_configs"]
        [where] = scrape["kubernetes_sd_configs"]
        assert where["role"] == "endpointslice"
        allowed = {role.props["metadata"]["namespace"] for role in graph.all("Role")}
        assert allowed == set(where["namespaces"]["names"]) == {"demo", "monitoring", "kube-system", "traefik"}
        for role in graph.all("Role"):
            assert {verb for rule in role.props["rules"] for verb in rule["verbs"]} == {"get", "list", "watch"}
            resources = {resource for rule in role.props["rules"] for resource in rule["resources"]}
            assert resources == {"services", "pods", "endpointslices"}
        for binding in graph.all("RoleBinding"):
            assert binding.props["subjects"] == [
                {"kind": "ServiceAccount", "name": "prometheus", "namespace": "monitoring"}
            ]
        assert not graph.all("ClusterRole")

    def test_prometheus_alone_is_given_a_token(self) -> None:
        graph = build("dev")
        with_token = [
            workload.object_name
            for workload in graph.workloads()
            if "serviceAccountToken" in json.dumps(workload.pod["spec"].get("volumes", []))
        ]
        assert with_token == ["prometheus"]

    @pytest.mark.parametrize(("workload", "port"), [("redis", 9121), ("redis-replica", 9121), ("pgpool", 9719)])
    def test_the_scraper_reaches_exporters_and_strangers_do_not(self, workload: str, port: int) -> None:
        graph = build("dev")
        assert may_connect(graph, stranger("monitoring"), workload, port)
        assert not may_connect(graph, stranger("demo"), workload, port)
        assert not may_connect(graph, stranger("monitoring"), workload, 6379)

    def test_a_target_that_sends_garbage_without_end_is_cut_off(self) -> None:
        [scrape] = config(build("dev"))["scrape_configs"]
        assert (scrape["sample_limit"], scrape["body_size_limit"]) == (5000, "10MB")

    def test_a_target_that_hangs_is_given_up_before_the_next_scrape(self) -> None:
        for seconds in (5, 15, 300):
            assert 0 < scrape_timeout(seconds) < seconds

    @pytest.mark.parametrize("seconds", [15, 60, 300])
    def test_what_ended_is_noticed_within_two_scrapes_and_what_a_slow_target_says_is_not_taken_for_ended(
        self, seconds: int
    ) -> None:
        graph = build("dev", {"monitoring": {"scrapeIntervalSeconds": seconds}})
        files = graph.one("ConfigMap", "prometheus-rules").props["data"]
        [group] = yaml.safe_load(files["expected.yaml"])["groups"]
        [limit] = [rule for rule in group["rules"] if rule["record"] == "hotstack:scrape_age_seconds:limit"]
        oldest = int(limit["expr"].removeprefix("vector(").removesuffix(")"))
        known = {name: int(value[:-1]) for name, value in config(graph)["global"].items()}
        assert known["scrape_interval"] + known["scrape_timeout"] <= oldest
        assert oldest + known["evaluation_interval"] <= 2 * known["scrape_interval"]


class TestAlertmanager:
    def config(self, receiver: Mapping[str, Any] | None) -> dict[str, Any]:
        graph = build("dev", {"monitoring": {"standalone": {"receiver": receiver}}} if receiver else {})
        return yaml.safe_load(graph.one("ConfigMap", "alertmanager-config").props["data"]["alertmanager.yml"])

    @pytest.mark.parametrize(
        ("receiver", "expected"),
        [
            ({"webhook": {"url": SECRET}}, {"webhook_configs": [{"url_file": "/run/secrets/receiver/secret"}]}),
            (
                {"pagerduty": {"routingKey": SECRET}},
                {"pagerduty_configs": [{"routing_key_file": "/run/secrets/receiver/secret"}]},
            ),
            (
                {"slack": {"channel": "#ops", "url": SECRET}},
                {"slack_configs": [{"channel": "#ops", "api_url_file": "/run/secrets/receiver/secret"}]},
            ),
            (
                {
                    "email": {
                        **{"to": "ops@example.com", "sender": "hotstack@example.com"},
                        **{"smarthost": "mail.example.com:587", "username": "hotstack", "password": SECRET},
                    }
                },
                {
                    "email_configs": [
                        {
                            **{"to": "ops@example.com", "from": "hotstack@example.com"},
                            **{"smarthost": "mail.example.com:587", "auth_username": "hotstack"},
                            "auth_password_file": "/run/secrets/receiver/secret",
                        }
                    ]
                },
            ),
        ],
        ids=["webhook", "pagerduty", "slack", "email"],
    )
    def test_a_receiver_reads_its_secret_from_a_file(
        self, receiver: Mapping[str, Any], expected: Mapping[str, Any]
    ) -> None:
        [people, _] = self.config(receiver)["receivers"]
        assert people == {"name": "people", **expected}
        graph = build("dev", {"monitoring": {"standalone": {"receiver": receiver}}})
        [volume] = [
            item
            for item in graph.one("StatefulSet", "alertmanager").pod["spec"]["volumes"]
            if item["name"] == "receiver"
        ]
        assert volume["secret"]["secretName"] == "mine"
        assert volume["secret"]["items"] == [{"key": "key", "path": "secret"}]

    def test_without_a_receiver_nobody_is_told_and_alertmanager_runs_all_the_same(self) -> None:
        [people, check] = self.config(None)["receivers"]
        assert people == {"name": "people"}
        assert check["webhook_configs"] == [{"url": "http://alert-check.monitoring.svc:8080/", "send_resolved": False}]

    def test_the_alert_of_the_check_goes_to_no_people(self) -> None:
        routes = {route["matchers"][0]: route["receiver"] for route in self.config(None)["route"]["routes"]}
        assert routes == {'alertname="HotstackCheck"': "alert-check", 'alertname="Watchdog"': "people"}


class TestStart:
    """start.sh, with stand-ins for the programs that it runs."""

    def started(self, tmp_path: Path, *bad: str) -> tuple[dict[str, str], subprocess.CompletedProcess[str]]:
        programs, given, used = (tmp_path / name for name in ("bin", "rules", "run"))
        for folder in (programs, given, used):
            folder.mkdir(exist_ok=True)
        (programs / "promtool").write_text(
            '#!/bin/sh\n! grep -q broken "$3" || { echo "line 1: broken" >&2; exit 1; }\n'
        )
        (programs / "prometheus").write_text('#!/bin/sh\necho "prometheus $*"\n')
        for program in programs.iterdir():
            program.chmod(0o755)
        for name in ("redis", "pgpool"):
            (given / f"{name}.yaml").write_text("broken" if name in bad else "groups: []")
        done = subprocess.run(
            ["sh", str(START), "--config.file=x"],
            env={"PATH": f"{programs}:{os.environ['PATH']}", "RULES": str(given), "RUN": str(used)},
            capture_output=True,
            text=True,
            timeout=20,
        )
        return {path.name: path.read_text() for path in used.glob("*.yaml")}, done

    def test_prometheus_starts_with_the_rules_that_it_is_given(self, tmp_path: Path) -> None:
        files, done = self.started(tmp_path)
        assert files == {"redis.yaml": "groups: []", "pgpool.yaml": "groups: []"}
        assert done.stdout == "prometheus --config.file=x\n"

    def test_a_rule_file_that_cannot_be_read_is_an_alert_and_prometheus_starts(self, tmp_path: Path) -> None:
        files, done = self.started(tmp_path, "pgpool")
        assert done.stdout == "prometheus --config.file=x\n"
        assert "the rule file pgpool.yaml is left out" in done.stderr
        assert "line 1: broken" in done.stderr
        assert files["redis.yaml"] == "groups: []"
        [group] = yaml.safe_load(files["pgpool.yaml"])["groups"]
        [rule] = group["rules"]
        assert (rule["alert"], rule["expr"]) == ("PrometheusRuleFileRejected", "vector(1)")
        assert rule["labels"] == {"severity": "ticket", "file": "pgpool.yaml"}
        assert (START.parents[2] / rule["annotations"]["runbook_url"]).is_file()

    def test_a_file_that_was_mended_is_used_after_the_next_start(self, tmp_path: Path) -> None:
        self.started(tmp_path, "pgpool")
        files, _ = self.started(tmp_path)
        assert files["pgpool.yaml"] == "groups: []"


class TestServers:
    def test_series_are_forgotten_by_time_and_by_size(self) -> None:
        arguments = build("dev").one("StatefulSet", "prometheus").container["args"]
        assert "--storage.tsdb.retention.time=7d" in arguments
        assert f"--storage.tsdb.retention.size={2**30}B" in arguments

    def test_a_change_of_rules_or_of_what_is_scraped_rolls_prometheus_and_nothing_else(self) -> None:
        def annotations(name: str, overrides: Overrides) -> Mapping[str, str]:
            return build("dev", overrides).one("StatefulSet", name).pod["metadata"]["annotations"]

        changed = {"monitoring": {"scrapeIntervalSeconds": 30}}
        assert annotations("prometheus", changed) != annotations("prometheus", {})
        assert annotations("alertmanager", changed) == annotations("alertmanager", {})

    def test_nobody_from_another_namespace_reaches_prometheus_or_alertmanager(self) -> None:
        graph = build("dev")
        for server, port in (("prometheus", 9090), ("alertmanager", 9093)):
            assert may_connect(graph, stranger("monitoring"), server, port)
            assert not may_connect(graph, stranger("demo"), server, port)


class TestGrafana:
    IMAGE = f"docker.io/grafana/grafana:12.0.0@sha256:{'0' * 64}"

    def test_it_has_the_dashboards_and_prometheus_and_its_password_as_a_file(self) -> None:
        graph = build("dev", {"monitoring": {"standalone": {"grafana": {"image": {"reference": self.IMAGE}}}}})
        server = graph.one("StatefulSet", "grafana").container
        assert server["image"] == self.IMAGE
        assert {item["name"]: item["value"] for item in server["env"]}["GF_SECURITY_ADMIN_PASSWORD__FILE"] == (
            "/run/secrets/grafana/password"
        )
        files = graph.one("ConfigMap", "grafana-config").props["data"]
        [source] = yaml.safe_load(files["datasource.yaml"])["datasources"]
        assert source["url"] == "http://prometheus:9090"
        [provider] = yaml.safe_load(files["dashboards.yaml"])["providers"]
        mounts = {mount["mountPath"]: mount["name"] for mount in server["volumeMounts"]}
        assert mounts[provider["options"]["path"]] == "dashboards"
        assert len(graph.one("ConfigMap", "grafana-dashboards").props["data"]) == 5

    def test_without_one_dashboards_are_not_even_rendered(self) -> None:
        config_maps = {item.object_name for item in build("dev").all("ConfigMap")}
        assert not {name for name in config_maps if "dashboard" in name}


class TestOperator:
    def test_a_service_is_watched_where_there_is_one_and_pods_where_there_is_none(self) -> None:
        graph = build("prod")
        assert {item.object_name for item in graph.all("ServiceMonitor")} == {
            *("hotstack-redis", "hotstack-pgpool", "hotstack-fastapi")
        }
        [pods] = graph.all("PodMonitor")
        assert pods.spec["selector"] == {"matchLabels": {"cnpg.io/cluster": "hot-postgres"}}
        assert not graph.all("Role")
        assert [item.object_name for item in graph.all("Namespace")] == ["hotstack"]

    def test_a_monitor_picks_one_service_and_a_port_that_it_has(self) -> None:
        graph = build("prod")
        for monitor in graph.all("ServiceMonitor"):
            wanted = monitor.spec["selector"]["matchLabels"].items()
            [endpoint] = monitor.spec["endpoints"]
            found = [
                service.object_name
                for service in graph.all("Service")
                if wanted <= service.props["metadata"]["labels"].items()
                and endpoint["port"] in [port["name"] for port in service.spec["ports"]]
            ]
            assert len(found) == 1

    def test_both_modes_name_series_and_rules_alike(self) -> None:
        dev, operator = (
            build("dev"),
            build("dev", {"monitoring": {"mode": "operator", "standalone": None, "operator": {}}}),
        )
        [rules] = operator.all("PrometheusRule")
        own = {name.removesuffix(".yaml") for name in dev.one("ConfigMap", "prometheus-rules").props["data"]}
        assert {group["name"] for group in rules.spec["groups"]} == own - {"prometheus"}
        # The operator's Prometheus has an interval of its own for groups that name none.
        evaluated = {group["name"]: group["interval"] for group in rules.spec["groups"]}
        assert {evaluated["redis"], evaluated["postgres"]} == {config(dev)["global"]["evaluation_interval"]}
        assert evaluated["fastapi-slo-slow"] == "2m"
        [endpoint] = operator.one("ServiceMonitor", "hotstack-pgpool").spec["endpoints"]
        assert endpoint["relabelings"] == [{"targetLabel": "job", "replacement": "pgpool"}]
        [scrape] = config(dev)["scrape_configs"]
        names = {rule.get("replacement") for rule in scrape["metric_relabel_configs"]}
        assert "pgpool2_${1}_${2}" in names & {rule.get("replacement") for rule in endpoint["metricRelabelings"]}

    def test_objects_carry_the_labels_by_which_the_operator_picks_them(self) -> None:
        graph = build("prod")
        for kind in ("ServiceMonitor", "PodMonitor", "PrometheusRule"):
            for item in graph.all(kind):
                assert item.props["metadata"]["labels"]["release"] == "kube-prometheus-stack"

    def test_dashboards_are_config_maps_that_a_grafana_finds(self) -> None:
        boards = [
            item
            for item in build("prod").all("ConfigMap")
            if item.props["metadata"]["labels"].get("grafana_dashboard") == "1"
        ]
        assert len(boards) == 5
        for board in boards:
            [(file, text)] = board.props["data"].items()
            assert file.endswith(".json")
            assert json.loads(text)["panels"]


REFUSED: dict[str, tuple[Overrides, str]] = {
    "a receiver without its secret": (
        {"monitoring": {"standalone": {"receiver": {"slack": {"channel": "#ops"}}}}},
        "hotstack:monitoring.standalone.receiver.slack.url: missing, and there is no default",
    ),
    "a receiver whose secret is a value": (
        {"monitoring": {"standalone": {"receiver": {"webhook": {"url": "https://example.com/key"}}}}},
        "hotstack:monitoring.standalone.receiver.webhook.url: got",
    ),
    "two receivers": (
        {"monitoring": {"standalone": {"receiver": {"webhook": {"url": SECRET}, "pagerduty": {"routingKey": SECRET}}}}},
        "expected exactly one of `webhook`, `email`, `slack` and `pagerduty`, got webhook, pagerduty",
    ),
    "an objective over 100 %": (
        {"monitoring": {"slo": {"availability": 100.1}}},
        "hotstack:monitoring.slo.availability: got 100.1",
    ),
    "a mode without its part": (
        {"monitoring": {"mode": "operator"}},
        "expected `standalone` with mode `standalone`, and only then",
    ),
    "more series than the volume holds": (
        {"monitoring": {"standalone": {"retention": {"size": "2Gi"}}}},
        "`retention.size` 2Gi leaves nothing of `storage.size` 2Gi",
    ),
    "a custom query with a bad name": (
        {
            "pgpool": {
                "exporter": {"customQueries": [{"name": "9 lives", "help": "x", "values": ["v"], "query": "SELECT 1"}]}
            }
        },
        'hotstack:pgpool.exporter.customQueries[0].name: got "9 lives"',
    ),
    "a custom query of a name that is taken": (
        {
            "pgpool": {
                "exporter": {
                    "customQueries": [{"name": "pool_nodes", "help": "x", "values": ["v"], "query": "SELECT 1 AS v"}]
                }
            }
        },
        "customQueries: pool_nodes is there already",
    ),
    "a custom query that writes": (
        {
            "pgpool": {
                "exporter": {
                    "customQueries": [{"name": "mine", "help": "x", "values": ["v"], "query": "DELETE FROM items"}]
                }
            }
        },
        "got 'DELETE FROM items'; expected one statement that begins with SELECT, SHOW, TABLE, VALUES",
    ),
    "a custom query of two statements": (
        {
            "pgpool": {
                "exporter": {
                    "customQueries": [{"name": "mine", "help": "x", "values": ["v"], "query": "SELECT 1; DROP TABLE x"}]
                }
            }
        },
        "expected one statement",
    ),
    "a custom query for an exporter that takes none": (
        {
            "pgpool": {
                "exporter": {
                    "exporter": "pgpool2_exporter",
                    "customQueries": [{"name": "mine", "help": "x", "values": ["v"], "query": "SELECT 1 AS v"}],
                }
            }
        },
        "`customQueries` need exporter `sql_exporter`",
    ),
}


@pytest.mark.parametrize(("overrides", "expected"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_work_is_refused_before_anything_exists(overrides: Overrides, expected: str) -> None:
    outcome = attempt("dev", overrides)
    assert expected in str(outcome.error)
    assert outcome.graph.resources == ()
