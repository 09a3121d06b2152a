"""Images of the embedded cluster, with stand-ins for buildah and mmdebstrap that write down how they were called."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cluster import api, images, instance, paths, process
from cluster.errors import ClusterError
from cluster.images import Image

ROOT = Path(__file__).parents[2]

# Keeps the names of its images in a file, as the real one keeps images in its storage.
BUILDAH = r"""
store=$STAND_IN/images; touch $store
case "$*" in
  *" images "*) grep -F "${*##*reference=}" $store || true ;;
  *" bud "*) [ -z "$HANG_BUILD" ] || { echo $$ > $STAND_IN/hanging; exec sleep 60; }
             [ -z "$FAIL_BUILD" ] || { echo "no such package" >&2; exit 1; }
             for argument; do case $argument in --tag=*) echo "${argument#--tag=}" >> $store ;; esac; done ;;
  *" push "*) for last; do :; done; file=${last#oci-archive:}
              [ -z "$FAIL_PUSH" ] || { echo part > "${file%%:*}"; exit 1; }
              echo archive > "${file%%:*}" ;;
  *" rmi "*) for last; do :; done; grep -vF -e "$last" $store > $store.new; mv $store.new $store ;;
esac
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins on PATH, and a cache of this test's own."""
    (tmp_path / "bin").mkdir()
    for name, body in (("buildah", BUILDAH), ("mmdebstrap", "")):
        program = tmp_path / "bin" / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" >> $STAND_IN/calls\n{body}')
        program.chmod(0o755)
    (tmp_path / "ca.crt").write_text("a CA")
    (tmp_path / "Dockerfile").write_text("FROM debian:trixie-slim\n")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("STAND_IN", str(tmp_path))
    monkeypatch.setenv("HOTSTACK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.crt"))
    monkeypatch.setattr(paths, "runtime", lambda: tmp_path / "run")
    return tmp_path


def _calls(folder: Path, word: str) -> list[str]:
    return [line for line in (folder / "calls").read_text().splitlines() if f" {word} " in f"{line} "]


def _cached(folder: Path) -> list[str]:
    images_folder = folder / "cache" / "images"
    return sorted(str(path.relative_to(images_folder)) for path in images_folder.rglob("*") if path.is_file())


@pytest.fixture
def image(folder: Path) -> Image:
    return Image("hotstack/redis:0123456789ab", folder / "Dockerfile", folder / "context")


def test_a_build_leaves_one_archive_and_nothing_in_the_storage_but_the_base(folder: Path, image: Image) -> None:
    archive = images.build(image)
    assert archive.read_text() == "archive\n"
    assert _cached(folder) == ["build.lock", "hotstack-redis/0123456789ab.tar"]
    assert (folder / "images").read_text().split() == [images.BASE]


def test_the_archive_names_the_image_as_a_runtime_looks_it_up(folder: Path, image: Image) -> None:
    images.build(image)
    assert _calls(folder, "push")[0].endswith(":docker.io/hotstack/redis:0123456789ab")


def test_what_was_built_is_not_built_again(folder: Path, image: Image) -> None:
    images.build(image)
    before = (folder / "calls").read_text()
    images.build(image)
    assert (folder / "calls").read_text() == before


def test_the_base_is_made_once_for_all_images(folder: Path, image: Image) -> None:
    images.build(image)
    images.build(Image("hotstack/fastapi:0123456789ab", image.dockerfile, image.context))
    assert len(_calls(folder, "--variant=minbase")) == 1
    assert len(_calls(folder, "bud")) == 3


def test_only_the_last_versions_of_an_image_are_kept(folder: Path, image: Image) -> None:
    image.archive.parent.mkdir(parents=True)
    for version in range(6):
        old = image.archive.with_name(f"{version}.tar")
        old.touch()
        os.utime(old, (version, version))
    images.build(image)
    kept = [f"hotstack-redis/{version}.tar" for version in ("0123456789ab", 3, 4, 5)]
    assert _cached(folder) == ["build.lock", *kept]


