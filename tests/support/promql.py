"""What a PromQL expression asks for, by a parser and not by patterns."""

from dataclasses import dataclass

import promql_parser


@dataclass(frozen=True, slots=True)
class Selector:
    """One metric of an expression, and the values that its labels are compared with.

    Attributes:
        metric: its name, or the regular expression of `{__name__=~"one|other"}`.
        labels: those values; `__name__` is among them where the expression has it there.
    """

    metric: str
    labels: dict[str, str]


def selectors(expression: str) -> list[Selector]:
    """Every selector in an expression, in no order.

    Raises:
        ValueError: it is no PromQL.
    """
    found: list[Selector] = []

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            labels = {one.name: one.value for one in node.matchers.matchers}
            found.append(Selector(node.name or labels["__name__"], labels))

    promql_parser.walk(promql_parser.parse(expression), pre_visit=visit)
    return found
