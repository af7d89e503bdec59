"""Whether the labels that have come are a selection: some outcomes have theirs, others (so far) not.

Told by counts: of the predictions old enough to have their labels by now, each outcome has as many as in health, or fewer; none
has more, and one lacks far more of its labels than others. When the world changes, one outcome comes more often instead; when the
feed thins out, all lack alike. (Both at once, and just so that no outcome comes more often, nobody can tell from a selection.)

Belongs here: that measurement, for every rule that reads labels. Not here: rules (this file has none, and is passed over).
"""

from dataclasses import dataclass
from functools import lru_cache
from math import sqrt

import numpy as np
from scipy.stats import binom

from whydrift.core.case import Case

_LEAST_EXPECTED = 8.0
"""Labels of an outcome that must be due to say that it lacks them."""
_RIPE = 0.9
"""Share of the labels that have come, in health, by the age from which predictions are counted."""
_LACKS = 0.6
"""Part of its usual labels that an outcome must fall short of, where the others have all of theirs."""
_P = 1e-4
"""Chance of so few of its labels among all that came, below which it lacks more than the others do."""
_MORE_Z, _RATE_ERROR, _SHARE_ERROR = 2.5, 0.15, 0.15
"""Standard errors by which an outcome comes more often than in health; relative errors of what is expected, and of shares."""


@dataclass(frozen=True, slots=True)
class Selection:
    """outcome: the one whose labels lack. lacking, others: part of the expected labels that came, of it and of all others.

    rows: labels that came of predictions old enough.
    """

    outcome: str
    lacking: float
    others: float
    rows: int


@lru_cache(maxsize=8)
def selection(case: Case) -> Selection | None:
    """None where the labels are no selection, where outcomes are numbers, and where too little is known."""
    found = _counts(case)
    if found is None:
        return None
    seen, due = found
    for name in sorted(due, key=lambda one: (seen.get(one, 0) / due[one], one)):
        if due[name] < _LEAST_EXPECTED:
            continue
        rest_seen, rest_due = sum(seen.values()) - seen.get(name, 0), sum(due.values()) - due[name]
        if rest_due <= 0:
            return None
        lacking, others = seen.get(name, 0) / due[name], rest_seen / rest_due
        # Of as many labels, how many are of this outcome in health: at least, as shares are estimates.
        share = due[name] / (due[name] + rest_due) * (1 - _SHARE_ERROR)
        chance = float(binom.cdf(seen.get(name, 0), sum(seen.values()), share))
        is_one = lacking < _LACKS * min(others, 1.0) and chance < _P and not _comes_more(seen, due)
        return Selection(name, lacking, others, sum(seen.values())) if is_one else None
    return None


def _comes_more(seen: dict[str, int], due: dict[str, float]) -> bool:
    """Whether an outcome has clearly more labels than in health: then the world, or what is called so, has changed."""
    new = sum(count for name, count in seen.items() if name not in due)
    more = [(seen.get(name, 0) - d) / sqrt(d + (_RATE_ERROR * d) ** 2 + 1) for name, d in due.items()]
    return max(more) > _MORE_Z or new > _MORE_Z


def _counts(case: Case) -> tuple[dict[str, int], dict[str, float]] | None:
    """Labels of each outcome that came of predictions old enough, and that were due, by what health makes expect."""
    actual, delay = case.labels.get("actual"), case.labels.get("label_delay")
    feed, arrivals = case.label_arrivals.expected_per_hour, case.arrivals.expected_per_hour
    current, answered = case.labelled.current, case.answered.current
    if actual is None or delay is None or not feed or not arrivals or not actual.reference.kind.is_coded:
        return None
    if not len(current) or not len(answered):
        return None
    last_ms = case.detected_ms - 1_000 * 10.0 ** delay.reference.quantile(_RIPE)
    # Of both, only the latest rows are kept: no earlier than both reach.
    first_ms = max(int(answered.times_ms.min()), case.onset_ms)
    ripe = int(((answered.times_ms >= first_ms) & (answered.times_ms <= last_ms)).sum())
    there = (current.times_ms >= first_ms) & (current.times_ms <= last_ms)
    codes, counts = np.unique(current.outputs["actual"][there], return_counts=True)
    known = ~np.isnan(codes)
    names = [actual.column.category(float(code)) for code in codes[known]]
    if not ripe:
        return None
    coverage = min(feed / arrivals, 1.0) * _RIPE
    due = {name: ripe * coverage * share for name, share in actual.reference.shares.items() if share > 0}
    return dict(zip(names, counts[known].tolist(), strict=True)), due
