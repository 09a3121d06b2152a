"""What monitoring costs on the running dev stack: `python -m bench.monitoring [SECONDS]`.

CPU is that of Prometheus, Alertmanager and all exporters that are containers of their own, as the kubelet counts it,
over a minute or so many seconds. What the service and CloudNativePG spend on their own metrics is theirs.
"""

import json
import sys
import time
from collections.abc import Mapping

import settings
from checks.monitoring import active_targets, prometheus, values
from checks.outcome import CheckError
from checks.stack import Stack

MEMORY_MB = 150
CORE_PERCENT = 2.0
SERIES = 5000
SCRAPE_SECONDS = 0.1
_EXPORTER = "metrics"


def cpu_seconds(summary: Mapping[str, list[dict]], monitoring_namespace: str) -> dict[str, float]:
    """Seconds of CPU that each container of monitoring has used, by pod and container.

    Args:
        summary: `/stats/summary` of a kubelet.
        monitoring_namespace: all of whose containers are meant, beside the exporters of other pods.
    """
    return {
        f"{pod['podRef']['name']}/{container['name']}": container["cpu"]["usageCoreNanoSeconds"] / 1e9
        for pod in summary["pods"]
        for container in pod.get("containers", [])
        if pod["podRef"]["namespace"] == monitoring_namespace or container["name"] == _EXPORTER
    }


def percent_of_a_core(before: Mapping[str, float], after: Mapping[str, float], seconds: float) -> float:
    """How much of one core the containers that were there all the time used."""
    return 100 * sum(after[name] - before[name] for name in before.keys() & after.keys()) / seconds


def main(seconds: int = 60) -> int:
    """Print the figures; the status is 1 when one is over its limit, or there is nothing to measure."""
    stack = Stack.of(settings.from_file("dev"))
    namespace = stack.settings.kubernetes.monitoring_namespace
    try:
        with prometheus(stack) as api:
            before, started = _cpu(stack, namespace), time.monotonic()
            time.sleep(seconds)
            after, lasted = _cpu(stack, namespace), time.monotonic() - started
            targets = active_targets(api)
            memory = max(values(api, 'process_resident_memory_bytes{job="prometheus"}').values()) / 1e6
            # Those of now: in memory are, for two hours, also those of pods that are gone.
            [series] = values(api, 'count({__name__=~".+"})').values()
            span = f"scrape_duration_seconds[{seconds}s]"
            middle = values(api, f"max by (pod) (quantile_over_time(0.5, {span}))")
            most = values(api, f"max by (pod) (max_over_time({span}))")
    except CheckError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    percent = percent_of_a_core(before, after, lasted)
    print(f"Prometheus: {memory:.0f} MB (limit {MEMORY_MB}), {series:.0f} series (limit {SERIES})")
    print(
        f"monitoring: {percent:.2f} % of a core over {lasted:.0f} s, {len(before)} containers (limit {CORE_PERCENT:g})"
    )
    slowest = max(most, key=most.__getitem__)
    slow = most[slowest]
    print(
        f"scrapes: {len(targets)} targets, the slowest {slowest}: median {1000 * middle[slowest]:.0f} ms, "
        f"at most {1000 * slow:.0f} ms (limit {1000 * SCRAPE_SECONDS:.0f})"
    )
    good = memory < MEMORY_MB and series < SERIES and percent < CORE_PERCENT and slow < SCRAPE_SECONDS
    return 0 if good else 1


def _cpu(stack: Stack, namespace: str) -> dict[str, float]:
    result: dict[str, float] = {}
    for node in stack.kube.objects("nodes"):
        answer = stack.kube.run("get", "--raw", f"/api/v1/nodes/{node['metadata']['name']}/proxy/stats/summary")
        result |= cpu_seconds(json.loads(answer), namespace)
    return result


if __name__ == "__main__":
    sys.exit(main(*(int(argument) for argument in sys.argv[1:])))
