"""A part of the events is of a kind that health does not have: a cluster where health is empty, each value in range.

Seen by combinations of two values (`core/combinations`): the events that are new have one pair of inputs in common, and lie
close together in it, where health has none though it has plenty of either value.

Told apart: without the events of that region everything is as in health. One input from the wrong rows fills every corner that
was empty, not one (`misaligned_feature`, `dependence_drift`); a value that moved or was filled in has moved in the other events
as well; values beyond all of health are `outliers`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from whydrift.core.case import Case, ColumnView
from whydrift.core.columns import Floats
from whydrift.core.combinations import COMBINATIONS
from whydrift.core.dependence import PREFIX as DEPENDENCE
from whydrift.core.faults import feature_swap
from whydrift.core.faults.inputs import Mask, chance_of, dragged, listed, new_atoms, number, percent, undone
from whydrift.core.faults.noise import holds_against
from whydrift.core.faults.relations import new_pairs, relations_in
from whydrift.core.faults.rule import Example, Proposal, Row, Rule, Runbook, Rung
from whydrift.core.faults.sketches import Break, change, fill, lagged, scatter, swap
from whydrift.core.reference import QUANTILES
from whydrift_schemas import Fault, RuledOut, Undo

FAULT = Fault("novel_region")
_FIT = 0.95
_LEAST_FIT = 0.2
_MIN_ROWS = 20
_AS_NEW = 0.5
"""Part of the newest pair's news from which an event is of that kind, and not one at the edge of what health has."""
_TRIMS = (0.0, 0.1, 0.2, 0.3)
"""Part of the new events that the region may leave out: some are new for other reasons."""
_WIDEST = 0.6
"""Part of health's values that a region may span in each of its inputs: what is wider is no corner."""
_NO_VALUE = 0.002
"""Share in health up to which a single value is one of its own."""
_FULLER = 5.0
"""Times as large a part of the events must come from the region as in health."""
_CHANCE = 1e-6
"""That so many come from there in health: pairs of inputs, and places in them, have been tried."""
_MOST = 0.4
"""Greatest part of the events: more are no kind of event among others."""
_CORNER_COST = 2.0
"""What it costs to have chosen the corner, as log-likelihood."""
_ALSO = 0.5
"""Part of the region's events that are new together with a further input for that to be named as well."""
_OTHERWISE, _OTHERWISE_Z = 0.15, 4.0
"""Difference of rank correlations that counts, and in standard errors."""
_EXCHANGED = 0.5
"""Part of the fit where inputs that moved may be exchanged in these events."""
_UNDONE = 0.7
"""Part of an input's evidence that must be gone without the region for its alarm to follow from that."""


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """The values of one input that a region has: from low to high, or these codes."""

    view: ColumnView
    low: float
    high: float
    codes: tuple[float, ...] = ()

    def holds(self, values: Floats) -> Mask:
        if self.codes:
            return np.isin(values, self.codes)
        found: Mask = (values >= self.low) & (values <= self.high)
        return found

    @property
    def is_narrow(self) -> bool:
        return len(self.codes) == 1 or float(self.holds(self.view.healthy).mean()) <= _WIDEST

    @property
    def is_atom(self) -> bool:
        """Whether it is one number, that health hardly has or that has become frequent: filled in, stuck, or cut, and no kind of
        event."""
        if self.codes or self.low != self.high:
            return False
        is_new = float(self.holds(self.view.healthy).mean()) < _NO_VALUE
        return is_new or any(atom.value == self.low for atom in new_atoms(self.view))

    @property
    def words(self) -> str:
        if self.codes:
            return f"{self.view.name} " + " or ".join(f'"{self.view.column.category(code)}"' for code in self.codes[:3])
        return f"{self.view.name} {number(float(f'{self.low:.4g}'))} to {number(float(f'{self.high:.4g}'))}"


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """names: its inputs, first the two that show it. share: of the latest events; healthy of healthy_rows were there in health.

    before, after: evidence of the scores, with its events and without them. explained: alarms that are gone without them.
    lead: log-likelihood by which a corner beats rows that were mixed up. inside: which of the latest events, (rows,).
    """

    names: tuple[str, ...]
    words: str
    share: float
    healthy: int
    healthy_rows: int
    before: float
    after: float
    explained: frozenset[str]
    lead: float
    inside: Mask

    @property
    def fit(self) -> float:
        return _FIT * undone(self.before, self.after) * holds_against(self.lead, 0.0)


def examine(case: Case) -> list[Proposal | RuledOut]:
    if not _may_be(case):
        return []
    found = region(case)
    if isinstance(found, str):
        return [RuledOut(fault=FAULT, because=found)]
    if found.fit < _LEAST_FIT:
        return [RuledOut(fault=FAULT, because=f"not only events with {found.words} are new")]
    if because := _why_not(case, found):
        return [RuledOut(fault=FAULT, because=because)]
    proposal = _proposal(case, found)
    if _are_exchanged(case, found):
        proposal = replace(proposal, fit=_EXCHANGED * proposal.fit)
    return [proposal]


