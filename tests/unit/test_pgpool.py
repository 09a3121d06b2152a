"""What `PgpoolLB` makes of its settings and of the endpoints behind it."""

import json
import re
from collections.abc import Mapping
from typing import Any

import pulumi
import pytest

from components.endpoints import Login, PostgresEndpoint, SecretKey
from components.pgpool import PgpoolLB, PgpoolLBArgs
from components.pgpool_settings import PgpoolSettings
from tests.support.cluster_rules import may_connect, picked_by, stranger
from tests.support.graph import Graph
from tests.support.program import run

IMAGE = "registry.example/pgpool:1"
CLIENT_LABEL = ("postgres-client", "true")
TLS = {"tlsSecretName": "pgpool-tls"}
ENVIRONMENT = {"configuration": "environment"}


def endpoint(service: str, tls: bool, logins_key: str) -> PostgresEndpoint:
    return PostgresEndpoint(
        host=f"{service}.demo.svc",
        port=5432,
        database="app",
        application=Login(secret="postgres-app", role="app"),
        superuser=Login(secret="hot-postgres-auth", role="postgres"),
        monitor=Login(secret="postgres-monitor", role="monitor"),
        logins_key=logins_key,
        ca=SecretKey(name="postgres-ca", key="ca.crt") if tls else None,
        client_label=CLIENT_LABEL,
        workloads=[],
    )


def build(
    changes: Mapping[str, Any] | None = None, *, tls: bool = True, standbys: int = 2, logins_key: str = "1"
) -> Graph:
    settings = PgpoolSettings.model_validate_json(json.dumps({"image": {"build": "images/pgpool"}, **(changes or {})}))
    replicas = endpoint("hot-postgres-ro", tls, logins_key) if standbys else None

    def program() -> None:
        PgpoolLB(
            "pgpool",
            PgpoolLBArgs(
                settings=settings,
                image=IMAGE,
                scraper_namespace="monitoring",
                namespace="demo",
                primary=endpoint("hot-postgres-rw", tls, logins_key),
                replicas=replicas,
                standbys=standbys,
            ),
        )

    outcome = run(program)
    if outcome.error is not None:
        raise outcome.error
    return outcome.graph


def container(graph: Graph) -> Mapping[str, Any]:
    return graph.one("Deployment", "pgpool").container


def variables(graph: Graph) -> dict[str, str]:
    return {item["name"]: item["value"] for item in container(graph)["env"] if "value" in item}


def secret_variables(graph: Graph) -> dict[str, tuple[str, str]]:
    references = {
        item["name"]: item["valueFrom"]["secretKeyRef"] for item in container(graph)["env"] if "valueFrom" in item
    }
    return {name: (reference["name"], reference["key"]) for name, reference in references.items()}


def files(graph: Graph) -> dict[str, str]:
    return graph.one("ConfigMap", "pgpool-config").props["data"]


def parameters(graph: Graph) -> dict[str, str]:
    """What Pgpool-II is told, whichever way: pgpool.conf as its own parser reads it, or the variables of the image."""
    if not graph.all("ConfigMap"):
        told = variables(graph).items()
        return {name[14:].lower(): value for name, value in told if name.startswith("PGPOOL_PARAMS_")}
    lines = files(graph)["pgpool.conf"].splitlines()
    parsed = [re.fullmatch(r"([a-z_]+[0-9]?) = '([^']*)'", line) for line in lines]
    assert None not in parsed, "every line is a name and a quoted value"
    return {match[1]: match[2] for match in parsed if match is not None}


def checksum(graph: Graph) -> str:
    return graph.one("Deployment", "pgpool").pod["metadata"]["annotations"]["hotstack.dev/config-checksum"]


def mounted(graph: Graph) -> dict[str, list[str]]:
    """Files of Secrets and ConfigMaps below their mount points, by the object's name."""
    result: dict[str, list[str]] = {}
    paths = {mount["name"]: mount["mountPath"] for mount in container(graph)["volumeMounts"]}
    for volume in graph.one("Deployment", "pgpool").pod["spec"]["volumes"]:
        for source in volume.get("projected", {}).get("sources", []):
            for item in source.get("secret", {}).get("items", []):
                result.setdefault(source["secret"]["name"], []).append(f"{paths[volume['name']]}/{item['path']}")
    return result


