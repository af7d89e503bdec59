"""Black-box shift estimation: which mix of outcomes would make the model answer as it now does, and whether inputs agree.

When only the mix of outcomes moves, everything else keeps its distribution *given the outcome*. The confusion of answers and
outcomes among labelled rows of health then tells the new mix from answers alone (Lipton et al., arXiv 1802.03916; solved by
maximum likelihood, as Saerens et al. 2002 and Alexandari et al. arXiv 1901.06852), and every input must look as if the rows of
health had been reweighted by outcome. Numeric outcomes count by bins of their quantiles.

Belongs here: that estimate and its tests. Not here: what is made of it (`label_shift`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincc, gammaln

from whydrift.core.case import Case, ColumnView
from whydrift.core.columns import Floats
from whydrift.core.evidence import mixture_log10
from whydrift.core.faults.inputs import number, rank_correlation
from whydrift.core.reference import BINS, NO_BIN

LEAST_LABELLED, LEAST_OF_CLASS, LEAST_ROWS, LEAST_KNOWN = 100, 15, 40, 60
"""Labelled rows of health, of each outcome among them, and current rows that an estimate takes; labels that make one needless."""
_MOST_CLASSES, _OUTCOME_BINS, _ANSWER_BINS = 8, 5, 8
_ROUNDS = 200
_PRIOR_ROWS = 5.0
"""Rows by which a bin's own mix of outcomes must outweigh the general one."""
_MOST_WEIGHT = 20.0
_DOUBLE = 0.8
"""Rank correlation from which two inputs say the same."""
_MOVED = 2.0
"""Evidence (log10) from which a column has moved without an alarm."""
_LEAST_EXPECTED = 5.0
"""Rows a bin must make expect to be tested by itself."""
_TOLD, _AS_EVER = 8.0, 0.05
"""Log-likelihood of labels, of outcomes and of answers each from which a new mix is beyond doubt; chance of answers under it."""


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One column under the new mix. p: chance of what is seen; gain: log-likelihood that the new mix gains over health's.

    before, after: log10 evidence against the reference, as it is and with the current rows weighted back to the old mix.
    """

    view: ColumnView
    p: float
    gain: float
    before: float
    after: float

    @property
    def has_moved(self) -> bool:
        """Whether it is other than in health, though there may be no alarm yet."""
        return self.view.is_alarmed("distribution") or self.before >= _MOVED


@dataclass(frozen=True, slots=True, eq=False)
class Mix:
    """The mix of outcomes in health and now. answers: log-likelihood that the new mix gains on the answers.

    mix: log-likelihood that the new mix gains on the labels' outcomes. rows: current rows with an answer. known: how many labels
    the mix rests on; 0 = on the answers. labels: log-likelihood that labels gain under it over "the same answer means the same
    chances" (what a drift of the inputs leaves); labels_p: chance of the answers to each outcome, if they are as in health.
    changed: log-likelihood that the answers to each outcome's cases gain over "so many labels changed, whatever the answer"
    (wrong ones, or a world that decides otherwise).
    lead: log-likelihood by which the mix tells better what other columns do than `driver`, the input that moved most (alarm or
    not), would if they followed it; 0.0 and "" where none moved. of_scores: whether answers are scores, not decisions.
    """

    outcomes: tuple[str, ...]
    is_numeric: bool
    before: Floats
    now: Floats
    answers: float
    answers_p: float
    mix: float
    rows: int
    known: int
    labels: float
    labels_p: float
    changed: float
    columns: tuple[Column, ...]
    driver: str
    lead: float
    of_scores: bool

    @property
    def weights(self) -> Floats:
        """Of each outcome."""
        found: Floats = self.now / self.before
        return found

    @property
    def is_told(self) -> bool:
        """Whether labels tell it and scores agree: other cases come, and those of each outcome get the scores they always got.

        Hardly any other model, calibration or rule of the world leaves that. Decisions tell too little of it.
        """
        is_clear = min(self.labels, self.mix, self.answers) >= _TOLD
        return self.of_scores and bool(self.known) and is_clear and min(self.answers_p, self.labels_p) >= _AS_EVER

    @property
    def moved(self) -> int:
        """The outcome whose share moved most, as a ratio."""
        return int(np.argmax(np.abs(np.log(self.weights))))


@lru_cache(maxsize=8)
def mix_of_outcomes(case: Case) -> Mix | None:
    """None where labelled rows of health are too few, or the model answers nothing that can be followed."""
    found = _Labelled.of(case)
    if found is None:
        return None
    if found.answers_now.sum() < LEAST_ROWS:
        return None
    told = found.labels_now.sum(axis=0)
    now = (told + 0.5) / (told + 0.5).sum() if told.sum() >= LEAST_KNOWN else _likeliest(found, told)
    weights = now / found.shares
    own = weights[found.classes[found.classes >= 0]]
    kish = float(own.sum() ** 2 / (own**2).sum())
    rows = _row_weights(weights, found.classes)
    columns = [_column(view, values, rows, kish) for view, values in _followed(case)]
    driver, lead = _driver(case, found, columns, now)
    return Mix(
        outcomes=found.outcomes,
        is_numeric=not case.labels["actual"].reference.kind.is_coded,
        before=found.shares,
        now=now,
        answers=_gain(found.answers_now, found.confusion @ now, found.confusion @ found.shares),
        answers_p=_p(*_distance(found.answers_now, found.confusion @ now, kish)),
        mix=_gain(told, now, found.shares),
        rows=int(found.answers_now.sum()),
        known=int(told.sum()) if told.sum() >= LEAST_KNOWN else 0,
        labels=_labels_gain(found, weights),
        labels_p=_labels_p(found),
        changed=_changed_gain(found, now),
        columns=tuple(columns),
        driver=driver,
        lead=lead,
        of_scores=found.of_scores,
    )


def has_told_mix(case: Case) -> bool:
    """Whether a new mix of outcomes is beyond doubt."""
    found = mix_of_outcomes(case)
    return found is not None and found.is_told


@dataclass(frozen=True, slots=True, eq=False)
class _Labelled:
    """Labelled rows of health by outcome and answer. confusion: chance of a bin of answers given the outcome, (bins, outcomes).

    classes, answers: outcome and answer of each row (rows,), −1 where it is none of `outcomes`, or has no answer. answers_now:
    current rows by answer (bins,); labels_now: those with a label, by answer and outcome (bins, outcomes). of_scores: see `Mix`.
    """

    outcomes: tuple[str, ...]
    classes: NDArray[np.intp]
    answers: NDArray[np.intp]
    shares: Floats
    confusion: Floats
    answers_now: Floats
    labels_now: Floats
    of_scores: bool

    @classmethod
    def of(cls, case: Case) -> "_Labelled | None":
        rows, view = case.labelled.reference, case.labels.get("actual")
        if view is None or len(rows) < LEAST_LABELLED:
            return None
        outcomes, divide = _outcomes(view, rows.outputs["actual"])
        classes = divide(rows.outputs["actual"])
        name = "prediction" if "prediction" in case.outputs and _is_telling(case, len(outcomes)) else "decision"
        if len(outcomes) < 2 or name not in case.outputs:
            return None
        bins = _answer_bins(rows.outputs[name], case.outputs[name])
        known = (classes >= 0) & ~np.isnan(rows.outputs[name])
        if known.sum() < LEAST_LABELLED:
            return None
        given, now = bins(rows.outputs[name]), bins(case.outputs[name].current)
        later = case.labelled.current
        labels, outcome = bins(later.outputs[name]), divide(later.outputs["actual"])
        size = int(max(part.max(initial=0) for part in (given, now, labels))) + 1
        table = _table(given, classes, size, len(outcomes))
        if table.sum(axis=0).min() < LEAST_OF_CLASS:
            return None
        # A row's worth of the general answers, so that nothing is impossible.
        confusion = np.maximum(table + table.sum(axis=1, keepdims=True) / table.sum(), 1e-3)
        return cls(
            outcomes=outcomes,
            classes=np.where(known, classes, -1),
            answers=np.where(known, given, -1),
            shares=table.sum(axis=0) / table.sum(),
            confusion=confusion / confusion.sum(axis=0),
            answers_now=np.bincount(now[now >= 0], minlength=size).astype(float),
            labels_now=_table(labels, outcome, size, len(outcomes)),
            of_scores=name == "prediction",
        )


def _table(first: NDArray[np.intp], second: NDArray[np.intp], height: int, width: int) -> Floats:
    """Counts of pairs; those with a −1 do not count."""
    table = np.zeros((height, width))
    both = (first >= 0) & (second >= 0)
    np.add.at(table, (first[both], second[both]), 1.0)
    return table


def _is_telling(case: Case, outcomes: int) -> bool:
    """Whether the score says which outcome is meant: that of the likeliest of many classes does not."""
    return not case.labels["actual"].reference.kind.is_coded or outcomes == 2 or "decision" not in case.outputs


def _outcomes(view: ColumnView, actual: Floats) -> tuple[tuple[str, ...], "_Divide"]:
    """Names of outcomes, and the way to them from values of `actual`."""
    if view.reference.kind.is_coded:
        codes, counts = np.unique(actual[~np.isnan(actual)], return_counts=True)
        kept = codes[np.argsort(-counts, kind="stable")[:_MOST_CLASSES]]
        kept = np.sort(kept[np.sort(counts)[::-1][: len(kept)] >= LEAST_OF_CLASS])
        return tuple(view.column.category(float(code)) for code in kept), _Divide(kept, is_coded=True)
    known = actual[~np.isnan(actual)]
    edges = np.unique(np.quantile(known, np.linspace(0, 1, _OUTCOME_BINS + 1)[1:-1])) if len(known) else np.empty(0)
    ends = [f"below {number(float(f'{edges[0]:.3g}'))}", *_between(edges)] if len(edges) else []
    return tuple(ends), _Divide(edges, is_coded=False)


def _between(edges: Floats) -> list[str]:
    short = [number(float(f"{edge:.3g}")) for edge in edges]
    return [f"{low} to {high}" for low, high in pairwise(short)] + [f"above {short[-1]}"]


@dataclass(frozen=True, slots=True, eq=False)
class _Divide:
    """Outcome of each value, −1 where it is none."""

    marks: Floats
    is_coded: bool

    def __call__(self, values: Floats) -> NDArray[np.intp]:
        if not self.is_coded:
            found = np.searchsorted(self.marks, values, "right")
            return np.where(np.isnan(values), -1, found).astype(np.intp)
        result = np.full(len(values), -1, np.intp)
        for place, code in enumerate(self.marks.tolist()):
            result[values == code] = place
        return result


def _answer_bins(health: Floats, view: ColumnView) -> "_Divide | _Codes":
    if view.reference.kind.is_coded:
        return _Codes()
    known = health[~np.isnan(health)]
    return _Divide(np.unique(np.quantile(known, np.linspace(0, 1, _ANSWER_BINS + 1)[1:-1])), is_coded=False)


class _Codes:
    """Decisions are their own bins; all beyond the frequent ones share one."""

    def __call__(self, values: Floats) -> NDArray[np.intp]:
        codes = np.minimum(values, 4.0 * _MOST_CLASSES)
        return np.where(np.isnan(values), -1.0, codes).astype(np.intp)


def _likeliest(found: _Labelled, told: Floats) -> Floats:
    """Mix of outcomes under which the answers, and the few labels by outcome, are likeliest: by EM."""
    now = found.shares.copy()
    total = found.answers_now.sum() + told.sum()
    for _ in range(_ROUNDS):
        joint = found.confusion * now
        part = joint / joint.sum(axis=1, keepdims=True)
        now = np.maximum((found.answers_now @ part + told) / total, 1e-6)
        now = now / now.sum()
    return now


def _labels_gain(found: _Labelled, weights: Floats) -> float:
    """Gain of "the outcome's chances given the answer moved with the mix" over "they are as they were", on the labels."""
    usual = found.confusion * found.shares
    usual = usual / usual.sum(axis=1, keepdims=True)
    moved = usual * weights
    moved = moved / moved.sum(axis=1, keepdims=True)
    return float((found.labels_now * (np.log(moved) - np.log(usual))).sum())


def _changed_gain(found: _Labelled, now: Floats) -> float:
    """Gain of "each outcome's cases get the answers they got" over "some cases of outcomes that are fewer now are called others",
    on the answers to each outcome's cases.
    """
    rows = np.bincount(found.classes[found.classes >= 0], minlength=len(now)).astype(float)
    kept, grown = np.minimum(found.shares, now), np.maximum(now - found.shares, 0.0)
    left = np.maximum(found.shares - now, 0.0)
    gain = 0.0
    for place, counts in enumerate(found.labels_now.T):
        # Whose cases these are if labels changed: its own, and of those that are fewer now.
        parts = left * grown[place] / max(float(left.sum()), 1e-12)
        parts[place] += kept[place]
        parts = parts / parts.sum()
        known = 1 / float((parts**2 / rows).sum())
        gain += _log_chance(counts, rows[place] * found.confusion[:, place])
        gain -= _log_chance(counts, known * (found.confusion @ parts))
    return gain


def _log_chance(counts: Floats, before: Floats) -> float:
    """Of counts of bins, by what counts of health make expect, which are few themselves (Dirichlet-multinomial, as far as it
    depends on the expected).
    """
    found = gammaln(counts + before).sum() - gammaln(before).sum()
    return float(found - gammaln(counts.sum() + before.sum()) + gammaln(before.sum()))


def _labels_p(found: _Labelled) -> float:
    """Chance that the answers to each outcome are as in health, by the labels."""
    before = np.bincount(found.classes[found.classes >= 0], minlength=len(found.outcomes))
    pairs = [
        _distance(found.labels_now[:, place], found.confusion[:, place], float(before[place]))
        for place in range(len(found.outcomes))
    ]
    return _p(sum(pair[0] for pair in pairs), sum(pair[1] for pair in pairs))


# -- columns ---------------------------------------------------------------------------------------------------


def _followed(case: Case) -> Iterator[tuple[ColumnView, Floats]]:
    """Every input and segment of which labelled rows are kept, with its values in labelled rows of health."""
    rows = case.labelled.reference
    values: Mapping[str, Floats] = {**rows.inputs, **{name: one.codes for name, one in rows.dimensions.items()}}
    for name, view in (*case.features.items(), *case.segments.items()):
        if name in values and len(view.current) >= LEAST_ROWS:
            yield view, values[name]


def _row_weights(weights: Floats, classes: NDArray[np.intp]) -> Floats:
    """Weight of each labelled row of health, NaN where it has no outcome."""
    found: Floats = np.where(classes >= 0, weights[classes], np.nan)
    return found


def _masses(view: ColumnView) -> Floats:
    masses = np.maximum(view.reference.masses, 0.5 / max(view.reference.n, 1))
    found: Floats = masses / masses.sum()
    return found


def _counts(view: ColumnView) -> Floats:
    bins = view.reference.bins(view.column, view.current)
    return np.bincount(bins[bins != NO_BIN], minlength=BINS)[:BINS].astype(float)


def _reweighted(masses: Floats, bins: NDArray[np.intp], rows: Floats) -> Floats:
    """Masses of bins when the labelled rows of health have these weights. bins: of those rows, outside 0 … = none."""
    known = (bins >= 0) & (bins < len(masses)) & ~np.isnan(rows)
    size = len(masses)
    general = float(rows[known].mean()) if known.any() else 1.0
    total = np.bincount(bins[known], rows[known], size) + _PRIOR_ROWS * general
    ratio = total / (np.bincount(bins[known], minlength=size) + _PRIOR_ROWS)
    found: Floats = masses * ratio / (masses @ ratio)
    return found


def _column(view: ColumnView, values: Floats, rows: Floats, kish: float) -> Column:
    masses, counts = _masses(view), _counts(view)
    expected = _reweighted(masses, view.reference.bins(view.column, values), rows)
    back = masses / expected
    undone = counts * back
    # Weighted rows are worth fewer.
    undone *= undone.sum() / max(float((counts * back**2).sum()), 1e-12)
    return Column(
        view,
        p=_p(*_distance(counts, expected, kish)),
        gain=_gain(counts, expected, masses),
        before=mixture_log10(view.bets, counts),
        after=mixture_log10(view.bets, undone),
    )


def _driver(case: Case, found: _Labelled, columns: list[Column], now: Floats) -> tuple[str, float]:
    """The input that moved most, and by how much the mix tells better what answers and other columns do."""
    moved = [one for one in columns if one.has_moved]
    if not moved:
        return "", 0.0
    first = max(moved, key=lambda one: one.before).view
    followed = {view.name: values for view, values in _followed(case)}
    seen = _counts(first)
    ratio = np.clip((seen + _masses(first)) / (seen.sum() + 1) / _masses(first), 1 / _MOST_WEIGHT, _MOST_WEIGHT)
    bins = first.reference.bins(first.column, followed[first.name])
    rows = np.where(bins < BINS, ratio[np.minimum(bins, BINS - 1)], np.nan)
    usual = found.confusion @ found.shares
    lead = _gain(found.answers_now, found.confusion @ now, usual)
    lead -= _gain(found.answers_now, _reweighted(usual, found.answers, rows), usual)
    for one in columns:
        # What is the same thing twice is no witness.
        if one.view is not first and not _is_double(followed[first.name], followed[one.view.name]):
            masses = _masses(one.view)
            own = one.view.reference.bins(one.view.column, followed[one.view.name])
            lead += one.gain - _gain(_counts(one.view), _reweighted(masses, own, rows), masses)
    return first.name, lead


def _is_double(one: Floats, other: Floats) -> bool:
    return abs(rank_correlation(one, other)) > _DOUBLE


def _gain(counts: Floats, expected: Floats, usual: Floats) -> float:
    return float(counts @ (np.log(expected) - np.log(usual)))


def _distance(counts: Floats, masses: Floats, health: float) -> tuple[float, int]:
    """How far counts are from masses that rest on `health` rows themselves: (G, degrees of freedom)."""
    n = counts.sum()
    groups = np.zeros(len(masses), np.intp)
    # Bins that make too few expect are taken together, smallest first.
    group, held = 0, 0.0
    for place in np.argsort(masses, kind="stable").tolist():
        groups[place] = group
        held += float(masses[place]) * n
        if held >= _LEAST_EXPECTED:
            group, held = group + 1, 0.0
    groups[groups == group] = max(group - 1, 0) if held else group
    seen, wanted = np.bincount(groups, counts), np.bincount(groups, masses) * n
    if len(seen) < 2 or not n:
        return 0.0, 0
    is_there = seen > 0
    g = 2 * float((seen[is_there] * np.log(seen[is_there] / wanted[is_there])).sum())
    return max(g, 0.0) * health / (health + n), len(seen) - 1


def _p(g: float, freedom: int) -> float:
    """Chance of at least this G."""
    return float(gammaincc(freedom / 2, g / 2)) if freedom else 1.0
