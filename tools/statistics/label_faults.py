"""Asks whether labels went wrong or the world did: planted and flipped labels keep no law.

A changed world is still a world: the odds of the outcome move with the columns, smoothly. A fault
of the labels replaces some of them, whatever the row says: *flipped* (a joining error), or *set* to
one outcome (planted, or a default that was written), for all rows or for those of one category. So
rows that could hardly be anything else come out otherwise as often as the doubtful ones.

Each fault has one number, the share of labels that it hits (uniform on a grid); each rival law has
the coefficients that it changes (normal, one per deviation of a column), and is a world in which
the model's log odds moved: altogether, with one column, in one category, or with everything at
once. The evidence for a fault is its marginal likelihood over that of the *best* of the rivals. A
ratio of marginal likelihoods is an e-value against its denominator: a change of the world that is
drawn from any of the rivals is called a fault with probability at most alpha, and so is no change
at all. Marginal likelihoods of rivals are Laplace approximations (Tierney, Kadane 1986).

One kind of world is not among the rivals, because nothing tells it from a fault: every effect
shrunk by one common and large factor (a fifth is among them: days that differ look like that).
Learning it would only flatten the answers; a person is asked.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tools.statistics.losses import Floats, clipped
from tools.values import Value

LEAST_ROWS = 200
MOST_ROWS = 6000
"""More are thinned evenly: a look has to stay cheap."""
MOST_CATEGORIES = 12
"""Categories looked at by themselves, the commonest ones."""
LEAST_OF_CATEGORY = 30
SHARPNESS = 0.2
"""Standard deviation of the factor by which a world may flatten or sharpen all effects at once."""
_SHARES = np.linspace(0.02, 0.98, 33)
_STEPS = 25

Mask = NDArray[np.bool_]


class LabelFault(Value):
    """The fault that explains labels best, and by how much."""

    kind: str
    """``flipped``, ``set to 0`` or ``set to 1``."""
    where: str
    """``column=category``, or empty: everywhere."""
    share: float
    """Of the labels there."""
    log_evidence: float
    """Log of its marginal likelihood over that of the best changed world; of being right over the
    best fault where that is ``against``."""
    rival: str
    """The best changed world."""


@dataclass(frozen=True)
class Labelled:
    """Rows with their label, the probability that was served, and what they are like."""

    probability: Floats
    label: Floats
    numbers: Mapping[str, Floats]
    categories: Mapping[str, NDArray[np.object_]]

    def log_odds(self) -> Floats:
        """Of the served probability."""
        p = clipped(self.probability)
        return np.asarray(np.log(p) - np.log1p(-p))

    def thinned(self, most: int) -> Labelled:
        """At most so many rows, spread evenly."""
        if len(self.label) <= most:
            return self
        kept = np.linspace(0, len(self.label) - 1, most).astype(int)
        return Labelled(
            self.probability[kept],
            self.label[kept],
            {name: values[kept] for name, values in self.numbers.items()},
            {name: values[kept] for name, values in self.categories.items()},
        )

    def groups(self) -> Iterator[tuple[str, Mask]]:
        """The commonest categories, by ``column=category``."""
        found: list[tuple[int, str, Mask]] = []
        for column, values in self.categories.items():
            names = values.astype(str)
            for name in np.unique(names):
                inside = names == name
                if LEAST_OF_CATEGORY <= inside.sum() < len(inside):
                    found.append((-int(inside.sum()), f"{column}={name}", inside))
        for _, name, inside in sorted(found, key=lambda one: one[:2])[:MOST_CATEGORIES]:
            yield name, inside


def has_changed(rows: Labelled, *, alpha: float) -> bool:
    """Whether labels are plainly not what the model said, all in all or in one category: normal
    scores of their number, and of their number weighted with the log odds. Cheap, asked often."""
    p, odds = clipped(rows.probability), rows.log_odds()
    if len(p) < LEAST_OF_CATEGORY:
        return False
    apart, spread = rows.label - p, p * (1.0 - p)
    groups = {"": np.ones(len(p), dtype=bool), **dict(rows.groups())}
    needed = 2.0 * math.log(4.0 * len(groups) / alpha)  # a union bound, z^2 of a normal tail
    for inside in groups.values():
        for weight in (np.ones(int(inside.sum())), odds[inside]):
            total = float((weight * apart[inside]).sum())
            if total * total >= needed * float((weight**2 * spread[inside]).sum()) > 0.0:
                return True
    return False


def find_label_fault(rows: Labelled) -> LabelFault | None:
    """The best explanation of the labels by a fault; None with too few rows to ask.

    It is believed at level alpha where ``log_evidence`` reaches ln(1/alpha).
    """
    if len(rows.label) < LEAST_ROWS:
        return None
    rows = rows.thinned(MOST_ROWS)
    groups = dict(rows.groups())
    faults = list(_faults(rows, groups))
    kind, where, log_likelihood, share = max(faults, key=lambda one: one[2])
    fault = log_likelihood - math.log(len(faults))
    unchanged = _log_likelihood(clipped(rows.probability), rows.label)
    found = LabelFault(
        kind=kind,
        where=where,
        share=share,
        log_evidence=fault - unchanged,
        rival="nothing changed",
    )
    if found.log_evidence <= 0.0:
        return found  # the usual case, and the cheap one
    for rival, columns in _rivals(rows, groups):
        against = fault - _laplace(rows.log_odds(), columns, rows.label)
        if against < found.log_evidence:
            found = found.model_copy(update={"log_evidence": against, "rival": rival})
    return found


def _faults(rows: Labelled, groups: Mapping[str, Mask]) -> Iterator[tuple[str, str, float, float]]:
    """Kind, place, marginal log likelihood, and most likely share of each fault."""
    p, y = clipped(rows.probability), rows.label
    as_is = np.where(y > 0.5, np.log(p), np.log1p(-p))
    everywhere = np.ones(len(y), dtype=bool)
    for where, inside in {"": everywhere, **groups}.items():
        rest = float(as_is[~inside].sum())
        own, is_one = p[inside], y[inside] > 0.5
        for kind, wrong in (
            ("flipped", 1.0 - own),
            ("set to 0", 0.0 * own),
            ("set to 1", 1 + 0 * own),
        ):
            mixed = (1.0 - _SHARES)[:, None] * own + _SHARES[:, None] * wrong
            found = np.where(is_one, mixed, 1.0 - mixed)
            likely = np.log(np.maximum(found, 1e-12)).sum(axis=1) + rest
            most = float(likely.max())
            mean = most + math.log(float(np.exp(likely - most).mean()))
            yield kind, where, mean, float(_SHARES[int(likely.argmax())])


def _rivals(rows: Labelled, groups: Mapping[str, Mask]) -> Iterator[tuple[str, Floats]]:
    """Worlds that changed: the columns whose effects on the log odds are new."""
    level = np.ones(len(rows.label))
    numbers = {name: _standard(values) for name, values in rows.numbers.items()}
    indicators = {name: inside.astype(np.float64) for name, inside in groups.items()}
    odds = SHARPNESS * rows.log_odds()
    yield "another level", _columns(level)
    yield "another level and sharpness", _columns(level, odds)
    for name, values in numbers.items():
        yield f"another effect of {name}", _columns(values)
        yield f"another effect of {name} and level", _columns(level, values)
    for name, inside in indicators.items():
        yield f"another level where {name}", _columns(inside)
        every = (inside * values for values in numbers.values())
        yield f"another level and sharpness where {name}", _columns(inside, inside * odds)
        yield f"everything else where {name}", _columns(inside, inside * odds, *every)
        for column, values in numbers.items():
            yield f"another effect of {column} where {name}", _columns(inside, inside * values)
    yield "everything else", _columns(level, odds, *numbers.values(), *indicators.values())


def _columns(*columns: Floats) -> Floats:
    return np.column_stack(columns)


def _standard(values: Floats) -> Floats:
    """In deviations from the mean; what is missing is like the mean."""
    known = np.isfinite(values)
    if not known.any():
        return np.zeros(len(values))
    spread = float(values[known].std()) or 1.0
    return np.where(known, (np.where(known, values, 0.0) - values[known].mean()) / spread, 0.0)


def _log_likelihood(p: Floats, y: Floats) -> float:
    return float(np.where(y > 0.5, np.log(p), np.log1p(-p)).sum())


def _laplace(odds: Floats, columns: Floats, y: Floats) -> float:
    """Marginal log likelihood of log odds ``odds + columns @ b`` with b standard normal."""
    b = np.zeros(columns.shape[1])
    value, slope, hessian = _posterior(odds, columns, y, b)
    for _ in range(_STEPS):
        step, size = np.linalg.solve(hessian, slope), 1.0
        tried = _posterior(odds, columns, y, b + step)
        while tried[0] < value and size > 1e-4:  # from far away a full step may overshoot
            size /= 2.0
            tried = _posterior(odds, columns, y, b + size * step)
        gained, b = tried[0] - value, b + size * step
        value, slope, hessian = tried
        if gained < 1e-6:
            break
    return value - 0.5 * float(np.linalg.slogdet(hessian)[1])


def _posterior(odds: Floats, columns: Floats, y: Floats, b: Floats) -> tuple[float, Floats, Floats]:
    """Log posterior density at b without the terms that its prior shares with Laplace's, its slope,
    and its curvature with the sign turned."""
    p = _logistic(odds + columns @ b)
    value = _log_likelihood(np.clip(p, 1e-12, 1 - 1e-12), y) - 0.5 * float(b @ b)
    slope = columns.T @ (y - p) - b
    hessian = (columns * (p * (1 - p))[:, None]).T @ columns + np.eye(len(b))
    return value, slope, hessian


def _logistic(score: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(score, -30.0, 30.0))))


def log_evidence_of_no_fault(rows: Labelled, kind: str, where: str) -> float:
    """Log of the likelihood of right labels over that of this fault: whether it is over."""
    groups: dict[str, Mask] = dict(rows.groups())
    told: Sequence[float] = [
        mean for k, place, mean, _ in _faults(rows, groups) if (k, place) == (kind, where)
    ]
    if not told:
        return 0.0
    return _log_likelihood(clipped(rows.probability), rows.label) - told[0]