def _may_be(case: Case) -> bool:
    """Whether it is worth a look: an input may show by what others make expect what combinations have not shown yet."""
    return COMBINATIONS in case.dependence and any(view.is_alarmed() for view in case.dependence.values())


def _why_not(case: Case, found: Region) -> str:
    """Why it is no kind of event beside others: an input that is broken by itself makes new combinations as well."""
    if found.share > _MOST:
        return f"{percent(found.share)} of the events go together otherwise, not some of them"
    for name in found.names[:2]:
        view = case.features[name]
        if view.is_alarmed("out_of_range"):
            return f"{name} is beyond its range by itself"
        own = {s.signal for s in view.signals.values() if s.is_alarmed}
        if own - found.explained:
            return f"{name} is not as in health without these events either"
    elsewhere = [name for name, left in case.dependence.items() if left.is_alarmed() and not _follows(left, found)]
    if elsewhere:
        return f"{elsewhere[0].removeprefix(DEPENDENCE)} is not what the others make expect without these events either"
    return ""


def _follows(left: ColumnView, found: Region) -> bool:
    """Whether what is left of an input is as in health without the region's events."""
    latest = left.current_values[-len(found.inside) :]
    before, after = left.log10_evidence(latest), left.log10_evidence(latest[~found.inside])
    return undone(before, after) >= _UNDONE


def _are_exchanged(case: Case, found: Region) -> bool:
    """Whether two of its inputs moved as they do where some of the events have them exchanged: that leaves a cluster, too."""
    return any(
        isinstance(one, Proposal) and set(one.features) & set(found.names[:2]) for one in feature_swap.examine(case)
    )


def named(case: Case) -> Region | None:
    """The region that explains what is alarmed of combinations, for look-alikes to give way to; None where none does."""
    found = region(case) if _may_be(case) else ""
    return None if isinstance(found, str) or found.fit < _FIT * _UNDONE or _why_not(case, found) else found


@lru_cache(maxsize=8)
def region(case: Case) -> Region | str:
    """Where events newly come from; or why that is no region."""
    scores, new = case.dependence.get(COMBINATIONS), new_pairs(case)
    if scores is None or new is None:
        return "too few events, or too few rows of health, to tell what the new ones have in common"
    views, rows, is_new, news = new.views, new.rows, new.is_new, new.news
    first, second = new.newest
    strength = news[:, first, second]
    if not strength.any():
        return "the new events have nothing in common"
    core = np.flatnonzero(is_new)[strength >= _AS_NEW * strength.max()]
    parts = _corner(views[first], views[second], rows, core)
    if not parts:
        return f"new combinations of {views[first].name} and {views[second].name} are all over their ranges"
    inside = np.all([part.holds(part.view.current_values[-rows:]) for part in parts], axis=0)
    also = (news[inside[is_new]][:, [first, second]] > 0).any(axis=1).mean(axis=0) >= _ALSO
    if not _relations_hold(views, inside):
        return f"inputs go together otherwise elsewhere than in {' with '.join(part.words for part in parts)}, too"
    others = [view.name for place, view in enumerate(views) if also[place] and place not in (first, second)]
    return _region(case, scores, parts, others, inside, new.corner_against_mix(inside) - _CORNER_COST)


def _corner(first: ColumnView, second: ColumnView, rows: int, core: NDArray[np.intp]) -> tuple[_Part, ...]:
    """The values of two inputs that (nearly) all of these events have, and hardly any of health has; () where there are none."""
    views = (first, second)
    apart = np.max([_from_middle(view, view.current_values[-rows:][core]) for view in views], axis=0)
    for trim in _TRIMS:
        kept = core[np.argsort(apart, kind="stable")[: max(round((1 - trim) * len(core)), 1)]]
        parts = tuple(_part(view, view.current_values[-rows:][kept]) for view in views)
        now = np.all([part.holds(part.view.current_values[-rows:]) for part in parts], axis=0)
        was = np.all([part.holds(part.view.reference_values) for part in parts], axis=0)
        expected = (was.sum() + 1) / (len(was) + 1)
        is_new = now.mean() >= _FULLER * was.mean() and chance_of(int(now.sum()), rows, float(expected)) < _CHANCE
        if is_new and all(part.is_narrow and not part.is_atom for part in parts):
            return parts
    return ()


def _from_middle(view: ColumnView, values: Floats) -> Floats:
    """How far values lie from their median, by ranks of health; of categories, whether they are not the most frequent one."""
    if not view.reference.kind.is_coded:
        ranks = np.searchsorted(view.reference.quantiles, values) / QUANTILES
        found: Floats = np.abs(ranks - np.median(ranks))
        return found
    codes, counts = np.unique(values, return_counts=True)
    other: Mask = values != codes[np.argmax(counts)]
    return other.astype(float)


def _part(view: ColumnView, values: Floats) -> _Part:
    if view.reference.kind.is_coded:
        return _Part(view, 0.0, 0.0, tuple(np.unique(values).tolist()))
    return _Part(view, float(values.min()), float(values.max()))


