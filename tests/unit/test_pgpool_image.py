"""What the start script of `images/pgpool` makes of its mounts and variables; Pgpool-II's programs are stand-ins."""

import hashlib
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

START = Path(__file__).parents[2] / "images" / "pgpool" / "start.sh"
# Each writes down what it was called with, and pg_enc the file that it was given.
STAND_INS = {
    "pgpool": 'printf "%s\\n" "$@" > "$OUT/pgpool.args"; env > "$OUT/pgpool.env"',
    "pg_enc": 'printf "%s\\n" "$@" > "$OUT/pg_enc.args"; for last; do :; done; cat "$last" > "$OUT/logins"',
}
BACKEND = {"PGPOOL_PARAMS_BACKEND_HOSTNAME0": "hot-postgres-rw.demo.svc"}
PASSWORD = r"a\b$c%d'e f"  # what shells and printf like to take for their own
LOGIN = {"POSTGRES_USERNAME": "postgres", "POSTGRES_PASSWORD": PASSWORD}
PCP = {"PGPOOL_PCP_USER": "pcp", "PGPOOL_PCP_PASSWORD": PASSWORD}


@dataclass(frozen=True)
class Container:
    """The folders that a pod would mount, and a way to start in them."""

    folder: Path

    @property
    def etc(self) -> Path:
        return self.folder / "home" / "etc"

    def mount(self, path: str, content: str) -> None:
        file = self.folder / "config" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)

    def start(self, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "OUT": str(self.folder),
            "PGPOOL_INSTALL_DIR": str(self.folder / "home"),
            "PGPOOL_CONF_VOLUME": str(self.folder / "config"),
            "PGPOOL_RUN_DIR": str(self.folder / "run"),
        }
        return subprocess.run(["sh", START], env={**environment, **variables}, capture_output=True, text=True)

    def written(self, name: str) -> str:
        return (self.folder / name).read_text()


@pytest.fixture
def container(tmp_path: Path) -> Container:
    for folder in ("bin", "home/etc", "config", "run"):
        (tmp_path / folder).mkdir(parents=True)
    for name, script in STAND_INS.items():
        program = tmp_path / "bin" / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    return Container(tmp_path)


def test_variables_become_parameters_whatever_their_values_hold(container: Container) -> None:
    pattern = r"SELECT .* WHERE id=1;\* x"
    done = container.start({**BACKEND, "PGPOOL_PARAMS_PRIMARY_ROUTING_QUERY_PATTERN_LIST": pattern})
    assert done.returncode == 0, done.stderr
    assert (container.etc / "pgpool.conf").read_text().splitlines() == [
        "backend_hostname0 = 'hot-postgres-rw.demo.svc'",
        f"primary_routing_query_pattern_list = '{pattern}'",
    ]


def test_mounted_files_win_over_variables(container: Container) -> None:
    container.mount("pgpool.conf", "port = '9999'\n")
    container.mount("pool_hba.conf", "host app app all scram-sha-256\n")
    assert container.start({**BACKEND, "PGPOOL_PARAMS_PORT": "1"}).returncode == 0
    assert (container.etc / "pgpool.conf").read_text() == "port = '9999'\n"
    assert (container.etc / "pool_hba.conf").read_text() == "host app app all scram-sha-256\n"


def test_it_does_not_start_without_a_backend(container: Container) -> None:
    done = container.start({})
    assert done.returncode == 1
    assert "PGPOOL_PARAMS_BACKEND_HOSTNAME0 is not set" in done.stderr
    assert not (container.folder / "pgpool.args").exists()


@pytest.mark.parametrize(("certificate", "kind"), [(False, "host"), (True, "hostssl")])
def test_clients_must_use_tls_where_there_is_a_certificate_to_show_them(
    container: Container, certificate: bool, kind: str
) -> None:
    if certificate:
        container.mount("tls/tls.crt", "a certificate")
    assert container.start(BACKEND).returncode == 0
    assert (container.etc / "pool_hba.conf").read_text() == f"{kind} all all all scram-sha-256\n"


