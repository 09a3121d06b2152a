"""What `FastApiApp` makes of its settings."""

from typing import Any

import pytest

from tests.support.cluster_rules import Pod, may_connect, picked_by, pods, stranger
from tests.support.graph import Graph, Resource
from tests.support.program import ROOT, build


def deployment(graph: Graph) -> Resource:
    return graph.one("Deployment", "fastapi-deployment")


def environment(graph: Graph) -> dict[str, str]:
    return {item["name"]: item["value"] for item in deployment(graph).container["env"] if "value" in item}


def mount_paths(graph: Graph) -> dict[str, str]:
    return {item["name"]: item["mountPath"] for item in deployment(graph).container["volumeMounts"]}


@pytest.mark.parametrize("change", [{"config": {"GREETING": "other"}}, {"secretRotation": 2}], ids=["config", "secret"])
def test_a_change_of_what_the_pods_read_at_their_start_rolls_them(change: dict[str, Any]) -> None:
    before, after = (deployment(graph).pod for graph in (build("dev"), build("dev", {"fastapi": change})))
    assert before["metadata"]["annotations"] != after["metadata"]["annotations"]
    assert before["spec"] == after["spec"]


@pytest.mark.parametrize(
    "change", [{"replicas": 1}, {"nodePort": 30002}, {"ingress": {"path": "/other"}}], ids=["replicas", "port", "path"]
)
def test_a_change_of_what_the_pods_do_not_read_rolls_none(change: dict[str, Any]) -> None:
    assert deployment(build("dev", {"fastapi": change})).pod == deployment(build("dev")).pod


def test_a_new_token_is_another_token_in_a_secret_of_the_same_name() -> None:
    first, second = (
        build("dev", {"fastapi": {"secretRotation": rotation}}).one("Secret", "fastapi-secret") for rotation in (1, 2)
    )
    assert first.urn == second.urn
    assert first.props["stringData"]["API_TOKEN"] != second.props["stringData"]["API_TOKEN"]
    assert "immutable" not in first.props, "an immutable one would have to be replaced under the running pods"


@pytest.mark.parametrize(
    "settings", [{"replicas": 1}, {"replicas": 2}, {"replicas": 5, "database": {"poolSize": 2}}], ids=str
)
def test_a_rolling_update_never_has_fewer_pods_than_asked_for(settings: dict[str, Any]) -> None:
    spec = deployment(build("dev", {"fastapi": settings})).spec
    assert spec["replicas"] == settings["replicas"]
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}


def test_a_drain_of_nodes_takes_one_pod_at_a_time() -> None:
    graph = build("dev")
    budget = graph.one("PodDisruptionBudget", "fastapi")
    assert budget.spec["maxUnavailable"] == 1
    assert picked_by(graph, budget) == ["fastapi-deployment"]


