"""What a query names, by a parser of Prometheus' language."""

from collections.abc import Iterator

import promql_parser

_CHILDREN = ("lhs", "rhs", "expr", "param", "vector_selector")


def selectors(query: str) -> Iterator[promql_parser.VectorSelector]:
    """Every selector of a query.

    Raises:
        ValueError: it is no query.
    """
    yield from _selectors(promql_parser.parse(query))


def _selectors(node: object) -> Iterator[promql_parser.VectorSelector]:
    if isinstance(node, promql_parser.VectorSelector):
        yield node
        return
    for name in _CHILDREN:
        if (child := getattr(node, name, None)) is not None:
            yield from _selectors(child)
    for child in getattr(node, "args", ()):
        yield from _selectors(child)


def metric_name(selector: promql_parser.VectorSelector) -> str:
    """What a selector is of, as a regular expression: one name, or what `{__name__=~"one|other"}` says."""
    if selector.name is not None:
        return selector.name
    [pattern] = [matcher.value for matcher in selector.matchers.matchers if matcher.name == "__name__"]
    return pattern