def test_the_primary_can_never_be_taken_for_a_standby_and_no_node_is_ever_taken_out() -> None:
    told = parameters(build())
    assert (told["backend_hostname0"], told["backend_port0"]) == ("hot-postgres-rw.demo.svc", "5432")
    assert told["backend_flag0"] == "ALWAYS_PRIMARY|DISALLOW_TO_FAILOVER"
    assert (told["backend_hostname1"], told["backend_port1"]) == ("hot-postgres-ro.demo.svc", "5432")
    assert told["backend_flag1"] == "DISALLOW_TO_FAILOVER"
    assert (told["failover_on_backend_error"], told["sr_check_period"], told["health_check_period"]) == (
        "off",
        "0",
        "0",
    )


def test_without_standbys_there_is_one_backend_and_no_empty_service_to_wait_for() -> None:
    assert not any(name.endswith("1") for name in parameters(build(standbys=0)))


@pytest.mark.parametrize(
    ("balancing", "weights"),
    [
        ({}, ("1", "2")),
        ({"primaryWeight": 0}, ("0", "2")),
        ({"primaryWeight": 0.5, "replicasWeight": 3}, ("0.5", "3")),
        ({"replicasWeight": 0}, ("1", "0")),
    ],
    ids=str,
)
def test_reads_are_spread_by_the_weights_of_the_settings_or_evenly_over_all_servers(
    balancing: dict[str, float], weights: tuple[str, str]
) -> None:
    told = parameters(build({"loadBalancing": balancing}))
    assert (told["backend_weight0"], told["backend_weight1"]) == weights


@pytest.mark.parametrize(
    ("level", "told"), [("statement", ("on", "on")), ("session", ("on", "off")), ("off", ("off", "off"))]
)
def test_balancing_is_by_statement_by_session_or_off(level: str, told: tuple[str, str]) -> None:
    values = parameters(build({"loadBalancing": {"level": level}}))
    assert (values["load_balance_mode"], values["statement_level_load_balance"]) == told


@pytest.mark.parametrize(
    ("changes", "name", "value"),
    [
        ({"pooling": {"numInitChildren": 64}}, "num_init_children", "64"),
        ({"pooling": {"maxPool": 4}}, "max_pool", "4"),
        ({"pooling": {"connectionLifeTime": 0}}, "connection_life_time", "0"),
        ({"pooling": {"clientIdleLimit": 90}}, "client_idle_limit", "90"),
        ({"pooling": {"processManagementMode": "dynamic", "maxSpareChildren": 8}}, "max_spare_children", "8"),
        (
            {"loadBalancing": {"disableLoadBalanceOnWrite": "dml_adaptive"}},
            "disable_load_balance_on_write",
            "dml_adaptive",
        ),
        ({"loadBalancing": {"allowSqlComments": True}}, "allow_sql_comments", "on"),
        ({"replicas": 1, "queryCache": {"enabled": True}}, "memory_cache_enabled", "on"),
        (
            {"queryCache": {"enabled": True, "memqcacheMethod": "memcached", "memqcacheMemcachedHost": "memcached"}},
            "memqcache_memcached_host",
            "memcached",
        ),
        ({"connectTimeout": 500}, "connect_timeout", "500"),
        ({"pcp": {"enabled": False}}, "pcp_listen_addresses", ""),
        ({}, "pcp_listen_addresses", "localhost"),
        ({"parameters": {"log_per_node_statement": "on"}}, "log_per_node_statement", "on"),
    ],
    ids=str,
)
def test_a_setting_reaches_pgpool(changes: dict[str, Any], name: str, value: str) -> None:
    assert parameters(build(changes))[name] == value


@pytest.mark.parametrize("changes", [{}, TLS, {"replicas": 1, "queryCache": {"enabled": True}}], ids=str)
@pytest.mark.parametrize("tls", [True, False])
def test_a_config_map_and_the_environment_tell_pgpool_the_same(changes: dict[str, Any], tls: bool) -> None:
    assert parameters(build({**changes, **ENVIRONMENT}, tls=tls)) == parameters(build(changes, tls=tls))