def _relations_hold(views: Sequence[ColumnView], inside: Mask) -> bool:
    """Whether, without the region's events, no two inputs go together otherwise than in health."""
    if (~inside).sum() < _MIN_ROWS:
        return True
    earlier = len(views[0].current_values) - len(inside)
    seen = relations_in(views, np.concatenate([np.zeros(earlier, bool), ~inside]))
    # Where inputs tell each other, a few events that the region leaves out are many standard errors.
    is_otherwise = (seen.changed > _OTHERWISE_Z) & (np.abs(seen.was - seen.now) > _OTHERWISE)
    return not is_otherwise.any()


def _region(
    case: Case, scores: ColumnView, parts: Sequence[_Part], others: list[str], inside: Mask, lead: float
) -> Region:
    rows = len(inside)
    latest = scores.current_values[-rows:]
    was = np.all([part.holds(part.view.reference_values) for part in parts], axis=0)
    return Region(
        names=(*(part.view.name for part in parts), *others),
        words=" with ".join(part.words for part in parts),
        share=float(inside.mean()),
        healthy=int(was.sum()),
        healthy_rows=len(was),
        before=scores.log10_evidence(latest),
        after=scores.log10_evidence(latest[~inside]),
        explained=_explained(case, inside),
        lead=lead,
        inside=inside,
    )


def _explained(case: Case, inside: Mask) -> frozenset[str]:
    """Alarms of inputs whose values are as in health without the region's events."""
    found = set()
    for view in case.alarmed_features("distribution"):
        latest = view.current_values[-len(inside) :]
        before, after = view.log10_evidence(latest), view.log10_evidence(latest[~inside])
        if undone(before, after) >= _UNDONE:
            found |= {s.signal for aspect, s in view.signals.items() if s.is_alarmed and aspect != "missing"}
    return frozenset(found)


def _proposal(case: Case, found: Region) -> Proposal:
    seen = "none" if not found.healthy else str(found.healthy)
    more = f" Together with {listed(found.names[2:])} they are new as well." if len(found.names) > 2 else ""
    return Proposal(
        fault=FAULT,
        fit=found.fit,
        explains=found.explained | dragged(case),
        headline=f"{percent(found.share)} of the events are of a new kind: {found.words}"[:150],
        explanation=(
            f"{percent(found.share)} of the events have {found.words}; of {found.healthy_rows} in health {seen} had, though "
            f"each value by itself is an everyday one.{more} Without these events everything goes together as in health."
        ),
        action=(
            "Ask where these events come from (a new product, channel or group of customers, test traffic, a merged source); "
            "do not rely on the model there: it has learnt nothing of such cases."
        ),
        features=found.names,
        undo=Undo(transform="events of that region left out", evidence_before=found.before, evidence_after=found.after),
        decider="one of these events looked up by hand: is the case what its values say?",
    )


def _clusters(share: float, **values: tuple[float, float]) -> Break:
    """A share of the rows come from a cluster: each of these features about its centre, as far as its width."""

    def breaks(row: Row, i: int) -> Row:
        if scatter(i, 7) < share:
            for salt, (name, (centre, width)) in enumerate(values.items()):
                value = centre + width * (scatter(i, salt + 20) - 0.5)
                row["features"][name] = round(value) if isinstance(row["features"][name], int) else round(value, 4)
            row["label"]["actual"] = None
        return row

    return breaks


RULE = Rule(
    fault=FAULT,
    rung=Rung.DEPENDENCE,
    examine=examine,
    examples=(
        Example(
            "a tenth of the customers have little on their account and much wealth",
            _clusters(0.1, balance=(-500.0, 2_000.0), assets=(22_000.0, 8_000.0)),
        ),
        Example(
            "a fifth of the customers have little on their account and much wealth",
            _clusters(0.2, balance=(0.0, 3_000.0), assets=(20_000.0, 10_000.0)),
        ),
        Example("balance is that of the row before", lagged("balance", 1), named=False),
        Example("balance is 0 in a fifth of the rows", fill(0, "balance", share=0.2), named=False),
        Example("income arrives in thousands", change(lambda v, i: v / 1000, "income"), named=False),
        Example("age and tenure swapped", swap("age", "tenure_days"), named=False),
        Example("balance arrives shifted", change(lambda v, i: v + 6_000, "balance"), named=False),
        Example("balance is stuck at one value", change(lambda v, i: 3_310, "balance", share=0.4), named=False),
    ),
    runbook=Runbook(
        means="Cases come that the model has never seen: each value is an everyday one, their combination is not.",
        confirm="Draw the two named inputs against each other, before and since: where it was empty there is a cloud now.",
        do="Find out whose events they are; hold them back or decide them by rule, label some, and train with them.",
        if_wrong="If the values of one event are not all that event's, two sources are mixed up: treat them as misaligned.",
    ),
    look_alikes=(Fault.DEPENDENCE_DRIFT, Fault.MISALIGNED_FEATURE),
)