@pytest.mark.parametrize("failure", ["FAIL_BUILD", "FAIL_PUSH"])
def test_a_build_that_fails_leaves_no_archive_and_the_next_one_succeeds(
    folder: Path, image: Image, monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    monkeypatch.setenv(failure, "1")
    with pytest.raises(ClusterError, match="failed"):
        images.build(image)
    assert _cached(folder) == ["build.lock"]
    assert (folder / "images").read_text().split() in ([], [images.BASE])
    monkeypatch.delenv(failure)
    assert images.build(image).read_text() == "archive\n"


def test_a_failed_build_ends_with_what_the_tool_said(image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAIL_BUILD", "1")
    with pytest.raises(ClusterError, match="no such package"):
        images.build(image)


def test_a_build_is_lent_the_machines_ca_bundle_as_a_secret(folder: Path, image: Image) -> None:
    images.build(image)
    assert f"--secret=id=ca,src={folder}/ca.crt" in _calls(folder, "bud")[-1]


def test_a_machine_without_a_ca_bundle_builds_without_that_secret(
    folder: Path, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "none"))
    images.build(image)
    assert "--secret" not in _calls(folder, "bud")[-1]


def test_a_build_that_is_killed_goes_on_nowhere_and_the_next_one_succeeds(
    folder: Path, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = f"from cluster import images; from pathlib import Path; images.build(images.{image!r})"
    script = script.replace("PosixPath", "Path")
    monkeypatch.setenv("HANG_BUILD", "1")
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT) as builder:
        hanging = _wait_for(folder / "hanging")
        builder.kill()
    deadline = time.monotonic() + 10
    # One that has ended has no command line any more, though nobody may have asked about its end yet.
    while process.command_line(int(hanging)):
        assert time.monotonic() < deadline, "the build goes on without its builder"
        time.sleep(0.01)
    monkeypatch.delenv("HANG_BUILD")
    assert images.build(image).read_text() == "archive\n"
    assert _cached(folder) == ["build.lock", "hotstack-redis/0123456789ab.tar"]


def _wait_for(file: Path) -> str:
    """Return what a file holds, as soon as it holds something."""
    deadline = time.monotonic() + 10
    while not (file.exists() and file.read_text()):
        assert time.monotonic() < deadline, f"{file} does not come"
        time.sleep(0.01)
    return file.read_text().strip()


# As ctr prints them. `old` ran before, `used` has a container still, a pod waits for `named`, and `new` is wanted.
STORED = """
REF TYPE DIGEST SIZE PLATFORMS LABELS
docker.io/hotstack/redis:old manifest sha256:11 1.0 MiB linux/amd64 -
docker.io/hotstack/redis:used manifest sha256:22 1.0 MiB linux/amd64 -
docker.io/hotstack/redis:new manifest sha256:33 1.0 MiB linux/amd64 -
docker.io/hotstack/redis:named manifest sha256:55 1.0 MiB linux/amd64 -
docker.io/hotstack/fastapi:old manifest sha256:44 1.0 MiB linux/amd64 -
sha256:c1 manifest sha256:11 1.0 MiB linux/amd64 io.cri-containerd.image=managed
sha256:c2 manifest sha256:22 1.0 MiB linux/amd64 io.cri-containerd.image=managed
"""
CONTAINERS = """
CONTAINER IMAGE RUNTIME
1e08 docker.io/hotstack/redis:used io.containerd.runc.v2
"""


def test_versions_that_neither_the_stack_nor_a_pod_has_need_of_leave_the_instance(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "images_of_pods", lambda _: {"hotstack/redis:named"})
    ctr = folder / "bin" / "ctr"
    tables = f"*' images ls'*) echo '{STORED.strip()}' ;; *' containers ls'*) echo '{CONTAINERS.strip()}' ;;"
    ctr.write_text(f'#!/bin/sh\necho "ctr $*" >> $STAND_IN/calls\ncase "$*" in {tables} esac\n')
    ctr.chmod(0o755)
    images.load(instance.get("drill"), [Image("hotstack/redis:new", folder / "Dockerfile", folder)])
    (removal,) = _calls(folder, "rm")
    assert removal.endswith(" images rm docker.io/hotstack/redis:old sha256:c1")


@pytest.mark.parametrize(
    ("reference", "full"),
    [
        ("hotstack/redis:1", "docker.io/hotstack/redis:1"),
        ("registry.example:5000/team/hotstack/redis:1", "registry.example:5000/team/hotstack/redis:1"),
        ("localhost/redis:1", "localhost/redis:1"),
    ],
)
def test_a_reference_without_a_registry_gets_the_one_that_runtimes_add(reference: str, full: str) -> None:
    assert Image(reference, Path("Dockerfile"), Path()).full_reference == full
