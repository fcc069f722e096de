"""Harm: what users would not have met in a healthy world, measured in the world itself.

Log loss beyond the first champion's own under its own law, failed requests and slow ones at their
price. All of it is expected under the true law and the true rates, so two runs differ by what was
done in them and not by luck.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulations.scenario import Scenario
    from simulations.site import Moment, Site

DEAD_BAND = 0.002
"""Excess log loss per request that is the scatter of rows and not harm."""


def harm_rate(site: Site, moment: Moment, scenario: Scenario, measure: str = "harm") -> float:
    """What a request of that moment met beyond a healthy world."""
    noise, prices = scenario.spec.noise, scenario.spec.scoring
    excess = max(0.0, moment.excess - site.usual_excess - DEAD_BAND)
    errors = max(0.0, moment.errors - noise.errors)
    slow = max(0.0, moment.slow - noise.slow)
    match measure:
        case "excess_loss":
            return excess
        case "errors":
            return errors
        case "slow":
            return slow
    return excess + prices.error_cost * errors + prices.slow_cost * slow