def test_every_pair_of_username_and_password_is_a_user(container: Container) -> None:
    names = {"MY_APP_USERNAME": "app", "MY_APP_PASSWORD": "secret"}
    assert container.start({**BACKEND, **LOGIN, **names}).returncode == 0
    assert container.written("logins").splitlines() == ["app:secret", f"postgres:{PASSWORD}"]


def test_a_user_without_a_password_is_left_out_and_said(container: Container) -> None:
    done = container.start({**BACKEND, "APP_USERNAME": "app"})
    assert done.returncode == 0
    assert container.written("logins") == ""
    assert "APP_USERNAME has no value, or no password beside it" in done.stderr


def test_no_password_is_an_argument_or_said_or_left_behind(container: Container) -> None:
    done = container.start({**BACKEND, **LOGIN, **PCP})
    assert done.returncode == 0
    left = [file for file in container.etc.iterdir() if PASSWORD in file.read_text()]
    assert left == [container.etc / ".pcppass"], "what the commands of PCP log in with"
    for text in (done.stdout, done.stderr, *map(container.written, ("pg_enc.args", "pgpool.args", "pgpool.env"))):
        assert PASSWORD not in text


def test_what_holds_a_secret_is_for_the_owner_alone(container: Container) -> None:
    assert container.start({**BACKEND, **LOGIN, **PCP}).returncode == 0
    assert {file.stat().st_mode & 0o077 for file in container.etc.iterdir()} == {0}


def test_passwords_are_encrypted_with_a_key_of_the_container_s_own(container: Container) -> None:
    keys = set()
    for _ in range(2):
        assert container.start({**BACKEND, **LOGIN}).returncode == 0
        keys.add((container.etc / ".pgpoolkey").read_text())
    assert len(keys) == 2
    assert str(container.etc / ".pgpoolkey") in container.written("pg_enc.args").splitlines()
    assert str(container.etc / ".pgpoolkey") in container.written("pgpool.args").splitlines()


def test_passwords_that_are_encrypted_already_are_taken_as_they_are(container: Container) -> None:
    login = {"APP_USERNAME": "app", "APP_PASSWORD": "AESb64"}
    assert container.start({**BACKEND, **login, "PGPOOL_SKIP_PASSWORD_ENCRYPTION": "true"}).returncode == 0
    assert (container.etc / "pool_passwd").read_text() == "app:AESb64\n"


def test_the_user_of_pcp_is_known_by_a_digest(container: Container) -> None:
    assert container.start({**BACKEND, **PCP}).returncode == 0
    digest = hashlib.md5(PASSWORD.encode(), usedforsecurity=False).hexdigest()
    assert (container.etc / "pcp.conf").read_text() == f"pcp:{digest}\n"


def test_without_a_user_of_pcp_nobody_gets_in_there(container: Container) -> None:
    assert container.start(BACKEND).returncode == 0
    assert (container.etc / "pcp.conf").read_text() == ""


@pytest.mark.parametrize(
    "variable", [{"PGPOOL_PASSWORD_ENCRYPTION_METHOD": "md5"}, {"PGPOOL_ENABLE_POOL_PASSWD": "false"}], ids=str
)
def test_passwords_in_weak_digests_or_clear_text_are_refused(container: Container, variable: dict[str, str]) -> None:
    done = container.start({**BACKEND, **variable})
    assert done.returncode == 1
    assert next(iter(variable)) in done.stderr
    assert not (container.folder / "pgpool.args").exists()


def test_what_the_container_before_left_behind_does_not_keep_pgpool_from_starting(container: Container) -> None:
    for name in ("pgpool.pid", ".s.PGSQL.9999"):
        (container.folder / "run" / name).write_text("1")
    assert container.start(BACKEND).returncode == 0
    assert list((container.folder / "run").iterdir()) == []


def test_pgpool_believes_nothing_of_its_backends_from_before(container: Container) -> None:
    assert container.start(BACKEND).returncode == 0
    assert {"-n", "-D"} <= set(container.written("pgpool.args").splitlines())
