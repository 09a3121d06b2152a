"""What the scripts of `images/postgres` do without Barman Cloud; it and curl are stand-ins."""

import base64
import gzip
import hashlib
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

IMAGE = Path(__file__).parents[2] / "images" / "postgres"
MISSING, FOUND = "<KeyCount>0</KeyCount>", "<KeyCount>1</KeyCount>"
HISTORY = "00000003.history"
HISTORY_KEY = f"hot/hot-postgres/wals/{HISTORY}"
STORED = f"{FOUND}<Contents><Key>{HISTORY_KEY}.gz</Key></Contents>"
NOT_FOUND = 1
BARMANS_ANSWER = 42
SEGMENT = "00000002000000010000000A"
OPTIONS = ("--endpoint-url", "http://object-store:7070", "--cloud-provider", "aws-s3")
PLACE = ("s3://backups/hot", "hot-postgres")
WAL = bytes(range(256)) * 64
LOGIN = {"AWS_ACCESS_KEY_ID": "hotstack", "AWS_SECRET_ACCESS_KEY": "a+very/secret=key"}


@dataclass(frozen=True)
class Pod:
    """A folder with the scripts and the programs that they call."""

    folder: Path

    def restore(
        self, *arguments: str, answer: str, stored: bytes = b"", variables: dict[str, str] | None = None
    ) -> int:
        """Exit code of a call, where a listing of the bucket gets `answer`, and any file of it `stored`."""
        (self.folder / "stored").write_bytes(stored)
        return self._call("barman-cloud-wal-restore", arguments, answer, variables)

    def archive(self, *arguments: str, status: str = "200", variables: dict[str, str] | None = None) -> int:
        """Exit code of a call, where an upload gets `status`."""
        return self._call("barman-cloud-wal-archive", arguments, status, variables)

    def _call(self, script: str, arguments: Sequence[str], answer: str, variables: dict[str, str] | None) -> int:
        environment = {
            "PATH": f"{self.folder}:{os.environ['PATH']}",
            "ANSWER": answer,
            "OUT": str(self.folder),
            "TMPDIR": str(self.folder / "tmp"),
            **(LOGIN if variables is None else variables),
        }
        return subprocess.run(["sh", self.folder / script, *arguments], env=environment).returncode

    def asked(self) -> str:
        path = self.folder / "curl.args"
        return path.read_text() if path.exists() else ""


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    (tmp_path / "tmp").mkdir()
    for name in ("barman-cloud-s3.sh", "barman-cloud-wal-archive", "barman-cloud-wal-restore"):
        script = (IMAGE / name).read_text()
        for real, here in (("/usr/local/lib/", f"{tmp_path}/"), (f"/usr/bin/{name}", f"{tmp_path}/barman")):
            script = script.replace(real, here)
        (tmp_path / name).write_text(script)
    stand_ins = {
        "curl": 'printf "%s\\n" "$@" > "$OUT/curl.args"; cat > "$OUT/curl.stdin"\n'
        'while [ $# -gt 1 ]; do [ "$1" = --upload-file ] && cp "$2" "$OUT/uploaded"; shift; done\n'
        'grep -q -e --get -e --upload-file "$OUT/curl.args" && printf %s "$ANSWER" || cat "$OUT/stored"',
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
    ("options", "variables"),
    [
        (OPTIONS[2:], LOGIN),
        (("--gzip", *OPTIONS), LOGIN),
        ((*OPTIONS[:3], "azure-blob-storage"), LOGIN),
        (OPTIONS, {}),
        (OPTIONS, {**LOGIN, "AWS_SESSION_TOKEN": "token"}),
    ],
    ids=["Amazon's own endpoint", "an option more", "another cloud", "no key", "a session's key"],
)
def test_what_only_barman_understands_is_left_to_it(
    pod: Pod, options: tuple[str, ...], variables: dict[str, str]
) -> None:
    assert pod.restore(*options, *PLACE, SEGMENT, "target", answer=MISSING, variables=variables) == BARMANS_ANSWER
    assert pod.archive("--gzip", *options, *PLACE, SEGMENT, variables=variables) == BARMANS_ANSWER
    assert pod.asked() == ""


