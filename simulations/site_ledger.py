"""The promises about one target of a generated world, where others interfere and not all announce.

What a fault does to the world is not held against its operator: only traffic that an operator's own
write has moved must lead to versions that can serve it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from simulations.effects import Effect, Ledger, Standing


@dataclass
class SiteLedger(Ledger):
    """A ledger that knows who is at work."""

    is_announced: bool = True
    """Whether the operator writes down what it is about to do."""
    is_disturbed: bool = False
    """Whether somebody else moved weights or aliases: shares of candidates then prove nothing."""
    _shares: dict[str, int] = field(default_factory=dict)

    def take(self, found: list[Effect], standing: Standing) -> None:
        """See Ledger; who does not announce is held to the promises about traffic alone."""
        if self.is_announced:
            super().take(found, standing)
        else:
            self.effects += found
            self.check(standing)
        self._shares = dict(standing.shares)

    def check(self, standing: Standing) -> None:
        """After an operator's write."""
        total = sum(standing.shares.values())
        if total != 100:
            self.broken.append(f"weights add up to {total}")
        home = {standing.aliases.get("champion"), standing.aliases.get("former")}
        for version, share in standing.shares.items():
            if version in home:
                continue  # going back never waits for the health of what it goes back to
            if share > self._shares.get(version, 0) and version not in standing.servable:
                self.broken.append(f"version {version} is not servable and is given {share} %")
        self.watch(standing)

    def watch(self, standing: Standing) -> None:
        """At any moment: no candidate has more than was announced for it."""
        self._shares = dict(standing.shares)
        settled = {standing.aliases.get("champion"), standing.aliases.get("former")}
        share = sum(p for v, p in standing.shares.items() if v not in settled)
        if share and self.is_announced and not self.is_disturbed and not standing.is_edited:
            self.check_candidate(share)

    def check_end(self) -> None:
        """See Ledger."""
        if self.is_announced:
            super().check_end()
