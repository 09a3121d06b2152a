"""What `FastApiApp` makes of its database: the ways to it, the login, the migration, and who may connect to whom."""

import re

import pytest

from tests.support.cluster_rules import may_connect, picked_by, pods, stranger
from tests.support.graph import Graph, Resource
from tests.support.program import Overrides, build

MIGRATION = "fastapi-migration"
PUBLISHED: Overrides = {
    "image": {"build": None, "context": None, "reference": "registry.example.com/app:2@sha256:" + "2" * 64}
}
WITHOUT_STANDBYS: Overrides = {"postgres": {"instances": 1, "synchronous": {"method": "none"}}}
NEW_LOGIN: Overrides = {"postgres": {"auth": {"applicationRotation": 2}}}


def app(graph: Graph) -> Resource:
    return graph.one("Deployment", "fastapi-deployment")


def migration(graph: Graph) -> Resource:
    (job,) = graph.all("Job")
    return job


def environment(workload: Resource) -> dict[str, str]:
    return {item["name"]: item["value"] for item in workload.container["env"] if "value" in item}


def files(workload: Resource, volume: str) -> dict[str, tuple[str, str]]:
    """The files that a container finds of a Secret: path -> name of the Secret, key in it."""
    (mount,) = (item for item in workload.container["volumeMounts"] if item["name"] == volume)
    (source,) = (item["secret"] for item in workload.pod["spec"]["volumes"] if item["name"] == volume)
    return {f"{mount['mountPath']}/{item['path']}": (source["secretName"], item["key"]) for item in source["items"]}


def test_the_app_writes_through_pgpool_and_reads_from_the_standbys_first() -> None:
    told = environment(app(build("dev")))
    assert (told["POSTGRES_HOST"], told["POSTGRES_PORT"]) == ("pgpool.demo.svc", "9999")
    assert told["POSTGRES_READ_HOSTS"] == "hot-postgres-ro.demo.svc,pgpool.demo.svc"
    assert told["POSTGRES_READ_PORTS"] == "5432,9999"
    assert told["POSTGRES_DATABASE"] == "app"


def test_without_standbys_the_app_reads_where_it_writes() -> None:
    told = environment(app(build("dev", WITHOUT_STANDBYS)))
    assert told["POSTGRES_HOST"] == "pgpool.demo.svc"
    assert not {"POSTGRES_READ_HOSTS", "POSTGRES_READ_PORTS"} & told.keys()


def test_the_app_opens_as_many_connections_as_the_stack_file_says() -> None:
    assert environment(app(build("dev")))["POSTGRES_POOL_SIZE"] == "5"
    smaller = build("dev", {"fastapi": {"database": {"poolSize": 2}}})
    assert environment(app(smaller))["POSTGRES_POOL_SIZE"] == "2"


def test_app_and_migration_find_the_login_of_the_application_in_files_and_no_other() -> None:
    graph = build("dev")
    for workload in (app(graph), migration(graph)):
        told, there = environment(workload), files(workload, "postgres")
        assert there[told["POSTGRES_USERNAME_FILE"]] == ("hot-postgres-app", "username")
        assert there[told["POSTGRES_PASSWORD_FILE"]] == ("hot-postgres-app", "password")
        mounted = {item.get("secret", {}).get("secretName") for item in workload.pod["spec"]["volumes"]}
        assert not {"hot-postgres-auth", "hot-postgres-monitor"} & mounted


def test_both_check_the_certificate_of_what_they_connect_to_and_never_see_the_key_that_signs() -> None:
    graph = build("dev")
    for workload in (app(graph), migration(graph)):
        told, there = environment(workload), files(workload, "postgres-ca")
        assert told["POSTGRES_SSLMODE"] == "verify-full"
        assert there == {told["POSTGRES_CA_FILE"]: ("hot-postgres-ca", "ca.crt")}
    # What they check it against: Pgpool-II shows PostgreSQL's own certificate, so that must name Pgpool-II.
    names = graph.one("Cluster", "hot-postgres").spec["certificates"]["serverAltDNSNames"]
    assert environment(app(graph))["POSTGRES_HOST"] in names


def test_without_tls_at_pgpool_neither_asks_for_a_certificate() -> None:
    graph = build("dev", {"pgpool": {"tlsSecretName": None}})
    for workload in (app(graph), migration(graph)):
        assert not {"POSTGRES_SSLMODE", "POSTGRES_CA_FILE"} & environment(workload).keys()
        assert "postgres-ca" not in {item["name"] for item in workload.pod["spec"]["volumes"]}


def test_a_new_password_of_the_application_rolls_pgpool_and_the_app_and_nothing_else() -> None:
    before, after = build("dev"), build("dev", NEW_LOGIN)
    pods_before, pods_after = ({item.urn: item.pod for item in graph.workloads()} for graph in (before, after))
    changed = {item.object_name for item in before.workloads() if pods_before[item.urn] != pods_after[item.urn]}
    assert changed == {"pgpool", "fastapi-deployment"}


