"""Turns policy documents into compiled policies; refuses the whole set when one is wrong.

All or nothing: whoever replaces policies in force keeps the old set when this raises.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import yaml

from policies.cel import CelCompiler
from policies.context import declarations
from policies.document import GuardrailPolicy, Validation, Variable
from policies.expression import Expression, ExpressionError
from policies.source import Places, places
from tools.documents import parse_document
from tools.errors import Invalid
from tools.values import digest


@dataclass(frozen=True)
class CompiledExpression:
    """An expression ready to run, with the names that it reads."""

    expression: Expression
    reads: tuple[str, ...]

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        """As Expression, given only what it reads: handing over the rest takes longer than it."""
        return self.expression.evaluate({n: values[n] for n in self.reads if n in values})


@dataclass(frozen=True)
class CompiledValidation:
    """One rule, and the expression that words its message, if it has one."""

    rule: CompiledExpression
    message: CompiledExpression | None
    fallback_message: str


@dataclass(frozen=True)
class CompiledPolicy:
    """One policy, checked."""

    document: GuardrailPolicy
    conditions: tuple[tuple[str, CompiledExpression], ...]
    variables: tuple[tuple[str, CompiledExpression], ...]
    validations: tuple[CompiledValidation, ...]

    @property
    def name(self) -> str:
        """Its unique name."""
        return self.document.metadata.name


@dataclass(frozen=True)
class PolicySet:
    """The policies in force together."""

    policies: tuple[CompiledPolicy, ...]
    """By name."""
    digest: str
    """SHA-256 over the documents: which rules a decision was made under."""


def load_policies(
    texts: Mapping[str, str],
    *,
    shipped: Mapping[str, str] = {},
    kept: Collection[str] = (),
    other_kinds: Collection[str] = (),
) -> PolicySet:
    """The policies in ``texts`` (YAML by name of its source, several documents allowed in one).

    They join the ``shipped`` ones, and replace one of them by its name where they say so
    (``spec.replacesBuiltin``) and it is not among the ``kept``. Documents of ``other_kinds`` are
    left to their own readers. Raises Invalid with source, line and column for unknown fields,
    undeclared names, wrong types and oversize expressions; also for two policies of one name and
    for no policy at all, which would silently allow everything.
    """
    theirs = _by_name(shipped, other_kinds)
    mine = _by_name(texts, other_kinds)
    for name, (policy, source) in mine.items():
        _check_replacement(policy, source, is_shipped=name in theirs, is_kept=name in kept)
    found = {name: policy for name, (policy, _) in {**theirs, **mine}.items()}
    if not found:
        raise Invalid("no policy was found; without any, everything would be allowed")
    ordered = tuple(found[name] for name in sorted(found))
    return PolicySet(
        policies=ordered, digest=digest([p.document.model_dump(mode="json") for p in ordered])
    )


def _by_name(
    texts: Mapping[str, str], other_kinds: Collection[str]
) -> dict[str, tuple[CompiledPolicy, str]]:
    found: dict[str, tuple[CompiledPolicy, str]] = {}
    for source in sorted(texts):
        for policy in _compiled(texts[source], source, other_kinds):
            if policy.name in found:
                raise Invalid(f"{source}: there is another policy named {policy.name}")
            found[policy.name] = (policy, source)
    return found


def _check_replacement(
    policy: CompiledPolicy, source: str, *, is_shipped: bool, is_kept: bool
) -> None:
    replaces = policy.document.spec.replaces_builtin
    if is_kept:
        raise Invalid(f"{source}: {policy.name} keeps a promise of mendloop: choose another name")
    if is_shipped and not replaces:
        raise Invalid(
            f"{source}: mendloop ships a policy named {policy.name}; to replace it, say"
            " spec.replacesBuiltin: true, to add to it, choose another name"
        )
    if replaces and not is_shipped:
        raise Invalid(
            f"{source}: spec.replacesBuiltin, but mendloop ships no policy named {policy.name}"
        )


def _compiled(text: str, source: str, other_kinds: Collection[str]) -> list[CompiledPolicy]:
    try:
        data = list(yaml.safe_load_all(text))
        where = places(text)
    except yaml.YAMLError as error:
        raise Invalid(f"{source} is not valid YAML: {error}") from error
    return [
        _compile(parse_document(document, GuardrailPolicy, source=source), source, place)
        for document, place in zip(data, where, strict=True)
        if document is not None and not _is_of(document, other_kinds)
    ]


def _is_of(document: object, kinds: Collection[str]) -> bool:
    return isinstance(document, dict) and document.get("kind") in kinds


@lru_cache(maxsize=1)
def _compiler() -> CelCompiler:
    """Over the context alone; making it costs more than compiling a rule."""
    return CelCompiler(declarations())


class _Workshop:
    """Compiles the expressions of one document and says where one is wrong."""

    def __init__(self, source: str, where: Places) -> None:
        self._source, self._where = source, where
        self._declared = dict(declarations())
        self._compiler = _compiler()

    def compile(
        self, text: str, path: tuple[str | int, ...], returns: str | None = None
    ) -> CompiledExpression:
        """The expression that stands at ``path`` of the document."""
        try:
            compiled = self._compiler.compile(text, returns=returns)
        except ExpressionError as error:
            raise self._invalid(error, path) from error
        return CompiledExpression(compiled, self._reads(text))

    def declare(self, variable: Variable, path: tuple[str | int, ...]) -> CompiledExpression:
        """The variable's expression; from now on others may read it."""
        try:
            compiled = self._compiler.compile(variable.expression)
            reads = self._reads(variable.expression)
            self._declared[f"variables.{variable.name}"] = compiled.return_type
            self._compiler = CelCompiler(self._declared)
        except ExpressionError as error:
            raise self._invalid(error, path) from error
        return CompiledExpression(compiled, reads)

    def _reads(self, text: str) -> tuple[str, ...]:
        """Names that stand in ``text``: rather too many (``traffic .split`` counts as all of
        ``traffic``) than one too few, which would not be known when the rule is asked."""
        words = set(re.findall(r"(?<![\w.])[a-z_]+(?:\.[a-z_0-9]+)*", text))
        return tuple(
            sorted(
                n
                for n in self._declared
                if any(w == n or w.startswith(n + ".") or n.startswith(w + ".") for w in words)
            )
        )

    def _invalid(self, error: ExpressionError, path: tuple[str | int, ...]) -> Invalid:
        line, column = self._where.locate(path, error.line, error.column)
        field = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path).lstrip(".")
        return Invalid(f"{self._source}:{line}:{column}: {field}: {error.message}")


def _compile(document: GuardrailPolicy, source: str, where: Places) -> CompiledPolicy:
    shop, spec = _Workshop(source, where), document.spec
    conditions = tuple(
        (
            condition.name,
            shop.compile(
                condition.expression, ("spec", "matchConditions", i, "expression"), "bool"
            ),
        )
        for i, condition in enumerate(spec.match_conditions)
    )
    variables = tuple(
        (variable.name, shop.declare(variable, ("spec", "variables", i, "expression")))
        for i, variable in enumerate(spec.variables)
    )
    validations = tuple(_rule(shop, rule, i) for i, rule in enumerate(spec.validations))
    return CompiledPolicy(document, conditions, variables, validations)


def _rule(shop: _Workshop, rule: Validation, i: int) -> CompiledValidation:
    at = ("spec", "validations", i)
    message = rule.message_expression
    return CompiledValidation(
        rule=shop.compile(rule.expression, (*at, "expression"), "bool"),
        message=shop.compile(message, (*at, "messageExpression"), "string") if message else None,
        fallback_message=rule.message,
    )