def test_the_environment_needs_no_config_map() -> None:
    graph = build({**TLS, **ENVIRONMENT})
    assert graph.all("ConfigMap") == ()
    assert not any("configMap" in source for source in graph.one("Deployment", "pgpool").pod["spec"]["volumes"])


def test_with_a_ca_the_way_to_postgresql_is_verified_by_it() -> None:
    graph = build()
    told = parameters(graph)
    assert told["ssl"] == "on"
    assert mounted(graph) == {"postgres-ca": [told["ssl_ca_cert"]]}
    assert "ssl_cert" not in told


def test_without_tls_anywhere_there_is_none() -> None:
    graph = build(tls=False)
    assert not any(name.startswith("ssl") for name in parameters(graph))
    assert mounted(graph) == {}


def test_clients_are_shown_the_certificate_of_the_settings_and_must_use_it() -> None:
    graph = build(TLS)
    told = parameters(graph)
    assert mounted(graph)["pgpool-tls"] == [told["ssl_cert"], told["ssl_key"]]
    assert files(graph)["pool_hba.conf"] == "hostssl all all all scram-sha-256\n"


def test_without_a_certificate_clients_log_in_by_scram_all_the_same() -> None:
    assert files(build())["pool_hba.conf"] == "host all all all scram-sha-256\n"


def test_lines_of_pool_hba_replace_the_one_for_everybody() -> None:
    lines = ["host app app 10.0.0.0/8 scram-sha-256", "host all all all reject"]
    assert files(build({"poolHba": lines}))["pool_hba.conf"].splitlines() == lines


def test_users_come_from_the_secrets_of_the_endpoint_under_names_that_both_images_tell_apart() -> None:
    references = secret_variables(build())
    logins = {name: secret for name, secret in references.items() if not name.startswith("PGPOOL_")}
    assert logins == {
        f"{prefix}_{key.upper()}": (secret, key)
        for prefix, secret in (
            ("POSTGRES", "hot-postgres-auth"),
            ("APP", "postgres-app"),
            ("MONITOR", "postgres-monitor"),
        )
        for key in ("username", "password")
    }
    assert len({name.split("_")[0] for name in logins}) == 3


@pytest.mark.parametrize("changes", [{}, ENVIRONMENT], ids=["config_map", "environment"])
def test_no_secret_is_anywhere_but_in_a_secret(changes: dict[str, Any]) -> None:
    graph = build(changes)
    (secret,) = graph.all("Secret")
    password = secret.props["stringData"]["password"]
    assert len(password) == 32
    assert secret.secrets == (("stringData", "password"),)
    for resource in graph.objects():
        if resource is not secret:
            assert resource.secrets == ()
            assert password not in json.dumps(resource.props)


def test_pcp_has_a_password_of_its_own_and_a_new_one_rolls_the_pods() -> None:
    def reference(rotation: int) -> tuple[str, str]:
        return secret_variables(build({"pcp": {"rotation": rotation}}))["PGPOOL_PCP_PASSWORD"]

    assert reference(1) != reference(2)
    without = build({"pcp": {"enabled": False}})
    assert without.all("Secret") == ()
    assert not any("PCP" in name for name in [*variables(without), *secret_variables(without)] if "PARAMS" not in name)


@pytest.mark.parametrize(
    "change",
    [{"pooling": {"maxPool": 3}}, {"poolHba": ["host all all all reject"]}, {"parameters": {"relcache_size": "512"}}],
    ids=str,
)
def test_a_change_of_the_configuration_rolls_the_pods(change: dict[str, Any]) -> None:
    assert checksum(build(change)) != checksum(build())


@pytest.mark.parametrize("configuration", ["config_map", "environment"])
def test_a_rotated_login_rolls_the_pods(configuration: str) -> None:
    changes = {"configuration": configuration}
    assert checksum(build(changes, logins_key="2")) != checksum(build(changes, logins_key="1"))


def test_two_more_pods_roll_nobody() -> None:
    before, after = build().one("Deployment", "pgpool"), build({"replicas": 4}).one("Deployment", "pgpool")
    assert after.pod == before.pod


