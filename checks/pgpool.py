"""Checks of Pgpool-II: where statements go, and what the pods run with. Asked from a pod of the service."""

import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from checks import service_pod
from checks.kube import Kube
from checks.outcome import CheckError, NotApplicableError
from checks.pgpool_pod import in_use, temporary
from checks.stack import Stack

SELECTS = WRITES = 3000
SESSIONS = 30  # of the selects, where each statement is balanced by itself
BALANCE_POINTS = 5.0
_LOOP_SECONDS = 180
Rows = list[dict[str, str]]


def nodes(stack: Stack) -> str:
    """`show pool_nodes` of every pod: all nodes up, the first the primary, the other a standby."""
    wanted = ["primary", "standby"] if stack.settings.postgres.instances > 1 else ["primary"]
    answers = _show(stack.kube, "SHOW POOL_NODES", _addresses(stack))
    for address, rows in answers.items():
        if away := [row["hostname"] for row in rows if row["status"] != "up"]:
            raise CheckError(f"the pod {address} has {', '.join(away)} as not up")
        if (found := [row["role"] for row in rows]) != wanted:
            raise CheckError(f"the pod {address} has nodes in the roles {found}, expected {wanted}")
    return f"{len(answers)} pods: {' and '.join(wanted)} up"


def balance(stack: Stack) -> str:
    """Of 3,000 selects, the primary and the standbys answer the shares that their weights ask for."""
    kube, level = stack.kube, stack.settings.pgpool.load_balancing.level
    if level == "off":
        raise NotApplicableError("pgpool.loadBalancing.level is off")
    if stack.settings.postgres.instances == 1:
        raise NotApplicableError("postgres.instances is 1")
    [rows, *_] = _show(kube, "SHOW POOL_NODES", _addresses(stack)).values()
    wanted = 100 * sum(float(row["lb_weight"]) for row in rows if row["role"] == "standby")
    found = _in_pod(kube, "selects", str(SELECTS), str(SESSIONS if level == "statement" else SELECTS))
    share = standbys_share(found["served"], found["primary"])
    text = f"{share:.1f} % of {SELECTS} selects went to standbys, and their weight is {wanted:.1f} %"
    if abs(share - wanted) > BALANCE_POINTS:
        raise CheckError(f"{text}, more than {BALANCE_POINTS:g} points apart")
    return text


def standbys_share(served: Mapping[str, int], primary: str) -> float:
    """Which percentage of selects was answered by others than the primary.

    Args:
        served: how many selects each server answered, by its address.
        primary: the address of the primary.
    """
    return 100 * (1 - served.get(primary, 0) / sum(served.values()))


def writes(stack: Stack) -> str:
    """3,000 writes all land on the primary, by the counters of the pods, and all are stored."""
    kube, addresses = stack.kube, _addresses(stack)
    before = inserts(_show(kube, "SHOW POOL_BACKEND_STATS", addresses))
    stored = _in_pod(kube, "writes", str(WRITES))["stored"]
    after = inserts(_show(kube, "SHOW POOL_BACKEND_STATS", addresses))
    if stored != WRITES:
        raise CheckError(f"{WRITES} rows were written, {stored} are stored")
    # Others may write meanwhile.
    if (primary := after["primary"] - before["primary"]) < WRITES:
        raise CheckError(f"{WRITES} rows were written, and the pods counted {primary} on the primary")
    if standbys := after.get("standby", 0) - before.get("standby", 0):
        raise CheckError(f"{standbys} writes were sent to a standby")
    return f"{stored} rows stored, {primary} inserts counted on the primary, none elsewhere"


def inserts(answers: Mapping[str, Rows]) -> dict[str, int]:
    """How many inserts all pods together have sent to the nodes of each role, by `show pool_backend_stats`."""
    counts: dict[str, int] = {}
    for rows in answers.values():
        for row in rows:
            counts[row["role"]] = counts.get(row["role"], 0) + int(row["insert_cnt"])
    return counts


def config_map(stack: Stack) -> str:
    """What the ConfigMap says is what the pods run with."""
    return _configured(stack, "config_map")


def environment(stack: Stack) -> str:
    """What the variables `PGPOOL_PARAMS_…` say is what the pods run with."""
    return _configured(stack, "environment")


