"""YAML as people write it."""

import yaml


def text(content: object) -> str:
    """The YAML of plain values, in their order; what occurs twice is there twice, and not as a reference."""
    return yaml.dump(content, Dumper=_Plain, sort_keys=False, width=120)


class _Plain(yaml.CSafeDumper):
    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the name is the library's
        return True

    def lines_as_they_are(self, value: str) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


# A query of several lines is to be read, and compared, by its lines.
_Plain.add_representer(str, _Plain.lines_as_they_are)
