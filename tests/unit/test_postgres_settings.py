"""What a stack file may not say about PostgreSQL, and what it is told then."""

from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import ValidationError

from components.cloudnative_pg_parameters import FIXED_PARAMETERS
from components.postgres_settings import tag_version
from tests.support.postgres import CLOUDNATIVE_PG, KUBEDB, settings

Overrides = Mapping[str, Any]
DIGEST = "sha256:" + "0" * 64

REFUSED: dict[str, tuple[Overrides, str]] = {
    "an engine without its settings": ({"cloudnativePg": None}, "engine `cloudnative-pg` needs `cloudnativePg`"),
    "settings of the other engine": ({"kubedb": {}}, "and `kubedb` says nothing to it"),
    "synchronous replication without a standby": ({"instances": 1}, "cannot wait for a standby that is not there"),
    "as many synchronous standbys as instances": (
        {"synchronous": {"number": 3}},
        "`synchronous.number` 3 is more than the 2 standbys of 3 `instances`",
    ),
    "details of no synchronous replication": (
        {"synchronous": {"method": "none", "failoverQuorum": True}},
        "with method `none` nothing is waited for",
    ),
    "a parameter that the operator sets": (
        {"parameters": {"archive_mode": "off"}},
        "`parameters.archive_mode` is the operator's own to set",
    ),
    "connections that nobody would count": (
        {"parameters": {"max_connections": "500"}},
        "`parameters.max_connections` is counted against clients: set `maxConnections`",
    ),
    "a parameter that would smuggle in a line": (
        {"parameters": {"work_mem = '1GB'\nfsync": "off"}},
        "expected names of parameters, in small letters",
    ),
    "a parameter in capitals, which would slip past the list": (
        {"parameters": {"Archive_Mode": "off"}},
        "expected names of parameters, in small letters",
    ),
    "the superuser as the application": ({"owner": "postgres"}, "`owner` 'postgres' is the name of another role here"),
    "monitoring as the application": ({"owner": "monitor"}, "`owner` 'monitor' is the name of another role here"),
    "a database whose name needs quotes": ({"database": "My-App"}, "should match pattern"),
    "an image whose version the operator cannot read": (
        {"cloudnativePg": {"image": {"version": None}}},
        "the operator reads PostgreSQL's version off the image: expected `version`",
    ),
    "a published image whose tag tells no version": (
        {"cloudnativePg": {"image": {"build": None, "version": None, "reference": f"host/postgresql:latest@{DIGEST}"}}},
        "expected a tag that begins with the version",
    ),
    "an operator to install from nowhere": (
        {"cloudnativePg": {"operator": {"manifest": None}}},
        "expected `manifest` with mode `managed`, and only then",
    ),
    "an operator to install from a page that may change": (
        {"cloudnativePg": {"operator": {"manifest": "https://example.com/cnpg-1.30.0.yaml"}}},
        "should match pattern",
    ),
    "an image for an operator that is somebody else's": (
        {"cloudnativePg": {"operator": {"mode": "present", "manifest": None}}},
        "`image` has a meaning with mode `managed` only",
    ),
    "a namespace for an operator that brings its own": (
        {"cloudnativePg": {"operator": {"namespace": "elsewhere"}}},
        "`namespace` has a meaning with mode `present` only",
    ),
    "a schedule of five fields": (
        {"cloudnativePg": {"backup": {"schedule": "0 2 * * *"}}},
        "`schedule` '0 2 * * *' is not one: expected six fields, seconds first",
    ),
    "a retention without a unit": ({"cloudnativePg": {"backup": {"retention": "7"}}}, "should match pattern"),
    "a recovery that would write into what it reads": (
        {"cloudnativePg": {"backup": {}, "recovery": {"serverName": "hot-postgres"}}},
        "a cluster that recovers would write into the backups it reads; expected two names",
    ),
    "a moment that is another one elsewhere": (
        {"cloudnativePg": {"recovery": {"serverName": "old", "targetTime": "2026-01-31T12:00:00"}}},
        "is not a moment: expected a date, a time and its zone",
    ),
    "no moment at all": (
        {"cloudnativePg": {"recovery": {"serverName": "old", "targetTime": "yesterday"}}},
        "`targetTime` 'yesterday' is not a moment",
    ),
    "a pod that would be killed while it waits for clients": (
        {"cloudnativePg": {"failover": {"smartShutdownSeconds": 60}}},
        "`smartShutdownSeconds` 60 leaves nothing of `stopDelaySeconds` 60 to end in",
    ),
    "a lease that ends before it is renewed": (
        {"cloudnativePg": {"failover": {"leaseRenewSeconds": 3}}},
        "expected `leaseSeconds` > `leaseRenewSeconds` > 1.2 x `leaseRetrySeconds`, got 3, 3, 1",
    ),
}
REFUSED_BY_KUBEDB: dict[str, tuple[Overrides, str]] = {
    "an engine without its settings": ({"kubedb": None}, "engine `kubedb` needs `kubedb`"),
    "settings of the other engine": (CLOUDNATIVE_PG, "and `cloudnativePg` says nothing to it"),
    "a password that KubeDB would not take": (
        {"auth": {"superuserRotation": 2}},
        "KubeDB takes passwords at the first start only, so `auth` cannot rotate them",
    ),
    "a durability that KubeDB does not know": (
        {"synchronous": {"dataDurability": "preferred"}},
        "KubeDB has no `synchronous.dataDurability`",
    ),
    "encryption without a certificate": (
        {"kubedb": {"sslMode": "require"}},
        "expected `issuer` with every `sslMode` but `disable`",
    ),
    "a standby mode of another time": ({"kubedb": {"standbyMode": "hot"}}, "input should be 'Hot' or 'Warm'"),
}


