"""How the requests of a target divide over its versions: the values that routing speaks in."""

from __future__ import annotations

from pydantic import Field, field_validator

from tools.values import Value


class Mirror(Value):
    """A version that gets a copy of the requests; its answers are thrown away."""

    version: str
    percent: float = Field(default=100.0, gt=0, le=100)


class TrafficSplit(Value):
    """How requests divide over versions, in percent; versions without a share are left out."""

    shares: dict[str, int]
    """Version to percent; adds up to 100."""
    mirror: Mirror | None = None

    @field_validator("shares")
    @classmethod
    def _adds_up(cls, shares: dict[str, int]) -> dict[str, int]:
        if any(percent < 0 for percent in shares.values()) or sum(shares.values()) != 100:
            raise ValueError(f"expected percentages of 0 and more that add up to 100, got {shares}")
        return {version: shares[version] for version in sorted(shares) if shares[version]}

    @classmethod
    def all_to(cls, version: str) -> TrafficSplit:
        """Every request to one version, no mirror."""
        return cls(shares={version: 100})

    def share(self, version: str) -> int:
        """Percent of the requests that the version answers."""
        return self.shares.get(version, 0)

    def __str__(self) -> str:
        parts = [f"{percent} % to v{version}" for version, percent in self.shares.items()]
        if self.mirror:
            parts.append(f"{self.mirror.percent:g} % copied to v{self.mirror.version}")
        return ", ".join(parts)
