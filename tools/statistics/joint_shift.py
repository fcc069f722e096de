"""The outcome of a joint test, and the three answers of every question about a shift."""

from __future__ import annotations

from enum import StrEnum

from tools.values import Value


class Shifted(StrEnum):
    """Whether something shifted beyond the tolerance; UNKNOWN: the data cannot tell."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class JointShift(Value):
    """What a classifier that tells reference from current rows came to, on rows it never saw."""

    verdict: Shifted
    p_value: float
    """Of no shift at all, valid at every size."""
    distance: float
    """Observed difference of the score distributions; the total variation is at least this."""
    lower: float
    """Lower confidence bound of the total variation between the joint distributions."""
    auc: float
    explained_by: dict[str, float]
    """Loss of AUC when the column is shuffled, largest first; empty where nothing was found."""
    rows_used: int
