"""What is decided about a stack before anything of it is started."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from checks.outcome import eventually
from cluster import __main__ as command_line
from cluster import foreign, node, stack
from cluster.instance import get


def test_a_stack_file_tells_its_context_and_the_images_to_build() -> None:
    dev = stack.wanted("dev")
    assert dev.embedded
    assert [image.reference.split(":")[0] for image in dev.images] == ["hotstack/redis", "hotstack/fastapi"]
    assert all(image.dockerfile.is_file() and image.context.is_dir() for image in dev.images)


def test_an_unknown_stack_is_refused_with_the_known_ones_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(node, "up", lambda _: pytest.fail("the cluster was started"))
    assert command_line.main(["up", "--stack", "nowhere"]) == 1
    error = capsys.readouterr().err
    assert "unknown stack 'nowhere'" in error
    assert "dev, prod, staging" in error


def test_a_registry_that_the_stack_does_not_name_is_refused_before_anything_is_built(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(foreign, "load", lambda *_: pytest.fail("an image was built"))
    monkeypatch.setenv("REGISTRY", "registry.example.com/team")
    assert command_line.main(["up", "--stack", "prod"]) == 1
    assert "set imageRegistry of hotstack:kubernetes there" in capsys.readouterr().err


def test_a_lock_is_held_as_long_as_its_pulumi_lives(tmp_path: Path) -> None:
    program = tmp_path / "pulumi"
    shutil.copy(shutil.which("sleep") or "/bin/sleep", program)
    lock = tmp_path / "lock.json"
    with subprocess.Popen([program, "30"]) as process:
        lock.write_text(json.dumps({"pid": process.pid}))
        try:
            # Popen returns a moment before the kernel shows the new program's name.
            eventually(lambda: None if stack.holder(lock) == process.pid else "nobody", 5, pause=0.01)
        finally:
            process.kill()
    assert stack.holder(lock) is None
    lock.write_text(json.dumps({"pid": os.getpid()}))
    assert stack.holder(lock) is None, "the number is another program's by now"


def test_nothing_but_export_lines_reaches_the_shell_that_evaluates_env(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def talkative(*_: object) -> dict[str, str]:
        print("building pulumi")
        return {"KUBECONFIG": "/a path/with spaces"}

    monkeypatch.setattr(stack, "environment_of", talkative)
    assert command_line.main(["env"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "export KUBECONFIG='/a path/with spaces'\n"
    assert "building pulumi" in captured.err


def test_cleaning_is_refused_while_the_dev_stack_exists(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOTSTACK_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("HOTSTACK_CACHE", str(tmp_path / "cache"))
    get("dev").folder.mkdir(parents=True)
    (tmp_path / "cache").mkdir()
    assert command_line.main(["clean"]) == 1
    assert "`make down` first" in capsys.readouterr().err
    assert (tmp_path / "cache").is_dir()
