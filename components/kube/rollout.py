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


def timeouts(seconds: int) -> pulumi.CustomTimeouts:
    """How long Pulumi waits for a workload before the `up` fails."""
    return pulumi.CustomTimeouts(create=f"{seconds}s", update=f"{seconds}s", delete=f"{seconds}s")


def progress_deadline(seconds: int) -> int:
    """The Deployment's own deadline: before Pulumi's, so that `up` reports Kubernetes' reason and not a time-out."""
    return seconds * 4 // 5
