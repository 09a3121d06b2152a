"""What `RedisStack` makes of its settings."""

from typing import Any

import pytest

from tests.support.cluster_rules import picked_by
from tests.support.graph import Graph, Resource
from tests.support.program import build
from tests.support.redis import build_redis

STANDALONE: dict[str, Any] = {"topology": "standalone", "replicas": None}


def with_auth(**auth: object) -> Graph:
    return build_redis(auth={"mode": "generated", **auth})


def composed(rotation: int) -> Graph:
    return build("dev", {"redis": {"auth": {"mode": "generated", "rotation": rotation}}})


def redis_conf(graph: Graph) -> dict[str, str]:
    lines = graph.one("ConfigMap", "redis-config").props["data"]["redis.conf"].splitlines()
    return dict(line.split(" ", 1) for line in lines)


def redis_workloads(graph: Graph) -> list[Resource]:
    return [workload for workload in graph.workloads() if workload.object_name.startswith("redis")]


def volume(workload: Resource, name: str) -> dict[str, Any] | None:
    return next((item for item in workload.pod["spec"].get("volumes", []) if item["name"] == name), None)


def redis_passwords(graph: Graph) -> list[str]:
    return [password.name for password in graph.all("RandomPassword") if password.name.startswith("redis-")]


def test_redis_service_leads_to_the_primary_alone_and_redis_read_to_the_replicas_alone() -> None:
    graph = build("dev")
    assert picked_by(graph, graph.one("Service", "redis-service")) == ["redis"]
    assert graph.one("StatefulSet", "redis").spec["replicas"] == 1
    assert picked_by(graph, graph.one("Service", "redis-read")) == ["redis-replica"]


def test_the_headless_service_names_all_redis_pods_before_they_are_ready() -> None:
    graph = build("dev")
    headless = graph.one("Service", "redis-headless")
    assert picked_by(graph, headless) == ["redis", "redis-replica"]
    assert headless.spec["clusterIP"] == "None"
    assert headless.spec["publishNotReadyAddresses"] is True
    assert {workload.spec["serviceName"] for workload in redis_workloads(graph)} == {"redis-headless"}


def test_services_of_redis_lead_to_a_port_that_its_container_has() -> None:
    graph = build("dev")
    (port,) = graph.one("StatefulSet", "redis").container["ports"]
    for name in ("redis-service", "redis-read", "redis-headless"):
        (leads_to,) = graph.one("Service", name).spec["ports"]
        assert (leads_to["targetPort"], leads_to["port"]) == (port["name"], port["containerPort"]) == ("redis", 6379)


def test_replicas_follow_the_first_pod_of_the_primary_by_its_own_name() -> None:
    graph = build("dev")

    def follows(workload: str) -> str:
        (variable,) = graph.one("StatefulSet", workload).container["env"]
        assert variable["name"] == "REDIS_PRIMARY"
        return variable["value"]

    assert follows("redis") == ""
    assert follows("redis-replica") == "redis-0.redis-headless"


def test_as_many_replicas_run_as_the_stack_file_asks_for() -> None:
    assert build_redis(replicas=3).one("StatefulSet", "redis-replica").spec["replicas"] == 3


def test_a_standalone_redis_has_one_workload_and_no_read_service() -> None:
    graph = build_redis(**STANDALONE)
    assert [workload.object_name for workload in redis_workloads(graph)] == ["redis"]
    services = {service.object_name for service in graph.all("Service") if service.name.startswith("redis-")}
    assert services == {"redis-service", "redis-headless", "redis-metrics"}
    assert "redisRead" not in build("dev", {"redis": STANDALONE}).outputs


def test_going_from_standalone_to_replication_leaves_the_primary_as_it_is() -> None:
    before = build_redis(**STANDALONE).one("StatefulSet", "redis")
    after = build_redis().one("StatefulSet", "redis")
    assert (after.urn, after.props) == (before.urn, before.props)


def test_redis_asks_for_a_password_unless_the_stack_file_says_none() -> None:
    graph = build_redis(auth=None)
    assert redis_passwords(graph) == ["redis-password-1"]
    assert redis_conf(graph)["protected-mode"] == "yes"
    assert all(volume(workload, "auth") for workload in redis_workloads(graph))


def test_auth_none_makes_no_password_and_answers_beyond_the_loopback() -> None:
    graph = build_redis(auth={"mode": "none"})
    assert redis_passwords(graph) == []
    assert not any(secret.name.startswith("redis-") for secret in graph.all("Secret"))
    assert redis_conf(graph)["protected-mode"] == "no"
    assert not any(volume(workload, "auth") for workload in redis_workloads(graph))


def test_an_existing_password_is_used_by_reference_and_none_is_generated() -> None:
    graph = build_redis(auth={"mode": "existing", "secretName": "mine", "secretKey": "redis"})
    assert redis_passwords(graph) == []
    for workload in redis_workloads(graph):
        mounted = volume(workload, "auth")
        assert mounted is not None
        assert mounted["secret"]["secretName"] == "mine"
        assert mounted["secret"]["items"] == [{"key": "redis", "path": "password"}]


