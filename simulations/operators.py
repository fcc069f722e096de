"""Everybody who can look after a generated world, by name."""

from __future__ import annotations

from functools import partial

from simulations.baseline_operator import BaselineOperator
from simulations.baselines import BASELINES
from simulations.mendloop_operator import MendloopOperator
from simulations.operator import MakeWorldOperator

MENDLOOP = "mendloop"
OPERATORS: dict[str, MakeWorldOperator] = {
    MENDLOOP: MendloopOperator,
    **{name: partial(BaselineOperator, make) for name, make in BASELINES.items()},
}
"""Name in scoreboards to who it is."""
