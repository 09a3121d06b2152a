"""What `ObjectStore` makes of its settings, and what the rest of the stack is told of it."""

import pytest

from settings import SettingsError
from tests.support.cluster_rules import may_connect, picked_by, pods, stranger
from tests.support.graph import Graph, Resource
from tests.support.program import attempt, build


def store(graph: Graph) -> Resource:
    return graph.one("StatefulSet", "object-store")


def with_settings(**values: object) -> Graph:
    return build("dev", {"objectStore": values})


def secret_keys(resource: Resource) -> dict[str, tuple[str, str]]:
    """The variables of the container that come from Secrets: name and key of each."""
    sources = {item["name"]: item["valueFrom"]["secretKeyRef"] for item in resource.container["env"]}
    return {variable: (source["name"], source["key"]) for variable, source in sources.items()}


def test_the_service_leads_to_the_port_of_the_only_pod() -> None:
    graph = build("dev")
    service = graph.one("Service", "object-store")
    assert picked_by(graph, service) == ["object-store"]
    (leads_to,) = service.spec["ports"]
    (port,) = store(graph).container["ports"]
    assert (leads_to["port"], leads_to["targetPort"], port["containerPort"]) == (7070, port["name"], 7070)
    assert store(graph).spec["replicas"] == 1


def test_postgresql_backs_up_to_its_bucket_with_its_keys() -> None:
    graph = with_settings(bucket="elsewhere")
    told = graph.one("Cluster", "hot-postgres").spec["backup"]["barmanObjectStore"]
    assert told["destinationPath"] == "s3://elsewhere/"
    assert told["endpointURL"] == "http://object-store.demo.svc:7070"
    keys = secret_keys(store(graph))
    credentials = {
        variable: (told["s3Credentials"][of]["name"], told["s3Credentials"][of]["key"])
        for variable, of in (("ROOT_ACCESS_KEY_ID", "accessKeyId"), ("ROOT_SECRET_ACCESS_KEY", "secretAccessKey"))
    }
    assert credentials == keys


def test_the_bucket_is_a_folder_of_the_volume_and_no_other_can_be_made() -> None:
    container = store(with_settings(bucket="elsewhere")).container
    served = container["args"][-1]
    (mount,) = container["volumeMounts"]
    assert mount == {"name": "data", "mountPath": f"{served}/elsewhere", "subPath": "elsewhere"}
    assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_only_pods_with_the_client_label_may_connect() -> None:
    graph = build("dev")
    assert not may_connect(graph, stranger("demo"), "object-store", 7070)
    assert [pod.workload for pod in pods(graph) if may_connect(graph, pod, "object-store", 7070)] == ["hot-postgres"]


def test_the_keys_are_generated_and_in_a_secret_alone() -> None:
    graph = build("dev")
    secret = graph.one("Secret", "object-store-keys")
    key = secret.props["stringData"]["secret-access-key"]
    assert ("stringData", "secret-access-key") in secret.secrets
    assert len(key) == 32
    others = [item for item in graph.objects() if item is not secret]
    assert not any(key in str(item.props) for item in others)


def test_a_rotation_makes_a_new_key_and_rolls_the_pod() -> None:
    first, second = with_settings(keysRotation=1), with_settings(keysRotation=2)
    keys = [graph.one("Secret", "object-store-keys").props["stringData"] for graph in (first, second)]
    assert keys[0]["secret-access-key"] != keys[1]["secret-access-key"]
    assert store(first).pod["metadata"]["annotations"] != store(second).pod["metadata"]["annotations"]


def test_its_volume_has_the_size_and_class_asked_for_and_goes_or_stays_as_asked_for() -> None:
    graph = with_settings(size="7Gi", storageClass="fast", keepVolumes=True)
    (claim,) = store(graph).spec["volumeClaimTemplates"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "7Gi"
    assert claim["spec"]["storageClassName"] == "fast"
    assert store(graph).spec["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == "Retain"
    assert store(build("dev")).spec["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == "Delete"


def test_a_store_that_is_protected_is_not_deleted_and_neither_is_its_namespace() -> None:
    graph = with_settings(protect=True)
    assert store(graph).protect
    assert graph.one("Namespace", "demo").protect


def test_up_waits_for_it_as_long_as_the_stack_file_says() -> None:
    graph = with_settings(rolloutTimeoutSeconds=77)
    for resource in (store(graph), graph.one("Service", "object-store")):
        assert resource.timeouts == {"create": "77s", "update": "77s", "delete": "77s"}


@pytest.mark.parametrize("bucket", ["No", "ab", "under_score", "-ends"])
def test_a_bucket_of_a_name_that_s3_does_not_take_is_refused(bucket: str) -> None:
    outcome = attempt("dev", {"objectStore": {"bucket": bucket}})
    assert isinstance(outcome.error, SettingsError)
    assert "hotstack:objectStore.bucket: got " in str(outcome.error)
    assert outcome.graph.resources == ()


def test_without_a_store_nothing_of_it_is_declared() -> None:
    elsewhere = {"name": "backups", "secretName": "keys"}
    graph = build("dev", {"objectStore": None, "bucket": elsewhere})
    assert not [item for item in graph.resources if "object-store" in item.name]
