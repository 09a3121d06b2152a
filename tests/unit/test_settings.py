"""What a stack file may say, what it is told when it is wrong, and that nothing exists by then."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import ValidationError

import settings
from docs import generate
from settings import SettingsError
from tests.support.program import STACKS, Overrides, attempt, build, config, merge
from tests.support.redis import build_redis

DIGEST = "sha256:" + "0" * 64
IMAGE = f"docker.io/library/redis:8@{DIGEST}"

REFUSED: dict[str, tuple[Overrides, str]] = {
    "a misspelled key": ({"redis": {"topolgy": "standalone"}}, "hotstack:redis.topolgy: unknown key"),
    "a misspelled key deep inside": (
        {"redis": {"persistence": {"keepVolume": True}}},
        "hotstack:redis.persistence.keepVolume: unknown key",
    ),
    "an image that nothing builds": (
        {"redis": {"image": {"build": "images/redos"}}},
        "hotstack:redis.image.build: got 'images/redos'; expected a folder with a Dockerfile",
    ),
    "a build context that is not there": (
        {"fastapi": {"image": {"context": "apps"}}},
        "hotstack:fastapi.image.context: got 'apps'; expected a folder",
    ),
    "a misspelled component": ({"rediss": {}}, "hotstack:rediss: unknown key"),
    "a key in Python's spelling": ({"fastapi": {"node_port": 30001}}, "hotstack:fastapi.node_port: unknown key"),
    "a missing component": ({"redis": None}, "hotstack:redis: missing, and there is no default"),
    "a missing value": ({"kubernetes": {"context": None}}, "hotstack:kubernetes.context: missing"),
    "a text for a number": (
        {"fastapi": {"replicas": "two"}},
        'hotstack:fastapi.replicas: got "two"; input should be a',
    ),
    "a number in quotes": ({"fastapi": {"replicas": "2"}}, 'hotstack:fastapi.replicas: got "2"; input should be a'),
    "a text for a truth value": ({"redis": {"protect": "yes"}}, 'hotstack:redis.protect: got "yes"; input should be a'),
    "a fraction of a pod": ({"fastapi": {"replicas": 1.5}}, "hotstack:fastapi.replicas: got 1.5; input should be a"),
    "a text for a whole component": (
        {"redis": "standalone"},
        'hotstack:redis: got "standalone"; input should be an obj',
    ),
    "a number for a text of the app": (
        {"fastapi": {"config": {"GREETING": 1}}},
        "hotstack:fastapi.config.GREETING: got 1; input should be a valid string",
    ),
    "no pods at all": ({"fastapi": {"replicas": 0}}, "hotstack:fastapi.replicas: got 0; input should be greater"),
    "a port that is no NodePort": (
        {"fastapi": {"nodePort": 80}},
        "hotstack:fastapi.nodePort: got 80; input should be gr",
    ),
    "a topology that is not there": (
        {"redis": {"topology": "cluster"}},
        "hotstack:redis.topology: got \"cluster\"; input should be 'standalone' or 'replication'",
    ),
    "a size without a unit": (
        {"redis": {"resources": {"memory": "64"}}},
        'hotstack:redis.resources.memory: got "64"; ',
    ),
    "a name that Kubernetes refuses": (
        {"kubernetes": {"namespace": "Demo"}},
        'hotstack:kubernetes.namespace: got "Demo"',
    ),
    "an image by tag": (
        {"redis": {"image": {"build": None, "reference": "redis:8"}}},
        "hotstack:redis.image.reference: ",
    ),
    "an image from two sources": (
        {"redis": {"image": {"reference": IMAGE}}},
        "hotstack:redis.image: expected exactly one of `reference` and `build`",
    ),
    "an image from nowhere": (
        {"redis": {"image": {"build": None}}},
        "hotstack:redis.image: expected exactly one of `reference` and `build`",
    ),
    "a build context without a build": (
        {"fastapi": {"image": {"build": None, "reference": IMAGE}}},
        "hotstack:fastapi.image: `context` belongs to `build`",
    ),
    "replicas of a standalone Redis": (
        {"redis": {"topology": "standalone"}},
        "hotstack:redis: `replicas` has no meaning with topology `standalone`",
    ),
    "replicas that an empty primary would wipe": (
        {"redis": {"persistence": {"mode": "none"}}},
        "hotstack:redis: persistence `none` with topology `replication`",
    ),
    "an existing password from nowhere": (
        {"redis": {"auth": {"mode": "existing"}}},
        "hotstack:redis.auth: expected `secretName` with mode `existing`",
    ),
    "a Secret for a generated password": (
        {"redis": {"auth": {"mode": "generated", "secretName": "mine"}}},
        "hotstack:redis.auth: expected `secretName` with mode `existing`, and only then",
    ),
    "a rotation of a password that is not generated": (
        {"redis": {"auth": {"mode": "existing", "secretName": "mine", "rotation": 2}}},
        "hotstack:redis.auth: `rotation` has a meaning with mode `generated` only",
    ),
    "a key of no Secret": (
        {"redis": {"auth": {"mode": "generated", "secretKey": "mine"}}},
        "hotstack:redis.auth: `secretKey` has a meaning with mode `existing` only",
    ),
    "more CPU asked for than allowed": (
        {"fastapi": {"resources": {"cpu": "2"}}},
        "hotstack:fastapi.resources: `cpu` 2 is over `cpuLimit` 1",
    ),
    "a registry that ends in a slash": (
        {"kubernetes": {"imageRegistry": "registry.example.com/"}},
        'hotstack:kubernetes.imageRegistry: got "registry.example.com/"',
    ),
    "a certificate for no name": (
        {"fastapi": {"ingress": {"tlsSecretName": "tls"}}},
        "hotstack:fastapi.ingress: `tlsSecretName` needs `host`",
    ),
    "a tool without a build": (
        {"pgpool": {"image": {"build": None, "reference": IMAGE, "tool": "versitygw"}}},
        "hotstack:pgpool.image: `tool` belongs to `build`, which is not set",
    ),
    "a version of what is not built": (
        {"pgpool": {"image": {"build": None, "reference": IMAGE, "version": "4.6"}}},
        "hotstack:pgpool.image: `version` belongs to `build`, which is not set",
    ),
    "two build contexts": (
        {"objectStore": {"image": {"context": "app"}}},
        "hotstack:objectStore.image: expected at most one of `context` and `tool`",
    ),
    "a tool that nothing builds": (
        {"objectStore": {"image": {"tool": "versitygv"}}},
        "hotstack:objectStore.image.tool: got 'versitygv'; expected the name of a folder in cluster/toolchain",
    ),
    "a version that is none": (
        {"postgres": {"cloudnativePg": {"image": {"version": "latest"}}}},
        'hotstack:postgres.cloudnativePg.image.version: got "latest"',
    ),
    "two buckets": (
        {"bucket": {"name": "elsewhere", "secretName": "mine"}},
        "hotstack:bucket and hotstack:objectStore are both there: expected at most one of them",
    ),
    "backups without a bucket": (
        {"objectStore": None},
        "hotstack:postgres has `backup` or `recovery`, and there is no bucket: expected hotstack:bucket, or",
    ),
    "a recovery without a bucket": (
        {"objectStore": None, "postgres": {"cloudnativePg": {"backup": None, "recovery": {"serverName": "old"}}}},
        "hotstack:postgres has `backup` or `recovery`, and there is no bucket: expected hotstack:bucket, or",
    ),
    "more connections than PostgreSQL allows": (
        {"postgres": {"maxConnections": 100}},
        "hotstack:postgres.maxConnections is 100, and up to 223 may be open on one server: 198 of Pgpool-II",
    ),
    "more sessions than a pod of Pgpool-II serves": (
        {"fastapi": {"replicas": 3}},
        "hotstack:fastapi may open 40 sessions (pods in a rollout x database.poolSize, to write and, without standbys, "
        "to read), and a pod of hotstack:pgpool serves 30 (numInitChildren - reservedConnections, and one less "
        "where it has an exporter)",
    ),
}


@pytest.mark.parametrize(("overrides", "expected"), REFUSED.values(), ids=REFUSED)
def test_bad_settings_are_refused_by_path_and_expectation_before_anything_exists(
    overrides: Overrides, expected: str
) -> None:
    outcome = attempt("dev", overrides)
    assert isinstance(outcome.error, SettingsError), outcome.error
    lines = str(outcome.error).splitlines()
    assert lines[0] == "Pulumi.dev.yaml cannot be used:"
    assert lines[1].strip().startswith(expected)
    assert len(lines) == 2
    assert outcome.graph.resources == ()


def connections_needed(overrides: Overrides) -> int:
    """What `maxConnections` must be at least, as the refusal of a smaller one says."""
    few = merge(overrides, {"postgres": {**overrides.get("postgres", {}), "maxConnections": 20}})
    with pytest.raises(SettingsError) as refused:
        settings.parse("dev", config("dev", few))
    found = re.search(r"maxConnections is 20, and up to (\d+) may be open", str(refused.value))
    assert found is not None, refused.value
    return int(found[1])


ALONE: Overrides = {"postgres": {"instances": 1, "synchronous": {"method": "none"}}}


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        # (pods + 1 in a rollout) x (children x connections of each + 1 for its exporter) x endpoints
        # + (pods + 1) x readers of each + others
        ({}, 3 * (32 * 1 + 1) * 2 + 3 * 5 + 10),
        ({"pgpool": {"replicas": 4}}, 5 * (32 * 1 + 1) * 2 + 3 * 5 + 10),
        ({"pgpool": {"pooling": {"numInitChildren": 40}}}, 3 * (40 * 1 + 1) * 2 + 3 * 5 + 10),
        ({"pgpool": {"pooling": {"maxPool": 2}}}, 3 * (32 * 2 + 1) * 2 + 3 * 5 + 10),
        ({"pgpool": {"replicas": 1, "queryCache": {"enabled": True}}}, 1 * (32 * 1 + 1) * 2 + 3 * 5 + 10),
        ({"fastapi": {"replicas": 1}}, 3 * (32 * 1 + 1) * 2 + 2 * 5 + 10),
        ({"fastapi": {"database": {"poolSize": 2}}}, 3 * (32 * 1 + 1) * 2 + 3 * 2 + 10),
        ({"pgpool": {"exporter": None}}, 3 * 32 * 1 * 2 + 3 * 5 + 10),
        (ALONE, 3 * (32 * 1 + 1) * 1 + 3 * 5 + 10),
    ],
    ids=[
        "dev",
        "pods",
        "children",
        "pool",
        "one pod at a time",
        "readers",
        "pool of readers",
        "no exporter",
        "no standbys",
    ],
)
def test_connections_are_counted_over_all_who_may_open_one(overrides: Overrides, expected: int) -> None:
    assert connections_needed(overrides) == expected
    enough = {"postgres": {**overrides.get("postgres", {}), "maxConnections": expected}}
    assert settings.parse("dev", config("dev", merge(overrides, enough))).postgres.max_connections == expected
    one_less = {"postgres": {**enough["postgres"], "maxConnections": expected - 1}}
    with pytest.raises(SettingsError, match=f"up to {expected} may be open"):
        settings.parse("dev", config("dev", merge(overrides, one_less)))


def test_the_service_may_open_as_many_sessions_as_one_pod_of_pgpool_serves_and_no_more() -> None:
    def with_children(count: int) -> Overrides:
        return {"pgpool": {"pooling": {"numInitChildren": count, "reservedConnections": 1}}}

    two_pods_and_one_in_a_rollout = 2 * 3 * 5
    reserved_and_the_exporter = 2
    enough = two_pods_and_one_in_a_rollout + reserved_and_the_exporter
    assert settings.parse("dev", config("dev", with_children(enough)))
    with pytest.raises(SettingsError, match=r"may open 30 sessions .* serves 29"):
        settings.parse("dev", config("dev", with_children(enough - 1)))


def test_all_errors_of_a_stack_file_are_told_at_once() -> None:
    outcome = attempt("prod", {"redis": {"protect": 1, "replicas": 0}, "fastapi": {"drain": 5}, "cache": {}})
    paths = [line.strip().partition(": ")[0] for line in str(outcome.error).splitlines()[1:]]
    assert paths == ["hotstack:cache", "hotstack:fastapi.drain", "hotstack:redis.protect", "hotstack:redis.replicas"]
    assert outcome.graph.resources == ()


def test_an_unknown_stack_is_told_which_ones_there_are_and_creates_nothing() -> None:
    outcome = attempt("qa")
    assert str(outcome.error) == (
        "unknown stack 'qa': expected a Pulumi.qa.yaml with `hotstack:` settings; there are dev, prod, staging"
    )
    assert outcome.graph.resources == ()


@pytest.mark.parametrize("content", ["- redis", "config: [1]", "config: {1: redis}", "config:", "just words"])
def test_a_stack_file_that_holds_no_settings_is_told_so(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "ROOT", tmp_path)
    (tmp_path / "Pulumi.odd.yaml").write_text(content)
    with pytest.raises(SettingsError, match=r"Pulumi\.odd\.yaml has no settings: expected `config:` with keys like"):
        settings.from_file("odd")


@pytest.mark.parametrize("stack", STACKS)
def test_a_stack_means_the_same_to_pulumi_and_to_the_tools_around_it(stack: str) -> None:
    values = yaml.safe_load((settings.ROOT / f"Pulumi.{stack}.yaml").read_text())["config"]
    flat = {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
    assert settings.parse(stack, flat) == settings.from_file(stack)


def test_what_other_tools_keep_in_a_stack_file_is_left_alone() -> None:
    mine = config("dev", None)
    assert settings.parse("dev", {**mine, "aws:region": "eu-central-1"}) == settings.parse("dev", mine)


def test_false_is_kept_where_the_default_is_true() -> None:
    def when_deleted(keep: bool | None) -> str:
        graph = build_redis(persistence={"keepVolumes": keep})
        return graph.one("StatefulSet", "redis").spec["persistentVolumeClaimRetentionPolicy"]["whenDeleted"]

    assert (when_deleted(False), when_deleted(True), when_deleted(None)) == ("Delete", "Retain", "Retain")


def test_settings_cannot_be_changed_after_they_are_loaded() -> None:
    loaded = settings.from_file("dev")
    with pytest.raises(ValidationError, match="frozen"):
        loaded.redis.replicas = 5  # ty: ignore[invalid-assignment]


def test_a_file_that_is_not_yaml_is_told_so_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "ROOT", tmp_path)
    (tmp_path / "Pulumi.dev.yaml").write_text("config: {")
    with pytest.raises(SettingsError, match=r"Pulumi\.dev\.yaml is not YAML"):
        settings.from_file("dev")


def test_the_tag_of_a_built_image_follows_what_it_is_built_from_and_nothing_else(tmp_path: Path) -> None:
    def put(name: str, text: str) -> str:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return settings.content_key(tmp_path)

    first = put("Dockerfile", "FROM debian")
    assert put("tests/test_it.py", "assert True") == first
    assert put(".cache", "anything") == first
    assert put("Dockerfile", "FROM debian:trixie") != first
    assert put("Dockerfile", "FROM debian") == first
    assert put("main.py", "") != first


def test_a_file_that_moves_between_folders_of_a_build_changes_the_tag(tmp_path: Path) -> None:
    def key(name: str) -> str:
        folder = tmp_path / name.replace("/", "-")
        path = folder / name
        path.parent.mkdir(parents=True)
        path.write_text("same")
        return settings.content_key(folder)

    assert key("a/b.py") != key("c/b.py")


def described(stack: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert settings.main(["describe", stack]) == 0
    return json.loads(capsys.readouterr().out)


def test_dev_asks_for_the_images_that_its_pods_run(capsys: pytest.CaptureFixture[str]) -> None:
    asked = {image["reference"] for image in described("dev", capsys)["images"]}
    assert asked == build("dev").images()


def test_an_image_is_asked_for_by_the_folder_it_is_built_in_or_the_tool_that_is_built_first(
    capsys: pytest.CaptureFixture[str],
) -> None:
    images = {image["reference"].partition(":")[0]: image for image in described("dev", capsys)["images"]}
    folder = settings.ROOT / "images"
    for name, source in {
        "fastapi": {"context": str(settings.ROOT / "app")},
        "pgpool": {"context": str(folder / "pgpool")},
        "versitygw": {"tool": "versitygw"},
        "cloudnative-pg": {"tool": "cloudnative-pg"},
    }.items():
        image = images[f"hotstack/{name}"]
        assert image == {"reference": image["reference"], "dockerfile": str(folder / name / "Dockerfile"), **source}


def test_the_tag_of_an_image_begins_with_the_version_that_its_operator_reads() -> None:
    loaded = settings.from_file("dev")
    own = loaded.postgres.cloudnative_pg
    assert own is not None
    assert re.fullmatch("hotstack/postgres:17-[0-9a-f]{12}", loaded.image_reference(own.image))
    assert re.fullmatch("hotstack/pgpool:[0-9a-f]{12}", loaded.image_reference(loaded.pgpool.image))


@pytest.mark.parametrize(("stack", "manifest"), [("dev", "build/cnpg-1.30.0.yaml"), ("staging", None), ("prod", None)])
def test_who_installs_the_operator_is_told_where_its_release_must_be(
    stack: str, manifest: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert described(stack, capsys)["operatorManifest"] == manifest


@pytest.mark.parametrize("stack", ["staging", "prod"])
def test_a_stack_of_published_images_asks_for_none_to_be_built(stack: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert described(stack, capsys)["images"] == []


def test_images_for_a_cluster_that_pulls_are_named_by_its_registry() -> None:
    graph = build("dev", {"kubernetes": {"imageRegistry": "registry.example.com/team"}})
    assert all(
        workload.container["image"].startswith("registry.example.com/team/hotstack/") for workload in graph.workloads()
    )


def test_asking_for_an_unknown_stack_on_the_command_line_fails_with_the_same_sentence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert settings.main(["describe", "qa"]) == 1
    assert "unknown stack 'qa'" in capsys.readouterr().err


def test_the_schema_and_the_reference_in_docs_are_those_of_the_settings() -> None:
    assert json.loads((generate.FOLDER / "stack.schema.json").read_text()) == generate.schema(), "run `make schema`"
    assert (generate.FOLDER / "configuration.md").read_text() == generate.reference(), "run `make schema`"


@pytest.mark.parametrize("stack", STACKS)
def test_every_stack_file_fits_the_schema_that_editors_use(stack: str) -> None:
    content = yaml.safe_load((settings.ROOT / f"Pulumi.{stack}.yaml").read_text())
    jsonschema.Draft202012Validator(generate.schema()).validate(content)


def test_the_schema_that_editors_use_refuses_a_misspelled_key() -> None:
    content = yaml.safe_load((settings.ROOT / "Pulumi.dev.yaml").read_text())
    content["config"]["hotstack:redis"]["topolgy"] = "standalone"
    with pytest.raises(jsonschema.ValidationError, match="topolgy"):
        jsonschema.Draft202012Validator(generate.schema()).validate(content)
