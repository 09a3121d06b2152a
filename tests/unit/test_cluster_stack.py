"""What is decided about a stack before anything of it is started."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml

import settings
from checks.outcome import eventually
from cluster import __main__ as command_line
from cluster import cgroups, foreign, interrupted, node, process, stack
from cluster.instance import get

DESTROY = "destroy --yes --skip-preview --suppress-progress --stack dev"


def test_a_stack_file_tells_its_context_and_the_images_to_build(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # What is built for real takes minutes.
    monkeypatch.setattr(stack, "ensure", lambda *names: {name: tmp_path / name / "program" for name in names})
    dev = stack.wanted("dev")
    assert dev.embedded
    images = {image.reference.split(":")[0]: image for image in dev.images()}
    assert {"hotstack/redis", "hotstack/fastapi"} <= images.keys()
    assert all(image.dockerfile.is_file() for image in images.values())
    assert images["hotstack/fastapi"].context == stack.ROOT / "app"
    assert images["hotstack/cloudnative-pg"].context == tmp_path / "cloudnative-pg", "the program that goes into it"


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
    assert command_line.main(["up", "--stack", "staging"]) == 1
    assert "set imageRegistry of hotstack:kubernetes there" in capsys.readouterr().err


@pytest.fixture
def living_pulumi(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that the kernel knows as `pulumi`."""
    program = tmp_path / "pulumi"
    shutil.copy(shutil.which("sleep") or "/bin/sleep", program)
    with subprocess.Popen([program, "30"]) as started:
        shown = (str(program), "30")
        # Popen returns a moment before the kernel shows the new program's name.
        eventually(lambda: None if process.command_line(started.pid) == shown else "not yet", 5, pause=0.01)
        yield started
        started.kill()


def test_a_lock_is_held_as_long_as_its_pulumi_lives(tmp_path: Path, living_pulumi: subprocess.Popen[bytes]) -> None:
    lock = tmp_path / "lock.json"
    lock.write_text(json.dumps({"pid": living_pulumi.pid}))
    assert interrupted.holder(lock) == living_pulumi.pid
    living_pulumi.kill()
    # As long as nobody waits for it, the kernel keeps its number and its name.
    eventually(lambda: None if interrupted.holder(lock) is None else "still held", 5, pause=0.01)
    assert Path(f"/proc/{living_pulumi.pid}/comm").read_text() == "pulumi\n"
    living_pulumi.wait()
    assert interrupted.holder(lock) is None
    lock.write_text(json.dumps({"pid": os.getpid()}))
    assert interrupted.holder(lock) is None, "the number is another program's by now"


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


@dataclass(frozen=True)
class Machine:
    """A machine of a test's own: folders for state and cache that are not there yet, and a stand-in for Pulumi."""

    folder: Path

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    def save_state(self, name: str, *resources: dict[str, object], pending: Sequence[object] = ()) -> None:
        """Put the state of a stack into the backend of the dev instance."""
        file = stack.backend(get("dev")) / ".pulumi" / "stacks" / "hotstack" / f"{name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        latest = {"resources": list(resources), "pending_operations": list(pending)} if resources else {}
        file.write_text(json.dumps({"version": 3, "checkpoint": {"latest": latest}}))

    def save_lock(self, content: str, name: str = "5c1f.json") -> Path:
        """Lock the dev stack on the dev instance."""
        file = stack.backend(get("dev")) / ".pulumi" / "locks" / "organization" / "hotstack" / "dev" / name
        file.parent.mkdir(parents=True)
        file.write_text(content)
        return file

    def answer_export(self, *resources: dict[str, object]) -> None:
        """Have `pulumi stack export` print this state."""
        (self.folder / "export").write_text(json.dumps({"deployment": {"resources": resources}}))

    def calls(self) -> list[str]:
        """What Pulumi was called for, without the questions for stacks."""
        log = self.folder / "calls"
        calls = log.read_text().splitlines() if log.exists() else []
        return [call.removeprefix("--non-interactive ") for call in calls if " stack " not in call]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    program = tmp_path / "bin" / "pulumi"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\necho "$*" >> {tmp_path}/calls\necho "$PULUMI_BACKEND_URL" >> {tmp_path}/backends\n'
        f'case "$*" in *"stack ls"*) echo "[]";; *"stack export"*) cat {tmp_path}/export;; esac\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("HOTSTACK_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("HOTSTACK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cgroups, "trees", lambda: (tmp_path / "cgroup",))
    (tmp_path / "cgroup").mkdir()
    monkeypatch.setattr(stack, "pulumi_env", lambda: {"PATH": f"{program.parent}:/usr/bin:/bin"})
    # The release of the operator would be downloaded, and put into this checkout.
    monkeypatch.setattr(stack, "_place_manifest", lambda _: None)
    return Machine(tmp_path)


