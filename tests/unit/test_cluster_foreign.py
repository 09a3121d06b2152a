"""Images for clusters that are not ours, with stand-ins for their tools that write down how they were called."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cluster import foreign
from cluster.errors import ClusterError
from cluster.images import Image

REFERENCE = "docker.io/hotstack/redis:0123456789ab"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put stand-ins on a PATH that has nothing else; each succeeds unless it is named as `broken`.

    An image is there when the test makes a file `present`.
    """
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    (tmp_path / "bin").mkdir()

    def run(*names: str, broken: str = "") -> None:
        for name in names:
            program = tmp_path / "bin" / name
            status = 1 if name == broken else 0
            program.write_text(
                f'#!/bin/sh\ncase "$*" in *inspect*) [ -e {tmp_path}/present ]; exit;; esac\n'
                f'echo "{name} $*" >> {tmp_path}/calls\necho it broke >&2; exit {status}\n'
            )
            program.chmod(0o755)

    return run


@pytest.fixture
def image(tmp_path: Path) -> Image:
    return Image("hotstack/redis:0123456789ab", tmp_path / "Dockerfile", tmp_path / "context")


def _calls(folder: Path) -> list[str]:
    """What was called, without the builders' `version`; the archive's folder is a new one each time."""
    calls = folder / "calls"
    lines = calls.read_text().splitlines() if calls.exists() else []
    return [_without_folder(line) for line in lines if not line.endswith(" version")]


def _without_folder(line: str) -> str:
    words = [word.split("/tmp", 1)[0] + "image.tar" if "image.tar" in word else word for word in line.split()]
    return " ".join(words)


@pytest.mark.parametrize(
    ("context", "tool", "call"),
    [
        ("kind-work", "kind", "kind load image-archive image.tar --name=work"),
        ("k3d-work", "k3d", "k3d image import image.tar --cluster=work"),
        ("minikube", "minikube", "minikube image load image.tar --profile=minikube"),
        ("minikube-work", "minikube", "minikube image load image.tar --profile=minikube-work"),
    ],
)
def test_each_kind_of_cluster_gets_images_by_its_own_tool(
    install: Callable[..., None], tmp_path: Path, image: Image, context: str, tool: str, call: str
) -> None:
    install("docker", tool)
    foreign.load(context, None, [image])
    assert _calls(tmp_path) == [
        f"docker build --file={tmp_path}/Dockerfile --tag={REFERENCE} {tmp_path}/context",
        f"docker save --output=image.tar {REFERENCE}",
        call,
    ]


@pytest.mark.parametrize(
    ("builder", "build", "save"),
    [
        ("podman", "podman build", f"podman save --format=docker-archive image.tar {REFERENCE}"),
        ("buildah", "buildah bud", f"buildah push {REFERENCE} image.tar"),
    ],
)
def test_whichever_builder_is_there_is_used(
    install: Callable[..., None], tmp_path: Path, image: Image, builder: str, build: str, save: str
) -> None:
    install(builder, "kind")
    foreign.load("kind-work", None, [image])
    calls = _calls(tmp_path)
    assert calls[0].startswith(build)
    assert calls[1].replace("--output=", "").replace("docker-archive:image.tar", "image.tar") == save


@pytest.mark.parametrize("builder", ["docker", "podman", "buildah"])
def test_an_image_that_was_built_before_is_brought_in_without_another_build(
    install: Callable[..., None], tmp_path: Path, image: Image, builder: str
) -> None:
    install(builder, "kind")
    (tmp_path / "present").touch()
    foreign.load("kind-work", None, [image])
    assert [call.split()[:2] for call in _calls(tmp_path)] == [
        [builder, "push" if builder == "buildah" else "save"],
        ["kind", "load"],
    ]


def test_a_docker_client_without_its_daemon_is_passed_over(
    install: Callable[..., None], tmp_path: Path, image: Image
) -> None:
    install("docker", "podman", "kind", broken="docker")
    foreign.load("kind-work", None, [image])
    assert _calls(tmp_path)[0].startswith("podman build")


def test_an_image_with_a_registry_is_pushed_wherever_the_cluster_is(
    install: Callable[..., None], tmp_path: Path, image: Image
) -> None:
    install("docker")
    pushed = Image("registry.example/team/hotstack/redis:0123456789ab", image.dockerfile, image.context)
    foreign.load("some-cloud", "registry.example/team", [pushed])
    assert _calls(tmp_path)[-1] == "docker push registry.example/team/hotstack/redis:0123456789ab"


def test_a_cluster_of_no_known_kind_without_a_registry_is_refused_before_anything_is_built(
    install: Callable[..., None], tmp_path: Path, image: Image
) -> None:
    install("docker")
    with pytest.raises(ClusterError, match=r"kube context 'some-cloud': name a registry .*kubernetes.imageRegistry"):
        foreign.load("some-cloud", None, [image])
    assert _calls(tmp_path) == []


def test_a_cluster_whose_tool_is_not_there_is_refused_before_anything_is_built(
    install: Callable[..., None], tmp_path: Path, image: Image
) -> None:
    install("docker")
    with pytest.raises(ClusterError, match="the kube context 'kind-work' is one of kind, which is not on PATH"):
        foreign.load("kind-work", None, [image])
    assert _calls(tmp_path) == []


def test_a_machine_without_a_builder_is_told_which_would_do(install: Callable[..., None], image: Image) -> None:
    install("kind", "docker", broken="docker")
    with pytest.raises(ClusterError, match="none of docker, podman, buildah works on this machine: install or start"):
        foreign.load("kind-work", None, [image])


def test_a_tool_that_fails_is_quoted(install: Callable[..., None], image: Image) -> None:
    install("docker", "kind", broken="kind")
    with pytest.raises(ClusterError, match=r"`kind load image-archive .*` failed:\nit broke"):
        foreign.load("kind-work", None, [image])


def test_a_stack_that_builds_no_image_needs_no_tool(install: Callable[..., None]) -> None:
    install()
    foreign.load("some-cloud", None, [])