def test_a_new_password_keeps_the_one_before_it_valid() -> None:
    first, second, third = (with_auth(rotation=rotation).one("Secret", "redis-auth").props for rotation in (1, 2, 3))
    assert set(first["stringData"]) == {"password"}
    assert second["stringData"]["previous-password"] == first["stringData"]["password"]
    assert third["stringData"]["previous-password"] == second["stringData"]["password"]
    assert len({secret["stringData"]["password"] for secret in (first, second, third)}) == 3


def test_a_password_keeps_its_name_in_pulumi_so_that_the_engine_keeps_its_value() -> None:
    def passwords(rotation: int) -> set[str]:
        return set(redis_passwords(with_auth(rotation=rotation)))

    assert passwords(1) < passwords(2)
    assert len(passwords(2) & passwords(3)) == 1


def test_redis_is_given_the_previous_password_from_the_second_rotation_on() -> None:
    def files(rotation: int) -> list[set[str]]:
        mounted = [volume(workload, "auth") for workload in redis_workloads(with_auth(rotation=rotation))]
        return [{item["path"] for item in auth["secret"]["items"]} for auth in mounted if auth is not None]

    assert files(1) == [{"password"}] * 2
    assert files(2) == [{"password", "previous-password"}] * 2


def test_a_new_password_rolls_the_pods_that_read_it_by_another_name_of_the_secret() -> None:
    def references(rotation: int) -> set[str]:
        graph = composed(rotation)
        readers = [*redis_workloads(graph), graph.one("Deployment", "fastapi-deployment")]
        mounted = [volume(workload, "auth") or volume(workload, "redis") for workload in readers]
        names = [auth["secret"]["secretName"] for auth in mounted if auth is not None]
        assert len(names) == 3, "primary, replicas and the app"
        assert set(names) == {graph.one("Secret", "redis-auth").object_name}
        return set(names)

    assert references(1).isdisjoint(references(2))


def test_the_app_comes_after_all_redis_pods_so_that_it_never_shows_a_password_too_early() -> None:
    graph = composed(rotation=2)
    assert graph.one("StatefulSet", "redis").urn in graph.one("StatefulSet", "redis-replica").dependencies
    assert graph.one("StatefulSet", "redis").urn in graph.one("Deployment", "fastapi-deployment").dependencies


@pytest.mark.parametrize(
    "change",
    [{"evictionPolicy": "noeviction"}, {"persistence": {"mode": "rdb"}}, {"resources": {"memory": "128Mi"}}],
    ids=str,
)
def test_a_change_of_the_configuration_rolls_the_pods(change: dict[str, Any]) -> None:
    before, after = build_redis(), build_redis(**change)
    for name in ("redis", "redis-replica"):
        checksums = [
            graph.one("StatefulSet", name).pod["metadata"]["annotations"]["hotstack.dev/config-checksum"]
            for graph in (before, after)
        ]
        assert checksums[0] != checksums[1]


def test_a_change_elsewhere_in_the_stack_rolls_no_redis_pod() -> None:
    before, after = build("dev"), build("dev", {"fastapi": {"replicas": 1, "config": {"GREETING": "other"}}})
    for name in ("redis", "redis-replica"):
        assert before.one("StatefulSet", name) == after.one("StatefulSet", name)


def test_maxmemory_follows_the_memory_limit_and_leaves_a_quarter_for_buffers() -> None:
    def maxmemory(memory: str) -> int:
        return int(redis_conf(build_redis(resources={"memory": memory}))["maxmemory"])

    assert maxmemory("64Mi") == 48 * 1024 * 1024
    assert maxmemory("1Gi") == 768 * 1024 * 1024


@pytest.mark.parametrize(
    ("mode", "appendonly", "save"), [("aof", "yes", '""'), ("rdb", "no", "3600 1 300 100 60 10000")]
)
def test_persistence_decides_what_redis_writes(mode: str, appendonly: str, save: str) -> None:
    conf = redis_conf(build_redis(persistence={"mode": mode}))
    assert (conf["appendonly"], conf["save"], conf["dir"]) == (appendonly, save, "/data")


def test_without_persistence_the_data_lives_in_a_bounded_volume_that_goes_with_the_pod() -> None:
    graph = build_redis(**STANDALONE, persistence={"mode": "none"})
    redis = graph.one("StatefulSet", "redis")
    assert redis.spec["volumeClaimTemplates"] == []
    assert volume(redis, "data") == {"name": "data", "emptyDir": {"sizeLimit": "128Mi"}}
    assert redis_conf(graph)["appendonly"] == "no"


