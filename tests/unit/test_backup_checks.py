"""The checks of backups, with a stand-in for kubectl that plays the operator."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

import settings
from checks import backup
from checks.kube import Kube
from checks.outcome import CheckError, NotApplicableError
from checks.stack import Stack
from tests.support.program import build, config

CLOSED = "000000010000000000000007"
REASON = "An error occurred (AccessDenied) when calling the CreateBucket operation"
LOG = (
    {"logger": "barman-cloud-wal-archive", "msg": f"2026-01-31 12:00:00,000 [83] ERROR: {REASON}"},
    {"logger": "wal-archive", "error": "exit status 4"},
)
SCHEDULE = {
    "cluster": {"name": "hot-postgres"},
    "method": "barmanObjectStore",
    "target": "prefer-standby",
    "schedule": "0 0 2 * * *",
}


@dataclass(frozen=True)
class Operator(Kube):
    """A cluster with `hot-postgres`; it does what it is asked for at once.

    Attributes:
        archived: the last file of the log in the bucket.
        phase: what becomes of a backup.
        restored: whether a new cluster gets ready.
        rows: what is in the table of a restored cluster.
        made: specs of the objects that it was given, by kind and name.
        statements: of SQL, in their order.
    """

    archived: str = CLOSED
    phase: str = "completed"
    restored: bool = True
    rows: str = "before"
    made: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    statements: list[str] = field(default_factory=list)

    def run(self, *arguments: str, stdin: str = "", timeout: float = 0) -> str:  # noqa: ARG002 - the real one's signature
        match arguments:
            case ("exec", *_):
                self.statements.append(stdin)
                return self._answer(stdin)
            case ("create", *_):
                made = json.loads(stdin)
                self.made[made["kind"], made["metadata"]["name"]] = made["spec"]
                return ""
            case ("delete", _, name, *_):
                del self.made["Cluster", name]
                return ""
            case ("logs", *_):
                return "\n".join(["not an object", *(json.dumps(entry) for entry in LOG)])
            case ("get", "pods,persistentvolumeclaims", *_):
                return ""
            case ("get", kind, name, *_):
                return json.dumps(self._object(kind, name))
        raise AssertionError(f"not expected: kubectl {' '.join(arguments)}")

    def _answer(self, statement: str) -> str:
        if "pg_switch_wal" in statement:
            return CLOSED
        if "pg_stat_archiver" in statement:
            return self.archived
        if "string_agg" in statement:
            return self.rows
        return "2026-01-31T12:00:00.000001Z" if "clock_timestamp" in statement else ""

    def _object(self, kind: str, name: str) -> Mapping[str, Any]:
        if kind == backup.SCHEDULED_BACKUP:
            return {"spec": SCHEDULE}
        if kind == backup.BACKUP and name.startswith("--selector"):
            return {"items": [{"spec": SCHEDULE, "status": {"phase": "completed"}}]}
        if kind == backup.BACKUP:
            ended = {"instanceID": {"podName": "hot-postgres-2"}, "stoppedAt": "2026-01-31T12:00:07Z"}
            return {"status": {"phase": self.phase, "error": REASON, **ended}}
        condition = {"type": "ContinuousArchiving", "message": "unexpected failure: exit status 4"}
        ready = 1 if self.restored else 0
        status = {"currentPrimary": f"{name}-1", "readyInstances": ready, "conditions": [condition]}
        return {"spec": cluster_spec(), "status": status}


def cluster_spec() -> dict[str, Any]:
    return dict(build("dev").one("Cluster", "hot-postgres").spec)


def stack(**what: Any) -> tuple[Stack, Operator]:  # noqa: ANN401 - the attributes of Operator
    operator = Operator("stand-in", "demo", **what)
    return Stack(settings.parse("dev", config("dev")), operator), operator


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ARCHIVE_SECONDS", "BACKUP_SECONDS", "RESTORE_SECONDS", "REMOVAL_SECONDS"):
        monkeypatch.setattr(backup, name, 0)


def test_a_backup_that_is_made_is_told_by_its_name_the_bucket_and_its_time() -> None:
    of, operator = stack()
    told = backup.backup(of)
    ((kind, name),) = operator.made
    assert told == f"{name} of hot-postgres-2 in bucket backups, ended at 2026-01-31T12:00:07Z"
    assert kind == "Backup"
    assert operator.made[kind, name] == {key: SCHEDULE[key] for key in ("cluster", "method", "target")}


def test_a_bucket_that_takes_nothing_is_named_with_the_operators_reason_and_the_servers() -> None:
    of, operator = stack(archived="000000010000000000000006")
    with pytest.raises(CheckError) as error:
        backup.backup(of)
    assert "bucket backups" in str(error.value)
    assert "unexpected failure: exit status 4" in str(error.value)
    assert REASON in str(error.value)
    assert operator.made == {}


def test_a_backup_that_fails_is_told_with_its_reason() -> None:
    of, _ = stack(phase="failed")
    with pytest.raises(CheckError, match="to bucket backups failed: An error occurred"):
        backup.backup(of)


def test_a_backup_that_does_not_end_is_told_with_its_phase() -> None:
    of, _ = stack(phase="walArchivingFailing")
    with pytest.raises(CheckError, match="to bucket backups is walArchivingFailing, after 0 s"):
        backup.backup(of)


@pytest.mark.parametrize("check", [backup.backup, backup.restore_point_in_time])
def test_a_stack_without_backups_has_nothing_to_check(check: Any) -> None:  # noqa: ANN401 - either of the two
    overrides = {"postgres": {"cloudnativePg": {"backup": None}}}
    operator = Operator("stand-in", "demo")
    with pytest.raises(NotApplicableError):
        check(Stack(settings.parse("dev", config("dev", overrides)), operator))
    assert operator.statements == []


def test_a_restored_cluster_with_the_right_rows_passes_and_nothing_is_left() -> None:
    of, operator = stack()
    assert "2026-01-31T12:00:00.000001Z" in backup.restore_point_in_time(of)
    assert operator.made == {}
    assert operator.statements[-1].startswith("DROP TABLE IF EXISTS hotstack_check_")


@pytest.mark.parametrize("rows", ["before, after", ""])
def test_a_restored_cluster_with_other_rows_fails(rows: str) -> None:
    of, operator = stack(rows=rows)
    with pytest.raises(CheckError, match=f"has the rows '{rows}': expected 'before'"):
        backup.restore_point_in_time(of)
    assert operator.made == {}


def test_a_cluster_that_is_not_restored_is_told_with_its_last_error_and_removed() -> None:
    of, operator = stack(restored=False)
    with pytest.raises(CheckError, match=r"is not restored, .*: exit status 4"):
        backup.restore_point_in_time(of)
    assert operator.made == {}
    assert operator.statements[-1].startswith("DROP TABLE IF EXISTS hotstack_check_")


@pytest.mark.parametrize("method", ["in_tree", "plugin"])
def test_a_restored_cluster_reads_the_backups_and_never_writes_any(method: str) -> None:
    overrides = {"postgres": {"cloudnativePg": {"backup": {"method": method}}}}
    original = build("dev", overrides).one("Cluster", "hot-postgres").spec
    of = settings.parse("dev", config("dev", overrides)).postgres
    spec = backup.recovered_spec(dict(original), of, "2026-01-31T12:00:00.000001Z")
    assert not {"backup", "plugins"} & spec.keys()
    (origin,) = spec["externalClusters"]
    recovery = spec["bootstrap"]["recovery"]
    assert recovery["source"] == origin["name"]
    assert recovery["recoveryTarget"] == {"targetTime": "2026-01-31T12:00:00.000001Z"}
    if method == "plugin":
        assert origin["plugin"]["parameters"] == original["plugins"][0]["parameters"]
    else:
        assert origin["barmanObjectStore"]["serverName"] == "hot-postgres"


def test_a_restored_cluster_has_one_instance_with_the_limits_that_the_log_was_written_under() -> None:
    original = cluster_spec()
    of = settings.parse("dev", config("dev")).postgres
    spec = backup.recovered_spec(original, of, "2026-01-31T12:00:00.000001Z")
    assert spec["instances"] == 1
    assert spec["imageName"] == original["imageName"]
    assert spec["postgresql"]["parameters"] == original["postgresql"]["parameters"]
    assert "synchronous" not in spec["postgresql"]
