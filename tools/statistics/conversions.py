"""Units of measure that upstream feeds mix up, and how their values convert.

Definitions: BIPM SI brochure (2019); international mile, foot and inch; conventional inHg and mmHg.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tools.values import Value

Floats = NDArray[np.float64]


class Conversion(Value):
    """``new = scale * old + offset``."""

    old: str
    new: str
    scale: float
    offset: float = 0.0

    @property
    def name(self) -> str:
        """For people, for example ``degF -> degC``."""
        return f"{self.old} -> {self.new}"

    def apply(self, values: Floats) -> Floats:
        """The new values of old ones."""
        return self.scale * values + self.offset

    def undo(self, values: Floats) -> Floats:
        """The old values of new ones."""
        return (values - self.offset) / self.scale

    @property
    def is_slip(self) -> bool:
        """Whether the factor is so large that values compare in orders of magnitude."""
        return self.offset == 0 and not 0.2 < self.scale < 5


def _both(old: str, new: str, scale: float, offset: float = 0.0) -> tuple[Conversion, ...]:
    there = Conversion(old=old, new=new, scale=scale, offset=offset)
    return there, Conversion(old=new, new=old, scale=1 / scale, offset=-offset / scale)


_TABLE: tuple[Conversion, ...] = (
    *_both("degF", "degC", 5 / 9, -160 / 9),
    *_both("degC", "K", 1.0, 273.15),
    *_both("degF", "K", 5 / 9, 273.15 - 160 / 9),
    *_both("mile", "km", 1.609344),
    *_both("mile", "m", 1609.344),
    *_both("mph", "km/h", 1.609344),
    *_both("mph", "m/s", 0.44704),
    *_both("mph", "knot", 1609.344 / 1852),
    *_both("m/s", "km/h", 3.6),
    *_both("knot", "m/s", 1852 / 3600),
    *_both("knot", "km/h", 1.852),
    *_both("hPa", "inHg", 1 / 33.86389),
    *_both("hPa", "mmHg", 1 / 1.333224),
    *_both("hPa", "Pa", 100.0),
    *_both("hPa", "kPa", 0.1),
    *_both("inch", "mm", 25.4),
    *_both("inch", "cm", 2.54),
    *_both("mm", "cm", 0.1),
    *_both("foot", "m", 0.3048),
    *_both("km", "m", 1000.0),
    *_both("kg", "g", 1000.0),
    *_both("lb", "kg", 0.45359237),
    *_both("second", "minute", 1 / 60),
    *_both("second", "ms", 1000.0),
    *_both("minute", "hour", 1 / 60),
    *_both("percent", "fraction", 0.01),
)
_SPELLINGS = {
    "F": "degF", "°F": "degF", "fahrenheit": "degF", "C": "degC", "°C": "degC", "celsius": "degC",
    "kelvin": "K", "miles": "mile", "mi": "mile", "kmh": "km/h", "kph": "km/h", "mps": "m/s",
    "knots": "knot", "kt": "knot", "mbar": "hPa", "millibar": "hPa", "in": "inch",
    "inches": "inch", "ft": "foot", "feet": "foot", "s": "second", "seconds": "second",
    "min": "minute", "minutes": "minute", "h": "hour", "hours": "hour", "%": "percent",
    "share": "fraction", "ratio": "fraction",
}  # fmt: skip
_GENERIC = tuple(
    Conversion(old="1", new=f"x{factor:g}", scale=factor) for factor in (1000.0, 0.001, 100.0, 0.01)
)


def conversions(unit: str) -> tuple[Conversion, ...]:
    """What values of ``unit`` may turn into; without a unit, the usual slips by 100 and 1,000."""
    name = _SPELLINGS.get(unit, unit)
    return tuple(c for c in _TABLE if c.old == name) or _GENERIC
