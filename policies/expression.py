"""The one-method interface behind which the expression language stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from tools.values import Value

MAX_EXPRESSION_CHARACTERS = 2_000
"""Nobody reviews a longer rule; split it with variables."""


class Fault(Value):
    """An evaluation that came to no value, as a value: whoever judges must deny."""

    reason: str


class ExpressionError(ValueError):
    """An expression that does not compile; where in its text, counted from 1."""

    def __init__(self, message: str, *, line: int = 1, column: int = 1) -> None:
        super().__init__(message)
        self.message, self.line, self.column = message, line, column


class Expression(Protocol):
    """A compiled expression."""

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        """Its value on the declared names' values, or a Fault; raises nothing."""
