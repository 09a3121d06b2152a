"""Changes that a live database does not survive, or does not notice: refused with what to do instead.

Only the engine knows what a stack was before, and it tells a hook. The hook runs in previews too, and a preview that
fails has changed nothing.
"""

from collections.abc import Callable, Mapping
from typing import Any

import pulumi

from components.model import to_bytes
from components.postgres_settings import tag_version

ENGINE_ANNOTATION = "hotstack.dev/engine"
Inputs = Mapping[str, Any]


def refuse(name: str, check: Callable[[Inputs, Inputs], list[str]]) -> pulumi.ResourceHookBinding:
    """Hooks that let an update fail, with all that `check` finds between the inputs before and those after it."""

    def before_update(args: pulumi.ResourceHookArgs) -> None:
        if found := check(args.old_inputs or {}, args.new_inputs or {}):
            raise ValueError("; ".join(found))

    options = pulumi.ResourceHookOptions(on_dry_run=True)
    return pulumi.ResourceHookBinding(before_update=[pulumi.ResourceHook(name, before_update, options)])


def of_engine(old: Inputs, new: Inputs) -> list[str]:
    """What is wrong with a change of the superuser's Secret, which both engines have, and which tells the engine."""
    before, after = _annotation(old), _annotation(new)
    if None in (before, after) or before == after:
        return []
    return [
        f"the engine of a live stack cannot change from {before} to {after}, for the data would not follow: set it "
        f"back to `engine: {before}`, and bring up {after} as another stack that takes the data by pg_dump"
    ]


def _annotation(secret: Inputs) -> str | None:
    return secret.get("metadata", {}).get("annotations", {}).get(ENGINE_ANNOTATION)


def of_cluster(old: Inputs, new: Inputs) -> list[str]:
    """What is wrong with a change of CloudNativePG's `Cluster`."""
    before, after = old.get("spec", {}), new.get("spec", {})
    return [
        *_shrunk("storage", before.get("storage", {}).get("size"), after.get("storage", {}).get("size")),
        *_shrunk("walStorage", before.get("walStorage", {}).get("size"), after.get("walStorage", {}).get("size")),
        *_lowered(before.get("imageName", ""), after.get("imageName", "")),
        *_begun_again(before.get("bootstrap", {}), after.get("bootstrap", {})),
    ]


def of_postgres(old: Inputs, new: Inputs) -> list[str]:
    """What is wrong with a change of KubeDB's `Postgres`."""
    before, after = old.get("spec", {}), new.get("spec", {})
    sizes = [
        spec.get("storage", {}).get("resources", {}).get("requests", {}).get("storage") for spec in (before, after)
    ]
    versions = [f":{spec.get('version', '')}" for spec in (before, after)]
    return [*_shrunk("storage", *sizes), *_lowered(*versions)]


def _shrunk(key: str, before: object, after: object) -> list[str]:
    if not isinstance(before, str):
        return []
    if after is None:
        return [f"`{key}` cannot be taken away from a live cluster: set it back to {before}"]
    if not isinstance(after, str) or to_bytes(after) >= to_bytes(before):
        return []
    return [
        f"`{key}.size` of a live cluster cannot go from {before} to {after}, for volumes never shrink: set it back to "
        f"{before}, or bring up another stack with {after} that takes the data by `recovery` or pg_dump"
    ]


def _lowered(before: object, after: object) -> list[str]:
    versions = [tag_version(image) if isinstance(image, str) else None for image in (before, after)]
    if None in versions:
        return []
    old, new = (tuple(int(part) for part in str(version).split(".")) for version in versions)
    if new >= old:
        return []
    return [
        f"PostgreSQL of a live cluster cannot go from {versions[0]} to {versions[1]}: an older one may not read what a "
        f"newer one wrote; set the image back to {versions[0]}, or bring up another stack with {versions[1]} that "
        "takes the data by pg_dump"
    ]


def _begun_again(before: Inputs, after: Inputs) -> list[str]:
    if "recovery" not in after or after == before:
        return []
    return [
        "`recovery` means nothing to a cluster that is there already: take it away, and bring up another stack with it "
        "(or destroy this one first, if its data may go)"
    ]
