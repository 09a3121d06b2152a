"""The checks of PostgreSQL, Pgpool-II and items, with stand-ins for kubectl and for what the pods say."""

import json
from collections.abc import Mapping
from typing import Any

import httpx2
import pytest

from bench.pgbench import line
from checks import items, pgpool, pgpool_pod, postgres
from checks.outcome import CheckError, NotApplicableError
from checks.stack import Stack
from tests.faults.figures import p95, table
from tests.unit.test_checks import Answer, pod_item, stack_with, unreachable

INSTANCES = ("hot-postgres-1", "hot-postgres-2", "hot-postgres-3")
ADDRESSES = ("10.0.0.1", "10.0.0.2")
PARAMETERS = "num_init_children = '32'\nbackend_flag0 = 'ALWAYS_PRIMARY|DISALLOW_TO_FAILOVER'\nssl = 'on'\n"


def instances(answers: Mapping[str, Mapping[str, str]], names: tuple[str, ...] = INSTANCES) -> Answer:
    """A kubectl that knows these instances; `answers` of psql by instance and a part of the statement."""

    def answer(arguments: str, stdin: str) -> str:
        if arguments.startswith("get pods"):
            return json.dumps({"items": [{"metadata": {"name": name}} for name in names]})
        if arguments.startswith("get clusters"):
            return json.dumps({"status": {"currentPrimary": INSTANCES[0]}})
        pod = arguments.split(" -- ")[0].split()[-1]
        return next((text for part, text in answers[pod].items() if part in stdin), "")

    return answer


def roles(*recovering: bool, streaming: str = "hot-postgres-2\nhot-postgres-3") -> dict[str, dict[str, str]]:
    return {
        name: {"pg_is_in_recovery": "t" if is_standby else "f", "pg_stat_replication": streaming}
        for name, is_standby in zip(INSTANCES, recovering, strict=True)
    }


class TestPostgres:
    def test_a_primary_with_two_streaming_standbys_passes(self) -> None:
        detail = postgres.roles(stack_with(instances(roles(False, True, True))))
        assert detail == "hot-postgres-1 is the primary, hot-postgres-2 and hot-postgres-3 stream from it"

    @pytest.mark.parametrize("recovering", [(False, False, True), (True, True, True)], ids=["two", "none"])
    def test_two_primaries_and_none_are_failures(self, recovering: tuple[bool, ...]) -> None:
        with pytest.raises(CheckError, match=r"expected one primary, there are [02] of 3"):
            postgres.roles(stack_with(instances(roles(*recovering))))

    def test_a_standby_that_does_not_stream_is_named(self) -> None:
        with pytest.raises(CheckError, match="hot-postgres-3 does not stream from hot-postgres-1"):
            postgres.roles(stack_with(instances(roles(False, True, True, streaming="hot-postgres-2"))))

    def test_a_missing_instance_is_a_failure(self) -> None:
        with pytest.raises(CheckError, match="expected 3 instances, there are hot-postgres-1, hot-postgres-2"):
            postgres.roles(stack_with(instances({}, names=INSTANCES[:2])))

    def test_a_row_that_never_reaches_a_standby_is_a_failure(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(postgres, "REPLICATION_SECONDS", 0.0)
        statements: list[str] = []
        known = instances({name: {} for name in INSTANCES})

        def answer(arguments: str, stdin: str) -> str:
            statements.append(stdin)
            return known(arguments, stdin)

        with pytest.raises(CheckError, match="hot-postgres-2 reads ''"):
            postgres.replication(stack_with(answer))
        assert statements[-1].startswith("DROP TABLE"), "what the check made must go, also when it fails"


def pods_of_pgpool(answers: Mapping[str, Any], pods: tuple[str, ...] = ADDRESSES) -> Answer:
    """A kubectl over these pods of Pgpool-II; `answers` of the program in the service's pod by a part of its arguments.

    A list answers one call after the other.
    """
    fastapi_pods = [pod_item("fastapi-1")]
    pgpool_pods = [pod_item(f"pgpool-{address}", address=address) for address in pods]
    queues = {part: list(found) if isinstance(found, list) else None for part, found in answers.items()}

    def answer(arguments: str, _: str) -> str:
        if arguments.startswith("get pods"):
            listed = fastapi_pods if "app=fastapi" in arguments else pgpool_pods
            return json.dumps({"items": listed})
        if arguments.startswith("get deployment"):
            return json.dumps({"spec": {"template": TEMPLATE}})
        if arguments.startswith("get configmap"):
            return json.dumps({"data": {"pgpool.conf": PARAMETERS}})
        part = next(part for part in answers if part in arguments)
        queue = queues[part]
        return json.dumps(answers[part] if queue is None else queue.pop(0))

    return answer


TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": {"app": "pgpool", "app.kubernetes.io/name": "pgpool", "postgres-client": "true"}},
    "spec": {
        "serviceAccountName": "pgpool",
        "terminationGracePeriodSeconds": 10,
        "topologySpreadConstraints": [{"maxSkew": 1}],
        "containers": [
            {
                "name": "pgpool",
                "image": "hotstack/pgpool:1",
                "env": [{"name": "POSTGRES_USERNAME", "valueFrom": {"secretKeyRef": {"name": "a", "key": "username"}}}],
                "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
                "volumeMounts": [{"name": "etc", "mountPath": "/etc"}, {"name": "config", "mountPath": "/config"}],
            }
        ],
        "volumes": [
            {"name": "etc", "emptyDir": {}},
            {
                "name": "config",
                "projected": {
                    "sources": [{"configMap": {"name": "pgpool-config"}}, {"secret": {"name": "hot-postgres-ca"}}]
                },
            },
        ],
    },
}


