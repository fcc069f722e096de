"""Runs a campaign or one case: ``python -m simulations.fuzz [CASE] --seeds N --minutes M``."""

from __future__ import annotations

from simulations.fuzz.command import fuzz

fuzz()
