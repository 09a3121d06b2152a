"""A stack from nothing to live: the cluster it wants, its images, `pulumi up`, and back again.

The program is known here by its commands only: `settings.py describe` says what a stack wants, `pulumi` does the rest.
"""

import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from cluster import foreign, images, node
from cluster.errors import ClusterError
from cluster.instance import Instance
from cluster.stages import stage
from cluster.toolchain import ensure
from cluster.toolchain.pulumi import pulumi_env

ROOT = Path(__file__).parent.parent
EMBEDDED_CONTEXT = "hotstack"


@dataclass(frozen=True)
class Wanted:
    """What a stack wants of the machine around it; see `settings.describe`."""

    stack: str
    context: str
    namespace: str
    registry: str | None
    images: tuple[images.Image, ...]

    @property
    def embedded(self) -> bool:
        """Whether the stack lives on the embedded cluster."""
        return self.context == EMBEDDED_CONTEXT


def wanted(stack: str) -> Wanted:
    """Ask the program what `stack` wants.

    Raises:
        ClusterError: the stack file cannot be used; in the program's own words.
    """
    done = subprocess.run([sys.executable, ROOT / "settings.py", "describe", stack], capture_output=True, text=True)
    if done.returncode != 0:
        raise ClusterError(done.stderr.strip())
    answer = json.loads(done.stdout)
    to_build = tuple(
        images.Image(image["reference"], Path(image["dockerfile"]), Path(image["context"]))
        for image in answer["images"]
    )
    return Wanted(stack, answer["context"], answer["namespace"], answer["imageRegistry"], to_build)


def up(stack: str, instance: Instance) -> None:
    """Make `stack` live, with all it needs; what is there already is left as it is.

    Raises:
        ClusterError: with a sentence that says what to do; before anything is changed where that can be known.
    """
    want = wanted(stack)
    _check_registry(want, os.environ.get("REGISTRY"))
    if want.embedded:
        node.up(instance)
        images.load(instance, want.images)
    else:
        foreign.load(want.context, want.registry, want.images)
    environment = environment_of(want, instance)
    with stage(f"pulumi up of {stack}"):
        _recover(want, environment, instance)
        pulumi(environment, "up", "--yes", "--skip-preview", "--suppress-progress", "--stack", stack)
    for name, value in json.loads(_answer(environment, "stack", "output", "--json", "--stack", stack)).items():
        print(f"  {name:20} {value}")
    if want.embedded:
        print_addresses(instance)


def _check_registry(want: Wanted, registry: str | None) -> None:
    """Refuse a registry that pods would not pull from: it is part of the references that the stack file decides."""
    if registry and registry != want.registry:
        raise ClusterError(
            f"REGISTRY is {registry!r}, and Pulumi.{want.stack}.yaml says {want.registry!r}: "
            f"set imageRegistry of hotstack:kubernetes there to {registry!r}"
        )


def preview(stack: str, instance: Instance) -> None:
    """Show what `up` would change; needs no cluster, but says more when it can reach it.

    Raises:
        ClusterError: Pulumi failed.
    """
    want = wanted(stack)
    environment = environment_of(want, instance)
    _select(want, environment)
    pulumi(environment, "preview", "--diff", "--stack", stack)


def down(stack: str, instance: Instance) -> None:
    """Destroy the stack; and stop its cluster if that is the embedded one, so that nothing of it stays.

    Raises:
        ClusterError: Pulumi refused, because something is protected for example; nothing is stopped then.
    """
    want = wanted(stack)
    if not want.embedded:
        pulumi(
            environment_of(want, instance),
            "destroy",
            "--yes",
            "--skip-preview",
            "--suppress-progress",
            "--stack",
            stack,
        )
    else:
        if node.answers(instance) and backend(instance).exists():
            environment = environment_of(want, instance)
            _recover(want, environment, instance)
            pulumi(environment, "destroy", "--yes", "--skip-preview", "--suppress-progress", "--stack", stack)
        node.down(instance)


