"""What every dashboard promises, whatever it shows; and that Grafana can read it."""

import json
import re
import subprocess
import sys
from collections import Counter
from itertools import combinations
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard as GrafanaDashboard

from components.dashboards import DASHBOARDS
from components.dashboards.model import Dashboard, Query
from components.monitoring_dashboards import dashboards
from tests.support import scrapes
from tests.support.program import build
from tests.support.promql import Selector, selectors
from tests.support.scrapes import OF_PROMETHEUS

PANELS = [panel for dashboard in DASHBOARDS for panel in dashboard.panels()]
MODELS = dashboards()
OF_EACH = pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.name)


def in_grafana(query: Query) -> list[Selector]:
    """What Grafana asks for, its variables of text not filled in."""
    return selectors(query.expression.replace("$__rate_interval", "1m"))


def queries(dashboard: Dashboard) -> list[Query]:
    return [query for panel in dashboard.panels() for query in panel.queries]


@OF_EACH
class TestQueries:
    def test_a_query_asks_for_the_chosen_namespace_and_the_chosen_instances_and_nothing_else(
        self, dashboard: Dashboard
    ) -> None:
        for query in queries(dashboard):
            asked = in_grafana(query)
            assert asked != [], query
            for selector in asked:
                # The alternative without a value is for alerts, which may be about no pod at all.
                bar = "|" if selector.metric == "ALERTS" else ""
                assert selector.labels["namespace"] == f"$namespace{bar}", query
                # What a rule records, with a colon in its name, may be about the stack as a whole.
                if "pod" in selector.labels or ":" not in selector.metric:
                    assert selector.labels["pod"] == f"$instance{bar}", query

    def test_a_query_names_the_part_whose_metric_it_means(self, dashboard: Dashboard) -> None:
        # The service counts a `redis_up` of its own, which says something else.
        for query in queries(dashboard):
            for selector in in_grafana(query):
                named = "job" in selector.labels or selector.metric in OF_PROMETHEUS or ":" in selector.metric
                assert named, query

    def test_a_query_names_only_series_that_its_part_has_or_that_a_rule_records(self, dashboard: Dashboard) -> None:
        recorded = scrapes.recorded(build("dev"))
        for query in queries(dashboard):
            for selector in in_grafana(query):
                if selector.metric not in recorded | OF_PROMETHEUS:
                    assert selector.metric in scrapes.metrics(selector.labels["job"]), query

    def test_a_series_is_called_by_labels_that_its_metrics_have(self, dashboard: Dashboard) -> None:
        for query in queries(dashboard):
            of_parts = [
                (selector.labels["job"], selector.metric) for selector in in_grafana(query) if "job" in selector.labels
            ]
            known = {name for job, metric in of_parts for name in scrapes.labels(job, metric)}
            if known:  # else they are of rules, and not of parts
                assert set(re.findall(r"\{\{(\w+)\}\}", query.legend)) <= known, query

    def test_without_a_grafana_a_query_is_plain_promql(self, dashboard: Dashboard) -> None:
        for query in queries(dashboard):
            promql = query.promql("demo", 60)
            assert "$" not in promql
            assert {selector.labels["namespace"].rstrip("|") for selector in selectors(promql)} == {"demo"}, query


@OF_EACH
def test_a_panel_says_what_it_shows_and_what_to_make_of_it(dashboard: Dashboard) -> None:
    for panel in dashboard.panels():
        assert panel.title
        assert panel.description.endswith("."), panel
        assert panel.description.rstrip(".") != panel.title


@OF_EACH
def test_the_series_of_a_panel_have_a_name(dashboard: Dashboard) -> None:
    for panel in dashboard.panels():
        assert all(query.legend for query in panel.queries), panel
        assert len({query.legend for query in panel.queries}) == len(panel.queries), panel


def test_no_two_panels_are_alike() -> None:
    titles = Counter(panel.title for panel in PANELS)
    questions = Counter(panel.queries for panel in PANELS)
    assert [title for title, count in titles.items() if count > 1] == []
    assert [question for question, count in questions.items() if count > 1] == []


