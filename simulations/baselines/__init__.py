"""Other ways to look after a model, at work in the same worlds through the same ports.

None of them is a straw man: each does what the tool or rule it stands for is documented to do, with
the settings its own documentation shows, and finishes what it begins when a port fails.
"""

from __future__ import annotations

from simulations.baselines.always_roll_back import AlwaysRollBack
from simulations.baselines.calendar import Calendar
from simulations.baselines.do_nothing import DoNothing
from simulations.baselines.operator import MakeOperator, Operator
from simulations.baselines.textbook import Textbook
from simulations.baselines.threshold_canary import ThresholdCanary

__all__ = ["BASELINES", "MakeOperator", "Operator"]

BASELINES: dict[str, MakeOperator] = {
    "do_nothing": DoNothing,
    "calendar": Calendar,
    "textbook": Textbook,
    "threshold_canary": ThresholdCanary,
    "always_roll_back": AlwaysRollBack,
}
"""Name in scoreboards to who does it."""
