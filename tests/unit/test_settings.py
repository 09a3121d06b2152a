"""What a stack file may say, what it is told when it is wrong, and that nothing exists by then."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import ValidationError

import settings
from docs import generate
from settings import SettingsError
from tests.support.program import STACKS, Overrides, attempt, build, config

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
        graph = build("dev", {"redis": {"persistence": {"keepVolumes": keep}}})
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
