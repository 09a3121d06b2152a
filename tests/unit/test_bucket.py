"""A bucket that exists outside of the stack, and what PostgreSQL is told of it."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from components.bucket import BucketSettings, existing_bucket
from tests.support.program import build

MINE = {"name": "backups", "secretName": "mine"}


def settings(**values: object) -> BucketSettings:
    return BucketSettings.model_validate_json(json.dumps({**MINE, **values}))


def store(**values: object) -> dict[str, Any]:
    graph = build("prod", {"bucket": {**MINE, **values}})
    return dict(graph.one("ObjectStore", "hot-postgres").spec)


def test_a_bucket_of_amazon_needs_a_name_and_a_secret_only() -> None:
    spec = store()
    assert spec["configuration"]["destinationPath"] == "s3://backups/"
    assert "endpointURL" not in spec["configuration"]
    assert spec["configuration"]["s3Credentials"] == {
        "accessKeyId": {"name": "mine", "key": "ACCESS_KEY_ID"},
        "secretAccessKey": {"name": "mine", "key": "SECRET_ACCESS_KEY"},
    }


def test_another_server_another_region_and_other_keys_of_the_secret_are_passed_on() -> None:
    spec = store(
        url="https://s3.example.com:9000", region="eu-central-1", accessKeyIdKey="id", secretAccessKeyKey="secret"
    )
    assert spec["configuration"]["endpointURL"] == "https://s3.example.com:9000"
    assert spec["instanceSidecarConfiguration"]["env"] == [{"name": "AWS_DEFAULT_REGION", "value": "eu-central-1"}]
    keys = spec["configuration"]["s3Credentials"]
    assert (keys["accessKeyId"]["key"], keys["secretAccessKey"]["key"]) == ("id", "secret")


def test_nothing_in_the_stack_has_to_be_ready_or_to_let_anyone_in_for_it() -> None:
    endpoint = existing_bucket(settings())
    assert (endpoint.client_label, endpoint.workloads) == (None, ())
    assert "inheritedMetadata" not in build("prod").one("Cluster", "hot-postgres").spec


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"name": "No"}, "name"),
        ({"name": "ab"}, "name"),
        ({"name": "-starts"}, "name"),
        ({"url": "s3.example.com"}, "url"),
        ({"url": "https://s3.example.com/bucket"}, "url"),
        ({"region": ""}, "region"),
        ({"secretName": "No_Secret"}, "secretName"),
        ({"secretName": None}, "secretName"),
        ({"accessKeyIdKey": ""}, "accessKeyIdKey"),
        ({"secretKey": "in plain text"}, "secretKey"),
    ],
    ids=str,
)
def test_a_bucket_that_cannot_be_used_is_refused_by_the_path_of_what_is_wrong(
    values: dict[str, object], path: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        settings(**values)
    assert [detail["loc"] for detail in refused.value.errors()] == [(path,)]