def node(role: str, status: str = "up", weight: str = "0.333333", inserts: int = 0) -> dict[str, str]:
    return {"hostname": role, "role": role, "status": status, "lb_weight": weight, "insert_cnt": str(inserts)}


def everywhere(*rows: dict[str, str]) -> dict[str, list[dict[str, str]]]:
    return {address: list(rows) for address in ADDRESSES}


BALANCED = everywhere(node("primary"), node("standby", weight="0.666667"))


class TestPgpool:
    def test_a_node_that_is_down_or_in_the_wrong_role_is_a_failure(self) -> None:
        assert pgpool.nodes(stack_with(pods_of_pgpool({"POOL_NODES": BALANCED}))).startswith("2 pods")
        down = everywhere(node("primary"), node("standby", status="down"))
        with pytest.raises(CheckError, match="has standby as not up"):
            pgpool.nodes(stack_with(pods_of_pgpool({"POOL_NODES": down})))
        with pytest.raises(CheckError, match="in the roles"):
            pgpool.nodes(stack_with(pods_of_pgpool({"POOL_NODES": everywhere(node("standby"), node("standby"))})))

    def test_a_missing_pod_is_a_failure(self) -> None:
        with pytest.raises(CheckError, match="expected 2 pods of Pgpool-II, there are 1"):
            pgpool.nodes(stack_with(pods_of_pgpool({}, pods=ADDRESSES[:1])))

    @pytest.mark.parametrize(("primary", "passes"), [(1000, True), (1140, True), (1160, False), (3000, False)])
    def test_the_standbys_share_may_be_five_points_off_their_weight(self, primary: int, passes: bool) -> None:
        served = {"10.1.0.1": primary, "10.1.0.2": 1500, "10.1.0.3": 1500 - primary}
        answers = {"POOL_NODES": BALANCED, "selects": {"primary": "10.1.0.1", "served": served}}
        stack = stack_with(pods_of_pgpool(answers))
        if passes:
            assert "their weight is 66.7 %" in pgpool.balance(stack)
        else:
            with pytest.raises(CheckError, match="more than 5 points apart"):
                pgpool.balance(stack)

    def test_reads_that_are_not_balanced_leave_nothing_to_check(self) -> None:
        with pytest.raises(NotApplicableError, match="level is off"):
            pgpool.balance(stack_with(unreachable, {"pgpool": {"loadBalancing": {"level": "off"}}}))

    @pytest.mark.parametrize(
        ("stored", "primary", "standby", "problem"),
        [
            (3000, 1500, 0, None),
            (2999, 1500, 0, "3000 rows were written, 2999 are stored"),
            (3000, 1499, 0, "counted 2998 on the primary"),
            (3000, 1500, 1, "2 writes were sent to a standby"),
        ],
    )
    def test_every_write_must_be_stored_and_counted_on_the_primary(
        self, stored: int, primary: int, standby: int, problem: str | None
    ) -> None:
        before = everywhere(node("primary", inserts=7), node("standby", inserts=0))
        after = everywhere(node("primary", inserts=7 + primary), node("standby", inserts=standby))
        stack = stack_with(pods_of_pgpool({"BACKEND_STATS": [before, after], "writes": {"stored": stored}}))
        if problem is None:
            assert pgpool.writes(stack).startswith("3000 rows stored, 3000 inserts counted on the primary")
        else:
            with pytest.raises(CheckError, match=problem):
                pgpool.writes(stack)

    def test_a_parameter_that_is_not_in_effect_is_named_and_ways_to_write_a_value_are_not(self) -> None:
        status = [
            {"item": "num_init_children", "value": "32"},
            {"item": "backend_flag0", "value": "DISALLOW_TO_FAILOVER|ALWAYS_PRIMARY"},
            {"item": "ssl", "value": "1"},
        ]
        names = [{"item": "ssl", "value": "on"}]
        answers = {"POOL_STATUS": everywhere(*status), "SHOW ALL": everywhere(*names)}
        assert "3 parameters are in effect" in pgpool.config_map(stack_with(pods_of_pgpool(answers)))
        status[0]["value"] = "8"
        with pytest.raises(CheckError, match="num_init_children is configured as '32', and shown as '8'"):
            pgpool.config_map(stack_with(pods_of_pgpool(answers)))

    @pytest.mark.parametrize(
        ("values", "hits", "problem"),
        [
            (("old", "old", "new", "new"), (4, 5, 5, 6), None),
            (("old", "old", "new", "new"), (4, 4, 4, 4), "expected 1, 0, 1"),
            (("old", "old", "old", "old"), (4, 5, 6, 7), "read old, old, old, old"),
        ],
        ids=["a cache", "no cache", "an outdated result"],
    )
    def test_a_cache_hits_the_second_time_and_misses_after_an_update(
        self, values: tuple[str, ...], hits: tuple[int, ...], problem: str | None
    ) -> None:
        found = pgpool.unlike_a_cache([{"value": v, "hits": h} for v, h in zip(values, hits, strict=True)])
        assert (found is None) if problem is None else (found is not None and problem in found)


