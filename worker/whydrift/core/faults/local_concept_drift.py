"""The model errs more in one segment only; in all others it errs as it did, and inputs and answers are as in health.

Seen in the loss of labelled rows, each segment against its own rows of health (`core/slices`), so that a segment which was always
hard and merely comes more often is none. Values of two segments at once are told where one of them does not say all.

Told apart: the same everywhere, or in several segments, is `concept_drift`; wrong labels follow their source, or nothing
(`label_quality`): what labelled rows tell of that is reckoned in `outcomes`, and each gets its chance.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from whydrift.core.case import Aligned, AlignedRows, Case
from whydrift.core.columns import Floats
from whydrift.core.dimensions import SEGMENT
from whydrift.core.faults import default_fill, label_shift
from whydrift.core.faults.inputs import number, percent
from whydrift.core.faults.outcomes import (
    FEED,
    Attribution,
    attribution,
    errs_more,
    feed_is_troubled,
    loss_signals,
    others_words,
    shared,
)
from whydrift.core.faults.outputs import errors_lean, shortened
from whydrift.core.faults.rule import Example, Proposal, Row, Rule, Runbook, Rung
from whydrift.core.faults.sketches import Break, change, scatter, turn
from whydrift.core.slices import Slice, guilty_slice
from whydrift_schemas import Fault, RuledOut

FAULT = Fault("local_concept_drift")
_UNTOLD = 0.7
"""Fit where the labelled rows cannot be compared with each other, or tell nothing of it."""
_CLEAR, _AS_CLOSELY, _CLOSER = 0.9, 1.0, 3.0
"""Chance of outcomes that changed from which it counts what errors follow; log-odds within which they follow two things alike,
and by which they follow one more closely."""
_ELSEWHERE = 1 / 3
"""Part of a slice's lean by which errors elsewhere may have moved."""
_LEAST = 0.02
"""Chance below which it is not proposed."""
_DECIDER = "twenty labelled cases of that segment read by a person: are the labels right?"


def examine(case: Case) -> list[Proposal | RuledOut]:
    if not errs_more(case) or label_shift.explains_loss(case):
        return []
    found = local(case)
    if found is None:
        return []
    if because := default_fill.errs_where_filled(case):
        return [RuledOut(fault=FAULT, because=because)]
    told = attribution(case)
    chance = None if told is None else _chance(told, found)
    if told is not None and chance is not None and chance < _LEAST:
        return [RuledOut(fault=FAULT, because=_because(told))]
    fit = FEED if feed_is_troubled(case) else _UNTOLD if chance is None else shared(chance)
    return [_proposal(case, found, fit, told)]


def _chance(told: Attribution, found: "Local") -> float | None:
    """The chance that outcomes changed, of all that errs in one segment only; None where labelled rows tell nothing of it.

    Another model would err in all segments, and other values of the segment's own input are another way to say the same.
    """
    others = 0.0 if told.place in (found.slice.segment or {}) else told.others
    left = told.drift + told.quality + others
    return told.drift / left if left >= _LEAST else None


def errs_more_everywhere(case: Case) -> bool:
    """Whether the model errs more, not in one segment or on one replica only, and not by another mix of outcomes."""
    return errs_more(case) and not label_shift.explains_loss(case) and odd_replica(case) is None and local(case) is None


def _because(told: Attribution) -> str:
    if told.others > told.quality:
        return others_words(told)
    if told.source:
        return (
            f'the errors follow the source of the labels, "{shortened(told.source, 40)}", more closely than any segment'
        )
    return "the errors follow no segment: they are as many where the model is sure"


@dataclass(frozen=True, slots=True)
class Local:
    """The slice, the mean loss (before, now) in it and elsewhere, and its labelled rows now."""

    slice: Slice
    inside: tuple[float, float]
    outside: tuple[float, float]
    rows: int

    @property
    def moves(self) -> tuple[str, str]:
        """How the mean loss moved in it, and elsewhere: "0.3 → 0.9"."""
        inside, outside = (f"{_short(before)} → {_short(now)}" for before, now in (self.inside, self.outside))
        return inside, outside


@lru_cache(maxsize=8)
def local(case: Case) -> Local | None:
    """The segment that carries the whole rise of the loss; None where none does, or where the errors follow something else more
    closely than any of its own values.
    """
    told = attribution(case)
    if told is None or told.drift < _CLEAR:
        return _carrier(case, SEGMENT)
    segments = [name for name in told.stories if name.startswith(SEGMENT)]
    closest = max(segments, key=lambda name: told.stories[name], default="")
    most = max(told.stories.values())
    found = _carrier(case, SEGMENT, closest if closest and told.stories[closest] > most - _AS_CLOSELY else "")
    if found is None:
        return None
    # What errors follow more closely than any of the slice's own values is no matter of that slice.
    own = [told.stories[name] for name, _ in found.slice.parts if name in told.stories]
    return None if own and max(own) < most - _CLOSER else found


@lru_cache(maxsize=8)
def odd_replica(case: Case) -> Local | None:
    """The replica that carries the whole rise of the loss; None where none does. No world's rule changes for one replica."""
    return _carrier(case, "replica") if errs_more(case) else None


