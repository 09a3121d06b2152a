"""What a PromQL expression asks for, by a parser and not by patterns."""

from dataclasses import dataclass

import promql_parser


@dataclass(frozen=True, slots=True)
class Selector:
    """One metric of an expression, and the values that its labels are compared with."""

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
            found.append(Selector(node.name or "", {one.name: one.value for one in node.matchers.matchers}))

    promql_parser.walk(promql_parser.parse(expression), pre_visit=visit)
    return found
