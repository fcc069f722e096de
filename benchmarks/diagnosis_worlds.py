"""Worlds with one known cause each: rows, labels and counters, made without mendloop's code.

Nothing here imports the code under test. A world is a month of a served model: a reference sample,
daily windows of rows with labels and scores, counters of the servers, other models that read the
same feed, and what the cause does to them at a drawn strength. ``is_visible`` says whether a test
that knows exactly where to look would see the effect beyond the tolerances.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

CAUSES = (
    "nothing",
    "data_fault",
    "covariate_drift",
    "concept_drift",
    "label_drift",
    "prediction_drift",
    "training_serving_skew",
    "capacity",
    "bad_release",
    "platform_fault",
    "shared_upstream",
)
DAYS, PER_DAY, REFERENCE = 30, 400, 12_000
WEIGHTS = np.array([1.0, -0.8, 0.6, 0.0, 0.5])
COLUMNS = ("heat", "wind", "size", "age", "price")
FEED = ("heat", "wind")
BIAS = -0.4
BASE_RATE = 0.42
"""Share of positives that these weights and this bias bring about."""
TOLERANCE = 0.05
"""Share of rows, and nats, below which an effect is nobody's business."""
SITES = ("north", "south", "west")


@dataclass
class World:
    """What an observer of one model could read."""

    cause: str
    strength: float
    reference: pd.DataFrame
    days: list[pd.DataFrame]
    recomputed: pd.DataFrame
    """Some rows' inputs as training would compute them."""
    served: pd.DataFrame
    """The same rows' inputs as serving computed them."""
    requests: int = 50_000
    slow: int = 0
    errors: int = 0
    busy: float = 0.5
    """Share of the servers' capacity in use."""
    age_hours: float = 400.0
    bad_new: tuple[int, int] = (0, 0)
    """Bad answers and requests of the newest version, and below of the one before."""
    bad_old: tuple[int, int] = (0, 0)
    reachable: dict[str, bool] = field(default_factory=dict)
    peers: dict[str, pd.DataFrame] = field(default_factory=dict)
    """Another model's rows of the shared feed columns, over the same month."""
    is_visible: bool = True
    dull_share: float = 0.0
    """Rows on which the champion's artifact says the base rate."""


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-x)))


def _rows(rng: np.random.Generator, count: int, day: int) -> pd.DataFrame:
    """Rows of one day: the feed's values belong to the hour and site, the others to the row."""
    hours = np.sort(rng.uniform(5, 23, count))
    site = rng.integers(0, 3, count)
    by_hour = rng.normal(size=(24, 3, 2))
    feed = by_hour[hours.astype(int), site]
    own = rng.normal(size=(count, 3))
    frame = pd.DataFrame(np.column_stack([feed, own]), columns=list(COLUMNS))
    frame["heat"] = np.round(60 + 12 * frame["heat"])
    frame["wind"] = np.round(30 + 5 * frame["wind"])
    start = pd.Timestamp("2024-05-01") + pd.Timedelta(days=day)
    frame.insert(0, "event_time", start + pd.to_timedelta(np.round(hours * 3600), unit="s"))
    frame.insert(1, "site", np.array(SITES)[site])
    return frame


def _inputs(frame: pd.DataFrame) -> np.ndarray:
    x = frame[list(COLUMNS)].to_numpy(dtype=float).copy()
    x[:, 0] = (x[:, 0] - 60) / 12
    x[:, 1] = (x[:, 1] - 30) / 5
    return np.asarray(np.nan_to_num(x))


def score(frame: pd.DataFrame, weights: np.ndarray = WEIGHTS, bias: float = BIAS) -> np.ndarray:
    """What the model of these weights says of the rows."""
    return _sigmoid(_inputs(frame) @ weights + bias)


def said(frame: pd.DataFrame, dull_share: float) -> np.ndarray:
    """What the artifact says: the score, or the base rate where a digit of the age decides so."""
    is_dull = (frame["age"].to_numpy() * 1000) % 1 < dull_share
    return np.where(is_dull, BASE_RATE, score(frame))


