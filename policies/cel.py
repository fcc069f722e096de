"""Compiles and evaluates CEL by cel-expr-python: names and types are checked when compiled.

The runtime itself bounds the iterations of an evaluation, and regular expressions are RE2: no rule
runs for long.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from cel_expr_python import cel
from cel_expr_python.ext import ext_strings

from policies.expression import MAX_EXPRESSION_CHARACTERS, ExpressionError, Fault

_WHERE = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")
_HINTS = {
    "(double, int)": "write a whole number as 24.0 beside a double",
    "(int, double)": "write double(x) around the int",
}


class CelExpression:
    """Implements Expression."""

    def __init__(self, compiled: Any, return_type: str) -> None:
        self._compiled = compiled
        self.return_type = return_type

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        """See Expression."""
        try:
            result = self._compiled.eval(data=values)
            if result.type() == cel.Type.ERROR:
                return Fault(reason=_readable(str(result.value())))
            value = result.plain_value()
        except (RuntimeError, TypeError, ValueError, OverflowError) as error:
            return Fault(reason=_readable(str(error)))
        return value


class CelCompiler:
    """Compiles expressions over one set of declared names."""

    def __init__(self, declared: Mapping[str, str]) -> None:
        """``declared``: CEL type by name, for example ``{"budget.retrains": "int"}``."""
        variables = {name: _type(kind) for name, kind in declared.items()}
        self._env = cel.NewEnv(variables=variables, extensions=[ext_strings.ExtStrings()])

    def compile(self, source: str, *, returns: str | None = None) -> CelExpression:
        """``source``, which must come to a value of type ``returns`` when that is given.

        Raises ExpressionError with line and column in ``source``.
        """
        if len(source) > MAX_EXPRESSION_CHARACTERS:
            raise ExpressionError(
                f"has {len(source)} characters, at most {MAX_EXPRESSION_CHARACTERS} are taken: "
                "split it with variables"
            )
        try:
            compiled = self._env.compile(source)
        except RuntimeError as error:
            raise _located(str(error)) from error
        kind = _name(compiled.return_type())
        if returns is not None and kind != returns:
            raise ExpressionError(f"comes to a {kind}, expected a {returns}")
        return CelExpression(compiled, kind)


_SCALARS = {
    "string": cel.Type.STRING,
    "bool": cel.Type.BOOL,
    "int": cel.Type.INT,
    "double": cel.Type.DOUBLE,
    "timestamp": cel.Type.TIMESTAMP,
    "duration": cel.Type.DURATION,
    "dyn": cel.Type.DYN,
}


def _type(name: str) -> Any:
    if name.startswith("list("):
        return cel.Type.List(_type(name[5:-1]))
    if name.startswith("map(string, "):
        return cel.Type.Map(cel.Type.STRING, _type(name[12:-1]))
    if name not in _SCALARS:
        raise ExpressionError(f"comes to a {name}, which no name can stand for")
    return _SCALARS[name]


def _name(kind: Any) -> str:
    """The library's ``MAP<STRING, DYN>`` in the notation of ``context.py``."""
    return str(kind.name()).lower().replace("<", "(").replace(">", ")")


def _located(text: str) -> ExpressionError:
    found = _WHERE.search(text)
    if found is None:
        return ExpressionError(_readable(text))
    message = found[3]
    hint = next((hint for shape, hint in _HINTS.items() if shape in message), "")
    return ExpressionError(
        message.replace(" (in container '')", "") + (f"; {hint}" if hint else ""),
        line=int(found[1]),
        column=int(found[2]),
    )


_MISSING = re.compile(r'No value with name "([^"]+)" found in Activation')


def _readable(text: str) -> str:
    missing = _MISSING.search(text)
    return f"{missing[1]} is not known" if missing else text