def test_liveness_asks_the_process_alone_and_readiness_whether_it_can_serve() -> None:
    container = deployment(build("dev")).container
    paths = {kind: container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")}
    assert paths == {"startup": "/livez", "liveness": "/livez", "readiness": "/readyz"}
    ports = {container[f"{kind}Probe"]["httpGet"]["port"] for kind in ("startup", "liveness", "readiness")}
    assert ports == {port["name"] for port in container["ports"]}


def test_a_pod_is_unready_before_it_is_restarted() -> None:
    container = deployment(build("dev")).container

    def seconds(kind: str) -> int:
        return container[f"{kind}Probe"]["periodSeconds"] * container[f"{kind}Probe"]["failureThreshold"]

    assert seconds("readiness") < seconds("liveness") < seconds("startup")


@pytest.mark.parametrize("drain", [1, 5, 60])
def test_a_stopping_pod_has_time_to_drain_and_then_to_end_its_requests(drain: int) -> None:
    pod = deployment(build("dev", {"fastapi": {"drainSeconds": drain}})).pod["spec"]
    (container,) = pod["containers"]
    assert container["lifecycle"]["preStop"] == {"sleep": {"seconds": drain}}
    assert pod["terminationGracePeriodSeconds"] > drain + shutdown_seconds()


def shutdown_seconds() -> int:
    """How long uvicorn is given for requests in flight, as the image says."""
    words = (ROOT / "images/fastapi/Dockerfile").read_text().replace('"', " ").replace(",", " ").split()
    return int(words[words.index("--timeout-graceful-shutdown") + 1])


def test_the_deployment_gives_up_before_pulumi_does_so_that_up_tells_kubernetes_reason() -> None:
    app = deployment(build("dev", {"fastapi": {"rolloutTimeoutSeconds": 100}}))
    assert app.timeouts == {"create": "100s", "update": "100s", "delete": "100s"}
    assert 0 < app.spec["progressDeadlineSeconds"] < 100


def test_the_service_leads_to_a_port_that_the_container_has() -> None:
    graph = build("dev")
    (port,) = graph.one("Service", "fastapi-service").spec["ports"]
    assert port["port"] == 80
    assert port["targetPort"] in {item["name"] for item in deployment(graph).container["ports"]}


def test_only_dev_opens_a_port_of_the_nodes() -> None:
    def exposure(stack: str) -> tuple[str, int | None]:
        spec = build(stack).one("Service", "fastapi-service").spec
        return spec["type"], spec["ports"][0].get("nodePort")

    assert exposure("dev") == ("NodePort", 30001)
    assert exposure("staging") == exposure("prod") == ("ClusterIP", None)


@pytest.mark.parametrize("stack", ["dev", "staging", "prod"])
def test_the_ingress_leads_to_a_port_that_the_service_has(stack: str) -> None:
    graph = build(stack)
    ingress = graph.one("Ingress", "fastapi-ingress")
    (rule,) = ingress.spec["rules"]
    (path,) = rule["http"]["paths"]
    service = graph.one("Service", path["backend"]["service"]["name"])
    assert path["backend"]["service"]["port"]["name"] in {port["name"] for port in service.spec["ports"]}
    assert (path["path"], path["pathType"]) == ("/cache", "Prefix")
    assert service.urn in ingress.dependencies


def test_the_ingress_of_prod_serves_its_host_under_a_certificate() -> None:
    spec = build("prod").one("Ingress", "fastapi-ingress").spec
    assert spec["tls"] == [{"hosts": [spec["rules"][0]["host"]], "secretName": "fastapi-tls"}]


def test_without_ingress_settings_there_is_no_ingress() -> None:
    graph = build("dev", {"fastapi": {"nodePort": None, "ingress": None}})
    assert graph.all("Ingress") == ()
    assert "fastapiIngressPath" not in graph.outputs


def test_the_app_finds_redis_by_the_name_and_port_of_its_service() -> None:
    graph = build("dev")
    service = graph.one("Service", "redis-service")
    host, port = environment(graph)["REDIS_HOST"], environment(graph)["REDIS_PORT"]
    assert host == f"{service.object_name}.{service.props['metadata']['namespace']}.svc"
    assert int(port) == service.spec["ports"][0]["port"]


def test_the_app_is_told_where_a_password_is_only_when_there_is_one() -> None:
    without = build("dev")
    assert "REDIS_PASSWORD_FILE" not in environment(without)
    assert "redis" not in mount_paths(without)

    with_password = build("dev", {"redis": {"auth": {"mode": "generated"}}})
    assert environment(with_password)["REDIS_PASSWORD_FILE"] == f"{mount_paths(with_password)['redis']}/password"


def test_the_token_is_a_file_where_the_app_is_told_to_look() -> None:
    graph = build("dev")
    (key,) = graph.one("Secret", "fastapi-secret").props["stringData"]
    assert environment(graph)["API_TOKEN_FILE"] == f"{mount_paths(graph)['token']}/{key}"


def test_the_settings_of_the_app_are_its_environment() -> None:
    graph = build("dev")
    assert graph.one("ConfigMap", "fastapi-config").props["data"]["APP_NAME"] == "hotstack"
    assert deployment(graph).container["envFrom"] == [{"configMapRef": {"name": "fastapi-config"}}]


INSIDE = {"redis-client": {"redis_client": "true"}, "stranger": {}}
# (stack, namespace of the client, its label, target, port) -> may it connect
REACHABLE: dict[tuple[str, str, str, str, int], bool] = {
    ("prod", "hotstack", "redis-client", "redis", 6379): True,
    ("prod", "hotstack", "redis-client", "redis-replica", 6379): True,
    ("prod", "hotstack", "redis-client", "redis", 6380): False,
    ("prod", "hotstack", "stranger", "redis", 6379): False,
    ("prod", "default", "redis-client", "redis", 6379): False,
    ("prod", "monitoring", "stranger", "redis", 6379): False,
    ("prod", "monitoring", "stranger", "fastapi-deployment", 8000): True,
    ("prod", "traefik", "stranger", "fastapi-deployment", 8000): True,
    ("prod", "traefik", "stranger", "fastapi-deployment", 8001): False,
    ("prod", "hotstack", "stranger", "fastapi-deployment", 8000): False,
    ("prod", "default", "stranger", "fastapi-deployment", 8000): False,
    ("dev", "demo", "redis-client", "redis", 6379): True,
    ("dev", "demo", "stranger", "redis", 6379): False,
    ("dev", "default", "stranger", "fastapi-deployment", 8000): True,
    ("dev", "default", "stranger", "fastapi-deployment", 8001): False,
}


@pytest.mark.parametrize(("case", "expected"), REACHABLE.items(), ids=str)
def test_who_may_reach_which_port(case: tuple[str, str, str, str, int], expected: bool) -> None:
    stack, namespace, label, target, port = case
    assert may_connect(build(stack), stranger(namespace, **INSIDE[label]), target, port) is expected


@pytest.mark.parametrize(("source", "target"), [("fastapi-deployment", "redis"), ("redis-replica", "redis")])
@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_the_stacks_own_pods_reach_the_redis_that_they_need(stack: str, source: str, target: str) -> None:
    graph = build(stack)
    assert may_connect(graph, pod_of(graph, source), target, 6379)


def test_redis_has_no_way_into_the_app() -> None:
    graph = build("prod")
    assert not may_connect(graph, pod_of(graph, "redis"), "fastapi-deployment", 8000)


def pod_of(graph: Graph, workload: str) -> Pod:
    (pod,) = [pod for pod in pods(graph) if pod.workload == workload]
    return pod


def test_the_scraper_is_let_in_from_the_namespace_that_the_stack_file_names() -> None:
    graph = build("prod", {"kubernetes": {"monitoringNamespace": "watch"}})
    assert may_connect(graph, stranger("watch"), "fastapi-deployment", 8000)
    assert not may_connect(graph, stranger("monitoring"), "fastapi-deployment", 8000)
