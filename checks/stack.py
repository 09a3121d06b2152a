"""What every check gets."""

from dataclasses import dataclass

from checks.kube import Kube
from settings import StackSettings


@dataclass(frozen=True)
class Stack:
    """A stack as its file says it should be, and the cluster in which it is."""

    settings: StackSettings
    kube: Kube

    @classmethod
    def of(cls, settings: StackSettings) -> "Stack":
        """The stack of these settings, in the context and namespace that they name."""
        return cls(settings, Kube(settings.kubernetes.context, settings.kubernetes.namespace))
