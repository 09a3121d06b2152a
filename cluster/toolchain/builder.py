"""Builds the tools of `recipes.py` and keeps them in the cache.

The cache holds one folder for each build, `toolchain/<name>-<key>`, where the key is made of all that goes into it. A
build runs in a folder beside these and is renamed when it is finished, so a folder of that name is always whole.
"""

import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cluster import paths
from cluster.errors import ClusterError
from cluster.toolchain.go import Go, find_go
from cluster.toolchain.recipes import PULUMI_VERSION, TOOLS, ModuleFile, Tool

MODULES = Path(__file__).parent

# Go's proxy, its caches and the architecture are the user's; these are ours, since the result depends on them.
BUILD_ENVIRONMENT = {
    "CGO_ENABLED": "0",  # static binaries: they run in an empty image
    "GOFLAGS": "-mod=readonly -trimpath -buildvcs=false",  # go.sum decides, and no path of this machine gets in
    "GOTOOLCHAIN": "local",  # never another Go than the one that was found
    "GOWORK": "off",
}

# Downloaded modules, compiled packages and the binary, on average. Nearly all of it is in Go's own caches.
DISK_GIB_PER_TOOL = 3

GIB = 1 << 30
LAST_LINES = 20
UNFINISHED = ".building-"
GO_TEMPORARY = "tmp"


def ensure(*names: str) -> dict[str, Path]:
    """Return the path of each named binary, building first what the cache does not hold.

    Builds run one after the other, over all processes of the machine: each one keeps every core busy.

    Raises:
        ClusterError: a name is unknown, this is not Linux, Go is missing or too old, there is too little memory or
            disk (all before anything is built), or a build failed, with the last lines it printed.
    """
    tools = _with_companions(names)
    _require_linux(names)
    go = find_go()
    missing = [tool for tool in tools if not _folder(tool, go).exists()]
    if missing:
        _check_room(missing, go)
    for tool in missing:
        with _only_build(tool.name):
            if not _folder(tool, go).exists():  # it may have been built while this process waited
                _build(tool, go)
    return {name: _folder(TOOLS[name], go) / name for name in names}


def module_file(name: str, file: ModuleFile) -> Path:
    """Return where a file of a module lies that the named tool is built from; downloaded first if need be.

    Raises:
        ClusterError: Go is missing or too old, or the module cannot be had.
    """
    with tempfile.TemporaryDirectory() as work:
        source = Path(work, "source")
        shutil.copytree(MODULES / name, source)
        source.with_name(GO_TEMPORARY).mkdir()
        return _downloaded(file, TOOLS[name], find_go(), source)