def make(rng: np.random.Generator, cause: str, strength: float) -> World:
    """One month of a model. ``strength`` is about 0 (nothing to see) to 1 (blatant)."""
    truth = [_rows(rng, PER_DAY, day) for day in range(DAYS)]
    seen = [frame.copy() for frame in truth]
    reference = pd.concat(
        [_rows(rng, 400, -60 + day) for day in range(REFERENCE // 400)], ignore_index=True
    )
    world = World(cause, strength, reference, seen, pd.DataFrame(), pd.DataFrame())
    world.reachable = {"metrics": True, "registry": True}
    world.age_hours = float(rng.uniform(60, 2000))
    world.slow, world.errors = rng.binomial(world.requests, [0.01, 0.001]).tolist()
    world.busy = float(rng.uniform(0.2, 0.7))
    weights, bias = WEIGHTS.copy(), BIAS
    change = _CHANGES.get(cause)
    if change is not None:
        weights, bias = change(rng, world, truth, strength)
    _finish(rng, world, truth, weights, bias)
    return world


def _finish(
    rng: np.random.Generator,
    world: World,
    truth: list[pd.DataFrame],
    weights: np.ndarray,
    bias: float,
) -> None:
    """Labels come from what is true, scores from what was seen and how it was served."""
    ahead = score(world.reference)
    world.reference["score"] = ahead
    world.reference["label"] = (rng.uniform(size=len(ahead)) < ahead).astype(float)
    for i, (real, seen) in enumerate(zip(truth, world.days, strict=True)):
        chance = score(real, weights, bias)
        seen["label"] = (rng.uniform(size=len(real)) < chance).astype(float)
        told = seen.pop("served_score") if "served_score" in seen else score(seen)
        seen["score"] = np.clip(told, 1e-4, 1 - 1e-4)
        world.days[i] = seen
    if world.recomputed.empty:
        world.recomputed = world.days[-1][list(COLUMNS)].head(200).reset_index(drop=True)
        world.served = world.recomputed.copy()
    for name in ("default/near", "default/far"):
        if name not in world.peers:
            rows = [_rows(rng, 200, day)[["event_time", "site", *FEED]] for day in range(DAYS)]
            world.peers[name] = pd.concat(rows, ignore_index=True)


def _freeze(days: list[pd.DataFrame], hour: float) -> None:
    """The feed repeats what each site last reported before that hour of the last day but one."""
    start = days[-2]["event_time"].iloc[0].normalize() + pd.Timedelta(hours=hour)
    last = days[-2][days[-2]["event_time"] < start].groupby("site")[list(FEED)].last()
    for frame in days[-2:]:
        late = frame["event_time"] >= start
        for site in last.index:
            here = late & (frame["site"] == site)
            frame.loc[here, list(FEED)] = last.loc[site].to_numpy()


Change = tuple[np.ndarray, float]


def _data_fault(rng: np.random.Generator, world: World, _: list[pd.DataFrame], s: float) -> Change:
    kind = rng.choice(["freeze", "unit", "silent"])
    hours = 2 + 16 * s
    if kind == "freeze":
        _freeze(world.days, 22.9 - hours)
        world.is_visible = hours > 6.5
    else:
        start = world.days[-1]["event_time"].iloc[0].normalize() + pd.Timedelta(hours=23 - hours)
        frame = world.days[-1]
        late = frame["event_time"] >= start
        if kind == "unit":
            frame.loc[late, "heat"] = (frame.loc[late, "heat"] - 32) * 5 / 9
            world.is_visible = hours > 4
        else:
            frame.loc[late, list(FEED)] = np.nan
            world.is_visible = hours > 6.5
    return WEIGHTS, BIAS


def _covariates(
    rng: np.random.Generator, world: World, truth: list[pd.DataFrame], s: float
) -> Change:
    """The world's rows change; the law of labels given inputs does not."""
    column = str(rng.choice(["size", "age", "price"]))
    size = 0.1 + 0.9 * s
    for real, seen in zip(truth, world.days, strict=True):
        real[column] += size
        seen[column] += size
    distance = 2 * _normal(size / 2) - 1
    world.is_visible = distance > TOLERANCE + 4 * _noise()
    return WEIGHTS, BIAS


def _concept(rng: np.random.Generator, world: World, _: list[pd.DataFrame], s: float) -> Change:
    """The law of labels given inputs turns; inputs and the rate of labels stay about the same."""
    turned = WEIGHTS.copy()
    turned[0] -= (0.3 + 2.2 * s) * WEIGHTS[0]
    turned[4] -= (0.3 + 2.2 * s) * WEIGHTS[4]
    frame = pd.concat(world.days)
    excess = _divergence(score(frame, turned), score(frame))
    world.is_visible = excess > 0.01 + 4 * 0.6 / math.sqrt(DAYS * PER_DAY)
    return turned, BIAS


def _label(rng: np.random.Generator, world: World, _: list[pd.DataFrame], s: float) -> Change:
    """Positives become commoner everywhere, inputs staying as they are."""
    bias = BIAS + 0.2 + 1.6 * s
    frame = pd.concat(world.days)
    now, before = score(frame, WEIGHTS, bias), score(frame)
    moved = float(np.mean(now - before))
    excess = _divergence(now, before)
    noise = 0.6 / math.sqrt(DAYS * PER_DAY)
    world.is_visible = moved > TOLERANCE + 4 * _noise() and excess > 0.01 + 4 * noise
    return WEIGHTS, bias


def _predictions(rng: np.random.Generator, world: World, _: list[pd.DataFrame], s: float) -> Change:
    """The model has no opinion on some rows and says the base rate: calibrated, unlike before, and
    for no reason that is recorded."""
    world.dull_share = 0.1 + 0.5 * s
    for seen in world.days:
        seen["served_score"] = said(seen, world.dull_share)
    # About half of the scores lie below the base rate, and hours share their weather.
    world.is_visible = 0.5 * world.dull_share > TOLERANCE + 4 * _noise_by_hour()
    return WEIGHTS, BIAS


def _skew(rng: np.random.Generator, world: World, _: list[pd.DataFrame], s: float) -> Change:
    """Serving scales a column differently than training for a share of the rows."""
    share = 0.01 + 0.6 * s
    world.recomputed = world.days[-1][list(COLUMNS)].head(200).reset_index(drop=True)
    world.served = world.recomputed.copy()
    wrong = rng.uniform(size=200) < share
    world.served.loc[wrong, "price"] *= -1.5
    for seen in world.days:
        odd = seen.copy()
        hit = rng.uniform(size=len(seen)) < share
        odd.loc[hit, "price"] *= -1.5
        seen["served_score"] = score(odd)
    world.is_visible = share > 0.05
    return WEIGHTS, BIAS


def _capacity(rng: np.random.Generator, world: World, _: list[pd.DataFrame], s: float) -> Change:
    """Load comes near what the servers take: slow answers, at last errors."""
    slow = 0.012 + 0.2 * s
    world.busy = 0.8 + 0.19 * s
    world.slow = int(rng.binomial(world.requests, slow))
    world.errors = int(rng.binomial(world.requests, 0.001 + (0.03 * (s - 0.5) if s > 0.5 else 0)))
    world.is_visible = slow > 0.02 + 4 * math.sqrt(0.02 / world.requests) and world.busy > 0.85
    return WEIGHTS, BIAS


def _release(rng: np.random.Generator, world: World, _: list[pd.DataFrame], s: float) -> Change:
    """The newest version fails or is slow; the one before, on the same traffic, is not."""
    bad = 0.002 + 0.06 * s
    world.age_hours = float(rng.uniform(0.5, 24))
    world.bad_new = (int(rng.binomial(4000, 0.001 + bad)), 4000)
    world.bad_old = (int(rng.binomial(16000, 0.001)), 16000)
    column = str(rng.choice(["errors", "slow"]))
    base = 0.001 if column == "errors" else 0.01
    setattr(world, column, int(rng.binomial(world.requests, base + bad)))
    world.is_visible = bad > 5 * math.sqrt((0.001 + bad) / 4000)
    return WEIGHTS, BIAS


def _platform(rng: np.random.Generator, world: World, _: list[pd.DataFrame], s: float) -> Change:
    world.reachable[str(rng.choice(["metrics", "registry"]))] = False
    return WEIGHTS, BIAS


def _shared(rng: np.random.Generator, world: World, _: list[pd.DataFrame], s: float) -> Change:
    """The feed drifts (a new sensor) or freezes, for every model that reads it."""
    near = [_rows(rng, 200, day) for day in range(DAYS)]
    far = [_rows(rng, 200, day) for day in range(DAYS)]
    if rng.uniform() < 0.5:
        hours = 2 + 16 * s
        for days in (world.days, near, far):
            _freeze(days, 22.9 - hours)
        world.is_visible = hours > 6.5
    else:
        size = 0.1 + 0.9 * s
        for days in (world.days, near, far):
            for frame in days:
                frame["wind"] += round(5 * size)
        distance = 2 * _normal(round(5 * size) / 5 / 2) - 1
        world.is_visible = distance > TOLERANCE + 4 * _noise_by_hour()
    for name, days in (("default/near", near), ("default/far", far)):
        rows = pd.concat(days, ignore_index=True)
        world.peers[name] = rows[["event_time", "site", *FEED]]
    return WEIGHTS, BIAS


_CHANGES = {
    "data_fault": _data_fault,
    "covariate_drift": _covariates,
    "concept_drift": _concept,
    "label_drift": _label,
    "prediction_drift": _predictions,
    "training_serving_skew": _skew,
    "capacity": _capacity,
    "bad_release": _release,
    "platform_fault": _platform,
    "shared_upstream": _shared,
}


def _normal(x: float) -> float:
    return 0.5 * (1 + math.erf(x / math.sqrt(2)))


def _noise(per_day: int = PER_DAY) -> float:
    """Standard error of a difference of two shares, month against reference."""
    return 0.5 * math.sqrt(1 / (DAYS * per_day) + 1 / REFERENCE)


def _noise_by_hour() -> float:
    """The same where rows of one hour and site share their values."""
    hours = 18 * len(SITES)
    return 0.5 * math.sqrt(1 / (DAYS * hours) + 1 / (REFERENCE / PER_DAY * hours))


def _divergence(truth: np.ndarray, model: np.ndarray) -> float:
    """Mean loss above the model's own expectation, in nats."""
    loss = -(truth * np.log(model) + (1 - truth) * np.log(1 - model))
    own = -(model * np.log(model) + (1 - model) * np.log(1 - model))
    return float(np.mean(loss - own))
