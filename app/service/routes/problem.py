"""How a route says what went wrong."""

from typing import Any, TypeAlias

from pydantic import BaseModel

Responses: TypeAlias = dict[int | str, dict[str, Any]]


class Problem(BaseModel):
    """What went wrong, in a sentence."""

    detail: str
