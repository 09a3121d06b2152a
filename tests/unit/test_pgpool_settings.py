"""What `PgpoolSettings` refuses, because Pgpool-II would ignore it, misread it, or not start."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from components.pgpool_catalog import parameter_problem
from components.pgpool_settings import PgpoolSettings, backend_connections, own_parameters

DYNAMIC = {"processManagementMode": "dynamic"}
SHMEM_CACHE = {"enabled": True}
MEMCACHED = {"enabled": True, "memqcacheMethod": "memcached", "memqcacheMemcachedHost": "memcached.demo.svc"}


def settings(**changes: object) -> PgpoolSettings:
    return PgpoolSettings.model_validate_json(json.dumps({"image": {"build": "images/pgpool"}, **changes}))


def refusal(**changes: object) -> str:
    with pytest.raises(ValidationError) as raised:
        settings(**changes)
    return str(raised.value)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("relcache_sise", "256", "has no parameter of that name"),
        ("process_managment_mode", "dynamic", "has no parameter of that name"),
        ("socket_dir", "/tmp", "has no parameter of that name"),
        ("work_dir", "/tmp", "has no parameter of that name"),
        ("log_statement", "offf", "takes everything else for `on`"),
        ("log_statement", "OFF ", "expected one of on, off"),
        ("client_min_messages", "warn", "expected one of debug"),
        ("relcache_query_target", "standby", "expected one of primary, load_balance_node"),
        ("relcache_size", "many", "expected a whole number"),
        ("relcache_size", "256MB", "expected a whole number"),
        ("relcache_size", "-1", "expected 0 to"),
        ("memqcache_cache_block_size", "100", "expected 512 to"),
        ("relcache_expire", "5 minutes", "or one with a unit"),
        ("app_name_redirect_preference_list", "it's:primary", "expected no quote"),
        ("log_line_prefix", "a\nb", "expected no quote and no control character"),
    ],
)
def test_a_parameter_that_pgpool_would_ignore_or_misread_is_refused(name: str, value: str, expected: str) -> None:
    message = refusal(parameters={name: value})
    assert f"parameters.{name}: got {value!r}" in message
    assert expected in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("database_redirect_preference_list", "reports:standby(0.9),postgres:primary"),
        ("primary_routing_query_pattern_list", r"SELECT \* FROM accounts;.*FOR REPORT.*"),
        ("log_per_node_statement", "true"),
        ("check_temp_table", "trace"),
        ("relcache_expire", "10min"),
        ("memqcache_maxcache", "400kB"),
        ("relcache_size", "512"),
        ("reset_query_list", "ABORT; DISCARD ALL"),
    ],
)
def test_a_parameter_of_this_pgpool_is_taken(name: str, value: str) -> None:
    assert settings(parameters={name: value}).parameters[name] == value


@pytest.mark.parametrize(
    "name",
    [
        "num_init_children",
        "memory_cache_enabled",
        "load_balance_mode",
        "backend_hostname0",
        "backend_weight1",
        "failover_on_backend_error",
        "fail_over_on_backend_error",
        "failover_command",
        "health_check_period0",
        "sr_check_password",
        "listen_addresses",
        "port",
        "pcp_listen_addresses",
        "ssl",
        "ssl_ca_cert",
        "pool_passwd",
        "enable_pool_hba",
        "allow_clear_text_frontend_auth",
        "use_watchdog",
        "wd_authkey",
        "log_destination",
    ],
)
def test_what_the_component_decides_is_not_for_parameters(name: str) -> None:
    assert f"parameters.{name} is not for `parameters`" in refusal(parameters={name: "1"})


def test_every_wrong_parameter_and_line_is_named_at_once() -> None:
    message = refusal(parameters={"relcache_sise": "1", "port": "1"}, poolHba=["host all all all trust"])
    assert all(part in message for part in ("parameters.relcache_sise", "parameters.port", "poolHba"))


@pytest.mark.parametrize(
    "changes",
    [{}, {"pooling": DYNAMIC}, {"queryCache": MEMCACHED}, {"replicas": 1, "queryCache": SHMEM_CACHE}],
    ids=str,
)
def test_every_parameter_of_its_own_is_one_that_pgpool_knows(changes: dict[str, Any]) -> None:
    chosen = settings(**changes)
    problems = {name: parameter_problem(chosen.version, name, value) for name, value in own_parameters(chosen).items()}
    assert {name: problem for name, problem in problems.items() if problem} == {}


def test_only_the_version_whose_parameters_are_known_can_be_named() -> None:
    assert "version" in refusal(version="4.3")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("host all all scram-sha-256", "expected five fields"),
        ("host all all 10.0.0.0 255.0.0.0 scram-sha-256", "expected five fields"),
        ("hots all all all scram-sha-256", "type hots"),
        ("local all all all scram-sha-256", "type local"),
        ("hostssl all all all scram-sha-256", "no client could speak TLS"),
        ("host all +staff all scram-sha-256", "+staff"),
        ("host all @users all scram-sha-256", "@users"),
        ("host samerole all all scram-sha-256", "samerole"),
        ("host app,, all all scram-sha-256", "expected names"),
        ("host all all 10.0.0.300/8 scram-sha-256", "address 10.0.0.300/8"),
        ("host all all 10.0.0.0/33 scram-sha-256", "address 10.0.0.0/33"),
        ("host all all 10.0.0.1 scram-sha-256", "address 10.0.0.1"),
        ("host all all client.demo.svc scram-sha-256", "address client.demo.svc"),
        ("host all all all scram-sha256", "method scram-sha256"),
        ("host all all all md5", "method md5"),
        ("host all all all trust", "method trust"),
        ("host all all all password", "method password"),
        ("# host all all all reject", "expected five fields"),
    ],
)
def test_a_line_that_would_make_pgpool_drop_the_whole_pool_hba_or_open_it_is_refused(line: str, expected: str) -> None:
    message = refusal(poolHba=[line])
    assert f"poolHba: got {line!r}" in message
    assert expected in message


@pytest.mark.parametrize(
    "line",
    [
        "host all all all scram-sha-256",
        "host  app,reports  app\t10.0.0.0/8  scram-sha-256",
        "hostnossl all all samenet reject",
        'host "my-db" all fd00::/8 scram-sha-256',
    ],
)
def test_a_good_line_of_pool_hba_is_taken(line: str) -> None:
    assert settings(poolHba=[line]).pool_hba == [line]


def test_hostssl_is_for_a_pgpool_that_has_a_certificate() -> None:
    line = "hostssl all all all scram-sha-256"
    assert settings(poolHba=[line], tlsSecretName="pgpool-tls").pool_hba == [line]


def test_pool_hba_has_no_place_in_the_environment() -> None:
    message = refusal(poolHba=["host all all all reject"], configuration="environment")
    assert "expected `config_map`" in message


def test_a_query_cache_of_each_pod_is_refused_with_more_than_one_pod() -> None:
    assert "expected 1 replica, or `memcached`" in refusal(queryCache=SHMEM_CACHE, replicas=2)
    assert settings(queryCache=SHMEM_CACHE, replicas=1).query_cache.enabled
    assert settings(queryCache=MEMCACHED, replicas=2).query_cache.enabled


@pytest.mark.parametrize(
    "cache", [{"memqcacheMethod": "memcached"}, {"memqcacheMemcachedHost": "memcached"}], ids=["no host", "no use"]
)
def test_memcached_has_a_host_and_only_memcached_has_one(cache: dict[str, str]) -> None:
    assert "expected `memqcacheMemcachedHost`" in refusal(queryCache=cache)


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ({"numInitChildren": 4, "reservedConnections": 4}, "leaves no client any"),
        ({"maxSpareChildren": 8}, "have a meaning with processManagementMode `dynamic` only"),
        ({**DYNAMIC, "minSpareChildren": 10, "maxSpareChildren": 10}, "or Pgpool-II does not start"),
        ({**DYNAMIC, "numInitChildren": 8, "maxSpareChildren": 9}, "or Pgpool-II does not start"),
    ],
    ids=["all reserved", "spares of static", "no room between", "more spares than processes"],
)
def test_pooling_that_cannot_work_is_refused(pooling: dict[str, Any], expected: str) -> None:
    assert expected in refusal(pooling=pooling)


def test_somebody_must_serve_reads() -> None:
    assert "are both 0" in refusal(loadBalancing={"primaryWeight": 0, "replicasWeight": 0})


def test_connections_are_counted_with_the_pod_that_a_rollout_adds_and_for_both_endpoints() -> None:
    chosen = settings(replicas=2, pooling={"numInitChildren": 10, "maxPool": 3})
    assert backend_connections(chosen, balanced=False) == 3 * 10 * 3
    # A standby that was promoted has those of the replicas' endpoint still, and those of the primary too.
    assert backend_connections(chosen, balanced=True) == 2 * 3 * 10 * 3


def test_pods_that_are_never_two_at_a_time_are_counted_so() -> None:
    chosen = settings(replicas=1, pooling={"numInitChildren": 10}, queryCache=SHMEM_CACHE)
    assert backend_connections(chosen, balanced=False) == 10


def test_a_pod_serves_all_but_the_reserved() -> None:
    assert settings(pooling={"numInitChildren": 10, "reservedConnections": 2}).sessions_per_pod == 8
