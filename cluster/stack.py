"""A stack from nothing to live: the cluster it wants, its images, `pulumi up`, and back again.

The program is known here by its commands only: `settings.py describe` says what a stack wants, `pulumi` does the rest.
"""

import functools
import json
import os
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster import cgroups, explain, foreign, images, interrupted, node
from cluster.errors import ClusterError
from cluster.files import write_whole
from cluster.instance import Instance
from cluster.stages import stage
from cluster.toolchain import ensure, module_file
from cluster.toolchain.pulumi import pulumi_env
from cluster.toolchain.recipes import OPERATOR_MANIFEST

ROOT = Path(__file__).parent.parent
EMBEDDED_CONTEXT = "hotstack"
_DESTROY_UNASKED = ("destroy", "--yes", "--skip-preview", "--suppress-progress", "--stack")


@dataclass(frozen=True)
class ToolImage:
    """An image around a program of the toolchain."""

    reference: str
    dockerfile: Path
    tool: str


@dataclass(frozen=True)
class Wanted:
    """What a stack wants of the machine around it; see `settings.describe`."""

    stack: str
    context: str
    namespace: str
    registry: str | None
    sources: tuple[images.Image | ToolImage, ...]
    operator_manifest: str | None

    @property
    def embedded(self) -> bool:
        """Whether the stack lives on the embedded cluster."""
        return self.context == EMBEDDED_CONTEXT

    def images(self) -> tuple[images.Image, ...]:
        """The images to build; the programs in them are built now, unless the cache has them.

        Raises:
            ClusterError: such a program could not be built.
        """
        binaries = ensure(*(source.tool for source in self.sources if isinstance(source, ToolImage)))
        return tuple(
            images.Image(source.reference, source.dockerfile, binaries[source.tool].parent)
            if isinstance(source, ToolImage)
            else source
            for source in self.sources
        )


@functools.cache
def wanted(stack: str) -> Wanted:
    """Ask the program what `stack` wants; once, since the answer takes it a second.

    Raises:
        ClusterError: the stack file cannot be used; in the program's own words.
    """
    done = subprocess.run([sys.executable, ROOT / "settings.py", "describe", stack], capture_output=True, text=True)
    if done.returncode != 0:
        raise ClusterError(done.stderr.strip())
    answer = json.loads(done.stdout)
    sources = tuple(map(_source, answer["images"]))
    return Wanted(
        stack, answer["context"], answer["namespace"], answer["imageRegistry"], sources, answer["operatorManifest"]
    )


def _source(image: dict[str, str]) -> images.Image | ToolImage:
    dockerfile = Path(image["dockerfile"])
    if "tool" in image:
        return ToolImage(image["reference"], dockerfile, image["tool"])
    return images.Image(image["reference"], dockerfile, Path(image["context"]))


def up(stack: str, instance: Instance) -> None:
    """Make `stack` live, with all it needs; what is there already is left as it is.

    Raises:
        ClusterError: with a sentence that says what to do; before anything is changed where that can be known.
    """
    want = wanted(stack)
    _check_registry(want, os.environ.get("REGISTRY"))
    if want.embedded:
        node.up(instance)
        images.load(instance, want.images())
        backend(instance).mkdir(exist_ok=True, mode=0o700)
    else:
        foreign.load(want.context, want.registry, want.images())
    environment = pulumi_environment(want, instance)
    with stage(f"pulumi up of {stack}"):
        _recover(want, environment, instance)
        try:
            # A preview asks the webhooks of an operator that a killed `up` may have left without its pod.
            arguments = ("up", "--yes", "--skip-preview", "--suppress-progress", "--stack", stack)
            pulumi(environment, *arguments, cgroup=_cgroup(want, instance))
        except ClusterError as error:
            kubectl = environment_of(want, instance)
            known = (want.context, want.namespace, kubectl)
            reasons = [*explain.unhealthy_databases(*known), *explain.unready_pods(*known)]
            raise ClusterError("\n".join([str(error), *(f"  {reason}" for reason in reasons)])) from None
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
    """Show what `up` would change; needs Pulumi and no cluster, but says more when it can reach one.

    Raises:
        ClusterError: Pulumi failed.
    """
    want = wanted(stack)
    environment = pulumi_environment(want, instance)
    with tempfile.TemporaryDirectory() as empty:
        if want.embedded and not backend(instance).exists():
            # Nothing of the cluster may appear before `up` makes it.
            environment["PULUMI_BACKEND_URL"] = f"file://{empty}"
        _select(want, environment)
        pulumi(environment, "preview", "--diff", "--stack", stack)


