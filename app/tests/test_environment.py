import os
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from psycopg.conninfo import conninfo_to_dict
from service.postgres import primary_conninfo
from service.settings import Settings, SettingsError, load_settings
from service_process import run_to_end

StartService = Callable[..., TestClient]


def _problems(monkeypatch: pytest.MonkeyPatch, **environment: str) -> list[str]:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    return [line.strip() for line in str(caught.value).splitlines()[1:]]


def test_an_empty_environment_is_enough() -> None:
    settings = load_settings()
    assert (settings.redis_host, settings.redis_port) == ("redis-service", 6379)
    assert settings.redis_password_file is None


def test_every_wrong_value_is_listed_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    problems = _problems(
        monkeypatch,
        REDIS_PORT="70000",
        CACHE_MAX_TTL="long",
        CACHE_MAX_VALUE_BYTES="0",
        CACHE_MAX_KEYS="5",
        API_TOKEN_FILE=str(tmp_path),
        APP_NAME="x" * 101,
        REDIS_PASSWORD_FILE=str(tmp_path / "missing"),
    )
    assert problems == [
        "CACHE_MAX_KEYS: No such setting",
        "APP_NAME: String should have at most 100 characters",
        "API_TOKEN_FILE: Value error, Must name a readable file (Is a directory)",
        "REDIS_PORT: Input should be less than or equal to 65535",
        "REDIS_PASSWORD_FILE: Value error, Must name a readable file (No such file or directory)",
        "CACHE_MAX_TTL: Input should be a valid integer, unable to parse string as an integer",
        "CACHE_MAX_VALUE_BYTES: Input should be greater than or equal to 1",
    ]


def test_hosts_and_ports_of_readers_are_lists_in_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGRES_READ_HOSTS", "hot-postgres-ro, pgpool")
    monkeypatch.setenv("POSTGRES_READ_PORTS", "5432,9999")
    settings = load_settings()
    assert settings.postgres_read_hosts == ("hot-postgres-ro", "pgpool")
    assert settings.postgres_read_ports == (5432, 9999)


def test_a_database_that_cannot_be_reached_as_told_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    problems = _problems(
        monkeypatch,
        POSTGRES_HOST="pgpool",
        POSTGRES_PORT="0",
        POSTGRES_READ_HOSTS="hot-postgres-ro,pgpool",
        POSTGRES_READ_PORTS="5432",
        POSTGRES_SSLMODE="verify-full",
        POSTGRES_POOL_SIZE="0",
    )
    assert problems == [
        "POSTGRES_PORT: Input should be greater than or equal to 1",
        "POSTGRES_READ_PORTS: Value error, Should be one for each of POSTGRES_READ_HOSTS: 2, not 1",
        "POSTGRES_DATABASE: Value error, Is needed where POSTGRES_HOST is set",
        "POSTGRES_USERNAME_FILE: Value error, Is needed where POSTGRES_HOST is set",
        "POSTGRES_SSLMODE: Value error, Needs POSTGRES_CA_FILE",
        "POSTGRES_POOL_SIZE: Input should be greater than or equal to 1",
    ]


@pytest.mark.parametrize(
    ("given", "mode"),
    [({}, "prefer"), ({"postgres_ca_file": "ca"}, "verify-full"), ({"postgres_sslmode": "disable"}, "disable")],
)
def test_the_server_is_verified_where_a_ca_is_given(tmp_path: Path, given: dict[str, str], mode: str) -> None:
    (tmp_path / "username").write_text("shop\n")
    (tmp_path / "ca").touch()
    files = {name: str(tmp_path / value) if name.endswith("_file") else value for name, value in given.items()}
    settings = Settings.model_validate(
        {"postgres_host": "pgpool", "postgres_database": "shop", "postgres_username_file": tmp_path / "username"}
        | files
    )
    parameters = conninfo_to_dict(primary_conninfo(settings))
    assert parameters["sslmode"] == mode
    assert parameters.get("sslrootcert") == files.get("postgres_ca_file")


@pytest.mark.parametrize("environment", [{"CACHE_MAX_TTL": "60"}, {"CACHE_DEFAULT_TTL": "86401"}])
def test_a_default_ttl_above_the_longest_is_refused(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    [problem] = _problems(monkeypatch, **environment)
    assert problem.startswith("CACHE_DEFAULT_TTL: Value error, Should be at most CACHE_MAX_TTL")


def test_a_secret_in_the_wrong_variable_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    problems = _problems(monkeypatch, REDIS_PASSWORD_FILE="hunter2", REDIS_PORT="hunter2", CACHE_HUNT="hunter2")
    assert len(problems) == 3
    assert "hunter2" not in "".join(problems)


def test_an_empty_value_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_PASSWORD_FILE", "")
    monkeypatch.setenv("CACHE_MAX_TTL", "")
    monkeypatch.setenv("POSTGRES_HOST", "")
    monkeypatch.setenv("POSTGRES_READ_HOSTS", "")
    assert load_settings() == Settings()


def test_a_bad_environment_ends_the_process_with_one_message_before_it_listens() -> None:
    ended = run_to_end({"REDIS_PORT": "none", "CACHE_MAX_TTL": "0"})
    assert ended.returncode == 1
    assert ended.stderr.splitlines() == [
        "the service cannot start with this environment:",
        "  REDIS_PORT: Input should be a valid integer, unable to parse string as an integer",
        "  CACHE_MAX_TTL: Input should be greater than or equal to 1",
    ]
    assert "running on" not in ended.stdout


def test_the_root_route_shows_what_the_environment_gave(start_service: StartService) -> None:
    answer = start_service(app_name="shop", greeting="Welcome", pod_name="shop-0").get("/").json()
    assert answer == {
        "name": "shop",
        "version": "0.1.0",
        "pod": "shop-0",
        "greeting": "Welcome",
        "secret_configured": False,
    }


def test_the_root_route_tells_that_a_secret_is_set_but_not_what_it_is(
    start_service: StartService, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("s3cr3t-token")
    client = start_service(api_token_file=token)
    answer = client.get("/")
    assert answer.json()["secret_configured"] is True
    assert "s3cr3t-token" not in answer.text
    token.write_text("")
    assert client.get("/").json()["secret_configured"] is False
    token.unlink()
    assert client.get("/").json()["secret_configured"] is False


def test_without_pod_name_the_host_name_stands_for_it() -> None:
    assert load_settings().pod_name == os.uname().nodename
