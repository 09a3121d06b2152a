"""Checks of Redis, as the lab walks through it."""

import json
import secrets
import shlex
from collections.abc import Mapping
from pathlib import Path

import redis
from redis.exceptions import RedisError

from checks import service_pod
from checks.kube import KubectlError
from checks.outcome import CheckError, NotApplicableError, eventually
from checks.stack import Stack

PRIMARY = "redis-0"
THROUGH_SERVICE = ("-h", "redis-service", "-p", "6379")
SELF_HEAL_SECONDS = 60.0
TEST_POD = "redis-test"
_KEY_PREFIX = "hotstack-check"
_PING = Path(__file__).parent / "in_pod" / "ping.sh"
# The password goes from a file of the pod into the environment of redis-cli, and so is in no argument list.
_WITH_PASSWORD = ("sh", "-c", r'REDISCLI_AUTH=$(tr -d "\r\n" </etc/redis-auth/password) exec "$@"', "sh")


def ping(stack: Stack) -> str:
    """`redis-cli -h redis-service -p 6379 PING` in a redis pod prints PONG."""
    _expect("PONG", _redis_cli(stack, PRIMARY, *THROUGH_SERVICE, "PING"))
    return f"PONG from redis-service to {PRIMARY}"


def replicas(stack: Stack) -> str:
    """Every replica is linked to the primary and has what was just written there."""
    if stack.settings.redis.topology == "standalone":
        raise NotApplicableError("topology is standalone")
    pods = _replica_pods(stack)
    wanted = stack.settings.redis.replicas
    if len(pods) != wanted:
        raise CheckError(f"expected {wanted} replica pods, there are {len(pods)}")
    if problem := _unlinked(stack, pods):
        raise CheckError(problem)
    key, value = _new_key("replicas"), secrets.token_hex(8)
    # On one connection, for WAIT counts the replicas that have what this very connection wrote.
    script = f"SET {key} {value} EX 300\nWAIT {wanted} 5000\n"
    replies = _redis_cli(stack, PRIMARY, *THROUGH_SERVICE, stdin=script)
    _expect(f"OK {wanted}", " ".join(replies.split()))
    for pod in pods:
        _expect(value, _redis_cli(stack, pod, "GET", key))
    _redis_cli(stack, PRIMARY, *THROUGH_SERVICE, "DEL", key)
    return f"{wanted} of {wanted} replicas follow {PRIMARY}, each read what was written there"


def read_after_write(stack: Stack) -> str:
    """No read through redis-service misses the write before it, and no increment is lost."""
    counts = service_pod.run(stack.kube, "read_after_write.py", seconds=120)
    summary = (
        f"{counts['misses']} misses in {counts['writes']} writes, {counts['increments']} INCR give {counts['counter']}"
    )
    if counts["misses"] != 0 or counts["counter"] != counts["increments"]:
        raise CheckError(summary)
    return summary


def ps(stack: Stack) -> str:
    """`ps aux` in a redis pod shows redis-server."""
    try:
        processes = stack.kube.run("exec", PRIMARY, "--", "ps", "aux").splitlines()
    except KubectlError as error:
        if '"ps": executable file not found' in error.output:
            raise NotApplicableError("the image has no ps") from None
        raise
    servers = [line for line in processes if "redis-server" in line]
    if not servers:
        raise CheckError(f"no redis-server among the {len(processes) - 1} processes of {PRIMARY}")
    return f"user {servers[0].split()[0]} runs {' '.join(servers[0].split()[10:])}"


def logs(stack: Stack) -> str:
    """`kubectl logs -l app=redis --since=5m` prints something."""
    # A Redis with nothing to do logs nothing for hours: it is asked for something that it does log.
    _redis_cli(stack, PRIMARY, *THROUGH_SERVICE, "BGSAVE", "SCHEDULE")
    lines: list[str] = []

    def nothing_yet() -> str | None:
        lines[:] = stack.kube.run("logs", "--selector=app=redis", "--since=5m").splitlines()
        return None if lines else "no line of the last 5 minutes"

    eventually(nothing_yet, seconds=10)
    return f"{len(lines)} lines, the last: {lines[-1]}"


def self_heal(stack: Stack) -> str:
    """A deleted pod comes back within a minute and answers, with the data of before where that is kept."""
    kube = stack.kube
    key, value = _new_key("self-heal"), secrets.token_hex(8)
    _expect("OK", _redis_cli(stack, PRIMARY, *THROUGH_SERVICE, "SET", key, value, "EX", "300"))
    deleted = kube.get("pod", PRIMARY)["metadata"]["uid"]
    kube.run("delete", "pod", PRIMARY, "--wait=false")

    def still_away() -> str | None:
        try:
            pod = kube.get("pod", PRIMARY)
            if pod["metadata"]["uid"] == deleted:
                return f"the deleted {PRIMARY} is still there"
            reply = _redis_cli(stack, PRIMARY, *THROUGH_SERVICE, "PING").strip()
        except KubectlError as error:
            return str(error)
        return None if reply == "PONG" else f"{PRIMARY} answers {reply!r}"

    eventually(still_away, SELF_HEAL_SECONDS)
    kept = "nothing to keep"
    if stack.settings.redis.persistence.mode != "none":
        _expect(value, _redis_cli(stack, PRIMARY, *THROUGH_SERVICE, "GET", key))
        kept = "its data kept"
    _redis_cli(stack, PRIMARY, *THROUGH_SERVICE, "DEL", key)
    # The stack is left as it was found: replicas notice the new primary a moment later.
    eventually(lambda: _unlinked(stack, _replica_pods(stack)), SELF_HEAL_SECONDS)
    return f"{PRIMARY} deleted, back and answering, {kept}"