def test_only_clients_reach_pgpool_and_nobody_reaches_its_control_port() -> None:
    graph = build()
    assert may_connect(graph, stranger("demo", pgpool_client="true"), "pgpool", 9999)
    assert not may_connect(graph, stranger("demo", app="other"), "pgpool", 9999)
    assert not may_connect(graph, stranger("elsewhere", pgpool_client="true"), "pgpool", 9999)
    assert not may_connect(graph, stranger("demo", pgpool_client="true"), "pgpool", 9898)


def test_its_pods_are_let_in_by_the_servers_behind_it() -> None:
    assert dict([CLIENT_LABEL]).items() <= build().one("Deployment", "pgpool").pod["metadata"]["labels"].items()


def test_the_service_leads_to_the_pods() -> None:
    graph = build()
    service = graph.one("Service", "pgpool")
    assert picked_by(graph, service) == ["pgpool"]
    assert picked_by(graph, graph.one("PodDisruptionBudget", "pgpool")) == ["pgpool"]
    (port,) = service.spec["ports"]
    (listens,) = container(graph)["ports"]
    assert (port["port"], port["targetPort"]) == (9999, listens["name"])
    assert listens["containerPort"] == int(parameters(graph)["port"])


def test_a_roll_never_has_fewer_pods_than_asked_for() -> None:
    strategy = build().one("Deployment", "pgpool").spec["strategy"]
    assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}


def test_pods_that_cache_results_by_themselves_are_never_two_at_a_time() -> None:
    graph = build({"replicas": 1, "queryCache": {"enabled": True}})
    assert graph.one("Deployment", "pgpool").spec["strategy"] == {"type": "Recreate"}


def test_a_pod_serves_while_routes_to_it_disappear_and_is_gone_within_ten_seconds() -> None:
    pod = build().one("Deployment", "pgpool").pod["spec"]
    assert container(build())["lifecycle"]["preStop"] == {"sleep": {"seconds": 5}}
    assert 5 < pod["terminationGracePeriodSeconds"] <= 10


def test_no_probe_asks_postgresql_so_that_a_failover_restarts_no_pod() -> None:
    for kind in ("startup", "liveness", "readiness"):
        assert container(build())[f"{kind}Probe"]["tcpSocket"] == {"port": "pgpool"}


def test_everything_that_pgpool_writes_is_on_a_volume_and_keys_are_on_none_with_a_disk() -> None:
    graph = build(TLS)
    spec = graph.one("Deployment", "pgpool").pod["spec"]
    paths = {mount["mountPath"]: mount["name"] for mount in container(graph)["volumeMounts"]}
    media = {volume["name"]: volume.get("emptyDir", {}).get("medium") for volume in spec["volumes"]}
    assert media[paths["/opt/pgpool-II/etc"]] == media[paths["/opt/pgpool-II/tls"]] == "Memory"
    for name, value in parameters(graph).items():
        if name in ("unix_socket_directories", "pcp_socket_dir", "wd_ipc_socket_dir", "logdir", "memqcache_oiddir"):
            assert value in paths, name


def test_clients_get_an_endpoint_with_the_logins_of_the_servers_behind_it() -> None:
    ends: list[PostgresEndpoint] = []

    def program() -> None:
        args = PgpoolLBArgs(
            settings=PgpoolSettings.model_validate_json(json.dumps({"image": {"build": "images/pgpool"}, **TLS})),
            image=IMAGE,
            scraper_namespace="monitoring",
            namespace="demo",
            primary=endpoint("hot-postgres-rw", True, "7"),
            replicas=None,
            standbys=0,
        )
        component = PgpoolLB("pgpool", args)
        pulumi.Output.from_input(component.endpoint.host).apply(hosts.append)
        ends.append(component.endpoint)

    hosts: list[str] = []
    graph = run(program).graph
    (end,) = ends
    assert hosts == ["pgpool.demo.svc"]
    assert (end.port, end.database, end.logins_key, end.client_label) == (9999, "app", "7", ("pgpool-client", "true"))
    assert (end.application, end.ca) == (
        Login(secret="postgres-app", role="app"),
        SecretKey(name="postgres-ca", key="ca.crt"),
    )
    assert [item._name for item in end.workloads] == [graph.one("Deployment", "pgpool").name]