def test_the_key_is_in_no_argument_list(pod: Pod) -> None:
    wal = written(pod, SEGMENT)
    for call in (
        lambda: pod.restore(*OPTIONS, *PLACE, SEGMENT, "target", answer=MISSING),
        lambda: pod.archive("--gzip", *OPTIONS, *PLACE, wal),
    ):
        call()
        assert LOGIN["AWS_SECRET_ACCESS_KEY"] not in pod.asked()
        assert (pod.folder / "curl.stdin").read_text() == 'user = "hotstack:a+very/secret=key"\n'


@pytest.mark.parametrize("name", [SEGMENT, f"{SEGMENT}.00000028.backup", f"{SEGMENT}.partial"])
def test_a_file_is_stored_whole_where_barman_looks_for_it(pod: Pod, name: str) -> None:
    assert pod.archive("--gzip", *OPTIONS, *PLACE, written(pod, name)) == 0
    assert pod.asked().endswith(f"http://object-store:7070/backups/hot/hot-postgres/wals/0000000200000001/{name}.gz\n")
    assert gzip.decompress((pod.folder / "uploaded").read_bytes()) == WAL
    assert not (pod.folder / "barman.args").exists()


def test_a_history_is_stored_beside_the_folders_of_the_timelines(pod: Pod) -> None:
    assert pod.archive("--gzip", *OPTIONS, *PLACE, written(pod, HISTORY)) == 0
    assert pod.asked().endswith(f"http://object-store:7070/backups/{HISTORY_KEY}.gz\n")


def test_the_server_is_given_the_checksum_of_what_it_gets(pod: Pod) -> None:
    pod.archive("--gzip", *OPTIONS, *PLACE, written(pod, SEGMENT))
    checksum = hashlib.md5((pod.folder / "uploaded").read_bytes(), usedforsecurity=False).digest()
    assert f"Content-MD5: {base64.b64encode(checksum).decode()}\n" in pod.asked()


def test_a_file_without_a_checksum_is_not_stored(pod: Pod) -> None:
    (pod.folder / "openssl").write_text("#!/bin/sh\nexit 1\n")
    (pod.folder / "openssl").chmod(0o755)
    assert pod.archive("--gzip", *OPTIONS, *PLACE, written(pod, SEGMENT)) == BARMANS_ANSWER
    assert pod.asked() == ""


@pytest.mark.parametrize("status", ["", "000", "301", "400", "503"])
def test_a_file_that_the_server_has_not_confirmed_is_barmans(pod: Pod, status: str) -> None:
    arguments = ("--gzip", *OPTIONS, *PLACE, written(pod, SEGMENT))
    assert pod.archive(*arguments, status=status) == BARMANS_ANSWER
    assert (pod.folder / "barman.args").read_text().splitlines() == list(arguments)


@pytest.mark.parametrize("status", ["200", "503"])
def test_nothing_is_left_of_an_upload(pod: Pod, status: str) -> None:
    pod.archive("--gzip", *OPTIONS, *PLACE, written(pod, SEGMENT), status=status)
    assert list((pod.folder / "tmp").iterdir()) == []


def test_what_a_killed_upload_left_is_not_stored_nor_kept(pod: Pod) -> None:
    (pod.folder / "tmp" / f"{SEGMENT}.gz").write_bytes(b"half of a longer file" * 10_000)
    assert pod.archive("--gzip", *OPTIONS, *PLACE, written(pod, SEGMENT)) == 0
    assert gzip.decompress((pod.folder / "uploaded").read_bytes()) == WAL
    assert list((pod.folder / "tmp").iterdir()) == []


def test_a_file_that_cannot_be_read_is_not_stored(pod: Pod) -> None:
    assert pod.archive("--gzip", *OPTIONS, *PLACE, str(pod.folder / SEGMENT)) == BARMANS_ANSWER
    assert pod.asked() == ""


def test_a_file_is_not_stored_under_another_compression(pod: Pod) -> None:
    for option in ("--lz4", "--bzip2"):
        assert pod.archive(option, *OPTIONS, *PLACE, written(pod, SEGMENT)) == BARMANS_ANSWER
    assert pod.asked() == ""


def written(pod: Pod, name: str) -> str:
    """Path of a file of WAL."""
    (pod.folder / name).write_bytes(WAL)
    return str(pod.folder / name)
