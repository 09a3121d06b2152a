"""What `barman-cloud-wal-restore` of `images/postgres` answers itself; curl and Barman Cloud are stand-ins."""

import gzip
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "images" / "postgres" / "barman-cloud-wal-restore"
BARMAN = "/usr/bin/barman-cloud-wal-restore"
MISSING, FOUND = "<KeyCount>0</KeyCount>", "<KeyCount>1</KeyCount>"
HISTORY = "00000003.history"
HISTORY_KEY = f"hot/hot-postgres/wals/{HISTORY}"
STORED = f"{FOUND}<Contents><Key>{HISTORY_KEY}.gz</Key></Contents>"
NOT_FOUND = 1
BARMANS_ANSWER = 42
SEGMENT = "00000002000000010000000A"
OPTIONS = ("--endpoint-url", "http://object-store:7070", "--cloud-provider", "aws-s3")
PLACE = ("s3://backups/hot", "hot-postgres")
LOGIN = {"AWS_ACCESS_KEY_ID": "hotstack", "AWS_SECRET_ACCESS_KEY": "a+very/secret=key"}


@dataclass(frozen=True)
class Pod:
    """A folder with the script and the programs that it calls."""

    folder: Path

    def restore(
        self, *arguments: str, answer: str, stored: bytes = b"", variables: dict[str, str] | None = None
    ) -> int:
        """Exit code of a call, where a listing of the bucket gets `answer`, and any file of it `stored`."""
        (self.folder / "stored").write_bytes(stored)
        environment = {
            "PATH": f"{self.folder}:{os.environ['PATH']}",
            "ANSWER": answer,
            "OUT": str(self.folder),
            **(LOGIN if variables is None else variables),
        }
        return subprocess.run(["sh", self.folder / "script", *arguments], env=environment).returncode

    def asked(self) -> str:
        path = self.folder / "curl.args"
        return path.read_text() if path.exists() else ""


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    (tmp_path / "script").write_text(SCRIPT.read_text().replace(BARMAN, str(tmp_path / "barman")))
    stand_ins = {
        "curl": 'printf "%s\\n" "$@" > "$OUT/curl.args"; cat > "$OUT/curl.stdin"\n'
        'case "$*" in *--get*) printf %s "$ANSWER" ;; *) cat "$OUT/stored" ;; esac',
        "barman": f'printf "%s\\n" "$@" > "$OUT/barman.args"; exit {BARMANS_ANSWER}',
    }
    for name, script in stand_ins.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    return Pod(tmp_path)


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        (SEGMENT, f"hot/hot-postgres/wals/0000000200000001/{SEGMENT}"),
        (HISTORY, HISTORY_KEY),
    ],
)
def test_a_file_that_is_not_in_the_archive_is_not_found_without_barman(pod: Pod, name: str, prefix: str) -> None:
    assert pod.restore(*OPTIONS, *PLACE, name, "pg_wal/RECOVERYXLOG", answer=MISSING) == NOT_FOUND
    assert f"prefix={prefix}\n" in pod.asked()
    assert not (pod.folder / "barman.args").exists()


def test_the_place_may_be_the_bucket_itself(pod: Pod) -> None:
    for place in ("s3://backups", "s3://backups/"):
        pod.restore(*OPTIONS, place, "hot-postgres", "00000003.history", "target", answer=MISSING)
        assert "prefix=hot-postgres/wals/00000003.history\n" in pod.asked()
        assert pod.asked().endswith("http://object-store:7070/backups\n")


def test_a_compressed_history_is_fetched_without_barman(pod: Pod) -> None:
    target = pod.folder / "RECOVERYHISTORY"
    arguments = (*OPTIONS, *PLACE, HISTORY, str(target))
    assert pod.restore(*arguments, answer=STORED, stored=gzip.compress(b"1\t0/5000000\tno reason\n")) == 0
    assert pod.asked().endswith(f"http://object-store:7070/backups/{HISTORY_KEY}.gz\n")
    assert target.read_text() == "1\t0/5000000\tno reason\n"


def test_a_history_that_does_not_come_whole_is_barmans(pod: Pod) -> None:
    arguments = (*OPTIONS, *PLACE, HISTORY, str(pod.folder / "RECOVERYHISTORY"))
    for stored in (b"", gzip.compress(b"1\t0/5000000\tno reason\n")[:-1]):
        assert pod.restore(*arguments, answer=STORED, stored=stored) == BARMANS_ANSWER


@pytest.mark.parametrize("answer", [FOUND, "", "<Error/>"], ids=["there", "none", "an error"])
def test_barman_is_asked_about_a_file_that_is_not_clearly_missing(pod: Pod, answer: str) -> None:
    arguments = (*OPTIONS, *PLACE, SEGMENT, "pg_wal/RECOVERYXLOG")
    assert pod.restore(*arguments, answer=answer) == BARMANS_ANSWER
    assert (pod.folder / "barman.args").read_text().splitlines() == list(arguments)


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [
        ((*OPTIONS[2:], *PLACE), LOGIN),
        (("--gzip", *OPTIONS, *PLACE), LOGIN),
        ((*OPTIONS[:3], "azure-blob-storage", *PLACE), LOGIN),
        ((*OPTIONS, *PLACE), {}),
        ((*OPTIONS, *PLACE), {**LOGIN, "AWS_SESSION_TOKEN": "token"}),
    ],
    ids=["Amazon's own endpoint", "an option more", "another cloud", "no key", "a session's key"],
)
def test_what_only_barman_understands_is_left_to_it(
    pod: Pod, arguments: tuple[str, ...], variables: dict[str, str]
) -> None:
    assert pod.restore(*arguments, SEGMENT, "target", answer=MISSING, variables=variables) == BARMANS_ANSWER
    assert pod.asked() == ""


def test_the_key_is_in_no_argument_list(pod: Pod) -> None:
    pod.restore(*OPTIONS, *PLACE, SEGMENT, "target", answer=MISSING)
    assert LOGIN["AWS_SECRET_ACCESS_KEY"] not in pod.asked()
    assert (pod.folder / "curl.stdin").read_text() == 'user = "hotstack:a+very/secret=key"\n'
