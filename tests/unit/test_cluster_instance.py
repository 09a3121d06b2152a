"""Instances share nothing, whatever they do."""

import dataclasses
import ipaddress
import itertools
from pathlib import Path

import pytest

from cluster import instance, paths


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(instance.NAMES, 2)))
def test_two_instances_have_nothing_in_common(one: str, other: str) -> None:
    first, second = instance.get(one), instance.get(other)
    for field in ("name", "host_address", "node_address"):
        assert getattr(first, field) != getattr(second, field)
    for derived in ("full_name", "host_link", "folder", "runtime", "lock", "kubeconfig", "api_url"):
        assert getattr(first, derived) != getattr(second, derived)
    assert not set(first.published_ports) & set(second.published_ports)


@pytest.mark.parametrize("name", instance.NAMES)
def test_both_ends_of_a_wire_are_the_two_hosts_of_one_network(name: str) -> None:
    wire = instance.get(name)
    network = ipaddress.ip_network(f"{wire.host_address}/30", strict=False)
    assert {str(host) for host in network.hosts()} == {wire.host_address, wire.node_address}


@pytest.mark.parametrize("name", instance.NAMES)
def test_names_are_as_short_as_the_kernel_wants_them(name: str) -> None:
    one = instance.get(name)
    assert len(one.host_link) <= 15
    assert len(str(one.containerd_socket)) < 108


def test_the_addresses_of_pods_services_and_wires_do_not_overlap() -> None:
    wires = [ipaddress.ip_network(f"{instance.get(name).host_address}/30", strict=False) for name in instance.NAMES]
    ranges = [*wires, *map(ipaddress.ip_network, (instance.POD_RANGE, instance.SERVICE_RANGE))]
    overlapping = [(a, b) for i, a in enumerate(ranges) for b in ranges[i + 1 :] if a.overlaps(b)]
    assert overlapping == []
    services = ipaddress.ip_network(instance.SERVICE_RANGE)
    assert all(ipaddress.ip_address(ip) in services for ip in (instance.API_SERVICE_IP, instance.DNS_SERVICE_IP))


def test_an_unknown_instance_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"no instance 'prod' .*: expected one of dev, test, drill"):
        instance.get("prod")


def test_an_instance_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        instance.get("dev").name = "test"  # ty: ignore[invalid-assignment]


def test_state_and_cache_go_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOTSTACK_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("HOTSTACK_CACHE", str(tmp_path / "cache"))
    assert instance.get("test").folder == tmp_path / "state" / "test"
    assert paths.cache() == tmp_path / "cache"
    monkeypatch.delenv("HOTSTACK_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert paths.cache() == tmp_path / "xdg" / "hotstack"
