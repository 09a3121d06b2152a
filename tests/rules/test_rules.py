"""Every rule fires when it should, and not when it should not: the cases beside this file, run by promtool.

They are in promtool's format, but for what it wants repeated: `summary` and `runbook_url`, which are the same in every
alert of a rule, are added to what a case expects. Rules are those of `groups`, for the stack below.
"""

import json
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

import settings
from cluster import promtool
from components import monitoring_rules
from components.model import Image
from components.monitoring_rules import Postgres, Watched, groups
from components.pgpool_exporter import PgpoolExporter, recorded
from components.slo import Slo
from tests.support import scrapes
from tests.support.promql import selectors

FOLDER = Path(__file__).parent
CASES = sorted(FOLDER.glob("*.yaml"))
STACK = Watched(
    namespace="demo",
    monitoring_namespace="monitoring",
    pods={
        ("demo", "redis"): 3,
        ("demo", "postgres"): 3,
        ("demo", "pgpool"): 2,
        ("demo", "fastapi"): 2,
        ("monitoring", "prometheus"): 1,
        ("monitoring", "alertmanager"): 1,
    },
    redis_replicas=2,
    postgres=Postgres(standbys=2, data_bytes=1000, wal_bytes=None, backup_schedule="0 0 2 * * *"),
    pgpool_children=32,
    slo=Slo(),
    interval_seconds=60,  # as the cases of fastapi-slo.yaml are evaluated
    own_prometheus=True,
)
RUNBOOK_PARTS = ("## What it means", "## What to type first", "## How it clears")
ALWAYS_FIRES = {"Watchdog"}
# These look at targets of all namespaces, and keep those that the stack knows of.
OF_ALL_NAMESPACES = {"TargetDown", "TargetsMissing"}

Rule = dict[str, Any]


def _rules() -> list[Rule]:
    return [rule for group in groups(STACK) for rule in group["rules"]]


