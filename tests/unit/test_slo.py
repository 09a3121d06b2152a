"""Objectives of the service: which can be watched, and that they are about what the service measures."""

import ast
import json
from typing import Any

import pytest
from pydantic import ValidationError

import settings
from components import slo
from components.slo import Slo

SERVICE = settings.ROOT / "app" / "service"


def parse(**values: object) -> Slo:
    return Slo.model_validate_json(json.dumps(values))


def test_the_defaults_are_what_the_configuration_reference_promises() -> None:
    found = parse()
    assert (found.availability, found.latency.seconds, found.latency.objective) == (99.9, 0.25, 99.0)


@pytest.mark.parametrize("objective", [100, 100.1, 94.9, 0, -1])
@pytest.mark.parametrize("where", ["availability", "latency"])
def test_an_objective_that_no_alert_could_watch_is_refused(where: str, objective: float) -> None:
    # With 100 % there is no budget to burn, and with less than 93.1 % the fastest alert could never fire.
    values = {"availability": objective} if where == "availability" else {"latency": {"objective": objective}}
    with pytest.raises(ValidationError, match=r"less than 100|greater than or equal to 95"):
        parse(**values)


def test_a_latency_that_the_service_does_not_measure_is_refused_with_those_that_it_does() -> None:
    with pytest.raises(ValidationError, match=r"`seconds` 0\.3 is not measured: expected one of 0\.001, .*, 0\.25, "):
        parse(latency={"seconds": 0.3})


@pytest.mark.parametrize("seconds", slo.BUCKETS)
def test_a_latency_is_looked_up_by_the_name_that_its_bucket_has(seconds: float) -> None:
    expressions = [rule["expr"] for group in groups(parse(latency={"seconds": seconds})) for rule in group["rules"]]
    assert any(f'le="{seconds}"' in expression for expression in expressions)


def test_buckets_are_those_of_the_service() -> None:
    assert tuple(map(float, constant("metrics.py", "LATENCY_BUCKETS"))) == slo.BUCKETS


def test_what_does_not_count_are_the_routes_that_the_service_holds_for_probes() -> None:
    [everything] = [
        rule["expr"]
        for group in groups(Slo())
        for rule in group["rules"]
        if rule.get("record") == "fastapi:requests:rate5m"
    ]
    assert f'route!~"{"|".join(sorted(constant("observe.py", "QUIET_ROUTES"), key=order))}"' in everything


def test_limits_follow_from_the_objective() -> None:
    found = {
        rule["labels"]["window"]: rule["expr"].splitlines()[0].rsplit(" > ")[1]
        for group in groups(parse(availability=99.5))
        for rule in group["rules"]
        if rule.get("alert") == "FastapiAvailabilityBudgetBurns"
    }
    assert found == {"1h": "0.072", "6h": "0.03", "3d": "0.005"}


def groups(objectives: Slo) -> list[dict[str, Any]]:
    return slo.groups(objectives, "demo", 15)


def order(route: str) -> int:
    return ["/livez", "/readyz", "/metrics"].index(route)


def constant(file: str, name: str) -> Any:  # noqa: ANN401 - whatever it is
    """The value of a constant of the service, which has dependencies of its own and is not imported here."""
    for node in ast.parse((SERVICE / file).read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            value = node.value.args[0] if isinstance(node.value, ast.Call) else node.value
            return ast.literal_eval(value)
    raise AssertionError(f"there is no {name} in {file}")
