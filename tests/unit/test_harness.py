"""The harness refuses what Pulumi's own mocks let pass in silence, and nothing of a run is left after it."""

from collections.abc import Callable

import pulumi
import pulumi_random as random
import pytest
from pulumi_kubernetes.core.v1 import ConfigMap, Namespace, Secret

from tests.support.cluster_rules import picks
from tests.support.graph import Graph
from tests.support.monitor import RefusedError
from tests.support.program import Outcome, attempt, build, merge, run


class Box(pulumi.ComponentResource):
    """The smallest component: what it holds is up to the test."""

    def __init__(self, name: str, fill: Callable[[pulumi.ResourceOptions], object] = lambda _: None) -> None:
        super().__init__("hotstack:index:Box", name)
        fill(pulumi.ResourceOptions(parent=self))
        self.register_outputs({})


def graph_of(program: Callable[[], object]) -> Graph:
    outcome = run(program)
    if outcome.error is not None:
        raise outcome.error
    return outcome.graph


def refusal(program: Callable[[], object]) -> str:
    outcome = run(program)
    assert isinstance(outcome.error, RefusedError), outcome.error
    return str(outcome.error)


def test_two_resources_of_one_name_are_refused() -> None:
    def program() -> None:
        Box("same")
        Box("same")

    assert "hotstack:index:Box::same is registered twice" in refusal(program)


def test_one_name_in_two_components_of_a_type_is_refused_for_a_urn_holds_types_of_parents_only() -> None:
    def program() -> None:
        for parent in ("left", "right"):
            Box(parent, lambda child: ConfigMap("settings", opts=child))

    assert "ConfigMap::settings is registered twice" in refusal(program)


def test_an_invoke_that_nobody_gave_an_answer_for_is_refused() -> None:
    def program() -> None:
        answer = pulumi.runtime.invoke_async("kubernetes:yaml:decode", {"text": "a: 1"})
        pulumi.export("decoded", pulumi.Output.from_input(answer))

    assert "kubernetes:yaml:decode" in refusal(program)


def test_a_resource_type_that_nobody_gave_an_answer_for_is_refused() -> None:
    assert "RandomPet" in refusal(lambda: Box("box", lambda child: random.RandomPet("pet", opts=child)))


def test_a_child_that_comes_after_its_component_has_registered_outputs_is_refused() -> None:
    def program() -> None:
        ConfigMap("late", opts=pulumi.ResourceOptions(parent=Box("box")))

    assert "Box box got a child after its register_outputs" in refusal(program)


def test_a_component_that_never_registers_outputs_is_refused() -> None:
    assert "never called register_outputs" in refusal(lambda: pulumi.ComponentResource("hotstack:index:Bare", "bare"))


def test_a_component_that_registers_outputs_twice_is_refused() -> None:
    assert "twice" in refusal(lambda: Box("box").register_outputs({}))


def test_a_resource_without_a_component_around_it_is_refused() -> None:
    assert "has no component as its parent" in refusal(lambda: ConfigMap("alone"))


def test_a_namespace_may_stand_alone() -> None:
    assert graph_of(lambda: Namespace("alone")).one("Namespace", "alone").parent is None


def test_an_error_inside_an_apply_ends_the_run_even_if_nobody_reads_its_output() -> None:
    def program() -> None:
        pulumi.Output.from_input(0).apply(lambda zero: 1 / zero)

    assert isinstance(run(program).error, ZeroDivisionError)


def test_a_registration_that_waits_for_an_output_has_arrived_when_the_run_is_over() -> None:
    def fill(child: pulumi.ResourceOptions) -> None:
        first = ConfigMap("first", opts=child)
        second = ConfigMap("second", data={"first": first.metadata["name"]}, opts=child)
        ConfigMap("third", data={"second": second.metadata["name"]}, opts=child)

    graph = graph_of(lambda: Box("box", fill))
    assert graph.one("ConfigMap", "third").props["data"] == {"second": graph.one("ConfigMap", "second").object_name}


def test_a_generated_password_is_a_secret_wherever_it_goes() -> None:
    def fill(child: pulumi.ResourceOptions) -> None:
        password = random.RandomPassword("password", length=32, opts=child)
        url = pulumi.Output.concat("redis://:", password.result, "@redis")
        ConfigMap("leak", data={"plain": "text", "url": url}, opts=child)

    leak = graph_of(lambda: Box("box", fill)).one("ConfigMap", "leak")
    assert leak.secrets == (("data", "url"),)
    assert leak.masked()["data"] == {"plain": "text", "url": "[secret]"}
    assert leak.props["data"]["url"].startswith("redis://:")


def test_an_immutable_secret_gets_another_name_with_another_content_and_a_mutable_one_keeps_it() -> None:
    def name(content: str, immutable: bool) -> str:
        secret = graph_of(
            lambda: Box("box", lambda c: Secret("s", immutable=immutable, string_data={"key": content}, opts=c))
        )
        return secret.one("Secret", "s").object_name

    assert name("one", immutable=True) != name("two", immutable=True)
    assert name("one", immutable=False) == name("two", immutable=False)


def test_whole_numbers_stay_whole_and_fractions_and_booleans_what_they_are() -> None:
    def program() -> None:
        pulumi.export("values", [1, 2.5, True, None, "3"])

    values = graph_of(program).outputs["values"]
    assert list(map(repr, values)) == ["1", "2.5", "True", "None", "'3'"]


def test_a_failed_run_tells_what_it_had_registered_by_then() -> None:
    def program() -> None:
        Box("first")
        raise ValueError("on purpose")

    outcome = run(program)
    assert isinstance(outcome.error, ValueError)
    assert [resource.name for resource in outcome.graph.resources] == ["first"]


def test_nothing_of_one_run_is_seen_by_the_next() -> None:
    before = build("dev")
    attempt("dev", {"redis": {"replicas": "many"}})
    attempt("prod")
    assert attempt("dev") == Outcome(graph=before, error=None)


def test_a_run_leaves_the_settings_of_the_sdk_as_they_were() -> None:
    def sdk() -> tuple[str, object, object]:
        return pulumi.get_stack(), pulumi.runtime.get_config("hotstack:redis"), pulumi.runtime.get_root_resource()

    before = sdk()
    assert attempt("prod").error is None
    assert sdk() == before


def test_a_graph_refuses_to_guess_which_resource_is_meant() -> None:
    graph = build("dev")
    with pytest.raises(LookupError, match=r"there are .*redis-service"):
        graph.one("Service", "redis-servise")


def test_a_selector_that_the_harness_cannot_evaluate_is_not_taken_for_one_that_fits() -> None:
    with pytest.raises(NotImplementedError, match="matchExpressions"):
        picks({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, {"app": "redis"})


def test_an_override_of_none_takes_a_setting_away_and_leaves_its_neighbours() -> None:
    assert merge({"a": {"b": 1, "c": 2}}, {"a": {"b": None, "d": 0}}) == {"a": {"c": 2, "d": 0}}