def key(tool: Tool, go: Go) -> str:
    """Return the sixteen hex digits that stand for all that goes into a build of `tool` by `go`."""
    digest = hashlib.sha256(repr((tool, go.target, BUILD_ENVIRONMENT)).encode())
    for companion in tool.companions:
        digest.update(key(TOOLS[companion], go).encode())
    module = MODULES / tool.name
    for file in sorted(path for path in module.rglob("*") if path.is_file()):
        content = file.read_bytes()
        digest.update(f"{file.relative_to(module)} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def lack_of_room(tools: Sequence[Tool], memory: int, disks: dict[Path, int]) -> str | None:
    """Return one sentence on what is too little to build `tools`, or None when all is enough.

    Args:
        tools: what is to be built.
        memory: bytes that are available.
        disks: bytes that are free in each folder that a build fills.
    """
    names = ", ".join(tool.name for tool in tools)
    most = max(tool.memory_gib for tool in tools)
    if memory < most * GIB:
        return (
            f"building {names} takes up to {most} GiB of memory, and {memory / GIB:.1f} GiB are available: "
            "stop something, or use a larger machine"
        )
    needed = DISK_GIB_PER_TOOL * len(tools)
    for folder, free in disks.items():
        if free < needed * GIB:
            return (
                f"building {names} takes about {needed} GiB of disk, and {free / GIB:.1f} GiB are free in {folder}: "
                "make room there, or move that cache (HOTSTACK_CACHE, GOMODCACHE, GOCACHE)"
            )
    return None


def lack_of_room_for(names: Sequence[str]) -> str | None:
    """Return one sentence on what is too little to build those of the named tools that the cache does not hold.

    Raises:
        ClusterError: a name is unknown, or Go is missing or too old.
    """
    go = find_go()
    missing = [tool for tool in _with_companions(names) if not _folder(tool, go).exists()]
    return lack_of_room(missing, _available_memory(), _free_disks(go)) if missing else None


def _require_linux(names: Sequence[str]) -> None:
    if (system := platform.system()) != "Linux":
        raise ClusterError(
            f"{', '.join(names)} can be built on Linux only, and this is {system}: install Pulumi {PULUMI_VERSION} or "
            "newer from its vendor, which can download its providers"
        )


def _with_companions(names: Sequence[str]) -> list[Tool]:
    """Return the named tools, each one after those it needs beside it."""
    tools: list[Tool] = []
    for name in names:
        if name not in TOOLS:
            raise ClusterError(f"there is no tool named {name!r}: the names are {', '.join(TOOLS)}")
        wanted = [*_with_companions(TOOLS[name].companions), TOOLS[name]]
        tools += [tool for tool in wanted if tool not in tools]
    return tools


def _cache() -> Path:
    return paths.cache() / "toolchain"


def _folder(tool: Tool, go: Go) -> Path:
    return _cache() / f"{tool.name}-{key(tool, go)}"


def _check_room(tools: Sequence[Tool], go: Go) -> None:
    if problem := lack_of_room(tools, _available_memory(), _free_disks(go)):
        raise ClusterError(problem)


def _free_disks(go: Go) -> dict[Path, int]:
    return {folder: shutil.disk_usage(_existing(folder)).free for folder in (_cache(), *go.caches)}


def _existing(folder: Path) -> Path:
    """Return `folder`, or the nearest folder above it that is already there."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def _available_memory() -> int:
    """Return the bytes that new processes can have, as the kernel estimates them."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    kibibytes = next(line.split()[1] for line in lines if line.startswith("MemAvailable:"))
    return int(kibibytes) * 1024


@contextmanager
def _only_build(name: str) -> Generator[None]:
    """Hold the machine's one place for a build; the kernel frees it whatever becomes of this process."""
    _cache().mkdir(parents=True, exist_ok=True)
    with (_cache() / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(f"{name}: waiting for another build on this machine")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(tool: Tool, go: Go) -> None:
    """Build `tool` and rename the result to its folder, which appears whole or not at all."""
    for interrupted in _cache().glob(f"{UNFINISHED}*"):  # the holder of the lock is the only one that builds
        shutil.rmtree(interrupted, ignore_errors=True)  # a compiler may have outlived its build, and still write there
    _say(f"{tool.name}: building, about {tool.minutes:g} min when nothing is cached")
    started, folder = time.monotonic(), _folder(tool, go)
    with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=_cache()) as work:
        source, finished = Path(work, "source"), Path(work, "finished")
        shutil.copytree(MODULES / tool.name, source)  # a copy: generated files never land in the checkout
        finished.mkdir()
        source.with_name(GO_TEMPORARY).mkdir()
        _compile(tool, go, source, finished)
        finished.rename(folder)
    _say(f"{tool.name}: built in {time.monotonic() - started:.0f} s")


def _compile(tool: Tool, go: Go, source: Path, finished: Path) -> None:
    assignments = [f"-X {name}={value}" for name, value in tool.variables.items()]
    ldflags = " ".join(["-s -w", *assignments])  # -s -w: no symbols for a debugger, a third smaller
    for file in tool.embedded:
        _copy_from_module(file, tool, go, source, source)
    if tool.generate:
        _run_go(tool, go, source, "run", "-ldflags", ldflags, *tool.generate)
    _run_go(tool, go, source, "build", "-ldflags", ldflags, "-o", str(finished / tool.name), tool.package)
    for file in tool.beside:
        _copy_from_module(file, tool, go, source, finished)
    for companion in tool.companions:
        (finished / companion).symlink_to(Path("..", _folder(TOOLS[companion], go).name, companion))
    for link in tool.links:
        (finished / link).symlink_to(tool.name)


def _copy_from_module(file: ModuleFile, tool: Tool, go: Go, source: Path, target: Path) -> None:
    copy = target / Path(file.path).name
    shutil.copyfile(_downloaded(file, tool, go, source), copy)
    copy.chmod(0o755 if file.executable else 0o644)


def _downloaded(file: ModuleFile, tool: Tool, go: Go, source: Path) -> Path:
    answer = json.loads(_run_go(tool, go, source, "mod", "download", "-json", file.module))
    return Path(answer["Dir"], file.path)


def _run_go(tool: Tool, go: Go, source: Path, *arguments: str) -> str:
    """Run `go` in `source` and return what it printed to standard output."""
    # setpriv has the kernel end the build when this process dies, by whatever signal. A killed go leaves its temporary
    # files behind: they are kept with the build, to be removed with it.
    command = ["setpriv", "--pdeathsig", "KILL", str(go.program), *arguments]
    temporary = {"GOTMPDIR": str(source.with_name(GO_TEMPORARY))}
    done = subprocess.run(
        command,
        cwd=source,
        env=os.environ | BUILD_ENVIRONMENT | temporary,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        last = "\n".join((done.stderr or done.stdout).strip().splitlines()[-LAST_LINES:])
        raise ClusterError(f"{tool.name} could not be built; `go {arguments[0]}` ended with:\n{last}")
    return done.stdout


def _say(line: str) -> None:
    # Not to standard output: there the command line prints paths, for other programs to read.
    print(line, file=sys.stderr, flush=True)