@pytest.mark.parametrize("manifest", ["build/cnpg-1.30.0.yaml", "https://example.com/mine.yaml#sha256=00", None])
def test_only_a_release_that_the_toolchain_has_is_put_where_the_stack_file_wants_it(
    manifest: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    downloaded = tmp_path / "module" / "cnpg-1.30.0.yaml"
    downloaded.parent.mkdir()
    downloaded.write_text("kind: Namespace\n")
    want = replace(stack.wanted("staging"), operator_manifest=manifest)
    monkeypatch.setattr(stack, "ROOT", tmp_path)
    monkeypatch.setattr(stack, "module_file", lambda *_: downloaded)
    stack._place_manifest(want)
    placed = tmp_path / "build" / "cnpg-1.30.0.yaml"
    assert placed.exists() == (manifest == "build/cnpg-1.30.0.yaml")
    if placed.exists():
        placed.write_text("a release of the user's own\n")
        stack._place_manifest(want)
        assert placed.read_text() == "a release of the user's own\n"


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The instances that were taken down; nothing really is."""
    names: list[str] = []
    monkeypatch.setattr(node, "down", lambda instance: names.append(instance.name))
    monkeypatch.setattr(node, "status", lambda _: node.Status(pids={}, problems=[]))
    return names


def _resource(name: str, protect: bool = False) -> dict[str, object]:
    kind = "kubernetes:apps/v1:StatefulSet"
    return {"urn": f"urn:pulumi:x::hotstack::hotstack:Redis${kind}::{name}", "type": kind, "protect": protect}


def test_cleaning_removes_what_is_ours_and_needs_no_root_where_no_cluster_is(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for name in ("images", "pulumi-home", "toolchain", "photos"):
        (machine.cache / name / "folder").mkdir(parents=True)
    assert command_line.main(["clean"]) == 0
    assert [path.name for path in machine.cache.iterdir()] == ["photos"]
    shutil.rmtree(machine.cache / "photos")
    assert command_line.main(["clean"]) == 0
    assert not machine.cache.exists()


def test_cleaning_takes_the_dev_stack_down_before_anything_is_removed(
    machine: Machine, stopped: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (machine.cache / "toolchain").mkdir(parents=True)
    machine.save_state("dev", _resource("redis", protect=True))
    assert command_line.main(["clean"]) == 1
    assert "dev protects StatefulSet redis" in capsys.readouterr().err
    assert (machine.cache / "toolchain").is_dir()
    machine.save_state("dev", _resource("redis"))
    assert command_line.main(["clean"]) == 0
    assert machine.calls() == [DESTROY]
    assert "dev" in stopped
    assert not machine.cache.exists()


def _make(*arguments: str, python: Path, ready: Path) -> subprocess.CompletedProcess[str]:
    ready.touch()
    command = ["make", "--no-print-directory", *arguments, f"PYTHON={python}", f"READY={ready}"]
    return subprocess.run(command, cwd=stack.ROOT, capture_output=True, text=True)


def test_make_clean_leaves_a_stack_on_another_cluster_alone(tmp_path: Path) -> None:
    shown = _make("-n", "clean", "STACK=prod", "YES=1", python=tmp_path / "python", ready=tmp_path / "ready")
    assert shown.stdout.splitlines() == [f"{tmp_path}/python -m cluster clean", "rm -rf .venv"]


def test_make_check_checks_nothing_when_its_environment_cannot_be_had(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "$2" >> {tmp_path}/modules\n[ "$2" != cluster ]\n')
    python.chmod(0o755)
    assert _make("check", python=python, ready=tmp_path / "ready").returncode != 0
    assert (tmp_path / "modules").read_text().split() == ["cluster"]


def test_a_stack_elsewhere_with_something_protected_is_not_destroyed_even_in_part(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.answer_export(_resource("fastapi"), _resource("redis", protect=True))
    assert command_line.main(["down", "--stack", "prod", "--yes"]) == 1
    assert "prod protects StatefulSet redis; nothing was destroyed" in capsys.readouterr().err
    assert machine.calls() == []


def test_a_stack_elsewhere_is_destroyed_only_when_somebody_said_so(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.answer_export(_resource("redis"))
    assert command_line.main(["down", "--stack", "prod"]) == 1
    assert "nothing was destroyed: `make down STACK=prod YES=1`" in capsys.readouterr().err
    assert machine.calls() == ["destroy --preview-only --stack prod"]
    assert command_line.main(["down", "--stack", "prod", "--yes"]) == 0
    assert machine.calls()[1:] == ["destroy --yes --skip-preview --suppress-progress --stack prod"]


def test_a_cluster_that_is_not_well_goes_without_waiting_for_its_pods(
    machine: Machine, stopped: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.save_state("dev", _resource("redis"))
    monkeypatch.setattr(node, "status", lambda _: node.Status(pids={}, problems=["kubelet is not running"]))
    assert command_line.main(["down"]) == 0
    assert "without `pulumi destroy`, since: kubelet is not running" in capsys.readouterr().out
    assert machine.calls() == []
    assert stopped == ["dev"]


@pytest.mark.parametrize(
    ("name", "content"),
    [("5c1f.json", '{"pid": 4194305}'), ("5c1f.json.18ea7031fbb62cc2.tmp", "")],
    ids=["whole", "half written"],
)
@pytest.mark.usefixtures("stopped")
def test_what_a_killed_pulumi_left_is_gone_before_the_next_one_starts(
    name: str, content: str, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[str] = []
    monkeypatch.setattr(cgroups, "kill", ended.append)
    machine.save_state("dev", _resource("redis"))
    lock = machine.save_lock(content, name)
    assert command_line.main(["down"]) == 0
    assert not lock.exists()
    assert ended == ["hotstack-dev/daemons/pulumi-dev"], "its plugins outlive it"
    assert machine.calls() == [DESTROY]


@pytest.mark.usefixtures("stopped")
def test_what_was_cut_short_is_looked_up_even_when_the_lock_is_gone(machine: Machine) -> None:
    machine.save_state("dev", _resource("redis"), pending=[{"resource": _resource("app"), "type": "creating"}])
    assert command_line.main(["down"]) == 0
    refresh = "refresh --yes --skip-preview --clear-pending-creates --suppress-progress --stack dev"
    assert machine.calls() == [refresh, DESTROY]


def test_a_pulumi_that_still_works_is_left_at_it(
    machine: Machine,
    stopped: list[str],
    living_pulumi: subprocess.Popen[bytes],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(interrupted, "_DYING_SECONDS", 0)
    machine.save_state("dev", _resource("redis"))
    lock = machine.save_lock(json.dumps({"pid": living_pulumi.pid}))
    assert command_line.main(["down"]) == 1
    assert f"another Pulumi (process {living_pulumi.pid}) is updating dev: wait for it" in capsys.readouterr().err
    assert lock.exists()
    assert machine.calls() == stopped == []


def test_pulumi_runs_in_a_cgroup_of_its_stack_so_that_all_of_it_can_be_ended(
    machine: Machine, stopped: list[str]
) -> None:
    machine.save_state("dev", _resource("redis"))
    assert command_line.main(["down"]) == 0
    assert (machine.folder / "cgroup" / "hotstack-dev" / "daemons" / "pulumi-dev" / "cgroup.procs").read_text() == "0"
    assert stopped == ["dev"]


def test_a_cluster_with_another_stack_on_it_stays(
    machine: Machine, stopped: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    machine.save_state("dev", _resource("redis"))
    machine.save_state("copy", _resource("redis"))
    assert command_line.main(["down"]) == 1
    assert "would take other stacks along, copy: destroy them first" in capsys.readouterr().err
    assert machine.calls() == stopped == []
    machine.save_state("copy")  # destroyed
    assert command_line.main(["down"]) == 0
    assert stopped == ["dev"]


def test_a_preview_before_the_first_up_needs_only_pulumi_and_leaves_nothing(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack, "ensure", lambda *names: pytest.fail(f"{names} were built"))
    assert command_line.main(["preview"]) == 0
    assert machine.calls() == ["preview --diff --stack dev"]
    backends = set((machine.folder / "backends").read_text().split())
    assert len(backends) == 1
    assert not Path(backends.pop().removeprefix("file://")).exists()
    assert not (machine.folder / "state").exists()


def test_a_preview_after_the_first_up_compares_with_its_state(machine: Machine) -> None:
    machine.save_state("dev", _resource("redis"))
    assert command_line.main(["preview"]) == 0
    assert set((machine.folder / "backends").read_text().split()) == {
        f"file://{stack.backend(get('dev'))}?metadata=skip"
    }


def test_a_folder_of_another_user_is_named_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "/state/dev/pulumi")

    monkeypatch.setattr(stack, "preview", refused)
    assert command_line.main(["preview"]) == 1
    assert capsys.readouterr().err.startswith("no permission for /state/dev/pulumi: run this as whoever")


def test_the_stack_file_of_the_readme_for_kind_is_one_that_works_there(tmp_path: Path) -> None:
    readme = (stack.ROOT / "README.md").read_text()
    recipe = next(line for line in readme.splitlines() if line.startswith("    sed ") and "Pulumi.kind.yaml" in line)
    shutil.copy(stack.ROOT / "Pulumi.dev.yaml", tmp_path)
    subprocess.run(["sh", "-c", recipe.partition("  #")[0]], cwd=tmp_path, check=True)
    content = yaml.safe_load((tmp_path / "Pulumi.kind.yaml").read_text())
    kind = settings.parse("kind", content["config"])
    assert kind.kubernetes.context == "kind-kind"
    assert kind.fastapi.ingress is None, "a plain kind cluster has no controller, and Pulumi would wait for its address"
    assert "encryptionsalt" not in content, "it belongs to another passphrase"