def down(stack: str, instance: Instance, confirmed: bool = False) -> None:
    """Destroy the stack; and stop its cluster if that is the embedded one, so that nothing of it stays.

    Args:
        stack: its name.
        instance: the embedded cluster, for a stack that lives on it.
        confirmed: somebody has said that a stack on another cluster is to go; without, it is only shown what would.

    Raises:
        ClusterError: something is protected, another stack would go too, or nobody confirmed (nothing was destroyed
            then); or Pulumi failed, and nothing is stopped.
    """
    want = wanted(stack)
    if want.embedded:
        _down_with_cluster(want, instance)
    else:
        _down_elsewhere(want, pulumi_environment(want, instance), confirmed)


def _down_elsewhere(want: Wanted, environment: dict[str, str], confirmed: bool) -> None:
    exported = json.loads(_answer(environment, "stack", "export", "--stack", want.stack))
    _refuse_protected(want, (exported["deployment"] or {}).get("resources", []))
    if not confirmed:
        pulumi(environment, "destroy", "--preview-only", "--stack", want.stack)
        raise ClusterError(f"nothing was destroyed: `make down STACK={want.stack} YES=1` destroys what is shown above")
    pulumi(environment, *_DESTROY_UNASKED, want.stack)


def _down_with_cluster(want: Wanted, instance: Instance) -> None:
    resources_of = {name: state.get("resources", []) for name, state in _states_on(instance).items()}
    if others := sorted(name for name, resources in resources_of.items() if resources and name != want.stack):
        raise ClusterError(
            f"the cluster of {want.stack} would take other stacks along, {', '.join(others)}: destroy them first "
            '(`eval "$(make -s env)"`, then `pulumi destroy --stack NAME`)'
        )
    resources = resources_of.get(want.stack, [])
    _refuse_protected(want, resources)
    # A node that is not well never finishes the end of a pod; nothing of the stack outlives its cluster anyway.
    if resources and (problems := node.status(instance).problems):
        print(f"{want.stack} goes with its cluster, without `pulumi destroy`, since: {'; '.join(problems)}", flush=True)
    elif resources:
        environment = pulumi_environment(want, instance)
        _recover(want, environment, instance)
        pulumi(environment, *_DESTROY_UNASKED, want.stack, cgroup=_cgroup(want, instance))
    node.down(instance)


def _states_on(instance: Instance) -> dict[str, dict[str, Any]]:
    """The latest state of each stack on the embedded cluster; read without Pulumi, which may not be there."""
    files = backend(instance).glob(".pulumi/stacks/*/*.json")
    return {file.stem: json.loads(file.read_text())["checkpoint"]["latest"] or {} for file in files}


def _refuse_protected(want: Wanted, resources: list[dict[str, Any]]) -> None:
    """Refuse before Pulumi starts: it would first destroy all that is around what it must not touch."""
    names = [
        f"{each['type'].rpartition(':')[2]} {each['urn'].rpartition('::')[2]}"
        for each in resources
        if each.get("protect")
    ]
    if names:
        raise ClusterError(
            f"{want.stack} protects {', '.join(names)}; nothing was destroyed: set `protect: false` in "
            f"Pulumi.{want.stack}.yaml and run `make up STACK={want.stack}` first"
        )


