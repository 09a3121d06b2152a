"""Where promtool comes from, with stand-ins for apt and dpkg."""

import os
from pathlib import Path

import pytest

from cluster import promtool
from cluster.errors import ClusterError


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Debian with an empty cache, whose packages hold `usr/bin/promtool`; `calls` says what apt-get was told."""
    (tmp_path / "bin").mkdir()
    programs = {
        "apt-cache": '[ -n "$OWN" ]',
        "apt-get": f'echo "$*" >> {tmp_path}/calls; [ -z "$FAIL" ] || {{ echo "no route" >&2; exit 100; }}\n'
        'for last; do :; done; case "$*" in *download*) : > "${last}_2_amd64.deb" ;; esac',
        "dpkg-deb": '/bin/mkdir -p "$3/usr/bin"; : > "$3/usr/bin/promtool"',
    }
    for name, body in programs.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("HOTSTACK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return tmp_path


@pytest.mark.parametrize(("own", "package"), [("1", "promtool"), ("", "prometheus")])
def test_it_is_taken_out_of_the_package_that_this_debian_has_it_in(
    machine: Path, monkeypatch: pytest.MonkeyPatch, own: str, package: str
) -> None:
    monkeypatch.setenv("OWN", own)
    assert promtool.ensure() == machine / "cache" / "promtool"
    assert promtool.ensure().exists()
    calls = (machine / "calls").read_text().splitlines()
    assert [call.split()[-2:] for call in calls if "download" in call] == [["download", package]]
    assert {path.name for path in (machine / "cache").iterdir()} == {"promtool", "promtool.lock"}


def test_the_one_on_path_is_used_as_it_is(machine: Path) -> None:
    own = machine / "bin" / "promtool"
    own.touch(mode=0o755)
    assert promtool.ensure() == own
    assert not (machine / "calls").exists()


def test_a_download_that_fails_leaves_nothing_and_says_why(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAIL", "1")
    with pytest.raises(ClusterError, match=r"update` failed, so there is no promtool:\nno route"):
        promtool.ensure()
    assert {path.name for path in (machine / "cache").iterdir()} == {"promtool.lock"}


def test_another_distribution_is_told_what_to_install(machine: Path) -> None:
    (machine / "bin" / "apt-get").unlink()
    with pytest.raises(ClusterError, match="apt-get are missing: install promtool"):
        promtool.ensure()
