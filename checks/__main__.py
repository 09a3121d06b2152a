"""`python -m checks`: one line a check, exit 1 when one failed, 2 when asked for something that there is not."""

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Sequence

import settings
from checks import backup, cluster, fastapi, items, monitoring, pgpool, postgres, redis
from checks.outcome import CheckError, NotApplicableError
from checks.stack import Stack

Check = Callable[[Stack], str]
"""Returns what it saw, in a few words; see the package's docstring for how it ends otherwise."""

CHECKS: tuple[tuple[str, Check], ...] = (
    ("redis-ping", redis.ping),
    ("redis-replicas", redis.replicas),
    ("redis-read-after-write", redis.read_after_write),
    ("redis-ps", redis.ps),
    ("redis-logs", redis.logs),
    ("redis-self-heal", redis.self_heal),
    ("redis-port-forward", redis.port_forward),
    ("redis-test-pod", redis.test_pod),
    ("network-policy", redis.network_policy),
    ("kube-system-pods", cluster.kube_system_pods),
    ("fastapi-node-port", fastapi.node_port),
    ("fastapi-config", fastapi.config),
    ("ingress-cache", fastapi.ingress_cache),
    ("postgres-roles", postgres.roles),
    ("postgres-replication", postgres.replication),
    ("pgpool-nodes", pgpool.nodes),
    ("pgpool-balance", pgpool.balance),
    ("pgpool-writes", pgpool.writes),
    ("pgpool-config-map", pgpool.config_map),
    ("pgpool-environment", pgpool.environment),
    ("pgpool-cache", pgpool.query_cache),
    ("items", items.items),
    ("prometheus-targets", monitoring.targets),
    ("prometheus-select-count", monitoring.select_count),
    ("alertmanager", monitoring.alertmanager),
    ("prometheus-ui", monitoring.ui),
    ("backup", backup.backup),
    ("restore-point-in-time", backup.restore_point_in_time),
)
"""The names are a contract, and people see the checks in this order."""

ONLY_BY_NAME = {"redis-self-heal": "redis", "backup": "postgres", "restore-point-in-time": "postgres"}
"""What takes Redis' only primary away for a while, or reads a whole database: where that part of the stack is
protected, these checks run only when they are named."""


def main(arguments: Sequence[str] | None = None, checks: Sequence[tuple[str, Check]] = CHECKS) -> int:
    """Run the checks that the command line names, or all, and return the exit code."""
    known = [name for name, _ in checks]
    parser = argparse.ArgumentParser(
        prog="python -m checks",
        description="Walk through a running stack. Where Redis or PostgreSQL is protected, what disturbs it runs only "
        f"when it is named: {', '.join(ONLY_BY_NAME)}.",
    )
    parser.add_argument("--stack", default="dev", help="whose Pulumi.STACK.yaml says what to expect (default: dev)")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(known)} (default: all)")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in known]
    if unknown:
        parser.error(f"there is no check {', '.join(unknown)}; expected any of {', '.join(known)}")
    try:
        stack = Stack.of(settings.from_file(options.stack))
    except settings.SettingsError as error:
        parser.error(str(error))
    if options.names:
        chosen = [(name, check) for name, check in checks if name in options.names]
    else:
        chosen = [(name, _left_out if _is_protected(name, stack.settings) else check) for name, check in checks]
    return 0 if run(chosen, stack) else 1


def _is_protected(name: str, of: settings.StackSettings) -> bool:
    return {"redis": of.redis.protect, "postgres": of.postgres.protect}.get(ONLY_BY_NAME.get(name, ""), False)


def _left_out(_: Stack) -> str:
    raise NotApplicableError("protected: name it to run it")


def run(checks: Iterable[tuple[str, Check]], stack: Stack) -> bool:
    """Run `checks` in their order, print a line for each, and return whether none failed."""
    none_failed = True
    for name, check in checks:
        line = result_line(name, check, stack)
        none_failed &= not line.startswith("FAIL")
        print(line, flush=True)
    return none_failed


def result_line(name: str, check: Check, stack: Stack) -> str:
    """Run one check and return its line: `ok NAME detail (0.4 s)`, `FAIL NAME reason`, `skip NAME reason`."""
    started = time.monotonic()
    try:
        line = f"ok {name} {check(stack)} ({time.monotonic() - started:.1f} s)"
    except NotApplicableError as reason:
        line = f"skip {name} {reason}"
    except CheckError as reason:
        line = f"FAIL {name} {reason}"
    except Exception as error:  # one check that is broken must not hide what the others find
        line = f"FAIL {name} {type(error).__name__}: {error}"
    for secret in stack.kube.secrets:
        line = line.replace(secret, "[secret]")
    return " ".join(line.split())


if __name__ == "__main__":
    sys.exit(main())