def test_with_persistence_each_pod_claims_a_volume_of_the_size_and_class_asked_for() -> None:
    graph = build_redis(persistence={"size": "2Gi", "storageClass": "fast"})
    (claim,) = graph.one("StatefulSet", "redis").spec["volumeClaimTemplates"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "2Gi"
    assert claim["spec"]["storageClassName"] == "fast"
    assert {"name": "data", "mountPath": "/data"} in graph.one("StatefulSet", "redis").container["volumeMounts"]


# What Kubernetes cannot change in a StatefulSet, and Pulumi therefore replaces it for.
FROZEN_FIELDS = ("podManagementPolicy", "revisionHistoryLimit", "selector", "serviceName", "volumeClaimTemplates")


@pytest.mark.parametrize("role", ["primary", "replica"])
def test_nothing_that_would_replace_a_statefulset_has_changed_since_its_first_release(role: str) -> None:
    name = {"primary": "redis", "replica": "redis-replica"}[role]
    statefulset = build("dev").one("StatefulSet", name)
    assert {field: statefulset.spec[field] for field in FROZEN_FIELDS if field in statefulset.spec} == {
        "podManagementPolicy": "Parallel",
        "serviceName": "redis-headless",
        "selector": {
            "matchLabels": {
                "app": "redis",
                "app.kubernetes.io/name": "redis",
                "app.kubernetes.io/instance": "redis",
                "app.kubernetes.io/component": role,
            }
        },
        "volumeClaimTemplates": [
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": "data"},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "256Mi"}}},
            }
        ],
    }


def test_prod_protects_what_holds_data_and_dev_does_not() -> None:
    # The namespace too: it takes every volume in it along.
    protected = {item.object_name for item in build("prod").objects() if item.protect}
    assert protected == {"redis", "redis-replica", "hot-postgres", "hotstack"}
    assert not any(item.protect for item in build("dev").resources)


@pytest.mark.parametrize(
    ("persistence", "outlives"),
    [
        ({"mode": "aof", "keepVolumes": True}, True),
        ({"mode": "aof", "keepVolumes": False}, False),
        ({"mode": "none", "keepVolumes": True}, False),
    ],
    ids=["kept", "not kept", "nothing to keep"],
)
def test_the_namespace_of_volumes_that_are_kept_is_not_deleted_with_the_stack(
    persistence: dict[str, object], outlives: bool
) -> None:
    graph = build("dev", {"redis": {**STANDALONE, "persistence": persistence}})
    assert graph.one("Namespace", "demo").retain_on_delete is outlives


def test_volumes_outlive_a_scale_down_in_every_stack() -> None:
    for stack in ("dev", "prod"):
        policy = build(stack).one("StatefulSet", "redis").spec["persistentVolumeClaimRetentionPolicy"]
        assert policy["whenScaled"] == "Retain"


def test_liveness_asks_for_any_answer_and_readiness_for_one_that_serves() -> None:
    container = build("dev").one("StatefulSet", "redis").container
    scripts = {kind: container[f"{kind}Probe"]["exec"]["command"][-1] for kind in ("startup", "liveness", "readiness")}
    assert scripts == {
        "startup": "/etc/redis/ping.sh",
        "liveness": "/etc/redis/ping.sh",
        "readiness": "/etc/redis/ready.sh",
    }
    assert container["livenessProbe"]["periodSeconds"] * container["livenessProbe"]["failureThreshold"] >= 60


def test_every_script_that_a_probe_or_the_container_runs_is_in_the_config() -> None:
    graph = build("dev")
    container = graph.one("StatefulSet", "redis").container
    commands = [container["command"]] + [
        container[f"{kind}Probe"]["exec"]["command"] for kind in ("startup", "liveness", "readiness")
    ]
    assert {"name": "config", "mountPath": "/etc/redis", "readOnly": True} in container["volumeMounts"]
    files = graph.one("ConfigMap", "redis-config").props["data"]
    assert {command[-1].removeprefix("/etc/redis/") for command in commands} <= files.keys()


def pods_that_find_a_node(workload: Resource, pods: int, nodes: int) -> int:
    """How many of `pods` the scheduler would place on empty `nodes`, by its rule for spread over nodes."""
    (constraint,) = (
        constraint
        for constraint in workload.pod["spec"]["topologySpreadConstraints"]
        if constraint["topologyKey"] == "kubernetes.io/hostname"
    )
    if constraint["whenUnsatisfiable"] == "ScheduleAnyway":
        return pods
    counts = [0] * nodes
    for _ in range(pods):
        # Fewer nodes than asked for count as if there were an empty one more.
        fewest = min(counts) if nodes >= constraint.get("minDomains", 1) else 0
        if min(counts) + 1 - fewest > constraint["maxSkew"]:
            break
        counts[counts.index(min(counts))] += 1
    return sum(counts)


@pytest.mark.parametrize(("stack", "placed"), [("prod", 2), ("dev", 3)])
def test_pods_of_prod_wait_for_a_node_of_their_own_and_those_of_dev_do_not(stack: str, placed: int) -> None:
    for workload in redis_workloads(build(stack)):
        assert pods_that_find_a_node(workload, pods=3, nodes=2) == placed
        assert pods_that_find_a_node(workload, pods=4, nodes=3) == 4, "a roll's extra pod must find a place"


def test_up_waits_for_redis_as_long_as_the_stack_file_says() -> None:
    graph = build_redis(rolloutTimeoutSeconds=77)
    for workload in redis_workloads(graph):
        assert workload.timeouts == {"create": "77s", "update": "77s", "delete": "77s"}
