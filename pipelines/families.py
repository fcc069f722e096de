"""Classifier families and the small search space of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tools.errors import Invalid
from tools.values import Value

if TYPE_CHECKING:
    import numpy as np

Space = Mapping[str, Sequence[Any]]

SPACES: Mapping[str, Space] = {
    "hist_gradient_boosting": {
        "learning_rate": (0.06, 0.1),
        "max_iter": (100, 150),
        "max_leaf_nodes": (15, 31),
        "min_samples_leaf": (20, 60),
        "l2_regularization": (0.0, 1.0),
    },
    "random_forest": {
        "n_estimators": (80, 120),
        "max_depth": (10, 14),
        "min_samples_leaf": (5, 20),
        "max_features": ("sqrt", 0.4),
    },
    "logistic_regression": {"C": (0.01, 0.1, 1.0)},
}


class Candidate(Value):
    """One point of the search."""

    family: str
    parameters: dict[str, Any]

    @property
    def scales_numbers(self) -> bool:
        """Whether its features are standardized; trees do not care."""
        return self.family == "logistic_regression"


def candidates(
    families: Sequence[str], count: int, rng: np.random.Generator
) -> tuple[Candidate, ...]:
    """``count`` distinct points, the families in turn; fewer when the spaces hold fewer."""
    if not families:
        raise Invalid("expected at least one family", field="training.families")
    chosen: list[Candidate] = []
    open_families = [_space(name) for name in dict.fromkeys(families)]
    drawn = {name: _shuffled(space, rng) for name, space in open_families}
    while len(chosen) < count and any(drawn.values()):
        for name, points in drawn.items():
            if points and len(chosen) < count:
                chosen.append(Candidate(family=name, parameters=points.pop()))
    return tuple(chosen)


def make_classifier(candidate: Candidate, *, seed: int) -> Any:
    """The unfitted classifier of a candidate."""
    match candidate.family:
        case "hist_gradient_boosting":
            from sklearn.ensemble import HistGradientBoostingClassifier

            return HistGradientBoostingClassifier(
                random_state=seed, early_stopping=False, **candidate.parameters
            )
        case "random_forest":
            from sklearn.ensemble import RandomForestClassifier

            return RandomForestClassifier(random_state=seed, **candidate.parameters)
        case "logistic_regression":
            from sklearn.linear_model import LogisticRegression

            return LogisticRegression(max_iter=300, **candidate.parameters)
    raise Invalid(
        f"unknown family {candidate.family!r}; expected one of {', '.join(SPACES)}",
        field="training.families",
    )


def _space(family: str) -> tuple[str, Space]:
    if family not in SPACES:
        raise Invalid(
            f"unknown family {family!r}; expected one of {', '.join(SPACES)}",
            field="training.families",
        )
    return family, SPACES[family]


def _shuffled(space: Space, rng: np.random.Generator) -> list[dict[str, Any]]:
    from itertools import product

    points = [dict(zip(space, values, strict=True)) for values in product(*space.values())]
    order = rng.permutation(len(points))
    return [points[index] for index in order]