def pulumi_environment(want: Wanted, instance: Instance) -> dict[str, str]:
    """The variables that make `pulumi` work on the stack; none of them is a secret.

    Raises:
        ClusterError: a tool had to be built, and could not be.
    """
    environment = pulumi_env()
    _place_manifest(want)
    if want.embedded:
        environment |= {
            "KUBECONFIG": str(instance.kubeconfig),
            # Without a file of attributes beside each file of the state: Pulumi writes these in place, and a kill in
            # the middle leaves one that is empty, and a state that no Pulumi reads any more.
            "PULUMI_BACKEND_URL": f"file://{backend(instance)}?metadata=skip",
            # The state is a file that only root can read, beside the cluster it describes; a passphrase in the same
            # folder would add nothing. The salt in Pulumi.dev.yaml belongs to this one.
            "PULUMI_CONFIG_PASSPHRASE": "",
            # A Pulumi that was killed leaves objects that the next one did not make; nobody else makes any here.
            "PULUMI_K8S_ENABLE_PATCH_FORCE": "true",
        }
    else:
        # Where the user is logged in is the user's own business.
        users_home = os.environ.get("PULUMI_HOME") or str(Path.home() / ".pulumi")
        environment["PULUMI_CREDENTIALS_PATH"] = os.environ.get("PULUMI_CREDENTIALS_PATH") or users_home
    return environment


def _place_manifest(want: Wanted) -> None:
    """Put the operator's release where the stack file says that it is, if that is the release the toolchain has."""
    if want.operator_manifest is None or Path(want.operator_manifest).name != Path(OPERATOR_MANIFEST.path).name:
        return
    target = ROOT / want.operator_manifest
    if not target.exists():
        target.parent.mkdir(exist_ok=True)
        write_whole(target, module_file("cloudnative-pg", OPERATOR_MANIFEST).read_text())


def environment_of(want: Wanted, instance: Instance) -> dict[str, str]:
    """`pulumi_environment` with `kubectl` on PATH too, of the embedded cluster's own version.

    Raises:
        ClusterError: a tool had to be built, and could not be.
    """
    environment = pulumi_environment(want, instance)
    if want.embedded:
        # It lies beside the binary of which it is another name.
        kubernetes = ensure("kubernetes")["kubernetes"].parent
        environment["PATH"] = os.pathsep.join([str(kubernetes), environment["PATH"]])
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


def pulumi(environment: dict[str, str], *arguments: str, cgroup: str | None = None) -> None:
    """Run Pulumi for someone to watch; without stdin, on which a kubeconfig without credentials would have it wait.

    Args:
        environment: what is to be added to this process's own.
        arguments: of the command line.
        cgroup: where it runs with all that it starts, if not where this process does.

    Raises:
        ClusterError: it failed; what it printed says why.
    """
    if cgroup is not None:
        cgroups.create(cgroup)
    done = subprocess.run(
        ["pulumi", "--non-interactive", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        preexec_fn=None if cgroup is None else functools.partial(cgroups.join, cgroup),
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
    if want.embedded:
        interrupted.clear(instance, want.stack, backend(instance))
    _select(want, environment)
    # Not only after a lock was found: who cleaned up may have been killed too.
    if want.embedded and _states_on(instance).get(want.stack, {}).get("pending_operations"):
        print(f"an update of {want.stack} was cut short: asking the cluster what it had made", flush=True)
        arguments = ("refresh", "--yes", "--skip-preview", "--clear-pending-creates", "--suppress-progress")
        pulumi(environment, *arguments, "--stack", want.stack, cgroup=_cgroup(want, instance))


def _cgroup(want: Wanted, instance: Instance) -> str | None:
    return interrupted.cgroup(instance, want.stack) if want.embedded else None


def print_addresses(instance: Instance) -> None:
    """Print how to get at what runs on the embedded cluster from this machine."""
    print(f"  {'ingress':20} {instance.ingress_url}")
    for port in instance.published_ports:
        print(f"  {'on this machine':20} 127.0.0.1:{port}")
    print('\n  eval "$(make -s env)" lets kubectl and pulumi work by hand')