def port_forward(stack: Stack) -> str:
    """Port 6379 forwarded to the host answers there."""
    with stack.kube.port_forward("svc/redis-service", 6379) as port:
        client = redis.Redis(
            host="127.0.0.1", port=port, password=_password(stack), socket_timeout=10, socket_connect_timeout=10
        )
        try:
            with client:
                client.ping()
        except RedisError as error:
            raise CheckError(f"PING on the forwarded port: {error}") from None
    return f"PONG on 127.0.0.1:{port}"


def test_pod(stack: Stack) -> str:
    """`kubectl run --rm redis-test … redis-cli -h redis-service` reaches Redis with the client label."""
    lines = _run_test_pod(stack, {"redis-client": "true"}, _password(stack))
    if lines[-1:] != ["PONG"]:
        raise CheckError(f"expected PONG, got {lines[-1] if lines else 'nothing'}")
    return f"PONG to {TEST_POD} with the client label"


def network_policy(stack: Stack) -> str:
    """The same pod without the client label is refused, each time."""
    lines = _run_test_pod(stack, {}, password=None)
    others = [line for line in lines if not is_refusal(line)]
    if others or not lines:
        raise CheckError(f"expected refused connections only, got {others[0] if others else 'nothing'}")
    # A Redis that is away, or a Service without endpoints, refuses too.
    _expect("PONG", _redis_cli(stack, PRIMARY, *THROUGH_SERVICE, "PING"))
    return f"{TEST_POD} without the client label, {len(lines)} times: {lines[-1]}"


def is_refusal(line: str) -> bool:
    """Whether redis-cli says that the network refused it; a name that is not found is another matter.

    A network plugin either rejects what a policy does not allow, which is refused at once, or drops it.
    """
    reasons = ("connection refused", "timed out", "no route to host", "operation not permitted")
    return line.startswith("Could not connect to Redis") and line.lower().endswith(reasons)


def _redis_cli(stack: Stack, pod: str, *arguments: str, stdin: str = "") -> str:
    login = () if stack.settings.redis.auth.mode == "none" else _WITH_PASSWORD
    return stack.kube.run("exec", "--stdin", pod, "--", *login, "redis-cli", *arguments, stdin=stdin)


def _replica_pods(stack: Stack) -> list[str]:
    pods = stack.kube.objects("pods", "app=redis,app.kubernetes.io/component=replica")
    return [pod["metadata"]["name"] for pod in pods]


def _unlinked(stack: Stack, pods: list[str]) -> str | None:
    """What keeps the first of the replicas that do not follow a primary from it."""
    for pod in pods:
        info = dict(line.split(":", 1) for line in _redis_cli(stack, pod, "INFO", "replication").split() if ":" in line)
        if info.get("role") != "slave" or info.get("master_link_status") != "up":
            return f"{pod} has role {info.get('role')} and link {info.get('master_link_status')}"
    return None


def _password(stack: Stack) -> str | None:
    """The password of the default user, by way of the Secret that the primary's pods mount."""
    if stack.settings.redis.auth.mode == "none":
        return None
    template = stack.kube.get("statefulset", "redis")["spec"]["template"]["spec"]
    secret = next(volume["secret"] for volume in template["volumes"] if volume["name"] == "auth")
    key = next(item["key"] for item in secret["items"] if item["path"] == "password")
    # As the shell of the pods reads the file: without the line break that many a Secret ends in.
    return stack.kube.secret(secret["secretName"], key).rstrip("\r\n")


def _run_test_pod(stack: Stack, labels: Mapping[str, str], password: str | None) -> list[str]:
    """Run `in_pod/ping.sh` in a pod that lives no longer than that; the lines that redis-cli printed."""
    kube = stack.kube
    image = kube.get("statefulset", "redis")["spec"]["template"]["spec"]["containers"][0]["image"]
    remove = ("delete", "pod", TEST_POD, "--ignore-not-found", "--now")
    # By stdin, which no process list and no object shows.
    login = "" if password is None else f"export REDISCLI_AUTH={shlex.quote(password)}\n"
    kube.run(*remove)  # of a run that was killed
    try:
        return kube.run(
            *("run", TEST_POD, f"--image={image}", "--restart=Never", "--rm", "--stdin", "--quiet"),
            f"--labels={','.join(f'{name}={value}' for name, value in labels.items())}",
            *("--pod-running-timeout=30s", *_restricted(stack), "--", "sh", "-s"),
            stdin=login + _PING.read_text(),
            timeout=90,
        ).splitlines()
    except KubectlError:
        kube.run(*remove)
        raise


def _restricted(stack: Stack) -> tuple[str, ...]:
    """What a bare `kubectl run` must add in a namespace that enforces Pod Security `restricted`."""
    if stack.settings.kubernetes.pod_security != "restricted":
        return ()
    container = {
        "name": TEST_POD,
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    pod = {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}}
    overrides = {"spec": {"securityContext": pod, "containers": [container]}}
    return ("--override-type=strategic", f"--overrides={json.dumps(overrides)}")


def _new_key(purpose: str) -> str:
    return f"{_KEY_PREFIX}:{purpose}:{secrets.token_hex(8)}"


def _expect(wanted: str, output: str) -> None:
    if output.strip() != wanted:
        raise CheckError(f"expected {wanted}, got {_last_of(output)}")


def _last_of(output: str) -> str:
    lines = output.strip().splitlines()
    return lines[-1] if lines else "nothing"
