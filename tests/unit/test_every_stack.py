"""What holds for every object of every stack."""

import copy
import re
from collections.abc import Iterator

import jsonschema
import pytest

from policies.rules import EVERYWHERE, PUBLISHED, violations
from tests.support import openapi
from tests.support.cluster_rules import picked_by, pods
from tests.support.graph import Graph, Path, Resource
from tests.support.program import STACKS, Overrides, build

# Every shape that objects can take, beside the stacks' own.
SHAPES: dict[str, Overrides] = {
    "standalone without persistence": {
        "redis": {"topology": "standalone", "replicas": None, "persistence": {"mode": "none"}}
    },
    "password after a rotation": {"redis": {"auth": {"mode": "generated", "rotation": 2}}},
    "existing password": {"redis": {"auth": {"mode": "existing", "secretName": "mine"}}},
    "snapshots on a storage class": {"redis": {"persistence": {"mode": "rdb", "storageClass": "fast"}}},
    "no exposure": {"fastapi": {"nodePort": None, "ingress": None}},
    "PostgreSQL by KubeDB": {"postgres": {"engine": "kubedb", "cloudnativePg": None, "kubedb": {}}},
    "metrics by pgpool2_exporter, for an operator of the cluster's": {
        "pgpool": {"exporter": {"exporter": "pgpool2_exporter"}},
        "monitoring": {"mode": "operator", "standalone": None, "operator": {}},
    },
    "no metrics": {"redis": {"exporter": None}, "pgpool": {"exporter": None}, "monitoring": None},
    "alerts to people": {
        "monitoring": {
            "standalone": {"receiver": {"slack": {"channel": "#ops", "url": {"secretName": "s", "secretKey": "url"}}}}
        }
    },
    "a Grafana beside Prometheus": {
        "monitoring": {
            "standalone": {"grafana": {"image": {"reference": f"docker.io/grafana/grafana:12.0.0@sha256:{'0' * 64}"}}}
        }
    },
    "PostgreSQL alone, by an operator that is there": {
        "postgres": {
            "instances": 1,
            "synchronous": {"method": "none"},
            "cloudnativePg": {"operator": {"mode": "present", "manifest": None, "image": None}},
        }
    },
}
# What every stack has, and nothing may rename without an alias.
CONTRACT = {
    ("StatefulSet", "redis"),
    ("StatefulSet", "redis-replica"),
    ("Service", "redis-service"),
    ("Service", "redis-read"),
    ("ConfigMap", "redis-config"),
    ("Deployment", "fastapi-deployment"),
    ("Service", "fastapi-service"),
    ("ConfigMap", "fastapi-config"),
    ("Secret", "fastapi-secret"),
    ("Cluster", "hot-postgres"),
    ("Secret", "hot-postgres-auth"),
    ("Secret", "hot-postgres-app"),
    ("Secret", "hot-postgres-monitor"),
    ("Deployment", "pgpool"),
    ("Service", "pgpool"),
    ("ConfigMap", "pgpool-config"),
    ("Service", "pgpool-stats"),
}
FOR_OTHER_NAMESPACES = ("Role", "RoleBinding")  # in which Prometheus may look
WAYS_TO_POSTGRES = ("postgres", "postgresRead", "pgpool")
COMPONENTS = {"RedisStack", "FastApiApp", "PostgresHA", "PgpoolLB", "Monitoring"}
# Made by the operator out of the Cluster; see its documentation of certificates.
MADE_BY_OPERATORS = {("Secret", "hot-postgres-ca"), ("Secret", "hot-postgres-server")}
MADE_BY_KUBERNETES = {("ConfigMap", "kube-root-ca.crt")}


@pytest.mark.parametrize("version", [openapi.OLDEST, openapi.NEWEST])
def test_every_object_is_valid_in_the_oldest_and_the_newest_kubernetes(graph: Graph, version: str) -> None:
    for manifest in graph.manifests():
        openapi.check(manifest, version)


@pytest.mark.parametrize("version", [openapi.OLDEST, openapi.NEWEST])
@pytest.mark.parametrize("overrides", SHAPES.values(), ids=SHAPES)
def test_every_shape_of_the_objects_is_valid_in_the_oldest_and_the_newest_kubernetes(
    overrides: Overrides, version: str
) -> None:
    for manifest in build("dev", overrides).manifests():
        openapi.check(manifest, version)


@pytest.mark.parametrize("version", [openapi.OLDEST, openapi.NEWEST])
def test_a_field_that_kubernetes_does_not_know_is_found_however_deep_it_is(version: str) -> None:
    manifest = copy.deepcopy(dict(build("dev").one("Deployment", "fastapi-deployment").props))
    manifest["spec"]["template"]["spec"]["containers"][0]["livenessProbe"]["httpGet"]["paht"] = "/livez"
    with pytest.raises(jsonschema.ValidationError, match="paht"):
        openapi.check(manifest, version)


def test_every_object_keeps_the_rules(graph: Graph) -> None:
    assert [reason for manifest in graph.manifests() for reason in violations(manifest, EVERYWHERE)] == []


