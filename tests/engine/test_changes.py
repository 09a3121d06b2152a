"""What the engine means to do when a stack that is up is changed."""

import pytest

from tests.engine.conftest import MakeProject
from tests.support.program import Overrides, stack_file

STANDALONE: Overrides = {"redis": {"topology": "standalone", "replicas": None}}


def with_rotation(rotation: int) -> Overrides:
    return {"redis": {"auth": {"mode": "generated", "rotation": rotation}}}


def test_going_from_standalone_to_replication_leaves_the_primary_untouched(offline: MakeProject) -> None:
    project = offline("dev", STANDALONE)
    project.up()
    project.configure(stack_file("dev", None))
    plan = project.preview()
    assert plan.step("redis-primary").op == "same"
    assert plan.changed() == {
        "redis": {"update"},  # the component, which shows its topology
        "redis-replica": {"create"},
        "redis-replica-service": {"create"},
        # Rules know how many replicas there should be, and Prometheus reads them when it starts.
        "monitoring-prometheus-rules": {"update"},
        "monitoring-prometheus-server": {"update"},
    }


def test_a_new_password_changes_the_secret_and_who_refers_to_it_and_nothing_else(offline: MakeProject) -> None:
    project = offline("dev", with_rotation(2))
    project.up()
    project.configure(stack_file("dev", with_rotation(3)))
    plan = project.preview()
    assert plan.changed() == {
        "redis-password-3": {"create"},
        "redis-password-1": {"delete"},
        "redis-auth": {"replace"},
        "redis-primary": {"update"},
        "redis-replica": {"update"},
        "fastapi-deployment": {"update"},
    }
    for workload in ("redis-primary", "redis-replica", "fastapi-deployment"):
        (path,) = plan.step(workload).changes
        assert path.startswith("spec.template.spec.volumes[")
        assert path.endswith(".secret.secretName")


def test_a_change_of_settings_updates_config_maps_in_place_and_rolls_the_pods_that_read_them(
    offline: MakeProject,
) -> None:
    project = offline("dev")
    project.up()
    changed = {"redis": {"evictionPolicy": "noeviction"}, "fastapi": {"config": {"GREETING": "other"}}}
    project.configure(stack_file("dev", changed))
    assert project.preview().changed() == {
        name: {"update"}
        for name in ("redis-config", "redis-primary", "redis-replica", "fastapi-config", "fastapi-deployment")
    }


def test_what_would_lose_data_is_seen_as_such_and_refused_where_it_is_protected(offline: MakeProject) -> None:
    project = offline("dev")
    project.up()
    bigger = {"redis": {"persistence": {"size": "2Gi"}}}
    project.configure(stack_file("dev", bigger))
    assert project.preview().lost().keys() == {"redis-primary", "redis-replica"}

    project.configure(stack_file("dev", {"redis": {"protect": True}}))
    project.up()
    project.configure(stack_file("dev", {"redis": {**bigger["redis"], "protect": True}}))
    assert "is currently marked for protection" in project.run("preview", fails=True)


KUBEDB: Overrides = {"postgres": {"engine": "kubedb", "cloudnativePg": None, "kubedb": {}}}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"postgres": {"storage": {"size": "1Gi"}}}, "cannot go from 2Gi to 1Gi, for volumes never shrink"),
        ({"postgres": {"cloudnativePg": {"image": {"version": "16"}}}}, "cannot go from 17 to 16"),
        (KUBEDB, "the engine of a live stack cannot change from cloudnative-pg to kubedb"),
        ({"postgres": {"cloudnativePg": {"recovery": {"serverName": "old"}}}}, "`recovery` means nothing to a cluster"),
    ],
    ids=["smaller storage", "an older version", "another engine", "a recovery"],
)
def test_what_a_live_database_does_not_survive_is_refused_by_the_preview_with_what_to_do(
    offline: MakeProject, change: Overrides, expected: str
) -> None:
    project = offline("dev")
    project.up()
    project.configure(stack_file("dev", change))
    assert expected in project.run("preview", fails=True)
    project.configure(stack_file("dev", {"postgres": {"storage": {"size": "3Gi"}}}))
    assert project.preview().step("postgres-cluster").op == "update"


def test_a_protected_database_is_not_destroyed(offline: MakeProject) -> None:
    project = offline("dev", {"postgres": {"protect": True}})
    project.up()
    assert "postgres-cluster" in project.run("destroy", "--yes", "--skip-preview", fails=True)
