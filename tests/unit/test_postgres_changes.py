"""What a live database would not survive, or not notice, and what one is told to do instead."""

import copy
from collections.abc import Mapping
from typing import Any

import pytest

from components import postgres_changes
from tests.support.postgres import BUCKET, CLOUDNATIVE_PG, KUBEDB, build

RECOVERY = {"cloudnativePg": {"recovery": {"serverName": "old"}}}


def of_cluster(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    old, graph = build(before, bucket=BUCKET), build(after, bucket=BUCKET)
    return graph.refusal(graph.one("Cluster", "hot-postgres"), old.one("Cluster", "hot-postgres").props)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (
            {"storage": {"size": "2Gi"}},
            {"storage": {"size": "1536Mi"}},
            "`storage.size` of a live cluster cannot go from 2Gi to 1536Mi, for volumes never shrink: set",
        ),
        (
            {"cloudnativePg": {"walStorage": {"size": "1Gi"}}},
            {"cloudnativePg": {"walStorage": {"size": "512Mi"}}},
            "`walStorage.size` of a live cluster cannot go from 1Gi to 512Mi",
        ),
        (
            {"cloudnativePg": {"walStorage": {"size": "1Gi"}}},
            {},
            "`walStorage` cannot be taken away from a live cluster: set it back to 1Gi",
        ),
        ({}, RECOVERY, "`recovery` means nothing to a cluster that is there already: take it away"),
    ],
    ids=["smaller volume", "smaller volume of the log", "no volume of the log", "a recovery"],
)
def test_a_change_that_a_live_cluster_does_not_survive_is_refused_with_what_to_do(
    before: Mapping[str, Any], after: Mapping[str, Any], expected: str
) -> None:
    assert of_cluster(before, after).startswith(expected)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"storage": {"size": "3Gi"}}),
        ({}, {"cloudnativePg": {"walStorage": {"size": "1Gi"}}}),
        (RECOVERY, {}),
        (RECOVERY, RECOVERY),
        ({}, {"instances": 2}),
    ],
    ids=["growth", "a volume of the log", "the end of a recovery", "the same recovery", "fewer instances"],
)
def test_a_change_that_a_live_cluster_survives_passes(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    assert of_cluster(before, after) == ""


@pytest.mark.parametrize(
    ("before", "after", "refused"),
    [
        ("host/postgres:17.6-aaaaaaaaaaaa", "host/postgres:17.5-bbbbbbbbbbbb", True),
        ("host/postgres:18.0", "host/postgres:17.9", True),
        ("host/postgres:17.6-aaaaaaaaaaaa", "host/postgres:17.6-bbbbbbbbbbbb", False),
        ("host/postgres:17.9", "host/postgres:17.10", False),
        ("host/postgres:17.6", "host/postgres:18.0", False),
    ],
)
def test_an_older_postgresql_is_refused_and_a_newer_one_passes(before: str, after: str, refused: bool) -> None:
    cluster = build().one("Cluster", "hot-postgres")
    old, new = copy.deepcopy(dict(cluster.props)), copy.deepcopy(dict(cluster.props))
    old["spec"]["imageName"], new["spec"]["imageName"] = before, after
    found = postgres_changes.of_cluster(old, new)
    assert [text.partition(":")[0] for text in found] == (
        [f"PostgreSQL of a live cluster cannot go from {before[14:18]} to {after[14:18]}"] if refused else []
    )


def test_all_that_is_wrong_is_told_at_once() -> None:
    before = {"storage": {"size": "2Gi"}, "cloudnativePg": {"walStorage": {"size": "1Gi"}}}
    found = of_cluster(before, {"storage": {"size": "1Gi"}})
    assert "`storage.size`" in found
    assert "`walStorage`" in found


@pytest.mark.parametrize(("before", "after"), [(CLOUDNATIVE_PG, KUBEDB), (KUBEDB, CLOUDNATIVE_PG)])
def test_another_engine_is_refused_for_a_live_stack_though_none_of_its_objects_stays(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> None:
    old, graph = build(base=before), build(base=after)
    found = graph.refusal(graph.one("Secret", "hot-postgres-auth"), old.one("Secret", "hot-postgres-auth").props)
    engines = [base.get("engine", "cloudnative-pg") for base in (before, after)]
    assert found.startswith(f"the engine of a live stack cannot change from {engines[0]} to {engines[1]}")
    assert f"set it back to `engine: {engines[0]}`" in found


def test_a_new_password_passes() -> None:
    old, graph = build(), build({"auth": {"superuserRotation": 2}})
    secret = graph.one("Secret", "hot-postgres-auth")
    assert graph.refusal(secret, old.one("Secret", "hot-postgres-auth").props) == ""


def test_a_smaller_volume_and_an_older_version_are_refused_for_kubedb_too() -> None:
    old = build({"storage": {"size": "2Gi"}, "kubedb": {"version": "17.4"}}, KUBEDB)
    graph = build({"storage": {"size": "1Gi"}, "kubedb": {"version": "16.8"}}, KUBEDB)
    found = graph.refusal(graph.one("Postgres", "hot-postgres"), old.one("Postgres", "hot-postgres").props)
    assert "cannot go from 2Gi to 1Gi" in found
    assert "cannot go from 17.4 to 16.8" in found
