"""The pod that pgbench runs in, and a PgBouncer of the operator's to run it against."""

import json
import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

import settings
from checks.client_pod import LOGIN, POSTGRES_LABELS, POSTGRES_LOGIN, manifest
from checks.kube import Kube
from checks.outcome import CheckError, eventually
from checks.postgres import cluster, current_primary, sql
from cluster import images
from cluster.instance import Instance
from components import postgres

NAME = "pgbench"
IMAGE_UID = 26  # of the only user that PostgreSQL's image has
POOLER = "pgbench-pooler"
CLIENTS = 8
SCALE = 5  # 500,000 accounts
SECONDS = 5
_TPS = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)
# The login comes from files, and so is in no argument list.
_WITH_LOGIN = (
    *("sh", "-c"),
    f'PGUSER=$(cat {LOGIN}/username) PGPASSWORD=$(cat {LOGIN}/password) exec "$@"',
    "sh",
)


@dataclass(frozen=True)
class PgBench:
    """pgbench in a pod of its own, over tables that it has filled."""

    kube: Kube
    database: str

    def run(self, way: str, *options: str, script: str | None = None) -> float:
        """Transactions a second of one run on a way, `host:port`; of `script` instead of pgbench's own.

        Raises:
            CheckError: pgbench failed, or a transaction did.
        """
        source = () if script is None else ("--file=/dev/stdin",)
        output = self._with_login(
            *("pgbench", "--no-vacuum", f"--client={CLIENTS}", "--jobs=2", f"--time={SECONDS}", *options, *source),
            *_place(way),
            self.database,
            stdin=script or "",
        )
        found = _TPS.search(output)
        if found is None or "number of failed transactions: 0 " not in output:
            raise CheckError(f"pgbench on {way}: {' '.join(output.split())[-300:]}")
        return float(found[1])

    def psql(self, way: str, statement: str) -> str:
        """The answer to a statement on a way, as CSV with a header."""
        return self._with_login(
            "psql", "--no-psqlrc", "--csv", f"--command={statement}", *_place(way), f"--dbname={self.database}"
        )

    def fill(self, way: str) -> None:
        """Make pgbench's tables, anew where a run that was killed has left some."""
        self._with_login(
            *("pgbench", "--initialize", "--quiet", f"--scale={SCALE}"), *_place(way), self.database, seconds=180
        )

    def _with_login(self, *command: str, stdin: str = "", seconds: int = 60) -> str:
        return self.kube.run("exec", "--stdin", NAME, "--", *_WITH_LOGIN, *command, stdin=stdin, timeout=seconds)


def _place(way: str) -> tuple[str, str]:
    host, port = way.split(":")
    return f"--host={host}", f"--port={port}"


@contextmanager
def pgbench_pod(kube: Kube, database: str) -> Generator[PgBench, None, None]:
    """pgbench, ready to run on filled tables while the block runs."""
    image = cluster(kube)["spec"]["imageName"]
    pod = manifest(NAME, image, labels=POSTGRES_LABELS, volumes=POSTGRES_LOGIN, uid=IMAGE_UID)
    try:
        with kube.temporary(pod):
            bench = PgBench(kube, database)
            bench.fill(f"{postgres.NAME}-rw:{postgres.PORT}")
            yield bench
    finally:
        _drop_tables(kube, database)


@contextmanager
def pooler(kube: Kube, instance: Instance) -> Generator[str, None, None]:
    """The operator's PgBouncer in front of the primary while the block runs; the way to it."""
    folder = settings.ROOT / "images" / "pgbouncer"
    reference = f"hotstack/pgbouncer:{settings.content_key(folder)}"
    images.load(instance, [images.Image(reference, folder / "Dockerfile", folder)])
    manifest = {
        "apiVersion": "postgresql.cnpg.io/v1",
        "kind": "Pooler",
        "metadata": {"name": POOLER},
        "spec": {
            "cluster": {"name": postgres.NAME},
            "instances": 1,
            "type": "rw",
            # Sessions, as Pgpool-II pools them.
            "pgbouncer": {"poolMode": "session", "image": reference},
            "template": {
                "metadata": {"labels": dict([postgres.CLIENT_LABEL])},
                "spec": {"containers": []},
            },
        },
    }
    remove = ("delete", f"poolers.postgresql.cnpg.io/{POOLER}", "--ignore-not-found")
    kube.run(*remove)
    try:
        kube.run("create", "--filename=-", stdin=json.dumps(manifest))
        eventually(lambda: _not_ready(kube), seconds=60)
        yield f"{POOLER}:{postgres.PORT}"
    finally:
        kube.run(*remove)


def _not_ready(kube: Kube) -> str | None:
    return None if kube.ready_pods(f"cnpg.io/poolerName={POOLER}") else f"no pod of {POOLER} is ready"


def _drop_tables(kube: Kube, database: str) -> None:
    tables = ", ".join(f"pgbench_{table}" for table in ("accounts", "branches", "history", "tellers"))
    sql(kube, current_primary(kube), f"DROP TABLE IF EXISTS {tables}", database)