def _configured(stack: Stack, way: str) -> str:
    """Compare one way of the two with what runs; the way that the stack does not use, in a pod of its own."""
    kube, parameters = stack.kube, in_use(stack.kube)
    if stack.settings.pgpool.configuration == way:
        addresses = _addresses(stack)
        compared = _compared(kube, parameters, addresses)
        return f"{compared} parameters are in effect in {len(addresses)} pods"
    parameters["child_max_connections"] = "77"  # a value that no pod of the stack has
    with temporary(kube, way, parameters) as address:
        compared = _compared(kube, parameters, [address])
    return f"{compared} parameters are in effect in a pod of its own"


def _compared(kube: Kube, parameters: Mapping[str, str], addresses: Sequence[str]) -> int:
    """How many of the parameters these pods show; all of them as they were given."""
    # The one has numbers and no names, the other has names, and numbers with units of its own choice.
    numbers, names = (_show(kube, statement, addresses) for statement in ("SHOW POOL_STATUS", "PGPOOL SHOW ALL"))
    shown: dict[str, set[str]] = {}
    for address in addresses:
        shown = {name: set() for name in parameters}
        for row in numbers[address] + names[address]:
            shown.setdefault(row["item"], set()).add(row["value"])
        if problems := different(parameters, shown):
            raise CheckError(f"the pod {address}: {'; '.join(problems)}")
    return sum(bool(shown[name]) for name in parameters)


def different(wanted: Mapping[str, str], shown: Mapping[str, Collection[str]]) -> list[str]:
    """Sentences on the parameters that are shown with another value than wanted; not all of them are shown.

    Args:
        wanted: values by name.
        shown: every way in which Pgpool-II writes the value of a parameter.
    """
    return [
        f"{name} is configured as {value!r}, and shown as {' or '.join(map(repr, sorted(shown[name])))}"
        for name, value in sorted(wanted.items())
        if shown[name] and _plain(value) not in map(_plain, shown[name])
    ]


def _plain(value: str) -> str | frozenset[str]:
    """A value without the ways to write it; flags have no order."""
    if "|" in value:
        return frozenset(value.split("|"))
    return {"true": "on", "yes": "on", "false": "off", "no": "off"}.get(value.lower(), value)


def query_cache(stack: Stack) -> str:
    """A repeated select is answered from the query cache, and an update of its table takes it out."""
    kube, own = stack.kube, stack.settings.pgpool.query_cache
    if own.enabled and stack.settings.pgpool.replicas == 1:
        [address] = _addresses(stack)
        seen, place = _in_pod(kube, "cache", address)["seen"], "the pod"
    else:
        # Pods would not see each other's writes, so several have no cache of their own.
        parameters = in_use(kube) | {
            "memory_cache_enabled": "on",
            "memqcache_method": "shmem",
            "memqcache_total_size": str(64 * 2**20),
            "backend_weight1": "0",  # a standby may be a moment behind, which is not what is asked here
        }
        with temporary(kube, stack.settings.pgpool.configuration, parameters) as address:
            seen, place = _in_pod(kube, "cache", address)["seen"], "a pod of its own"
    if problem := unlike_a_cache(seen):
        raise CheckError(f"{place}: {problem}")
    return f"{place}: the second select was a hit, and after an update the third was none"


def unlike_a_cache(seen: Sequence[Mapping[str, Any]]) -> str | None:
    """What is wrong with four reads of a row that changed after the second.

    Args:
        seen: `value` that was read and `hits` of the cache so far, after each read.
    """
    values, hits = [read["value"] for read in seen], [read["hits"] for read in seen]
    if values != ["old", "old", "new", "new"]:
        return f"read {', '.join(values)}; expected old, old, new, new"
    if (more := [later - sooner for sooner, later in itertools.pairwise(hits)]) != [1, 0, 1]:
        return f"hits of the second, third and fourth select: {more}; expected 1, 0, 1"
    return None


def _addresses(stack: Stack) -> list[str]:
    """The addresses of the pods, as many as there should be."""
    found = [pod["status"]["podIP"] for pod in stack.kube.ready_pods("app=pgpool")]
    if len(found) != stack.settings.pgpool.replicas:
        raise CheckError(f"expected {stack.settings.pgpool.replicas} pods of Pgpool-II, there are {len(found)} ready")
    return found


def _show(kube: Kube, statement: str, addresses: Sequence[str]) -> dict[str, Rows]:
    return _in_pod(kube, "show", statement, *addresses)


def _in_pod(kube: Kube, *arguments: str) -> dict[str, Any]:
    return service_pod.run(kube, "pgpool.py", *arguments, seconds=_LOOP_SECONDS)