def _carrier(case: Case, dimensions: str, expected: str = "") -> Local | None:
    """dimensions: how names of those begin that are looked at. expected: the one that the errors follow, as an input."""
    rows = Aligned(_by(dimensions, case.labelled.reference), _by(dimensions, case.labelled.current))
    if not len(rows.reference) or not len(rows.current) or not rows.current.dimensions:
        return None
    is_leaning = errors_lean(case)
    found = guilty_slice(rows, *(_leaning(rows) if is_leaning else _losses(rows)), is_loss=True, expected=expected)
    if found is None:
        return None
    means = [_means(side, found) for side in (rows.reference, rows.current)]
    inside, outside = ((means[0][place], means[1][place]) for place in (0, 1))
    if is_leaning and not _is_elsewhere_as_ever(rows, found):
        return None
    # A loss that scatters more, but is no greater, is no fault.
    if inside[1] <= inside[0] and not is_leaning:
        return None
    return Local(found, inside, outside, int(found.of(rows.current).sum()))


def _losses(rows: Aligned) -> tuple[Floats, Floats]:
    return rows.reference.outputs["loss"], rows.current.outputs["loss"]


def _leaning(rows: Aligned) -> tuple[Floats, Floats]:
    """Signed errors, turned so that more of them is what they lean to."""
    before, now = (side.outputs["actual"] - side.outputs["prediction"] for side in (rows.reference, rows.current))
    there = np.isfinite(now).any() and np.isfinite(before).any()
    sign = 1.0 if there and np.nanmean(now) >= np.nanmean(before) else -1.0
    return sign * before, sign * now


def _is_elsewhere_as_ever(rows: Aligned, found: Slice) -> bool:
    """Whether signed errors outside a slice have not moved notably to either side, as those in it have."""
    moved = []
    for is_in in (True, False):
        before, now = (
            errors[(found.of(side) == is_in) & ~np.isnan(errors)]
            for errors, side in zip(_leaning(rows), (rows.reference, rows.current), strict=True)
        )
        moved.append(_mean(now) - _mean(before))
    return abs(moved[1]) <= _ELSEWHERE * abs(moved[0])


def _by(dimensions: str, rows: AlignedRows) -> AlignedRows:
    return replace(rows, dimensions={name: one for name, one in rows.dimensions.items() if name.startswith(dimensions)})


def _means(rows: AlignedRows, found: Slice) -> tuple[float, float]:
    """Mean loss in the slice, and elsewhere."""
    loss, is_in = rows.outputs["loss"], found.of(rows)
    there = ~np.isnan(loss)
    return _mean(loss[is_in & there]), _mean(loss[~is_in & there])


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else 0.0


def _proposal(case: Case, found: Local, fit: float, told: Attribution | None) -> Proposal:
    metric = "loss" if case.performance is None else case.performance.metric
    inside, outside = found.moves
    where = found.slice.where
    looks = "Inputs and answers look as in health"
    if told is not None and told.answers > max(told.drift, _LEAST):
        looks = "Inputs look as in health, and answers scatter wider around what they make expect"
    return Proposal(
        fault=FAULT,
        fit=fit,
        explains=loss_signals(case),
        headline=f"the model errs more {where} only: {metric} {inside} there",
        explanation=(
            f"{metric} {where} ({percent(found.slice.share)} of the labelled cases, {found.rows} of them): {inside}; elsewhere "
            f"{outside}. {looks}; what comes true {where} does not follow them as it did."
        ),
        action=f"Ask what changed {where} (a rule, a market, fraud); decide there by rule or by hand until it is retrained.",
        segment=found.slice.segment,
        decider=_DECIDER,
    )


def _short(value: float) -> str:
    return number(float(f"{value:.3g}"))


def _in(market: str, breaks: Break) -> Break:
    def confined(row: Row, i: int) -> Row | list[Row] | None:
        return breaks(row, i) if row["segment"]["market"] == market else row

    return confined


def _turned(share: float) -> Break:
    other = {"good": "bad", "bad": "good"}
    return turn(lambda actual, features, i: other[actual] if scatter(i, 17) < share else actual)


RULE = Rule(
    fault=FAULT,
    rung=Rung.CONCEPT,
    examine=examine,
    examples=(
        Example("one market defaults", _in("america", turn(lambda y, f, i: "bad"))),
        Example("what comes true in one market is the other outcome", _in("america", _turned(1.0))),
        Example(
            "those with a high income default now, in any market",
            turn(lambda y, f, i: "bad" if f["income"] > 50_000 else y),
            named=False,
        ),
        Example("four in ten labels are turned round, in any market", _turned(0.4), named=False),
        Example(
            "income arrives in thousands in one market",
            _in("america", change(lambda v, i: v / 1000, "income")),
            named=False,
        ),
    ),
    runbook=Runbook(
        means="What the model learnt is no longer true for one segment: a local rule, market or fraud has changed.",
        confirm="Compare the loss in that segment and elsewhere since the onset; read twenty labelled cases of the segment.",
        do="Decide by rule or by hand in that segment; retrain with recent labels of it, and watch the others meanwhile.",
        if_wrong="If one source labels that segment, have it check its labels before anything is retrained.",
    ),
    look_alikes=(Fault.CONCEPT_DRIFT, Fault.LABEL_QUALITY),
)