def test_a_series_is_called_by_its_labels_and_by_nothing_where_it_lacks_one() -> None:
    query = Query("up{$scope}", "{{pod}} {{way}}")
    assert query.series_name({"pod": "fastapi-0", "way": "read"}) == "fastapi-0 read"
    assert query.series_name({"pod": "fastapi-0"}) == "fastapi-0 "


def panels_of(model: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in model["panels"] if panel["type"] != "row"]


@OF_EACH
class TestGrafana:
    def test_every_panel_is_in_the_model_with_its_title_unit_description_and_queries(
        self, dashboard: Dashboard
    ) -> None:
        model = MODELS[f"hotstack-{dashboard.name}.json"]
        assert [
            (
                panel["title"],
                panel["description"],
                panel["fieldConfig"]["defaults"]["unit"],
                [(target["expr"], target["legendFormat"]) for target in panel["targets"]],
            )
            for panel in panels_of(model)
        ] == [
            (
                panel.title,
                panel.description,
                panel.unit,
                [(query.expression, query.legend) for query in panel.queries],
            )
            for panel in dashboard.panels()
        ]

    def test_a_value_is_asked_for_now_and_a_line_over_time(self, dashboard: Dashboard) -> None:
        for panel in panels_of(MODELS[f"hotstack-{dashboard.name}.json"]):
            now = panel["type"] == "stat"
            assert {(target["instant"], target["range"]) for target in panel["targets"]} == {(now, not now)}

    def test_the_model_survives_grafanas_own_types(self, dashboard: Dashboard) -> None:
        register_default_plugins()
        model = MODELS[f"hotstack-{dashboard.name}.json"]
        read = GrafanaDashboard.from_json(json.loads(json.dumps(model)))
        assert json.loads(JSONEncoder().encode(read)) == model

    def test_data_source_namespace_and_instance_are_chosen_at_the_top(self, dashboard: Dashboard) -> None:
        model = MODELS[f"hotstack-{dashboard.name}.json"]
        datasource, namespace, instance = model["templating"]["list"]
        assert (datasource["name"], datasource["query"]) == ("datasource", "prometheus")
        assert (namespace["name"], instance["name"]) == ("namespace", "instance")
        assert (instance["includeAll"], instance["multi"], instance["allValue"]) == (True, True, ".*")
        for variable in (namespace, instance):
            of_labels = variable["query"].removeprefix("label_values(").rpartition(",")
            assert selectors(of_labels[0])[0].metric == "up"
            assert of_labels[2].strip(" )") == ("namespace" if variable is namespace else "pod")
        asked = [panel["datasource"] for panel in panels_of(model)]
        asked += [target["datasource"] for panel in panels_of(model) for target in panel["targets"]]
        asked += [namespace["datasource"], instance["datasource"]]
        assert all(one == {"type": "prometheus", "uid": "${datasource}"} for one in asked)

    def test_panels_have_numbers_of_their_own_and_do_not_cover_one_another(self, dashboard: Dashboard) -> None:
        placed = MODELS[f"hotstack-{dashboard.name}.json"]["panels"]
        assert len({panel["id"] for panel in placed}) == len(placed)
        areas = [panel["gridPos"] for panel in placed]
        assert all(area["x"] + area["w"] <= 24 for area in areas)
        assert not any(overlap(one, other) for one, other in combinations(areas, 2))


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    def crosses(start: str, length: str) -> bool:
        return one[start] < other[start] + other[length] and other[start] < one[start] + one[length]

    return crosses("x", "w") and crosses("y", "h")


def test_every_dashboard_has_an_address_of_its_own_that_does_not_change() -> None:
    assert sorted(model["uid"] for model in MODELS.values()) == [
        "hotstack-fastapi",
        "hotstack-overview",
        "hotstack-pgpool",
        "hotstack-postgres",
        "hotstack-redis",
    ]


def test_a_stack_without_a_grafana_does_not_wait_for_its_sdk() -> None:
    code = "import sys, components.monitoring_dashboards; sys.exit('grafana_foundation_sdk' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
