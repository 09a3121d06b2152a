"""What `PostgresHA` makes of its settings with the engine `cloudnative-pg`."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.support import openapi
from tests.support.graph import Graph, Resource
from tests.support.postgres import BUCKET, CLOUDNATIVE_PG, KUBEDB, build, endpoints

IN_TREE = {"cloudnativePg": {"backup": {"method": "in_tree"}}}
PLUGIN = {"cloudnativePg": {"backup": {"method": "plugin"}}}
RECOVERY = {"serverName": "old", "targetTime": "2026-01-31 12:00:00Z"}


def cluster(graph: Graph) -> Resource:
    return graph.one("Cluster", "hot-postgres")


def spec(overrides: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    return cluster(build(overrides, bucket=BUCKET)).spec


def rules(graph: Graph) -> dict[int, list[dict[str, Any]]]:
    policy = graph.one("NetworkPolicy", "hot-postgres")
    return {rule["ports"][0]["port"]: rule["from"] for rule in policy.spec["ingress"]}


@pytest.mark.parametrize("base", [CLOUDNATIVE_PG, KUBEDB], ids=["cloudnative-pg", "kubedb"])
@pytest.mark.parametrize("version", [openapi.OLDEST, openapi.NEWEST])
def test_every_object_is_valid_in_the_oldest_and_the_newest_kubernetes(base: Mapping[str, Any], version: str) -> None:
    for manifest in build(base=base).manifests():
        openapi.check(manifest, version)


@pytest.mark.parametrize(
    ("base", "primary", "replicas"),
    [
        (CLOUDNATIVE_PG, "hot-postgres-rw.demo.svc", "hot-postgres-ro.demo.svc"),
        (KUBEDB, "hot-postgres.demo.svc", "hot-postgres-standby.demo.svc"),
    ],
    ids=["cloudnative-pg", "kubedb"],
)
def test_both_engines_offer_the_same_two_endpoints(base: Mapping[str, Any], primary: str, replicas: str) -> None:
    writes, reads, hosts = endpoints(base=base)
    assert reads is not None
    assert hosts == {"primary": primary, "replicas": replicas}
    for endpoint in (writes, reads):
        assert (endpoint.port, endpoint.database, endpoint.client_label) == (5432, "app", ("postgres-client", "true"))
        assert endpoint.superuser.secret == "hot-postgres-auth"
        assert endpoint.application.secret == "hot-postgres-app"
        assert endpoint.monitor.secret == "hot-postgres-monitor"


def test_a_single_instance_offers_no_replicas() -> None:
    _, replicas, hosts = endpoints({"instances": 1, "synchronous": {"method": "none"}})
    assert replicas is None
    assert "replicas" not in hosts


@pytest.mark.parametrize("base", [CLOUDNATIVE_PG, KUBEDB], ids=["cloudnative-pg", "kubedb"])
@pytest.mark.parametrize(
    ("name", "role"),
    [("hot-postgres-auth", "postgres"), ("hot-postgres-app", "app"), ("hot-postgres-monitor", "monitor")],
)
def test_each_login_is_a_secret_of_its_own_that_an_operator_understands(
    base: Mapping[str, Any], name: str, role: str
) -> None:
    secret = build(base=base).one("Secret", name)
    assert secret.props["type"] == "kubernetes.io/basic-auth"
    assert secret.props["stringData"]["username"] == role
    assert ("stringData", "password") in secret.secrets
    assert secret.props["metadata"]["labels"]["cnpg.io/reload"] == "true"


@pytest.mark.parametrize(
    ("rotation", "changed"),
    [
        ("superuserRotation", "hot-postgres-auth"),
        ("applicationRotation", "hot-postgres-app"),
        ("monitorRotation", "hot-postgres-monitor"),
    ],
)
def test_a_rotation_changes_one_password_and_leaves_the_others(rotation: str, changed: str) -> None:
    def passwords(graph: Graph) -> dict[str, str]:
        return {secret.object_name: secret.props["stringData"]["password"] for secret in graph.all("Secret")}

    before, after = passwords(build()), passwords(build({"auth": {rotation: 2}}))
    assert {name for name in before if before[name] != after[name]} == {changed}


def test_the_cluster_comes_after_its_passwords_its_operator_and_the_policy_that_guards_it() -> None:
    graph = build()
    before = {resource.urn for resource in [*graph.all("Secret"), *graph.all("NetworkPolicy"), *graph.released()]}
    assert before <= set(cluster(graph).dependencies)


@pytest.mark.parametrize("instances", [2, 3])
def test_up_waits_until_the_operator_finds_every_instance_healthy(instances: int) -> None:
    graph = build({"instances": instances, "rolloutTimeoutSeconds": 77})
    waits_for = cluster(graph).props["metadata"]["annotations"]["pulumi.com/waitFor"]
    assert "{.status.phase}=Cluster in healthy state" in waits_for
    assert f"{{.status.readyInstances}}={instances}" in waits_for
    assert cluster(graph).timeouts == {"create": "77s", "update": "77s", "delete": "77s"}


def test_a_commit_waits_for_a_standby_unless_the_stack_file_says_none() -> None:
    assert spec()["postgresql"]["synchronous"] == {
        "method": "any",
        "number": 1,
        "dataDurability": "required",
        "failoverQuorum": True,
    }
    assert "synchronous" not in spec({"synchronous": {"method": "none"}})["postgresql"]


def test_parameters_of_the_stack_file_win_and_memory_decides_the_buffers_otherwise() -> None:
    small = spec({"resources": {"memory": "256Mi"}})["postgresql"]["parameters"]
    assert small == {"max_connections": "100", "shared_buffers": "65536kB"}
    own = spec({"parameters": {"shared_buffers": "32MB", "work_mem": "1MB"}, "maxConnections": 250})
    assert own["postgresql"]["parameters"] == {
        "max_connections": "250",
        "shared_buffers": "32MB",
        "work_mem": "1MB",
    }


def test_clients_without_encryption_are_rejected_before_the_operators_last_rule_lets_them_in() -> None:
    assert spec()["postgresql"]["pg_hba"] == ["hostssl all all all scram-sha-256", "host all all all reject"]


def test_the_certificate_holds_the_names_that_clients_go_by() -> None:
    names = ["pgpool.demo.svc"]
    assert cluster(build(server_names=names)).spec["certificates"] == {"serverAltDNSNames": names}
    assert "certificates" not in spec()


def test_prod_like_spread_leaves_an_instance_pending_rather_than_doubling_up() -> None:
    def placed(overrides: Mapping[str, Any]) -> tuple[str, str]:
        wanted = spec(overrides)
        (zones,) = wanted["topologySpreadConstraints"]
        assert zones["labelSelector"]["matchLabels"] == {"cnpg.io/cluster": "hot-postgres"}
        return wanted["affinity"]["podAntiAffinityType"], zones["whenUnsatisfiable"]

    assert placed({}) == ("preferred", "ScheduleAnyway")
    assert placed({"spread": "hard"}) == ("required", "ScheduleAnyway")
    assert placed({"spread": "hard", "cloudnativePg": {"zones": "hard"}}) == ("required", "DoNotSchedule")


def test_pods_go_only_to_the_nodes_that_the_stack_file_names() -> None:
    assert "nodeSelector" not in spec()["affinity"]
    assert spec({"cloudnativePg": {"nodeSelector": {"disk": "nvme"}}})["affinity"]["nodeSelector"] == {"disk": "nvme"}


def test_the_log_gets_a_volume_of_its_own_only_when_asked_for() -> None:
    assert "walStorage" not in spec()
    wal = {"size": "1Gi", "storageClass": "fast"}
    assert spec({"cloudnativePg": {"walStorage": wal}})["walStorage"] == wal


def test_a_failover_is_bounded_by_what_the_stack_file_says() -> None:
    wanted = spec({"cloudnativePg": {"failover": {"switchoverDelaySeconds": 11, "leaseSeconds": 9}}})
    assert wanted["switchoverDelay"] == 11
    assert wanted["primaryLease"]["leaseDurationSeconds"] == 9
    # The operator's own, three minutes, keeps a stopping primary from ending as long as a client stays.
    assert wanted["smartShutdownTimeout"] == 0


def test_only_clients_reach_postgresql_and_only_the_operator_its_status() -> None:
    peers = rules(build())
    operator = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "cnpg-system"}}}
    each_other = {"podSelector": {"matchLabels": {"cnpg.io/cluster": "hot-postgres"}}}
    assert peers == {
        5432: [each_other, {"podSelector": {"matchLabels": {"postgres-client": "true"}}}, operator],
        8000: [each_other, operator],
        9187: [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
    }


def test_an_operator_that_is_present_elsewhere_gets_in_from_there() -> None:
    present = {"mode": "present", "manifest": None, "image": None, "namespace": "postgres-operator"}
    graph = build({"cloudnativePg": {"operator": present}})
    assert graph.released() == ()
    assert {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "postgres-operator"}}} in rules(graph)[
        8000
    ]


@pytest.mark.parametrize("base", [CLOUDNATIVE_PG, KUBEDB], ids=["cloudnative-pg", "kubedb"])
def test_what_holds_data_is_protected_when_the_stack_file_says_so(base: Mapping[str, Any]) -> None:
    protected = [resource.kind for resource in build({"protect": True}, base).resources if resource.protect]
    assert protected == ["Cluster" if base is CLOUDNATIVE_PG else "Postgres"]
    assert not any(resource.protect for resource in build(base=base).resources)


def test_without_backup_nothing_goes_to_a_bucket() -> None:
    graph = build(bucket=BUCKET)
    assert graph.all("ScheduledBackup") == ()
    assert not {"backup", "plugins", "externalClusters", "env", "inheritedMetadata"} & cluster(graph).spec.keys()


def test_a_backup_in_tree_writes_to_the_bucket_with_its_keys_by_reference() -> None:
    graph = build(IN_TREE, bucket=BUCKET)
    backup = cluster(graph).spec["backup"]
    assert backup["retentionPolicy"] == "30d"
    assert backup["barmanObjectStore"] == {
        "destinationPath": "s3://backups/",
        "endpointURL": "http://versitygw.demo.svc:7070",
        "serverName": "hot-postgres",
        "s3Credentials": {
            "accessKeyId": {"name": "s3-keys", "key": "id"},
            "secretAccessKey": {"name": "s3-keys", "key": "secret"},
        },
        "wal": {"compression": "gzip", "encryption": "AES256"},
        "data": {"compression": "gzip", "encryption": "AES256", "immediateCheckpoint": True},
    }
    assert graph.one("ScheduledBackup", "hot-postgres").spec["method"] == "barmanObjectStore"
    assert graph.all("ObjectStore") == ()


def test_a_backup_by_the_plugin_writes_to_an_object_store() -> None:
    graph = build(PLUGIN, bucket=BUCKET)
    (plugin,) = cluster(graph).spec["plugins"]
    assert plugin["isWALArchiver"] is True
    assert plugin["parameters"] == {"barmanObjectName": "hot-postgres", "serverName": "hot-postgres"}
    store = graph.one("ObjectStore", "hot-postgres")
    assert store.spec["retentionPolicy"] == "30d"
    # The plugin is told the server's name, and wants none in the store.
    assert "serverName" not in store.spec["configuration"]
    assert store.urn in cluster(graph).dependencies
    backup = graph.one("ScheduledBackup", "hot-postgres").spec
    assert (backup["method"], backup["pluginConfiguration"]["name"]) == ("plugin", plugin["name"])
    assert "backup" not in cluster(graph).spec


def test_what_the_bucket_is_not_asked_to_do_is_not_said() -> None:
    plain = {"method": "in_tree", "encryption": "none", "compression": "none"}
    store = spec({"cloudnativePg": {"backup": plain}})["backup"]["barmanObjectStore"]
    assert (store["wal"], store["data"]) == ({}, {"immediateCheckpoint": True})


@pytest.mark.parametrize("backup", [IN_TREE, PLUGIN], ids=["in tree", "plugin"])
def test_pods_that_reach_for_the_bucket_carry_the_label_that_its_policy_lets_in(backup: Mapping[str, Any]) -> None:
    assert spec(backup)["inheritedMetadata"] == {"labels": {"s3-client": "true"}}


@pytest.mark.parametrize("method", ["in_tree", "plugin"])
def test_a_new_cluster_can_begin_with_the_backups_of_another_up_to_a_moment(method: str) -> None:
    graph = build({"cloudnativePg": {"recovery": {**RECOVERY, "method": method}}}, bucket=BUCKET)
    recovery = cluster(graph).spec["bootstrap"]["recovery"]
    assert recovery["recoveryTarget"] == {"targetTime": "2026-01-31T12:00:00+00:00"}
    (origin,) = cluster(graph).spec["externalClusters"]
    assert origin["name"] == recovery["source"]
    told = origin["barmanObjectStore"] if method == "in_tree" else origin["plugin"]["parameters"]
    assert told["serverName"] == "old"
    stores = [store.object_name for store in graph.all("ObjectStore")]
    assert stores == ([] if method == "in_tree" else [told["barmanObjectName"]])


def test_a_recovery_to_the_end_has_no_target_and_the_passwords_are_those_of_today() -> None:
    recovery = spec({"cloudnativePg": {"recovery": {"serverName": "old"}}})["bootstrap"]["recovery"]
    assert "recoveryTarget" not in recovery
    assert recovery["secret"] == {"name": "hot-postgres-app"}
    assert (recovery["database"], recovery["owner"]) == ("app", "app")


def test_a_cluster_that_recovers_and_archives_has_two_folders_in_the_bucket() -> None:
    both = {"backup": {"serverName": "new"}, "recovery": {"serverName": "old"}}
    graph = build({"cloudnativePg": both}, bucket=BUCKET)
    (plugin,), (origin,) = cluster(graph).spec["plugins"], cluster(graph).spec["externalClusters"]
    assert plugin["parameters"] == {"barmanObjectName": "hot-postgres", "serverName": "new"}
    assert origin["plugin"]["parameters"] == {"barmanObjectName": "hot-postgres-origin", "serverName": "old"}
    # Nothing may be cleared away in the backups of the other cluster.
    assert "retentionPolicy" not in graph.one("ObjectStore", "hot-postgres-origin").spec


def test_the_applications_database_outlives_its_object() -> None:
    graph = build({"database": "shop_1", "owner": "shop"})
    database = graph.one("Database", "hot-postgres-shop-1")
    assert (database.spec["name"], database.spec["owner"]) == ("shop_1", "shop")
    assert database.spec["databaseReclaimPolicy"] == "retain"
    assert cluster(graph).urn in database.dependencies