ALERTS = [rule for rule in _rules() if "alert" in rule]
NAMES = sorted({rule["alert"] for rule in ALERTS})


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file for each group of rules in `rendered/`, and the cases beside it."""
    folder = tmp_path_factory.mktemp("rules")
    (folder / "rendered").mkdir()
    for group in [*groups(STACK), _recorded_for_sql_exporter()]:
        (folder / "rendered" / f"{group['name']}.yaml").write_text(json.dumps({"groups": [group]}))
    for file in CASES:
        (folder / file.name).write_text(json.dumps(_complete(yaml.safe_load(file.read_text()))))
    return folder


def _recorded_for_sql_exporter() -> dict[str, Any]:
    exporter = PgpoolExporter(image=Image(build="images/sql-exporter"))
    rules = [{"record": name, "expr": expr} for name, expr in recorded(exporter).items()]
    return {"name": "sql-exporter", "rules": rules}


def _complete(cases: dict[str, Any]) -> dict[str, Any]:
    """The cases of a file with what all alerts of a rule have in common added to what is expected."""
    common = {rule["alert"]: rule["annotations"] for rule in ALERTS}
    for case, alert in _expectations(cases):
        for expected in case["exp_alerts"]:
            same = {name: common[alert][name] for name in ("summary", "runbook_url")}
            expected["exp_annotations"] = same | expected["exp_annotations"]
    return cases


def _expectations(cases: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    for test in cases["tests"]:
        for case in test.get("alert_rule_test", []):
            yield case, case["alertname"]


def _promtool(*arguments: str) -> None:
    done = subprocess.run([promtool.ensure(), *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("cases", [file.name for file in CASES])
def test_rules_say_what_is_expected_of_them(rendered: Path, cases: str) -> None:
    _promtool("test", "rules", str(rendered / cases))


def test_prometheus_takes_the_rules_as_they_are_rendered(rendered: Path) -> None:
    _promtool("check", "rules", *map(str, sorted((rendered / "rendered").iterdir())))


def test_prometheus_takes_the_files_as_they_are_in_the_repository() -> None:
    _promtool("check", "rules", *map(str, sorted(monitoring_rules.FILES.iterdir())))


def test_every_alert_has_a_case_in_which_it_fires() -> None:
    fired = set()
    for file in CASES:
        for case, alert in _expectations(yaml.safe_load(file.read_text())):
            fired |= {(alert, expected["exp_labels"].get("window")) for expected in case["exp_alerts"]}
    assert {(rule["alert"], rule["labels"].get("window")) for rule in ALERTS} == fired


def test_every_alert_has_a_case_in_which_it_never_fires() -> None:
    quiet = set()
    for file in CASES:
        for test in yaml.safe_load(file.read_text())["tests"]:
            fires: dict[str, bool] = defaultdict(bool)
            for case, alert in _expectations({"tests": [test]}):
                fires[alert] |= bool(case["exp_alerts"])
            quiet |= {alert for alert, fired in fires.items() if not fired}
    assert set(NAMES) - quiet == ALWAYS_FIRES


def test_every_alert_clears_in_a_case_in_which_it_fired() -> None:
    cleared = set()
    for file in CASES:
        for test in yaml.safe_load(file.read_text())["tests"]:
            fires: dict[str, list[bool]] = defaultdict(list)
            for case, alert in _expectations({"tests": [test]}):  # their eval_time goes up
                fires[alert].append(len(case["exp_alerts"]) > 0)
            cleared |= {alert for alert, seen in fires.items() if True in seen and not seen[-1]}
    assert set(NAMES) - cleared == ALWAYS_FIRES


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: f"{rule['alert']}{rule['labels'].get('window', '')}")
def test_an_alert_says_how_urgent_it_is_and_what_is_wrong(rule: Rule) -> None:
    assert rule["labels"]["severity"] in {"page", "ticket", "none"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert "{{" in rule["annotations"]["description"] or rule["alert"] == "Watchdog"


@pytest.mark.parametrize("name", [*NAMES, "PrometheusRuleFileRejected"])
def test_an_alert_has_a_runbook(name: str) -> None:
    text = (settings.ROOT / monitoring_rules.RUNBOOKS / f"{name}.md").read_text()
    assert text.startswith(f"# {name}\n")
    places = [text.index(part) for part in RUNBOOK_PARTS]
    assert places == sorted(places)
    assert "\n    " in text[places[1] : places[2]], "expected a command to type"


def test_there_is_no_runbook_of_an_alert_that_is_gone() -> None:
    pages = {path.stem for path in (settings.ROOT / monitoring_rules.RUNBOOKS).glob("*.md")}
    assert pages - {"README"} == {*NAMES, "PrometheusRuleFileRejected"}


def test_rules_look_at_their_own_stack_only() -> None:
    for rule in _rules():
        if rule.get("alert") in OF_ALL_NAMESPACES:
            continue
        for selector in selectors(rule["expr"]):
            assert selector.labels.get("namespace") in {"demo", "monitoring"}, f"{rule}: {selector}"
            # What is recorded here is of one part only; other names are taken more than once, as `redis_up`.
            assert "job" in selector.labels or ":" in selector.metric, f"{rule}: {selector}"


def test_rules_of_another_stack_name_its_namespaces() -> None:
    shop = replace(STACK, namespace="shop", monitoring_namespace="watch", pods={("shop", "redis"): 1})
    text = json.dumps(groups(shop))
    assert r"namespace=\"shop\"" in text
    assert r"namespace=\"watch\"" in text
    assert "demo" not in text
    assert r"namespace=\"monitoring\"" not in text


def test_what_is_recorded_for_a_part_comes_before_its_alerts() -> None:
    found = groups(replace(STACK, recorded={"pgpool": {"pgpool2_up": "1 - failed"}}))
    [pgpool] = [group for group in found if group["name"] == "pgpool"]
    assert pgpool["rules"][0] == {"record": "pgpool2_up", "expr": "1 - failed"}


def test_a_prometheus_of_somebody_else_is_left_to_them() -> None:
    assert "prometheus" not in {group["name"] for group in groups(replace(STACK, own_prometheus=False))}


def test_an_engine_with_other_metrics_gets_no_rules_that_would_always_fire() -> None:
    assert "postgres" not in {group["name"] for group in groups(replace(STACK, postgres=None))}


def test_a_stack_without_backups_is_not_told_that_they_are_too_old() -> None:
    bare = replace(STACK, postgres=Postgres(standbys=0, data_bytes=1000, wal_bytes=None, backup_schedule=None))
    recorded = {rule.get("record") for group in groups(bare) for rule in group["rules"]}
    assert "hotstack:postgres_backup_age_seconds:limit" not in recorded


def test_a_log_with_a_volume_of_its_own_is_measured_by_it() -> None:
    own = replace(STACK, postgres=Postgres(standbys=2, data_bytes=1000, wal_bytes=500, backup_schedule=None))
    found = {
        rule["labels"]["volume"]: rule["expr"]
        for group in groups(own)
        for rule in group["rules"]
        if rule.get("record") == "hotstack:postgres_volume:used_ratio"
    }
    assert found["data"].endswith("/ 1000")
    assert found["wal"].endswith("/ 500")
    assert "pg_wal" not in found["data"]


@pytest.mark.parametrize(
    ("schedule", "days"),
    [("0 0 2 * * *", 1), ("0 0 * * * ?", 1), ("0 0 2 * * 0", 7), ("0 0 2 1 * *", 62), ("0 0 2 1 1 *", 366)],
)
def test_a_backup_may_be_as_old_as_its_schedule_lets_it_become(schedule: str, days: int) -> None:
    assert monitoring_rules.longest_gap_hours(schedule) == days * 24


MADE_BY_PROMETHEUS = {"up"}


@pytest.mark.parametrize("rule", _rules(), ids=lambda rule: rule.get("alert") or rule["record"])
def test_every_metric_of_a_rule_is_in_a_recorded_scrape(rule: Rule) -> None:
    known = {other["record"] for other in _rules() if "record" in other} | MADE_BY_PROMETHEUS
    scraped = {name for file in scrapes.FOLDER.glob("*.txt") for name in scrapes.metrics(file.stem)}
    for selector in selectors(rule["expr"]):
        found = any(re.fullmatch(selector.metric, name) for name in known | scraped)
        assert found, f"{selector.metric} is in no scrape of {scrapes.FOLDER}"
