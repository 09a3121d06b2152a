"""What an installation leaves enabled, with stand-ins for apt and systemctl."""

import os
from pathlib import Path

import pytest

from cluster import packages
from cluster.errors import ClusterError
from cluster.packages import Package

ETCD = Package("etcd-server", "etcd")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which `postgresql` starts at boot; its apt-get enables `etcd`, as Debian's would."""
    wants = tmp_path / "units" / "multi-user.target.wants"
    wants.mkdir(parents=True)
    (wants / "postgresql.service").touch()
    programs = {
        "apt-get": f'case "$*" in *install*) : > {wants}/etcd.service ;; esac',
        "systemctl": f'echo "$*" > {tmp_path}/call; [ -z "$FAIL" ] || {{ echo "no" >&2; exit 1; }}',
    }
    for name, body in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(packages, "UNITS", tmp_path / "units")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_the_services_that_a_package_brings_are_disabled_and_no_other(machine: Path) -> None:
    packages.install_missing([ETCD])
    assert (machine / "call").read_text() == "--root=/ disable etcd.service\n"


def test_a_machine_without_systemctl_needs_none(machine: Path) -> None:
    (machine / "systemctl").unlink()
    packages.install_missing([ETCD])


def test_a_service_that_stays_enabled_is_named(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAIL", "1")
    with pytest.raises(ClusterError, match=r"could not disable etcd\.service:\nno"):
        packages.install_missing([ETCD])
    assert (machine / "units/multi-user.target.wants/postgresql.service").exists()


def test_what_is_there_is_not_installed(machine: Path) -> None:
    (machine / "etcd").touch(mode=0o755)
    packages.install_missing([ETCD])
    assert not (machine / "units/multi-user.target.wants/etcd.service").exists()


def test_a_server_whose_own_programs_are_not_on_path_is_found_by_one_that_is(machine: Path) -> None:
    assert packages.missing(packages.FOR_TESTS) == ["redis-server", "postgresql", "chromium"]
    (machine / "pg_ctlcluster").touch(mode=0o755)
    assert packages.missing(packages.FOR_TESTS) == ["redis-server", "chromium"]