@pytest.mark.parametrize("overrides", SHAPES.values(), ids=SHAPES)
def test_every_shape_of_the_objects_keeps_the_rules(overrides: Overrides) -> None:
    manifests = build("dev", overrides).manifests()
    assert [reason for manifest in manifests for reason in violations(manifest, EVERYWHERE)] == []


@pytest.mark.parametrize("stack", ["staging", "prod"])
def test_published_stacks_run_images_pinned_by_digest(stack: str) -> None:
    assert [reason for manifest in build(stack).manifests() for reason in violations(manifest, PUBLISHED)] == []
    assert [image for image in build(stack).images() if "@sha256:" not in image] == []


def test_prod_runs_the_very_images_that_staging_ran() -> None:
    assert build("prod").images() == build("staging").images()


def with_passwords(stack: str) -> Graph:
    """The graph with a password of every kind: by itself, dev has none for Redis."""
    return build(stack, {"redis": {"auth": {"mode": "generated", "rotation": 2}}} if stack == "dev" else None)


def leaves(value: object, path: Path = ()) -> Iterator[tuple[Path, object]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    else:
        yield path, value


@pytest.mark.parametrize("stack", STACKS)
def test_only_objects_of_kind_secret_hold_secrets(stack: str) -> None:
    graph = with_passwords(stack)
    assert {(resource.kind, path[0]) for resource in graph.resources for path in resource.secrets} == {
        ("Secret", "stringData")
    }


@pytest.mark.parametrize("stack", STACKS)
def test_no_secret_value_is_seen_anywhere_else_even_as_a_part_of_a_text(stack: str) -> None:
    graph = with_passwords(stack)
    values = graph.passwords()
    assert len(values) == len(graph.all("RandomPassword")) == (8 if stack == "dev" else 6), (
        "one of Redis, the app's token, three of PostgreSQL, one of Pgpool-II; in dev, two of Redis and a bucket's key"
    )
    seen = [
        (resource.urn, path)
        for resource in graph.resources
        for path, text in leaves(dict(resource.props))
        if path not in resource.secrets and any(value in str(text) for value in values)
    ]
    assert seen == []
    assert not any(value in str(graph.outputs) for value in values)


def serving(graph: Graph) -> list[Resource]:
    """The workloads that run until they are stopped."""
    return [workload for workload in graph.workloads() if workload.kind != "Job"]


def test_every_selector_picks_pods_of_the_stack(graph: Graph) -> None:
    selecting = [*graph.all("Service"), *graph.all("PodDisruptionBudget"), *graph.all("NetworkPolicy")]
    assert [resource.object_name for resource in selecting if not picked_by(graph, resource)] == []


def test_every_pod_has_a_network_policy_and_a_disruption_budget(graph: Graph) -> None:
    def picked(kind: str) -> set[str]:
        return {name for resource in graph.all(kind) for name in picked_by(graph, resource)}

    assert picked("NetworkPolicy") == {pod.workload for pod in pods(graph)}
    # A Job is over before a drain would spare it, and an operator makes its own budgets.
    assert picked("PodDisruptionBudget") == {workload.object_name for workload in serving(graph)}


def test_a_workload_picks_its_own_pods_and_no_others(graph: Graph) -> None:
    for workload in serving(graph):
        selector = workload.spec["selector"]["matchLabels"].items()
        fitting = [pod.workload for pod in pods(graph) if selector <= pod.labels.items()]
        assert fitting == [workload.object_name]


def test_pods_are_kept_apart_from_the_pods_that_they_stand_in_for(graph: Graph) -> None:
    for workload in serving(graph):
        for constraint in workload.pod["spec"]["topologySpreadConstraints"]:
            assert constraint["labelSelector"]["matchLabels"].items() <= workload.pod["metadata"]["labels"].items()


def test_every_object_goes_to_the_cluster_that_the_stack_file_names(graph: Graph) -> None:
    assert {resource.provider for resource in graph.objects()} == {"kubernetes"}


def test_every_object_is_in_a_namespace_of_the_stack_and_comes_after_it(graph: Graph) -> None:
    namespaces = {namespace.object_name: namespace.urn for namespace in graph.all("Namespace")}
    assert namespaces.keys() <= {graph.outputs["namespace"], "monitoring"}
    for resource in graph.objects():
        if resource.kind not in ("Namespace", *FOR_OTHER_NAMESPACES):
            assert namespaces[resource.props["metadata"]["namespace"]] in resource.dependencies


def test_the_namespace_enforces_what_the_stack_file_says_and_warns_about_the_rest() -> None:
    def levels(stack: str) -> dict[str, str]:
        graph = build(stack)
        namespace = graph.one("Namespace", graph.outputs["namespace"])
        labels = namespace.props["metadata"]["labels"]
        return {mode: labels[f"pod-security.kubernetes.io/{mode}"] for mode in ("enforce", "warn")}

    assert levels("dev") == {"enforce": "baseline", "warn": "restricted"}
    assert levels("prod") == {"enforce": "restricted", "warn": "restricted"}


def test_components_have_type_tokens_of_the_project(graph: Graph) -> None:
    components = [resource for resource in graph.resources if not resource.id]
    types = {component.type for component in components}
    assert types - {"hotstack:index:ObjectStore"} == {f"hotstack:index:{name}" for name in COMPONENTS}


def test_children_carry_the_name_of_their_component(graph: Graph) -> None:
    names = {resource.urn: resource.name for resource in graph.resources}
    for resource in graph.resources:
        if resource.parent is not None:
            assert re.fullmatch(rf"{names[resource.parent]}-[a-z0-9-]+", resource.name)


def test_names_that_are_a_contract_are_there(graph: Graph) -> None:
    there = {(resource.kind, resource.object_name) for resource in graph.objects()}
    assert there >= CONTRACT
    labels = {workload.pod["metadata"]["labels"]["app"] for workload in graph.workloads()}
    assert labels >= {"redis", "fastapi", "pgpool"}
    of_postgres = [graph.outputs[key].replace(f".{graph.outputs['namespace']}.svc", "") for key in WAYS_TO_POSTGRES]
    assert of_postgres == ["hot-postgres-rw:5432", "hot-postgres-ro:5432", "pgpool:9999"]


def test_dev_lives_in_the_namespace_of_the_lab() -> None:
    assert build("dev").one("Namespace", "demo").name == "namespace"


def test_a_service_comes_after_its_pods_so_that_a_failing_up_names_the_pod(graph: Graph) -> None:
    urns = {workload.object_name: workload.urn for workload in graph.workloads()}
    for service in graph.all("Service"):
        if service.spec.get("clusterIP") != "None":
            assert {urns[name] for name in picked_by(graph, service)} <= set(service.dependencies)


def test_pods_come_after_the_policy_that_guards_them(graph: Graph) -> None:
    for policy in graph.all("NetworkPolicy"):
        for maker in [*graph.workloads(), *graph.all("Cluster")]:
            if maker.object_name in picked_by(graph, policy):
                assert policy.urn in maker.dependencies


def test_every_volume_and_every_variable_refers_to_an_object_of_the_stack(graph: Graph) -> None:
    there = (
        {(resource.kind, resource.object_name) for resource in graph.objects()} | MADE_BY_OPERATORS | MADE_BY_KUBERNETES
    )
    for workload in graph.workloads():
        assert set(references(workload)) <= there


def references(workload: Resource) -> Iterator[tuple[str, str]]:
    """Kind and name of what the pods of a workload cannot start without."""
    pod = workload.pod["spec"]
    yield "ServiceAccount", pod["serviceAccountName"]
    for volume in pod.get("volumes", []):
        for source in [volume, *volume.get("projected", {}).get("sources", [])]:
            if "configMap" in source:
                yield "ConfigMap", source["configMap"]["name"]
            if "secret" in source:
                # A volume and a projection have the name under different keys.
                yield "Secret", source["secret"].get("secretName") or source["secret"]["name"]
    for container in workload.containers:
        for source in container.get("envFrom", []):
            yield "ConfigMap", source["configMapRef"]["name"]
    for name, _ in secret_keys(workload):
        yield "Secret", name


def test_every_key_that_pods_take_out_of_a_secret_of_the_stack_is_in_it(graph: Graph) -> None:
    keys = {secret.object_name: secret.props["stringData"].keys() for secret in graph.all("Secret")}
    taken = [(name, key) for workload in graph.workloads() for name, key in secret_keys(workload) if name in keys]
    assert ("hot-postgres-app", "password") in taken
    assert [(name, key) for name, key in taken if key not in keys[name]] == []


def secret_keys(workload: Resource) -> Iterator[tuple[str, str]]:
    """Name and key of each Secret that the pods of a workload take a single key of."""
    for variable in (item for container in workload.containers for item in container.get("env", [])):
        if "secretKeyRef" in variable.get("valueFrom", {}):
            yield variable["valueFrom"]["secretKeyRef"]["name"], variable["valueFrom"]["secretKeyRef"]["key"]
    for volume in workload.pod["spec"].get("volumes", []):
        for item in volume.get("secret", {}).get("items", []):
            yield volume["secret"]["secretName"], item["key"]


def test_every_mount_is_of_a_volume_and_every_volume_is_mounted(graph: Graph) -> None:
    for workload in graph.workloads():
        claims = [claim["metadata"]["name"] for claim in workload.spec.get("volumeClaimTemplates", [])]
        volumes = [*claims, *(volume["name"] for volume in workload.pod["spec"].get("volumes", []))]
        mounts = [mount["name"] for container in workload.containers for mount in container.get("volumeMounts", [])]
        assert len(volumes) == len(set(volumes))
        assert set(volumes) == set(mounts)


def test_config_maps_and_secrets_of_fixed_names_can_be_changed_in_place(graph: Graph) -> None:
    (provider,) = graph.all("kubernetes")
    assert (provider.props["enableConfigMapMutable"], provider.props["enableSecretMutable"]) == ("true", "true")
    for resource in [*graph.all("ConfigMap"), *graph.all("Secret")]:
        if resource.props.get("immutable"):
            assert resource.object_name.startswith(f"{resource.name}-"), "its replacement needs another name"
