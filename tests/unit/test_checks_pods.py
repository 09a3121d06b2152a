"""In which pods the checks run their programs, and the pods that they make."""

import base64
import hashlib
import json
from collections.abc import Generator
from contextlib import contextmanager
from typing import ClassVar

import httpx2
import pytest

from checks import client_pod, fastapi, redis, service_pod
from checks.kube import Kube, KubectlError
from checks.outcome import CheckError
from tests.support import openapi
from tests.unit.test_checks import PASSWORD, pod_item, stack_with, unreachable, with_pods


class TestPodOfTheService:
    def test_a_pod_that_is_being_deleted_or_is_not_ready_is_not_chosen(self) -> None:
        pods = pod_item("oldest", going=True), pod_item("starting", ready=False), pod_item("newest")

        def answer(arguments: str, stdin: str) -> str:
            assert "read_after_write" not in arguments, "a program goes by stdin"
            assert "OPERATIONS" in stdin
            return json.dumps({"in": arguments.split()[2]})

        found = service_pod.run(stack_with(with_pods(answer, *pods)).kube, "read_after_write.py", seconds=1)
        assert found == {"in": "newest"}

    def test_without_a_ready_pod_nothing_is_run_and_the_check_says_why(self) -> None:
        stack = stack_with(with_pods(unreachable, pod_item("oldest", going=True)))
        with pytest.raises(CheckError, match="no pod of the service is ready"):
            redis.read_after_write(stack)

    def test_the_configuration_is_asked_of_a_pod_that_stays(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[str] = []

        def answer(arguments: str, _: str) -> str:
            if arguments.startswith("get secret"):
                return json.dumps({"data": {"API_TOKEN": base64.b64encode(PASSWORD.encode()).decode()}})
            asked.append(arguments)
            return hashlib.sha256(PASSWORD.encode()).hexdigest() if arguments.startswith("exec") else "{}"

        @contextmanager
        def forwarded(_: Kube, target: str, port: int) -> Generator[int, None, None]:
            asked.append(f"{target}:{port}")
            yield 0

        monkeypatch.setattr(Kube, "port_forward", forwarded)
        served = httpx2.MockTransport(lambda _: httpx2.Response(200, json={"secret_configured": True}))
        monkeypatch.setattr(fastapi, "client", lambda base: httpx2.Client(base_url=base, transport=served))
        pods = pod_item("oldest", going=True), pod_item("newest")
        fastapi.config(stack_with(with_pods(answer, *pods)))
        assert "pod/newest:8000" in asked
        assert any(call.startswith("exec newest ") for call in asked)


class TestTemporaryObjects:
    CONFIG_MAP: ClassVar = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "own"}, "data": {"a": "b"}}
    POD: ClassVar = client_pod.manifest(
        "own",
        "hotstack/fastapi:0",
        labels=client_pod.POSTGRES_LABELS,
        volumes={"/programs": {"configMap": {"name": "own"}}, **client_pod.POSTGRES_LOGIN},
    )

    @pytest.mark.parametrize("version", [openapi.OLDEST, openapi.NEWEST])
    def test_a_client_is_a_valid_pod_that_ends_by_itself(self, version: str) -> None:
        openapi.check(self.POD, version)
        assert self.POD["spec"]["activeDeadlineSeconds"] > 0, "it must end by itself when nobody removes it"

    def test_each_of_its_volumes_is_mounted_where_it_was_asked_for(self) -> None:
        [container] = self.POD["spec"]["containers"]
        folders = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        sources = {folders[volume["name"]]: set(volume) - {"name"} for volume in self.POD["spec"]["volumes"]}
        assert sources == {"/programs": {"configMap"}, "/run/secrets/postgres": {"secret"}}

    def test_objects_are_there_while_the_block_runs_and_gone_however_it_ends(self) -> None:
        there: list[str] = []

        def answer(arguments: str, stdin: str) -> str:
            if arguments.startswith("create"):
                there.append(json.loads(stdin)["kind"])
            elif arguments.startswith("delete configmap/own pod/own "):
                there.clear()
            else:
                assert arguments.startswith("wait --for=condition=Ready pod/own "), arguments
                there.append("ready")
            return ""

        with pytest.raises(CheckError), stack_with(answer).kube.temporary(self.CONFIG_MAP, self.POD):
            assert there == ["ConfigMap", "Pod", "ready"]
            raise CheckError("the block fails")
        assert there == []

    def test_what_was_made_goes_when_its_pod_does_not_get_ready(self) -> None:
        calls: list[str] = []

        def answer(arguments: str, _: str) -> str:
            calls.append(arguments.split()[0])
            if arguments.startswith("wait"):
                raise KubectlError("kubectl wait", "timed out")
            return ""

        with pytest.raises(KubectlError), stack_with(answer).kube.temporary(self.POD):
            pass
        assert calls == ["delete", "create", "wait", "delete"]
