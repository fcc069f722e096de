"""How far an observed distance can lie from the true one: finite-sample bands at any size.

Every width depends on the sample sizes and the number of points or cells only (or on counts in a
way that the bound accounts for), so choosing the narrowest of them beforehand costs nothing. Both
samples are random: the reference's finite size is part of every band.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

# Replacing one row moves the total variation by 1/n, and the noise estimate of
# `total_variation_width` by at most (sqrt(2) - 1) / 2 of that.
_STABLE = 1 + (math.sqrt(2) - 1) / 2


def dkw_width(n: float, m: float, delta: float) -> float:
    """Width of the Kolmogorov distance over all points at once.

    Dvoretzky, Kiefer, Wolfowitz with Massart's constant (1990), once per sample at delta / 2.
    """
    if not n or not m:
        return math.inf
    return math.sqrt(math.log(4 / delta) / 2) * (1 / math.sqrt(n) + 1 / math.sqrt(m))


def points_width(n: float, m: float, delta: float, points: int) -> float:
    """Width of the largest difference of two distribution functions at few fixed points.

    Hoeffding (1963) for the difference of two means, both signs, a union over the points. Narrower
    than two DKW bands when the samples are of like size, because variances add, not deviations.
    """
    if not n or not m or not points:
        return math.inf
    return math.sqrt(math.log(2 * points / delta) / 2 * (1 / n + 1 / m))


def subsets_width(n: int, m: int, delta: float, cells: int) -> float:
    """Width of the total variation over ``cells`` cells: Hoeffding and a union over all subsets.

    The two-sample form of Weissman et al. (2003): subsets beside the empty and the full one.
    """
    if not n or not m:
        return math.inf
    if cells < 2:
        return 0.0
    # ln(2^k - 2) without overflow
    subsets = cells * math.log(2) + math.log1p(-(2.0 ** (1 - cells)))
    return math.sqrt((subsets + math.log(1 / delta)) / 2 * (1 / n + 1 / m))


def total_variation_width(
    first: NDArray[np.int64], second: NDArray[np.int64], delta: float
) -> float:
    """Width of the total variation of two multinomial counts over the same cells.

    The noise is at most W in the mean, W = 1/2 sum sqrt((x+1)/n^2 + (y+1)/m^2), and noise minus W
    is stable under replacing one row: McDiarmid (1989). Skewed counts make W small. The narrower of
    this and the union over subsets, each at delta / 2.
    """
    n, m = int(first.sum()), int(second.sum())
    if not n or not m:
        return math.inf
    noise = 0.5 * float(np.sqrt((first + 1) / n**2 + (second + 1) / m**2).sum())
    stable = noise + _STABLE * math.sqrt(math.log(2 / delta) / 2 * (1 / n + 1 / m))
    return min(stable, subsets_width(n, m, delta / 2, len(first)))