def test_the_migration_is_named_by_the_image_so_that_each_version_of_the_app_migrates_once() -> None:
    first, second = build("dev"), build("dev", {"fastapi": PUBLISHED})
    assert re.fullmatch(r"fastapi-migration-[0-9a-f]{10}", migration(first).object_name)
    assert migration(first).object_name != migration(second).object_name
    for graph in (first, second):
        assert migration(graph).container["image"] == app(graph).container["image"]


def test_another_configuration_of_the_app_migrates_nothing() -> None:
    other = {"config": {"GREETING": "other"}, "replicas": 1, "secretRotation": 2}
    assert migration(build("dev", {"fastapi": other})).props == migration(build("dev")).props


def test_each_comes_after_what_it_shows_a_password_to_and_the_app_after_the_migration() -> None:
    graph = build("dev", NEW_LOGIN)
    assert graph.one("Deployment", "pgpool").urn in migration(graph).dependencies
    assert graph.one("Cluster", "hot-postgres").urn in graph.one("Deployment", "pgpool").dependencies
    assert graph.one("Database", "hot-postgres-app").urn in graph.one("Deployment", "pgpool").dependencies
    assert migration(graph).urn in app(graph).dependencies


def test_one_pod_at_a_time_migrates_and_a_migration_that_fails_ends() -> None:
    spec = migration(build("dev", {"fastapi": {"database": {"migrationTimeoutSeconds": 60}}})).spec
    assert spec.get("parallelism", 1) == spec.get("completions", 1) == 1
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    attempts = spec["backoffLimit"] + 1
    assert spec["activeDeadlineSeconds"] == 60 * attempts
    (container,) = spec["template"]["spec"]["containers"]
    assert {"name": "MIGRATE_TIMEOUT_SECONDS", "value": "60"} in container["env"]


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_no_service_leads_to_the_pod_of_the_migration(stack: str) -> None:
    graph = build(stack)
    assert picked_by(graph, graph.one("Service", "fastapi-service")) == ["fastapi-deployment"]
    leads_to = [name for service in graph.all("Service") for name in picked_by(graph, service)]
    assert migration(graph).object_name not in leads_to


# source -> target, by their ports below; all that is not here is refused.
CONNECTIONS = {
    ("fastapi-deployment", "pgpool"),
    ("fastapi-deployment", "hot-postgres"),
    (MIGRATION, "pgpool"),
    ("pgpool", "hot-postgres"),
    ("hot-postgres", "hot-postgres"),
}
PORTS = {"pgpool": 9999, "hot-postgres": 5432, "object-store": 7070}


@pytest.mark.parametrize(
    ("stack", "expected"), [("dev", CONNECTIONS | {("hot-postgres", "object-store")}), ("prod", CONNECTIONS)]
)
def test_of_the_stacks_own_pods_only_those_that_need_it_may_connect_to_postgresql_and_what_is_around_it(
    stack: str, expected: set[tuple[str, str]]
) -> None:
    graph = build(stack)
    targets = [pod.workload for pod in pods(graph) if pod.workload in PORTS]
    assert {
        (MIGRATION if source.workload.startswith(MIGRATION) else source.workload, target)
        for source in pods(graph)
        for target in targets
        if may_connect(graph, source, target, PORTS[target])
    } == expected


# (namespace of the client, its label, target, port) -> may it connect
REACHABLE: dict[tuple[str, str, str, int], bool] = {
    ("demo", "pgpool_client", "pgpool", 9999): True,
    ("demo", "postgres_client", "hot-postgres", 5432): True,
    ("demo", "pgpool_client", "hot-postgres", 5432): False,
    ("demo", "postgres_client", "pgpool", 9999): False,
    ("default", "pgpool_client", "pgpool", 9999): False,
    ("default", "postgres_client", "hot-postgres", 5432): False,
    ("demo", "pgpool_client", "pgpool", 9898): False,
    ("demo", "postgres_client", "hot-postgres", 8000): False,
    ("cnpg-system", "none", "hot-postgres", 8000): True,
    ("monitoring", "none", "hot-postgres", 9187): True,
    ("monitoring", "none", "hot-postgres", 5432): False,
    ("demo", "postgres_client", "hot-postgres", 9187): False,
}


@pytest.mark.parametrize(("case", "expected"), REACHABLE.items(), ids=str)
def test_strangers_reach_what_their_label_and_namespace_let_them_reach(
    case: tuple[str, str, str, int], expected: bool
) -> None:
    namespace, label, target, port = case
    assert may_connect(build("dev"), stranger(namespace, **{label: "true"}), target, port) is expected


@pytest.mark.parametrize("port", [5432, 8000, 9999])
def test_nobody_reaches_the_pod_of_the_migration(port: int) -> None:
    graph = build("dev")
    everyone = [*pods(graph), stranger("demo"), stranger("monitoring"), stranger("traefik")]
    assert not any(may_connect(graph, pod, migration(graph).object_name, port) for pod in everyone)
