"""YAML as people write it."""

import yaml


def text(content: object, *, sort_keys: bool = False) -> str:
    """The YAML of plain values, in their order; what occurs twice is there twice, and not as a reference.

    Args:
        content: mappings, sequences, texts, numbers and truth values.
        sort_keys: whether mappings are in the order of their keys.
    """
    return yaml.dump(content, Dumper=_Plain, sort_keys=sort_keys, width=120, allow_unicode=True)


class _Plain(yaml.CSafeDumper):
    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the name is the library's
        return True

    def lines_as_they_are(self, value: str) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


# A query of several lines is to be read, and compared, by its lines.
_Plain.add_representer(str, _Plain.lines_as_they_are)