def told(overrides: Overrides, base: Overrides) -> str:
    with pytest.raises(ValidationError) as refused:
        settings(overrides, base)
    (error,) = refused.value.errors()
    return error["msg"]


@pytest.mark.parametrize(("overrides", "expected"), REFUSED.values(), ids=REFUSED)
def test_what_cloudnative_pg_cannot_make_work_is_refused(overrides: Overrides, expected: str) -> None:
    assert expected.lower() in told(overrides, CLOUDNATIVE_PG).lower()


@pytest.mark.parametrize(("overrides", "expected"), REFUSED_BY_KUBEDB.values(), ids=REFUSED_BY_KUBEDB)
def test_what_kubedb_cannot_make_work_is_refused(overrides: Overrides, expected: str) -> None:
    assert expected.lower() in told(overrides, KUBEDB).lower()


@pytest.mark.parametrize("name", sorted(FIXED_PARAMETERS))
def test_every_parameter_that_the_operator_would_refuse_is_refused_before_it_is_asked(name: str) -> None:
    assert "the operator's own to set" in told({"parameters": {name: "x"}}, CLOUDNATIVE_PG)


@pytest.mark.parametrize(
    ("reference", "version"),
    [
        ("hotstack/postgres:17.6-0123456789ab", "17.6"),
        (f"ghcr.io/cloudnative-pg/postgresql:18.4-system-trixie@{DIGEST}", "18.4"),
        ("registry.example.com:5000/postgresql:17", "17"),
        ("registry.example.com:5000/postgresql", None),
        (f"ghcr.io/cloudnative-pg/postgresql@{DIGEST}", None),
        ("postgresql:latest", None),
    ],
)
def test_the_version_of_an_image_is_what_its_tag_begins_with(reference: str, version: str | None) -> None:
    assert tag_version(reference) == version


def test_a_single_instance_is_possible_for_who_says_that_nothing_waits() -> None:
    assert settings({"instances": 1, "synchronous": {"method": "none"}}).instances == 1


def test_every_rotation_changes_the_key_that_rolls_pods() -> None:
    keys = {
        settings({"auth": {rotation: 2}}).logins_key
        for rotation in ("superuserRotation", "applicationRotation", "monitorRotation")
    }
    assert len(keys | {settings().logins_key}) == 4
