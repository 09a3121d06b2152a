"""YAML as people write it."""

import yaml


def text(content: object) -> str:
    """The YAML of plain values, in their order; what occurs twice is there twice, and not as a reference."""
    return yaml.dump(content, Dumper=_Plain, sort_keys=False, width=120)


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the name is the library's
        return True
