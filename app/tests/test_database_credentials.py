import logging
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import ROLE_PASSWORD, StartService
from fastapi.testclient import TestClient
from postgres_server import PostgresServer, give_away

NEW = "battery-staple-2"


@pytest.fixture
def password_file(database_settings: dict[str, object]) -> Path:
    return Path(str(database_settings["postgres_password_file"]))


@pytest.fixture
def client(start_service: StartService, database_settings: dict[str, object]) -> TestClient:
    return start_service(**database_settings)


def _rotate_on_server(server: PostgresServer) -> None:
    server.query(f"ALTER ROLE shop PASSWORD '{NEW}'")
    server.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'shop'")


@pytest.fixture(autouse=True)
def _password_as_before(shared_postgres: PostgresServer) -> Iterator[None]:
    yield
    shared_postgres.query(f"ALTER ROLE shop PASSWORD '{ROLE_PASSWORD}'")


def test_a_rotated_password_needs_no_restart(
    client: TestClient, postgres_server: PostgresServer, password_file: Path
) -> None:
    assert client.get("/items").status_code == 200
    password_file.write_text(NEW)
    _rotate_on_server(postgres_server)
    assert client.get("/items").status_code == 200
    assert client.post("/items", json={"name": "lamp"}).status_code == 201


def test_a_password_that_changed_on_the_server_first_gives_503_until_the_file_follows(
    client: TestClient, postgres_server: PostgresServer, password_file: Path
) -> None:
    assert client.get("/items").status_code == 200
    _rotate_on_server(postgres_server)
    assert client.get("/items").status_code == 503
    password_file.write_text(NEW)
    assert client.get("/items").status_code == 200


@pytest.mark.parametrize(
    "damage", [Path.unlink, lambda path: path.write_text(""), lambda path: path.write_bytes(b"\xff")]
)
def test_a_password_file_that_went_bad_gives_503_until_it_is_good_again(
    client: TestClient, password_file: Path, damage: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    damage(password_file)
    assert client.get("/items").status_code == 503
    assert any("POSTGRES_PASSWORD_FILE" in str(vars(record)) for record in caplog.records)
    password_file.write_text(ROLE_PASSWORD)
    assert client.get("/items").status_code == 200


def test_a_refused_password_is_one_line_with_postgres_own_words_and_tells_clients_nothing(
    client: TestClient, password_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="service")
    password_file.write_text("not-the-password")
    answers = [client.get("/items"), client.post("/items", json={"name": "lamp"})]
    for answer in answers:
        assert answer.status_code == 503
        assert answer.json() == {"detail": "The database is unavailable. Please try again."}
    [line] = [vars(record) for record in caplog.records if record.name == "service.database"]
    assert 'password authentication failed for user "shop"' in line["fields"]["reason"]
    assert "not-the-password" not in caplog.text + str(line)


def test_a_refused_write_gives_503_and_neither_statement_nor_values_are_logged(
    client: TestClient, postgres_server: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="service")
    postgres_server.query("ALTER TABLE items ADD CONSTRAINT odd CHECK (name = '')", database="shop")
    answer = client.post("/items", json={"name": "nobody-elses-business"})
    postgres_server.query("ALTER TABLE items DROP CONSTRAINT odd", database="shop")
    assert answer.status_code == 503
    assert answer.headers["retry-after"]  # refused, so certainly not stored
    records = [str(vars(record)) for record in caplog.records]
    assert any("23514" in record for record in records)
    assert not any("nobody-elses-business" in record or "INSERT" in record for record in records)


def _certificate(folder: Path, name: str) -> Path:
    """Make a self-signed certificate for 127.0.0.1, with its key beside it."""
    certificate = folder / f"{name}.crt"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "1"]
    command += ["-keyout", str(certificate.with_suffix(".key")), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate


def test_a_server_is_used_over_tls_only_if_the_ca_that_is_given_has_signed_for_it(
    start_service: StartService, database_settings: dict[str, object], postgres_server: PostgresServer, tmp_path: Path
) -> None:
    theirs = _certificate(postgres_server.data, "theirs")
    for file in (theirs, theirs.with_suffix(".key")):
        give_away(file)
    postgres_server.stop()
    postgres_server.start("ssl=on", f"ssl_cert_file={theirs}", f"ssl_key_file={theirs.with_suffix('.key')}")
    good = start_service(**database_settings, postgres_ca_file=theirs)
    assert good.post("/items", json={"name": "lamp"}).status_code == 201
    encrypted = "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'shop'"
    assert postgres_server.query(encrypted) == [(True,)]
    other = start_service(**database_settings, postgres_ca_file=_certificate(tmp_path, "other"))
    assert other.post("/items", json={"name": "lamp"}).status_code == 503
