"""Whether what comes true lies to one side of the answers: signed errors of labelled rows, by the answer and by each input.

The loss tells that errors grew; where the world moves to one side it tells so late. Outcomes that are .15 of their standard
deviation higher where an input is high make the mean error of a good model there .4 of its own, and its loss 4 % greater. So
errors (outcome − answer) are watched by their rank among those of health: of all rows, by quarters of the answer, by the lower
and the upper half of each quantity and the frequent values of each category. One signal, a mixture over all these groups: each
pays for its own finite reference, and the evidence is the mean over them.

For numbers only. An outcome of two classes says little of where its chance lies: one in ten outcomes turned where an input is
high moves errors there by a sixth of their standard deviation, which is about the tolerance of 4,000 rows.

Limits: errors that lean one way here and the other way there within one group cancel.
What both models and world have in common is not asked: broken inputs or answers make errors lean as well.
Belongs here: learning the groups, that evidence, its alarm. Not here: what it means (`faults.concept_drift`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whydrift.core.alarms import Alarm
from whydrift.core.autocorrelation import integrated_time
from whydrift.core.case import SignalEvidence
from whydrift.core.columns import Column, Floats
from whydrift.core.detectors.bets import Bets, Tolerance, shape_bets, shape_health
from whydrift.core.evidence import EvidenceProcess, mixture_log10
from whydrift.core.labelled import OUTCOMES

SIGNAL, ASPECT = "loss.bias", "bias"
_PREDICTION, _ACTUAL = OUTCOMES.index("prediction"), OUTCOMES.index("actual")
_QUARTERS, _RANKS, _MOST_VALUES = 4, 24, 4
_PLAIN, _CODED = 0, 1
_LEAST_ROWS, _LEAST_OF_GROUP = 200, 50
_WEIGHTS = (0.25, 0.25, 0.5)
"""Of all rows; of the quarters of the answer; of the inputs' groups, in the mixture."""
_MARGIN_PART = 0.5
"""Of the usual margin: errors that lean by a tenth of their standard deviation are news."""
_LASTING_ROWS, _LASTING_LOG10 = 600, 1.0
_ALL = -1
"""Column of the group of all rows; 0 is the answer, input i is 1 + i."""
_PHI: Floats = 2 * (np.arange(_RANKS) + 0.5) / _RANKS - 1


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Groups of labelled rows, and how errors lie in each in health.

    columns: _ALL, 0 (the answer) or 1 + input; low, high: of values in [low, high); is_coded: that equal low. masses: (groups,
    ranks); rows: of health. cuts: between the answer's quarters; edges: between the ranks of errors, in each quarter. time: rows
    that tell as much as one (`autocorrelation`).
    """

    columns: NDArray[np.int64]
    low: Floats
    high: Floats
    is_coded: NDArray[np.int64]
    masses: Floats
    rows: NDArray[np.int64]
    cuts: Floats
    edges: Floats
    time: float

    def ranks(self, rows: Floats) -> NDArray[np.intp]:
        """Of each row's error, among those of health with such an answer: (rows,)."""
        quarter = np.searchsorted(self.cuts, rows[:, _PREDICTION], "right")
        errors = rows[:, _ACTUAL] - rows[:, _PREDICTION]
        found: NDArray[np.intp] = (self.edges[quarter] <= errors[:, None]).sum(axis=1)
        return found

    def members(self, rows: Floats) -> NDArray[np.bool_]:
        """Which rows are in which group: (groups, rows)."""
        answers, inputs = rows[:, [_PREDICTION]], rows[:, len(OUTCOMES) :]
        values = np.concatenate([answers, inputs, np.zeros((len(rows), 1))], axis=1)
        # An input that these rows do not have is like one that is missing.
        places = np.where(self.columns < values.shape[1] - 1, self.columns, -1)
        own = values[:, places].T
        own[(places == -1) & (self.columns != _ALL)] = np.nan
        is_in: NDArray[np.bool_] = np.where(
            self.is_coded[:, None] == _CODED,
            own == self.low[:, None],
            (own >= self.low[:, None]) & (own < self.high[:, None]),
        )
        return is_in

    def counts(self, rows: Floats) -> Floats:
        """Errors by rank in each group: (groups, ranks)."""
        found = np.zeros((len(rows), _RANKS))
        found[np.arange(len(rows)), self.ranks(rows)] = 1.0
        result: Floats = self.members(rows).astype(float) @ found
        return result

    def bets(self, signals: int, margin: float) -> Bets:
        """On each group's errors, that they lean: log f (groups, ranks, bets of one), weights (all bets,)."""
        log_f, weights = [], []
        kinds = np.minimum(self.columns, 1) + 1
        for kind, masses, n in zip(kinds.tolist(), self.masses, self.rows.tolist(), strict=True):
            tolerance = Tolerance(max(int(n / self.time), 1), signals, _MARGIN_PART * margin)
            health = shape_health(_PHI[None, :], masses, tolerance, 2.0 * len(self.columns))
            log_f.append(shape_bets(health) / self.time)
            share = _WEIGHTS[kind] / int((kinds == kind).sum())
            weights.append(np.full(log_f[-1].shape[1], share / log_f[-1].shape[1]))
        weight = np.concatenate(weights)
        return Bets(np.array(log_f), weight / weight.sum())

    def snapshot(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> "Groups":
        """Raises ValueError where the parts do not fit together."""
        found, size = cls(**state), len(state["columns"])
        shapes = [getattr(found, name).shape for name in ("low", "high", "is_coded", "rows")]
        if shapes != [(size,)] * 4 or found.masses.shape != (size, _RANKS) or not size or found.columns[0] != _ALL:
            raise ValueError("groups of errors that do not fit together")
        if found.edges.shape != (len(found.cuts) + 1, _RANKS - 1) or not found.time >= 1 or found.columns.min() < _ALL:
            raise ValueError("errors of another shape")
        return found


def learn_groups(rows: Floats, coded: Sequence[bool]) -> Groups | None:
    """From labelled rows of health in stream order (rows, OUTCOMES + inputs); None where they are too few.

    coded: which inputs are categories.
    """
    rows = rows[np.isfinite(rows[:, [_PREDICTION, _ACTUAL]]).all(axis=1)]
    if len(rows) < _LEAST_ROWS:
        return None
    answers, errors = rows[:, _PREDICTION], rows[:, _ACTUAL] - rows[:, _PREDICTION]
    cuts = np.unique(np.quantile(answers, np.linspace(0, 1, _QUARTERS + 1)[1:-1]))
    quarter = np.searchsorted(cuts, answers, "right")
    cuts = cuts[np.isin(np.arange(len(cuts)), quarter)]
    quarter = np.searchsorted(cuts, answers, "right")
    steps = np.linspace(0, 1, _RANKS + 1)[1:-1]
    edges = np.stack([np.quantile(errors[quarter == one], steps) for one in range(len(cuts) + 1)])
    ends = np.concatenate([[-inf], cuts, [inf]])
    parts = [(_ALL, -inf, inf, _PLAIN)]
    parts += [(0, float(low), float(high), _PLAIN) for low, high in pairwise(ends) if len(cuts)]
    for place, is_coded in enumerate(coded):
        parts += _parts_of(1 + place, rows[:, len(OUTCOMES) + place], is_coded=is_coded)
    columns, low, high, kinds = zip(*parts, strict=True)
    found = Groups(
        np.array(columns, np.int64),
        np.array(low),
        np.array(high),
        np.array(kinds, np.int64),
        np.zeros((len(parts), _RANKS)),
        np.zeros(len(parts), np.int64),
        cuts,
        edges,
        1.0,
    )
    counts = found.counts(rows)
    size = counts.sum(axis=1)
    kept = size >= _LEAST_OF_GROUP
    time = integrated_time(_PHI[found.ranks(rows)][None, :])
    masses, sizes = counts[kept] / size[kept, None], size[kept].astype(np.int64)
    return Groups(
        found.columns[kept],
        found.low[kept],
        found.high[kept],
        found.is_coded[kept],
        masses,
        sizes,
        cuts,
        edges,
        time,
    )


def _parts_of(column: int, values: Floats, *, is_coded: bool) -> list[tuple[int, float, float, int]]:
    known = values[np.isfinite(values)]
    if not len(known):
        return []
    if is_coded:
        codes, counts = np.unique(known, return_counts=True)
        frequent = codes[np.argsort(-counts, kind="stable")[:_MOST_VALUES]].tolist()
        return [(column, code, code, _CODED) for code in frequent] if len(codes) > 1 else []
    cut = float(np.median(known))
    if cut == known.min():
        cut = float(np.min(known[known > cut], initial=inf))
    return [(column, -inf, cut, _PLAIN), (column, cut, inf, _PLAIN)] if np.isfinite(cut) else []


class BiasWatch:
    """Signed errors of one version. margin: the usual one, in standard deviations."""

    def __init__(self, margin: float) -> None:
        self._margin = margin
        self.groups: Groups | None = None
        self.alarm: Alarm | None = None
        self.rows_seen = 0
        self._signals = 100
        self.log10_threshold = 6.0
        self._recent: list[tuple[int, Floats]] = []
        """Evidence of the latest chunks: rows, (bets,)."""
        self._build()

    def _build(self) -> None:
        self._bets = None if self.groups is None else self.groups.bets(self._signals, self._margin)
        weights = np.ones(1) if self._bets is None else self._bets.weights
        self._own = Bets(np.eye(len(weights)), weights)
        self._evidence = EvidenceProcess([self._own])
        """Its "bins" are the bets themselves, its "counts" their logarithms."""

    def install(self, groups: Groups | None) -> None:
        """Judge by these from now on; nothing seen so far counts."""
        self.groups, self.alarm, self._recent = groups, None, []
        self._build()

    def learn(self, rows: Floats, inputs: Sequence[Column], actual: Column) -> None:
        """Take labelled rows of health (rows, OUTCOMES + inputs)."""
        if actual.kind.is_coded or self.alarm is not None:
            return
        width = min(rows.shape[1] - len(OUTCOMES), len(inputs))
        groups = learn_groups(rows, [column.kind.is_coded for column in inputs[:width]])
        if groups is not None:
            self.install(groups)

    def update(self, rows: Floats, at_ms: int, offset: int) -> None:
        """Take a chunk of labelled rows."""
        rows = rows[np.isfinite(rows[:, [_PREDICTION, _ACTUAL]]).all(axis=1)]
        if self.groups is None or self._bets is None or not len(rows):
            return
        log_e = np.matmul(self.groups.counts(rows)[:, None, :], self._bets.log_f).ravel()
        self._evidence.update(log_e[None, :], at_ms, offset, self.rows_seen)
        self.rows_seen += len(rows)
        self._recent.append((len(rows), log_e))
        while sum(n for n, _ in self._recent[1:]) >= _LASTING_ROWS:
            self._recent.pop(0)
        self._review()

    def _review(self) -> None:
        if self.alarm is not None:
            if self.alarm.is_over(0, self._evidence, self.rows_seen, self.log10_threshold):
                self.alarm = None
        elif self._evidence.values()[0] >= 10.0**self.log10_threshold:
            self.alarm = Alarm.raised(SIGNAL, 0, self._evidence, self.rows_seen)

    @property
    def alarms(self) -> dict[str, Alarm]:
        return {} if self.alarm is None else {SIGNAL: self.alarm}

    def lasts(self, signal: str) -> bool:
        """Whether the latest rows still speak for its alarm."""
        if signal != SIGNAL or self.alarm is None or not self._recent:
            return False
        return mixture_log10(self._own, np.sum([one for _, one in self._recent], axis=0)) > _LASTING_LOG10

    @property
    def signal_count(self) -> int:
        return int(self.groups is not None)

    def retune(self, model_signals: int, log10_threshold: float) -> None:
        """See `Monitor.retune`."""
        self.log10_threshold = log10_threshold
        if model_signals != self._signals:
            before, self._signals = self._evidence, model_signals
            self._build()
            self._evidence.carry(0, before, 0)

    def levels(self) -> dict[str, float]:
        """log10 evidence, where there is a reference."""
        return {} if self.groups is None else {SIGNAL: float(self._evidence.log10()[0])}

    def evidence(self) -> tuple[SignalEvidence, ...]:
        """The signal while it is alarmed."""
        if self.alarm is None:
            return ()
        level, onset_ms = self.levels()[SIGNAL], self.alarm.onset_ms
        return (SignalEvidence(SIGNAL, "loss", ASPECT, level, self.log10_threshold, onset_ms, is_alarmed=True),)

    def leaning(self, names: Sequence[str]) -> tuple[str, bool, float, float] | None:
        """While it is alarmed, where most evidence comes from: the input ("" = all rows, "prediction" = the answer), whether
        outcomes are higher than answered, and the ends of its values there; of a category both are its code."""
        if self.alarm is None or self.groups is None or not self._recent:
            return None
        total = np.sum([one for _, one in self._recent], axis=0).reshape(len(self.groups.columns), -1)
        group, bet = np.unravel_index(int(np.argmax(total)), total.shape)
        column = int(self.groups.columns[group])
        name = ("", "prediction")[column + 1] if column <= 0 else names[column - 1]
        return name, int(bet) % 2 == 0, float(self.groups.low[group]), float(self.groups.high[group])

    # -- state ------------------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        return {
            "alarm": None if self.alarm is None else self.alarm.snapshot(),
            "tuned": [self._signals, self.log10_threshold],
            "rows_seen": self.rows_seen,
            "evidence": self._evidence.snapshot(),
            "recent": [[n, one] for n, one in self._recent],
        }

    def snapshot_references(self) -> dict[str, Any] | None:
        return None if self.groups is None else self.groups.snapshot()

    @classmethod
    def restore(cls, margin: float, state: Mapping[str, Any] | None, groups: Mapping[str, Any] | None) -> "BiasWatch":
        """Of states from before there was one: nothing is known."""
        watch = cls(margin)
        if state is None:
            return watch
        watch._signals, watch.log10_threshold = state["tuned"]
        watch.groups = None if groups is None else Groups.restore(groups)
        watch._build()
        watch.alarm = None if state["alarm"] is None else Alarm.restore(state["alarm"])
        watch.rows_seen = state["rows_seen"]
        watch._evidence.restore(state["evidence"])
        watch._recent = [(n, one) for n, one in state["recent"]]
        return watch
