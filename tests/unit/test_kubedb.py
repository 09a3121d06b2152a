"""What `PostgresHA` makes of its settings with the engine `kubedb`."""

import copy
from collections.abc import Mapping
from typing import Any

import jsonschema
import pytest

from tests.support import openapi
from tests.support.graph import Graph, Resource
from tests.support.postgres import KUBEDB, build


def kubedb(overrides: Mapping[str, Any] | None = None) -> Graph:
    return build(overrides, KUBEDB)


def postgres(overrides: Mapping[str, Any] | None = None) -> Resource:
    return kubedb(overrides).one("Postgres", "hot-postgres")


# Every shape that the object can take.
SHAPES: dict[str, Mapping[str, Any]] = {
    "as the slides have it": {"kubedb": {"version": "11.2"}},
    "asynchronous": {"synchronous": {"method": "none"}},
    "the first standbys": {"synchronous": {"method": "first", "number": 2}},
    "one instance": {"instances": 1, "synchronous": {"method": "none"}},
    "on a storage class, apart": {"storage": {"storageClass": "fast"}, "spread": "hard"},
    "encrypted": {"kubedb": {"sslMode": "verify-full", "issuer": "ca", "clientAuthMode": "cert"}},
    "for a trial": {"kubedb": {"storageType": "Ephemeral", "deletionPolicy": "WipeOut", "standbyMode": "Warm"}},
}


@pytest.mark.parametrize("overrides", SHAPES.values(), ids=SHAPES)
def test_every_shape_has_only_fields_that_kubedb_documents(overrides: Mapping[str, Any]) -> None:
    for manifest in kubedb(overrides).manifests():
        openapi.check(manifest, openapi.NEWEST)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("standbyMod",), "Hot"),
        (("standbyMode",), "hot"),
        (("terminationPolicy",), "Pause"),
        (("storage", "resources", "request"), {}),
        (("podTemplate", "spec", "resources"), {}),
    ],
    ids=[
        "a misspelled field",
        "a value of another time",
        "a field of another time",
        "deep inside",
        "of another version",
    ],
)
def test_what_kubedb_does_not_document_is_found(path: tuple[str, ...], value: object) -> None:
    manifest = copy.deepcopy(dict(postgres().props))
    *parents, last = path
    target = manifest["spec"]
    for parent in parents:
        target = target[parent]
    target[last] = value
    with pytest.raises(jsonschema.ValidationError, match=last if value != "hot" else "hot"):
        openapi.check(manifest, openapi.NEWEST)


def test_everything_that_the_slides_set_has_its_knob() -> None:
    spec = postgres({"kubedb": {"version": "11.2", "standbyMode": "Hot", "storageType": "Durable"}}).spec
    assert (spec["version"], spec["replicas"], spec["standbyMode"], spec["storageType"]) == (
        "11.2",
        3,
        "Hot",
        "Durable",
    )
    assert spec["storage"] == {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}}
    assert spec["authSecret"]["name"] == "hot-postgres-auth"


def test_a_commit_waits_for_a_standby_unless_the_stack_file_says_none() -> None:
    spec = postgres({"synchronous": {"method": "first", "number": 2}}).spec
    assert spec["streamingMode"] == "Synchronous"
    assert spec["synchronousReplicationConfig"] == {"mode": "First", "numSyncReplicas": 2}
    alone = postgres({"synchronous": {"method": "none"}}).spec
    assert alone["streamingMode"] == "Asynchronous"
    assert "synchronousReplicationConfig" not in alone


def test_parameters_are_quoted_as_postgresql_wants_them() -> None:
    spec = postgres({"maxConnections": 250, "parameters": {"log_line_prefix": "it's %m"}}).spec
    lines = spec["configuration"]["inline"]["user.conf"].splitlines()
    assert lines == ["max_connections = '250'", "log_line_prefix = 'it''s %m'"]


def test_roles_that_kubedb_does_not_know_are_made_at_the_first_start_with_the_passwords_of_their_secrets() -> None:
    graph = kubedb({"database": "shop", "owner": "seller"})
    secret = graph.one("Secret", "hot-postgres-init")
    assert secret.secrets == (("stringData", "init.sql"),)
    passwords = {
        name: graph.one("Secret", f"hot-postgres-{name}").props["stringData"]["password"] for name in ("app", "monitor")
    }
    assert secret.props["stringData"]["init.sql"].splitlines() == [
        f"CREATE ROLE seller LOGIN PASSWORD '{passwords['app']}';",
        "CREATE DATABASE shop OWNER seller;",
        f"CREATE ROLE monitor LOGIN PASSWORD '{passwords['monitor']}' IN ROLE pg_monitor;",
    ]
    assert postgres().spec["init"] == {"script": {"secret": {"secretName": "hot-postgres-init"}}}


def test_a_protected_database_is_one_that_kubedb_does_not_terminate_either() -> None:
    assert postgres().spec["deletionPolicy"] == "Halt"
    assert postgres({"protect": True}).spec["deletionPolicy"] == "DoNotTerminate"


def test_up_waits_until_kubedb_finds_the_database_ready() -> None:
    assert postgres().props["metadata"]["annotations"]["pulumi.com/waitFor"] == "jsonpath={.status.phase}=Ready"


def test_no_operator_is_installed_for_it_is_licensed() -> None:
    assert kubedb().released() == ()


def test_only_clients_and_the_operator_reach_its_pods() -> None:
    (policy,) = kubedb({"kubedb": {"operatorNamespace": "dbs"}}).all("NetworkPolicy")
    assert policy.spec["podSelector"]["matchLabels"]["app.kubernetes.io/instance"] == "hot-postgres"
    operator = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "dbs"}}}
    peers = {rule["ports"][0]["port"]: rule["from"] for rule in policy.spec["ingress"]}
    assert peers.keys() == {5432, 2379, 2380, 56790}
    assert {"podSelector": {"matchLabels": {"postgres-client": "true"}}} in peers[5432]
    assert all(operator in peers[port] for port in (5432, 2379, 2380))
