"""A real PostgreSQL for the tests, on a loopback port of its own."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg.conninfo import make_conninfo

START_SECONDS = 10
PROGRAMS = Path("/usr/lib/postgresql")  # Debian keeps a folder for each version, and none of them on PATH
ADMIN = "admin"
ADMIN_PASSWORD = "adm1n-that-nobody-may-see"


def bin_folder() -> Path | None:
    """Return the folder of the newest server's programs, or None if there is no server."""
    debian = max(PROGRAMS.glob("*/bin/postgres"), key=lambda program: program.parts[-3], default=None)
    program = debian or shutil.which("postgres")
    return None if program is None else Path(program).parent


class PostgresServer:
    """A server process that can be stopped, paused and started again on the same port.

    It is not a service of the machine: it has a data folder of the test's own, and no socket but the port.
    """

    def __init__(self, data: Path) -> None:
        self.data = data
        self.port = _free_port()
        self._process: subprocess.Popen[Any] | None = None

    def create(self) -> None:
        """Make the data folder, with one superuser, whose password is asked for."""
        self.data.mkdir(mode=0o700)
        give_away(self.data)
        password = self.data.with_suffix(".password")
        password.write_text(ADMIN_PASSWORD)
        give_away(password)
        options = ["--username", ADMIN, "--pwfile", str(password), "--auth", "scram-sha-256"]
        _run(
            "initdb",
            [
                "--pgdata",
                str(self.data),
                *options,
                "--encoding",
                "UTF8",
                "--locale",
                "C",
                "--wal-segsize",
                "1",
                "--no-sync",
            ],
        )
        password.unlink()

    def copy_of(self, other: "PostgresServer") -> None:
        """Make the data folder a copy of that of a server that is stopped."""
        subprocess.run(["cp", "--archive", str(other.data), str(self.data)], check=True)

    def follow(self, primary: "PostgresServer") -> None:
        """Make the data folder that of a streaming standby of a server that runs."""
        source = ["--host", "127.0.0.1", "--port", str(primary.port), "--username", ADMIN]
        _run("pg_basebackup", [*source, "--pgdata", str(self.data), "--write-recovery-conf", "--checkpoint", "fast"])

    def start(self, *options: str) -> None:
        """Start the server and return when it answers; `options` are parameters like `name=value`."""
        settings = [f"port={self.port}", "listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off"]
        arguments = [part for setting in (*settings, *options) for part in ("-c", setting)]
        command = [_program("postgres"), "-D", str(self.data), *arguments]
        with self.data.with_suffix(".log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, **_account())
        self._process = process
        deadline = time.monotonic() + START_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            try:
                self.query("SELECT 1")
            except psycopg.OperationalError:
                time.sleep(0.02)
            else:
                return
        raise RuntimeError(f"PostgreSQL did not start on port {self.port}:\n{self.log()}")

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """End the server, if it runs: at once by SIGQUIT, or with a word to each client by SIGINT."""
        if self._process is not None:
            self.resume()
            self._process.send_signal(how)
            self._process.wait(timeout=10)
            self._process = None

    def pause(self) -> None:
        """Stop every process of the server where it is: its port accepts connections and nothing is answered."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        """Let paused processes go on."""
        self._signal_all(signal.SIGCONT)

    def promote(self) -> None:
        """Make a standby the primary."""
        _run("pg_ctl", ["promote", "--pgdata", str(self.data), "--wait"])

    def query(self, sql: LiteralString, *, database: str = "postgres") -> Sequence[tuple[Any, ...]]:
        """Run a statement as the superuser and return its rows."""
        with psycopg.connect(self.conninfo(database), autocommit=True) as connection:
            cursor = connection.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def conninfo(self, database: str = "postgres") -> str:
        """Return how the superuser connects."""
        return make_conninfo(
            host="127.0.0.1", port=self.port, user=ADMIN, password=ADMIN_PASSWORD, dbname=database, connect_timeout=2
        )

    def log(self) -> str:
        """Return everything that the server has printed."""
        return self.data.with_suffix(".log").read_text()

    def _signal_all(self, number: signal.Signals) -> None:
        for pid in self._processes():
            with contextlib.suppress(ProcessLookupError):  # a process of a connection may just have ended
                os.kill(pid, number)

    def _processes(self) -> list[int]:
        if self._process is None:
            raise RuntimeError("the PostgreSQL of this test does not run")
        pid = self._process.pid
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return [pid, *children]


def _run(program: str, arguments: Sequence[str]) -> None:
    environment = os.environ | {"PGPASSWORD": ADMIN_PASSWORD}
    done = subprocess.run(
        [_program(program), *arguments], env=environment, capture_output=True, text=True, **_account()
    )
    if done.returncode != 0:
        raise RuntimeError(f"{program} failed:\n{done.stderr}")


def _program(name: str) -> str:
    folder = bin_folder()
    if folder is None:
        raise RuntimeError("PostgreSQL is not installed")
    return str(folder / name)


def _account() -> dict[str, Any]:
    """Return what starts a program as Debian's `postgres`, since a server refuses to run as root."""
    if os.geteuid() != 0:
        return {"cwd": "/"}
    return {"user": "postgres", "group": "postgres", "extra_groups": [], "cwd": "/"}


def give_away(path: Path) -> None:
    """Make a path the server's account's own."""
    if os.geteuid() == 0:
        shutil.chown(path, "postgres", "postgres")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