def environment_of(want: Wanted, instance: Instance) -> dict[str, str]:
    """The variables that make `pulumi` and `kubectl` work on the stack; none of them is a secret.

    Raises:
        ClusterError: a tool had to be built, and could not be.
    """
    environment = pulumi_env()
    if want.embedded:
        # A kubectl of the cluster's own version lies beside the binary of which it is another name.
        kubernetes = ensure("kubernetes")["kubernetes"].parent
        environment["PATH"] = os.pathsep.join([str(kubernetes), environment["PATH"]])
        backend(instance).mkdir(parents=True, exist_ok=True, mode=0o700)
        environment |= {
            "KUBECONFIG": str(instance.kubeconfig),
            "PULUMI_BACKEND_URL": f"file://{backend(instance)}",
            # The state is a file that only root can read, beside the cluster it describes; a passphrase in the same
            # folder would add nothing. The salt in Pulumi.dev.yaml belongs to this one.
            "PULUMI_CONFIG_PASSPHRASE": "",
        }
    else:
        # Where the user is logged in is the user's own business.
        users_home = os.environ.get("PULUMI_HOME") or str(Path.home() / ".pulumi")
        environment["PULUMI_CREDENTIALS_PATH"] = os.environ.get("PULUMI_CREDENTIALS_PATH") or users_home
    return environment


def export_lines(stack: str, instance: Instance) -> str:
    """`environment_of` as lines for a shell.

    Raises:
        ClusterError: see `environment_of`.
    """
    variables = environment_of(wanted(stack), instance)
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())


def backend(instance: Instance) -> Path:
    """Pulumi's state of the stacks on the embedded cluster: it lives and dies with the cluster that it describes."""
    return instance.folder / "pulumi"


def pulumi(environment: dict[str, str], *arguments: str) -> None:
    """Run Pulumi for someone to watch; without stdin, on which a kubeconfig without credentials would have it wait.

    Raises:
        ClusterError: it failed; what it printed says why.
    """
    done = subprocess.run(
        ["pulumi", "--non-interactive", *arguments], cwd=ROOT, env=os.environ | environment, stdin=subprocess.DEVNULL
    )
    if done.returncode != 0:
        raise ClusterError(f"`pulumi {' '.join(arguments)}` failed; the lines above say why")


def _answer(environment: dict[str, str], *arguments: str) -> str:
    command = ["pulumi", "--non-interactive", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode != 0:
        raise ClusterError(f"`pulumi {' '.join(arguments)}` failed:\n{done.stderr.strip()}")
    return done.stdout


def _select(want: Wanted, environment: dict[str, str]) -> None:
    known = {entry["name"].split("/")[-1] for entry in json.loads(_answer(environment, "stack", "ls", "--json"))}
    if want.stack not in known:
        _answer(environment, "stack", "init", want.stack)


def _recover(want: Wanted, environment: dict[str, str], instance: Instance) -> None:
    """Select the stack, and clean up after a Pulumi of ours that was killed in the middle of an update."""
    _select(want, environment)
    if not want.embedded:
        return
    locks = list(backend(instance).glob(f".pulumi/locks/**/{want.stack}/*.json"))
    if not locks:
        return
    for lock in locks:
        if process := holder(lock):
            raise ClusterError(f"another Pulumi (process {process}) is updating {want.stack}: wait for it, or end it")
    print("a Pulumi that was killed left its lock: taking it away, and asking the cluster what it had made", flush=True)
    _answer(environment, "cancel", "--yes", "--stack", want.stack)
    _answer(environment, "refresh", "--yes", "--skip-preview", "--clear-pending-creates", "--stack", want.stack)


def holder(lock: Path) -> int | None:
    """The Pulumi process that holds a lock of the file backend, or `None` when it is gone."""
    process = json.loads(lock.read_text())["pid"]
    name = Path(f"/proc/{process}/comm")
    # After a reboot the number may be another program's.
    return process if name.exists() and name.read_text().strip() == "pulumi" else None


def print_addresses(instance: Instance) -> None:
    """Print how to get at what runs on the embedded cluster from this machine."""
    print(f"  {'ingress':20} {instance.ingress_url}")
    for port in instance.published_ports:
        print(f"  {'on this machine':20} 127.0.0.1:{port}")
    print('\n  eval "$(make -s env)" lets kubectl and pulumi work by hand')
