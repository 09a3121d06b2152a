"""The walk-through of `python -m checks`, with stand-ins for kubectl and for the stack."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import settings
from checks import __main__ as command
from checks import cluster, fastapi, redis
from checks.kube import Kube, KubectlError
from checks.outcome import CheckError, NotApplicableError, eventually
from checks.stack import Stack

PASSWORD = "correct-horse-battery-staple"
REDIS_POD_TEMPLATE = {"spec": {"template": {"spec": {"containers": [{"image": "hotstack/redis:0"}]}}}}


Answer = Callable[[str, str], str]
"""Stdout of a stand-in kubectl, by its arguments in one text and its stdin."""


@dataclass(frozen=True)
class StandInKube(Kube):
    answer: Answer = field(kw_only=True)

    def run(self, *arguments: str, stdin: str = "", timeout: float = 0) -> str:  # noqa: ARG002 - the real one's signature
        return self.answer(" ".join(arguments), stdin)


def stack_with(answer: Answer, changes: dict[str, dict[str, object]] | None = None) -> Stack:
    """The dev stack over a stand-in kubectl; `changes` go into the parts of the stack file by name."""
    dev = settings.from_file("dev").model_dump(by_alias=True, exclude_unset=True)
    for part, values in (changes or {}).items():
        dev[part] |= values
    parsed = settings.parse("dev", {f"hotstack:{part}": values for part, values in dev.items()})
    return Stack(parsed, StandInKube("stand-in", "demo", answer=answer))


def pod_item(name: str, *, address: str = "", going: bool = False, ready: bool = True) -> dict[str, Any]:
    """A pod as the API lists it; one that is `going` is still ready, which it is until its last moment."""
    return {
        "metadata": {"name": name, **({"deletionTimestamp": "2026-01-31T12:00:00Z"} if going else {})},
        "status": {"podIP": address, "conditions": [{"type": "Ready", "status": str(ready)}]},
    }


def with_pods(answer: Answer, *pods: dict[str, Any]) -> Answer:
    """A kubectl that lists these pods, and otherwise answers as `answer`."""
    listed = json.dumps({"items": pods})
    return lambda arguments, stdin: listed if arguments.startswith("get pods") else answer(arguments, stdin)


def unreachable(arguments: str, stdin: str) -> str:
    raise AssertionError(f"kubectl must not be called here: {arguments} {stdin}")


def fine(_: Stack) -> str:
    return "all is well"


def failing(_: Stack) -> str:
    raise CheckError("it answers PENG")


def not_applicable(_: Stack) -> str:
    raise NotApplicableError("there is nothing to look at")


def broken(_: Stack) -> str:
    return {}["no such key"]


class TestResultLines:
    def test_a_check_that_passes_prints_ok_its_name_its_detail_and_its_time(self) -> None:
        assert command.result_line("redis-ping", fine, stack_with(unreachable)) == "ok redis-ping all is well (0.0 s)"

    def test_a_check_that_fails_prints_the_reason(self) -> None:
        assert command.result_line("redis-ping", failing, stack_with(unreachable)) == "FAIL redis-ping it answers PENG"

    def test_a_check_that_raises_something_else_fails_with_the_kind_of_error(self) -> None:
        line = command.result_line("redis-ping", broken, stack_with(unreachable))
        assert line == "FAIL redis-ping KeyError: 'no such key'"

    def test_a_check_that_does_not_apply_is_skipped_with_the_reason(self) -> None:
        line = command.result_line("ingress-cache", not_applicable, stack_with(unreachable))
        assert line == "skip ingress-cache there is nothing to look at"

    @pytest.mark.parametrize("error", [CheckError, RuntimeError])
    def test_a_reason_of_several_lines_stays_one_line(self, error: type[Exception]) -> None:
        def verbose(_: Stack) -> str:
            raise error("first\nsecond")

        assert command.result_line("redis-ps", verbose, stack_with(unreachable)).endswith("first second")

    @pytest.mark.parametrize("error", [None, CheckError, NotApplicableError, RuntimeError])
    def test_a_secret_that_was_read_is_masked_however_the_check_ends(self, error: type[Exception] | None) -> None:
        data = {"data": {"API_TOKEN": base64.b64encode(f"{PASSWORD}\n".encode()).decode()}}

        def careless(stack: Stack) -> str:
            text = f"the token is {stack.kube.secret('fastapi-secret', 'API_TOKEN').strip()}."
            if error is not None:
                raise error(text)
            return text

        line = command.result_line("fastapi-config", careless, stack_with(lambda *_: json.dumps(data)))
        assert PASSWORD not in line
        assert "the token is [secret]." in line

    def test_an_empty_secret_masks_nothing(self) -> None:
        stack = stack_with(lambda *_: '{"data": {"API_TOKEN": ""}}')
        line = command.result_line("x", lambda stack: stack.kube.secret("fastapi-secret", "API_TOKEN") + "fine", stack)
        assert line == "ok x fine (0.0 s)"


class TestCommandLine:
    CHECKS = (("one", fine), ("two", not_applicable), ("three", fine))

    def test_no_name_runs_all_checks_in_their_order_and_a_skipped_one_is_no_failure(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert command.main([], self.CHECKS) == 0
        assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()] == [
            ["ok", "one"],
            ["skip", "two"],
            ["ok", "three"],
        ]

    def test_names_choose_which_checks_run(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert command.main(["three"], self.CHECKS) == 0
        assert capsys.readouterr().out.split()[:2] == ["ok", "three"]

    @pytest.mark.parametrize("bad", [failing, broken])
    def test_one_failure_makes_exit_code_1_and_hides_none_of_the_others(
        self, bad: command.Check, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert command.main([], (("bad", bad), ("good", fine))) == 1
        assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["FAIL", "ok"]

    @pytest.mark.parametrize("stack", ["dev", "prod"])
    def test_a_protected_primary_is_taken_away_only_by_name(
        self, stack: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        checks = (("redis-ping", fine), ("redis-self-heal", fine))
        protected = settings.from_file(stack).redis.protect
        assert protected == (stack == "prod")
        assert command.main(["--stack", stack], checks) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].startswith("ok redis-ping")
        assert (lines[1] == "skip redis-self-heal protected: name it to run it") == protected
        assert command.main(["--stack", stack, "redis-self-heal"], checks) == 0
        assert capsys.readouterr().out.startswith("ok redis-self-heal")

    def test_an_unknown_name_is_bad_usage_that_lists_the_known_ones_and_runs_nothing(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit) as exit_:
            command.main(["one", "redis-pong"], self.CHECKS)
        captured = capsys.readouterr()
        assert exit_.value.code == 2
        assert captured.out == ""
        assert "there is no check redis-pong; expected any of one, two, three" in captured.err

    def test_an_unknown_stack_is_bad_usage_that_lists_the_known_ones(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as exit_:
            command.main(["--stack", "nowhere"], self.CHECKS)
        assert exit_.value.code == 2
        assert "unknown stack 'nowhere'" in capsys.readouterr().err

    def test_every_check_of_the_contract_is_there(self) -> None:
        names = [name for name, _ in command.CHECKS]
        assert names == [
            *("redis-ping", "redis-replicas", "redis-read-after-write", "redis-ps", "redis-logs", "redis-self-heal"),
            *("redis-port-forward", "redis-test-pod", "network-policy", "kube-system-pods", "fastapi-node-port"),
            *("fastapi-config", "ingress-cache", "postgres-roles", "postgres-replication", "pgpool-nodes"),
            *("pgpool-balance", "pgpool-writes", "pgpool-config-map", "pgpool-environment", "pgpool-cache", "items"),
            *("prometheus-targets", "prometheus-select-count", "alertmanager", "prometheus-ui"),
            *("backup", "restore-point-in-time"),
        ]


class TestKubectl:
    @pytest.fixture
    def kubectl(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Kube]:
        """Put a shell script on PATH as kubectl; a PATH without one when there is no script."""
        monkeypatch.setenv("PATH", str(tmp_path))

        def install(script: str) -> Kube:
            if script:
                (tmp_path / "kubectl").write_text(f"#!/bin/sh\n{script}\n")
                (tmp_path / "kubectl").chmod(0o755)
            return Kube("hotstack", "demo")

        return install

    def test_every_call_names_context_and_namespace(self, kubectl: Callable[[str], Kube]) -> None:
        assert kubectl('echo "$@"').run("get", "pods") == "--context=hotstack --namespace=demo get pods\n"

    def test_an_error_names_the_command_and_the_last_line_of_stderr(self, kubectl: Callable[[str], Kube]) -> None:
        kube = kubectl("echo warning >&2; echo 'pods \"redis-0\" not found' >&2; exit 1")
        with pytest.raises(KubectlError, match=r'^`kubectl get pod redis-0`: pods "redis-0" not found$'):
            kube.run("get", "pod", "redis-0")

    def test_a_call_that_does_not_end_is_ended(self, kubectl: Callable[[str], Kube]) -> None:
        with pytest.raises(KubectlError, match=r"^`kubectl logs redis-0`: no end after 0.2 s$"):
            kubectl("exec /bin/sleep 30").run("logs", "redis-0", timeout=0.2)

    def test_without_kubectl_the_error_says_where_to_get_it(self, kubectl: Callable[[str], Kube]) -> None:
        with pytest.raises(KubectlError, match=r"kubectl is not on PATH: install it \(for the embedded cluster, "):
            kubectl("").run("get", "pods")

    def test_a_forwarder_is_told_its_port_and_ended_with_the_block(
        self, kubectl: Callable[[str], Kube], tmp_path: Path
    ) -> None:
        kube = kubectl(f"echo $$ >{tmp_path}/pid; echo 'Forwarding from 127.0.0.1:40123 -> 6379'; exec /bin/sleep 30")
        with kube.port_forward("svc/redis-service", 6379) as port:
            assert port == 40123
        assert not Path("/proc", (tmp_path / "pid").read_text().strip()).exists()

    def test_a_forwarder_that_gives_up_fails_with_its_own_words(self, kubectl: Callable[[str], Kube]) -> None:
        kube = kubectl("echo 'error: services \"redis-service\" not found' >&2; exit 1")
        with pytest.raises(KubectlError, match=r'services "redis-service" not found$'), kube.port_forward("svc/x", 1):
            pass

    def test_a_forwarder_that_says_nothing_fails_in_time(self, kubectl: Callable[[str], Kube]) -> None:
        kube = kubectl("exec /bin/sleep 30")
        with pytest.raises(KubectlError, match=r"not ready after 0.2 s"), kube.port_forward("svc/x", 1, timeout=0.2):
            pass


class TestWaiting:
    def test_it_ends_as_soon_as_nothing_is_missing(self) -> None:
        answers = iter(["not yet", "almost", None])
        eventually(lambda: next(answers), seconds=5, pause=0)
        assert list(answers) == []

    def test_it_fails_with_what_was_missing_last(self) -> None:
        with pytest.raises(CheckError, match=r"^no pod, after 0.05 s$"):
            eventually(lambda: "no pod", seconds=0.05, pause=0.01)


class TestRedisChecks:
    def test_a_wrong_answer_to_ping_is_shown(self) -> None:
        with pytest.raises(CheckError, match=r"^expected PONG, got NOAUTH Authentication required.$"):
            redis.ping(stack_with(lambda *_: "NOAUTH Authentication required.\n"))

    def test_ping_is_the_bare_command_of_the_lab_where_no_password_is_asked_for(self) -> None:
        calls = []

        def answer(*call: str) -> str:
            calls.append(call)
            return "PONG\n"

        redis.ping(stack_with(answer))
        assert calls == [("exec --stdin redis-0 -- redis-cli -h redis-service -p 6379 PING", "")]

    def test_the_password_reaches_the_test_pod_by_stdin_and_never_by_an_argument(self) -> None:
        volume = {
            "name": "auth",
            "secret": {"secretName": "auth-1", "items": [{"key": "password", "path": "password"}]},
        }
        template = {"containers": [{"image": "hotstack/redis:0"}], "volumes": [volume]}
        encoded = base64.b64encode(PASSWORD.encode()).decode()
        calls = []

        def answer(arguments: str, stdin: str) -> str:
            calls.append(arguments)
            if arguments.startswith("get statefulset"):
                return json.dumps({"spec": {"template": {"spec": template}}})
            if arguments.startswith("get secret auth-1"):
                return json.dumps({"data": {"password": encoded}})
            return "PONG\n" if f"REDISCLI_AUTH={PASSWORD}\n" in stdin else "NOAUTH\n"

        redis.test_pod(stack_with(answer, {"redis": {"auth": {"mode": "generated"}}}))
        assert PASSWORD not in " ".join(calls)

    @pytest.mark.parametrize(
        ("counts", "passes"),
        [
            ({"misses": 0, "counter": 400}, True),
            ({"misses": 207, "counter": 400}, False),
            ({"misses": 0, "counter": 208}, False),
        ],
    )
    def test_read_after_write_allows_no_miss_and_no_lost_increment(self, counts: dict[str, int], passes: bool) -> None:
        answer = json.dumps({"writes": 400, "increments": 400, **counts})
        stack = stack_with(with_pods(lambda *_: answer, pod_item("fastapi-1")))
        line = command.result_line("redis-read-after-write", redis.read_after_write, stack)
        assert line.startswith("ok" if passes else "FAIL")
        assert f"{counts['misses']} misses in 400 writes, 400 INCR give {counts['counter']}" in line

    def test_a_replica_that_lost_its_link_is_named(self) -> None:
        def answer(arguments: str, _: str) -> str:
            if arguments.startswith("get pods"):
                return json.dumps({"items": [{"metadata": {"name": f"redis-replica-{n}"}} for n in range(2)]})
            return f"role:slave\r\nmaster_link_status:{'down' if 'replica-1' in arguments else 'up'}\r\n"

        with pytest.raises(CheckError, match=r"^redis-replica-1 has role slave and link down$"):
            redis.replicas(stack_with(answer))

    @pytest.mark.parametrize(
        ("printed", "refused"),
        [
            ("Could not connect to Redis at redis-service:6379: Connection refused", True),
            ("Could not connect to Redis at redis-service:6379: Connection timed out", True),
            ("Could not connect to Redis at redis-service:6379: Temporary failure in name resolution", False),
            ("PONG", False),
            ("Could not connect to Redis at redis-service:6379: Connection refused\nPONG", False),
            ("NOAUTH Authentication required.", False),
            ("", False),
        ],
    )
    def test_only_a_connection_that_the_network_refuses_counts_as_refused(self, printed: str, refused: bool) -> None:
        def answer(arguments: str, _: str) -> str:
            if arguments.startswith("get statefulset"):
                return json.dumps(REDIS_POD_TEMPLATE)
            return printed if arguments.startswith("run") else "PONG"

        line = command.result_line("network-policy", redis.network_policy, stack_with(answer))
        assert line.startswith("ok" if refused else "FAIL network-policy expected refused connections only")

    def test_a_refusal_while_redis_is_away_proves_nothing(self) -> None:
        def answer(arguments: str, _: str) -> str:
            if arguments.startswith("get statefulset"):
                return json.dumps(REDIS_POD_TEMPLATE)
            return "Could not connect to Redis at redis-service:6379: Connection refused"

        with pytest.raises(CheckError, match=r"^expected PONG, got Could not connect"):
            redis.network_policy(stack_with(answer))

    def test_a_standalone_redis_has_no_replicas_to_check(self) -> None:
        stack = stack_with(unreachable)
        alone = stack.settings.redis.model_copy(update={"topology": "standalone"})
        with pytest.raises(NotApplicableError, match="topology is standalone"):
            redis.replicas(Stack(stack.settings.model_copy(update={"redis": alone}), stack.kube))


class TestOtherChecks:
    @pytest.mark.parametrize(
        ("status", "problem"),
        [
            ({"phase": "Running", "containerStatuses": [{"name": "dns", "ready": True}]}, None),
            ({"phase": "Succeeded"}, None),
            ({"phase": "Pending"}, "coredns is Pending"),
            (
                {"phase": "Running", "containerStatuses": [{"name": "dns", "ready": False}]},
                "coredns has containers that are not ready: dns",
            ),
        ],
    )
    def test_a_pod_runs_when_all_its_containers_are_ready(self, status: dict[str, object], problem: str | None) -> None:
        assert cluster.not_running({"metadata": {"name": "coredns"}, "status": status}) == problem

    def test_an_empty_kube_system_is_a_failure(self) -> None:
        with pytest.raises(CheckError, match="no pod in kube-system"):
            cluster.kube_system_pods(stack_with(lambda *_: '{"items": []}'))

    @pytest.mark.parametrize(("check", "key"), [(fastapi.node_port, "nodePort"), (fastapi.ingress_cache, "ingress")])
    def test_what_the_stack_does_not_open_is_skipped(self, check: command.Check, key: str) -> None:
        with pytest.raises(NotApplicableError, match=f"fastapi.{key} is not set"):
            check(stack_with(unreachable, {"fastapi": {key: None}}))