class TestPodOfACheck:
    def test_it_reaches_postgresql_and_is_in_no_service(self) -> None:
        pod = pgpool_pod.pod(TEMPLATE, "environment", {"port": "9999"})
        assert pod["metadata"]["labels"] == {"postgres-client": "true"}
        assert pod["spec"]["activeDeadlineSeconds"] > 0, "it must end by itself when nobody removes it"

    def test_by_environment_it_has_variables_and_no_config_map(self) -> None:
        spec = pgpool_pod.pod(TEMPLATE, "environment", {"num_init_children": "3"})["spec"]
        assert {"name": "PGPOOL_PARAMS_NUM_INIT_CHILDREN", "value": "3"} in spec["containers"][0]["env"]
        assert "configMap" not in json.dumps(spec)
        assert "hot-postgres-ca" in json.dumps(spec), "certificates stay where they were"

    def test_by_config_map_it_has_one_of_its_own(self) -> None:
        spec = pgpool_pod.pod(TEMPLATE, "config_map", {"num_init_children": "3"})["spec"]
        assert {"configMap": {"name": pgpool_pod.NAME}} in spec["volumes"][-1]["projected"]["sources"]
        assert "PGPOOL_PARAMS" not in json.dumps(spec)
        assert "pgpool-config" not in json.dumps(spec)

    def test_parameters_in_use_are_read_from_wherever_the_pods_have_them(self) -> None:
        stack = stack_with(pods_of_pgpool({}))
        assert pgpool_pod.in_use(stack.kube)["num_init_children"] == "32"
        [container] = TEMPLATE["spec"]["containers"]
        variables = [*container["env"], {"name": "PGPOOL_PARAMS_MAX_POOL", "value": "2"}]
        template = {"metadata": {}, "spec": {"containers": [container | {"env": variables}]}}
        stack = stack_with(lambda *_: json.dumps({"spec": {"template": template}}))
        assert pgpool_pod.in_use(stack.kube) == {"max_pool": "2"}


def test_items_need_a_port_of_the_node() -> None:
    with pytest.raises(NotApplicableError, match="nodePort is not set"):
        items.items(without_node_port())


@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        ({"POST": 201, "cache": "hit"}, None),
        ({"POST": 201, "cache": "miss"}, "was not answered from the cache: miss"),
        ({"POST": 503, "cache": "hit"}, "POST http://10.0.0.9:30001/items answered 503"),
    ],
    ids=["all is well", "no cache", "no database"],
)
def test_an_item_must_be_stored_and_then_come_from_the_cache(
    answers: dict[str, Any], problem: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def service(request: httpx2.Request) -> httpx2.Response:
        status = answers["POST"] if request.method == "POST" else 200
        return httpx2.Response(status, json={"id": 1}, headers={"Location": "/items/1", "X-Cache": answers["cache"]})

    served = httpx2.MockTransport(service)
    monkeypatch.setattr(items, "client", lambda base: httpx2.Client(base_url=base, transport=served))
    node = {"status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.9"}]}}
    stack = stack_with(lambda *_: json.dumps({"items": [node]}))
    if problem is None:
        assert items.items(stack).startswith("/items/1 came back")
    else:
        with pytest.raises(CheckError, match=problem):
            items.items(stack)


def without_node_port() -> Stack:
    return stack_with(unreachable, {"fastapi": {"nodePort": None}})


class TestFigures:
    def test_the_95th_percentile_is_the_second_largest_of_20_and_the_largest_of_few(self) -> None:
        assert p95([float(number) for number in range(1, 21)]) == 19.0
        assert p95([3.0, 1.0]) == 3.0

    def test_nothing_measured_is_no_figure(self) -> None:
        with pytest.raises(ValueError, match="nothing was measured"):
            p95([])

    def test_a_table_has_the_smallest_the_median_and_the_largest_of_each_row(self) -> None:
        [*_, row] = table("kill", {"through Pgpool": [4.0, 2.0, 9.0]}).splitlines()
        assert row.split() == ["through", "Pgpool", "3", "2.00", "4.00", "9.00", "9.00", "s"]

    def test_a_line_of_the_benchmark_compares_medians_with_the_first_way(self) -> None:
        found = {"directly": [900.0, 1000.0, 5000.0], "through Pgpool-II": [500.0]}
        assert line("select-only", found) == "select-only: directly 1000 tps; through Pgpool-II 500 (0.50)"
