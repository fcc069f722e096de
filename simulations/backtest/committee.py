"""The versions that are kept warm, and what they answer together, weighted by matured labels.

Two answers per window: what is served, and what would be served with the one version under trial
(a challenger in shadow) or without it (a newcomer on probation). Both from the same rows and the
same labels, so that their difference is the version's own merit.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from simulations.backtest.learner import Fitted, Outlook
from simulations.backtest.recording import Floats, Recording
from tools.statistics.blend import DISCOUNT, blended, level, normalised, weights
from tools.statistics.task_losses import Scale, row_losses

KEEP = 8
"""Versions that are kept warm; the one that loses most makes room."""
LEVEL_WINDOWS = (2, 8)
"""Over how many newest windows a level is corrected; beside none at all."""


@dataclass
class Member:
    """One version that is kept warm."""

    number: int
    trained_until: int
    """Rows of the recording that it has seen the labels of."""
    outlook: Outlook
    losses: Floats
    """Discounted sums of mean losses, one per way of correcting its level."""


@dataclass(frozen=True)
class Answer:
    """What was predicted for one window."""

    begin: int
    end: int
    served: Floats
    other: Floats | None
    """With, or without, the version under trial."""
    trial: int
    """Number of that version."""
    each: dict[int, Floats]
    """Of every member: one prediction per way of correcting its level, stacked."""
    champion: Floats
    """Of the newest version that takes part, by itself and as it was fitted: what one server of one
    model would have answered."""
    alone: tuple[Floats, Floats] | None = None
    """The version under trial by itself, and the one before it by itself."""


class Committee:
    """See the module."""

    def __init__(self, recording: Recording, scale: Scale, *, window: int, stretch: int) -> None:
        self._recording = recording
        self._scale = scale
        self._spans = tuple(count * window for count in LEVEL_WINDOWS)
        self._stretch = stretch
        self._made = 0
        self.members: list[Member] = []
        self.trial: int = 0
        """Number of the version under trial; 0 when there is none."""
        self.is_shadow = False
        """Whether that version only looks on."""
        self.open: deque[Answer] = deque()
        """Windows whose labels are not known yet."""

    def admit(self, fitted: Fitted, *, trained_until: int, shadow: bool) -> Member:
        """One more version, believed as much as the best one until its labels come."""
        self._made += 1
        outlook = Outlook(fitted, begin=trained_until, stretch=self._stretch)
        best = min((float(m.losses.min()) for m in self.members), default=0.0)
        losses = np.full(1 + len(self._spans), best)
        member = Member(self._made, trained_until, outlook, losses)
        self.members.append(member)
        if self._made > 1:
            self.trial, self.is_shadow = member.number, shadow
        return member

    def settle(self) -> None:
        """The version under trial is one like the others; the worst goes when there are many."""
        self.trial, self.is_shadow = 0, False
        while len(self.members) > KEEP:
            older = self.members[:-1]
            self.members.remove(max(older, key=lambda m: float(m.losses.min())))

    def dismiss(self) -> None:
        """The version under trial goes."""
        self.members = [m for m in self.members if m.number != self.trial]
        self.trial, self.is_shadow = 0, False

    def answer(self, begin: int, end: int) -> Answer:
        """Predict a window with what is known when its first row arrives."""
        known = self._recording.known(begin)
        each = {m.number: self._ways(m, begin, end, known) for m in self.members}
        inside = [m for m in self.members if m.number != self.trial]
        all_ = self._blend(self.members, each)
        if not self.trial:
            served, other = all_, None
        else:
            without = self._blend(inside, each)
            served, other = (without, all_) if self.is_shadow else (all_, without)
        alone = None
        if self.trial and len(self.members) > 1:
            before, newest = (self._blend([m], each) for m in self.members[-2:])
            alone = (newest, before)
        champion = each[(inside if self.is_shadow else self.members)[-1].number][0]
        found = Answer(begin, end, served, other, self.trial, each, champion, alone)
        self.open.append(found)
        return found

    def mature(self, arrived: int) -> list[Answer]:
        """The windows whose labels are known now; what they say of each version is counted."""
        known = self._recording.known(arrived)
        done = []
        while self.open and self.open[0].end <= known:
            done.append(self.open.popleft())
            self._count(done[-1])
        if done:
            for member in self.members:
                member.outlook.forget(known - max(self._spans))
        return done

    def _ways(self, member: Member, begin: int, end: int, known: int) -> Floats:
        raw = member.outlook.rows(begin, end)
        ways = [raw]
        for span in self._spans:
            since = max(member.trained_until, known - span)
            if since >= known:
                ways.append(raw)
                continue
            seen = member.outlook.rows(since, known)
            ways.append(self._corrected(raw, seen, self._recording.labels[since:known]))
        return np.stack(ways)

    def _corrected(self, raw: Floats, seen: Floats, labels: Floats) -> Floats:
        shift = level(self._scale, seen, labels)
        return normalised(raw + shift) if self._scale.classes else raw + shift[0]

    def _blend(self, members: list[Member], each: dict[int, Floats]) -> Floats:
        shares = weights(np.concatenate([m.losses for m in members]), self._scale)
        return blended(self._scale, np.concatenate([each[m.number] for m in members]), shares)

    def _count(self, answer: Answer) -> None:
        """A version that was not there yet is taken to have done as well as the others."""
        labels = self._recording.labels[answer.begin : answer.end]
        found = {
            number: row_losses(self._scale, ways, labels).mean(axis=-1)
            for number, ways in answer.each.items()
            if any(m.number == number for m in self.members)
        }
        usual = float(np.mean([losses.min() for losses in found.values()])) if found else 0.0
        for member in self.members:
            member.losses = DISCOUNT * member.losses + found.get(member.number, usual)
