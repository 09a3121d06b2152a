"""What makes pods roll, and how long that may take."""

import hashlib
import json
from collections.abc import Mapping

import pulumi

CONFIG_CHECKSUM = "hotstack.dev/config-checksum"
"""Pod-template annotation: a change of a mutable ConfigMap or Secret rolls the pods that read it."""


def config_checksum(content: Mapping[str, object]) -> dict[str, str]:
    """The annotation for `content`, which must be JSON and must hold no secret (name a rotation key instead)."""
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return {CONFIG_CHECKSUM: digest[:16]}


def stateful_set_rolled_out(pods: int) -> dict[str, str]:
    """The annotation by which Pulumi waits until all `pods` of a StatefulSet run its latest revision.

    Pulumi's own rule (provider 4.25) takes the status of the revision before for that of a new one, when it looks
    before the controller does: an update that cannot even be scheduled then counts as done. A condition of our own is
    only looked at once the status belongs to the latest generation.
    """
    conditions = [f"jsonpath={{.status.{count}}}={pods}" for count in ("updatedReplicas", "availableReplicas")]
    return {"pulumi.com/waitFor": json.dumps(conditions)}


def timeouts(seconds: int) -> pulumi.CustomTimeouts:
    """How long Pulumi waits for a workload before the `up` fails."""
    return pulumi.CustomTimeouts(create=f"{seconds}s", update=f"{seconds}s", delete=f"{seconds}s")


def progress_deadline(seconds: int) -> int:
    """The Deployment's own deadline: before Pulumi's, so that `up` reports Kubernetes' reason and not a time-out."""
    return seconds * 4 // 5
