"""How good the answers of one model version are, known from its joined labels: metrics, loss, trend.

Belongs here: scores of joined events, online and in bounded memory. Not here: joining (`labels`), judging whether a
change of the loss is news (`detectors`), estimates without labels.

Sums are kept as plain floats where every term has the same sign, and centred (Welford) where terms would cancel. river has
the same statistics, but its `Var` and `Cov` leave as quotients and come back inexact, and a restart must not be visible.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from math import isfinite, isnan, log, nan
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from whydrift.core.labels import Actual, Answer, Joined
from whydrift_schemas import class_name

Task = Literal["regression", "binary", "multiclass"]
Window = Literal["recent", "deployment"]
Floats = NDArray[np.float64]
_Row = tuple[float, ...]

RECENT_EVENTS = 1_000
"""The window "recent" holds this many joined events."""
READING_EVENTS = 100
"""The meaning of a binary score is looked for every so many scored events …"""
READING_LIMIT = 1_000
"""… and settled after this many at the latest."""
TREND_EVENTS = 30
CALIBRATION_BINS = 10
_CLIP = 1e-6
"""No probability counts as less than this in a log loss, so that one confident error cannot drown all others."""
_LARGEST = 1e100
"""Values beyond ± this are refused: their squares, summed, must stay finite."""
_SUM_TOLERANCE = 0.02
_READING_MARGIN = 5.0
"""Log-likelihood by which one reading of a score must lead (odds of 150 to 1)."""
_READING_CLIP = 0.01
_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class NotReady:
    """There is no number yet: `reason` in words; `seen` of the `needs` events it takes, where it is a matter of events."""

    reason: str
    seen: int | None = None
    needs: int | None = None


Metric = float | NotReady


@dataclass(frozen=True, slots=True)
class Trend:
    """Change of the loss per day of event time, with its 95 % interval, by least squares over `events` events.

    The interval takes the losses as independent of each other; on autocorrelated losses it is too narrow.
    """

    slope_per_day: float
    low_per_day: float
    high_per_day: float
    events: int


class Unusable(StrEnum):
    """Why a joined event says nothing about performance."""

    NO_TASK = "no_task"
    """Answer and actual fit no task: a bare number that is no probability against a class name."""
    NO_PREDICTION = "no_prediction"
    """The answer has no value (regression), or neither label nor probability (classification)."""
    ACTUAL_NOT_NUMERIC = "actual_not_numeric"
    ACTUAL_NOT_A_CLASS = "actual_not_a_class"
    """A fraction, or not finite."""
    OUT_OF_RANGE = "out_of_range"
    """Not finite, or beyond ±1e100."""
    UNSEEN_CLASS = "unseen_class"
    """The actual is none of the classes the model has."""
    THIRD_CLASS = "third_class"
    """A model declared as binary named a third class."""


def infer_task(answer: Answer, actual: Actual) -> Task | None:
    """The task of a model that declared none, from one joined event; None where the two contradict each other.

    Probabilities of more than two classes: multiclass; of up to two: binary. A label with a score: binary (`Performance` goes on
    as multiclass when the model names a third class). A label alone: multiclass, whose metrics hold for two classes
    as well. A score alone: binary. A value: regression where the actual is a number, binary where the actual is a class and the
    value may be a probability.
    """
    if answer.probabilities:
        return "multiclass" if len(answer.probabilities) > 2 else "binary"
    if answer.label is not None:
        return "multiclass" if answer.score is None else "binary"
    if answer.score is not None:
        return "binary"
    if answer.value is None:
        return None
    if isinstance(actual, (int, float)) and not isinstance(actual, bool):
        return "regression"
    return "binary" if 0 <= answer.value <= 1 else None


class _Scores(Protocol):
    """Sums of one task since deployment. A row is what is kept of a joined event; it is made of floats alone."""

    def row(self, answer: Answer, actual: Actual) -> _Row | Unusable:
        """Changes nothing."""

    def add(self, row: _Row, answer: Answer, actual: Actual) -> None: ...

    def loss(self, row: _Row) -> float | None: ...

    def deployment(self) -> dict[str, Metric]: ...

    def recent(self, rows: Floats) -> dict[str, Metric]: ...

    def snapshot(self) -> dict[str, Any]: ...

    def restore(self, state: Mapping[str, Any]) -> None: ...


class Performance:
    """Metrics of one model version since its deployment and over its last RECENT_EVENTS joined events.

    task: as declared, or None to infer it (`infer_task`) from the first event that allows it.
    baseline_events: usable joined events that make the reference.

    What a binary model's score means is not declared anywhere. With `probabilities` there is no question. Otherwise it is either
    the probability of the label given with it, or that of one fixed class. The latter is possible only if the label
    follows from the score, that is, if the scores of the two labels do not overlap; among the readings that are possible
    the one under which the actuals are likeliest is taken, once it leads clearly. Until then (100 to 1,000 scored events)
    what rests on probabilities is NotReady and there is no loss; the metrics then include those events. A label without a
    score has the loss 0 or 1. Which kind of loss a model has is settled by its first usable event, so that the signal
    never mixes the two.

    >>> performance = Performance(None)
    >>> performance.update(Joined(Answer("v1", value=2.0), 0, 5, 2.5, None))
    0.5
    >>> performance.metrics("deployment")
    {'mse': 0.25, 'mae': 0.5, 'bias': -0.5}
    """

    def __init__(
        self, task: Task | None, baseline_events: int = 2_000, conventions: Mapping[str, Any] | None = None
    ) -> None:
        """`conventions`: those of a predecessor, which hold as long as this version answers in the same classes."""
        self.unusable: dict[str, int] = {}
        """Joined events that could not be used, by reason (`Unusable`)."""
        self._baseline_events = baseline_events
        self._is_declared = task is not None
        is_binary = conventions is not None and task in (None, "binary")
        self._start("binary" if is_binary else task)
        if conventions is not None and isinstance(self._scores, _Binary):
            self._scores.adopt(conventions)

    def conventions(self) -> dict[str, Any] | None:
        """How a binary model's answers are to be read (classes, what the score means), as plain values; None while unknown."""
        return self._scores.conventions() if isinstance(self._scores, _Binary) else None

    def _start(self, task: Task | None) -> None:
        self.task = task
        self._scores = None if task is None else _scores(task)
        self.events = 0
        """Usable joined events since deployment."""
        self._rows: deque[_Row] = deque(maxlen=RECENT_EVENTS)
        self._line = _Line()
        self._reference: dict[str, float] | None = None

    def update(self, joined: Joined) -> float | None:
        """Take a joined event; returns its loss, or None where it has none (yet). Never fails: see `unusable`."""
        answer, actual = joined.answer, joined.actual
        row = self._row(answer, actual)
        if isinstance(row, Unusable):
            self.unusable[row] = self.unusable.get(row, 0) + 1
            return None
        assert self._scores is not None  # a row was made by it
        self.events += 1
        self._rows.append(row)
        self._scores.add(row, answer, actual)
        loss = self._scores.loss(row)
        if loss is not None:
            self._line.add(joined.prediction_ms, loss)
        if self.events == self._baseline_events:
            self._reference = self.metrics("deployment")
        return loss

    def _row(self, answer: Answer, actual: Actual) -> _Row | Unusable:
        """The row of an event; settles the task on the way."""
        if self._scores is None:
            task = infer_task(answer, actual)
            if task is None:
                return Unusable.NO_TASK
            self._start(task)
        assert self._scores is not None
        row = self._scores.row(answer, actual)
        if row is Unusable.THIRD_CLASS and not self._is_declared:
            # Taken for binary by the first labels only: begin again as what it is.
            self._start("multiclass")
            return self._scores.row(answer, actual)
        return row

    def loss(self, answer: Answer, actual: Actual) -> float | None:
        """Loss of one event as `update` would return it after what was seen so far; changes nothing.

        Regression: the absolute error, because under the squared one a few outliers hide a bias of all the others.
        Classification: log loss, clipped at 1e-6, where the answer has a probability, else 0 or 1. None: unusable, or not
        settled.
        """
        task = self.task or infer_task(answer, actual)
        if task is None:
            return None
        scores = self._scores or _scores(task)
        row = scores.row(answer, actual)
        return None if isinstance(row, Unusable) else scores.loss(row)

    def evaluate(self, window: Window) -> dict[str, Metric]:
        """Every metric of the task by name, NotReady where it is undefined; empty while the task is unknown.

        mse, mae, bias (prediction minus actual), r2 · accuracy, log_loss, brier, auc, calibration_error · accuracy,
        log_loss, brier (summed over classes). The AUC since deployment is from a sketch; all others are exact.
        """
        if self._scores is None:
            return {}
        found = self._scores.deployment() if window == "deployment" else self._recent()
        return {name: _finite(value) for name, value in found.items()}

    def _recent(self) -> dict[str, Metric]:
        assert self._scores is not None
        if not self._rows:
            return self._scores.deployment()  # all of them NotReady, with their reasons
        return self._scores.recent(np.array(self._rows))

    def metrics(self, window: Window) -> dict[str, float]:
        """The metrics that are ready."""
        return {name: value for name, value in self.evaluate(window).items() if not isinstance(value, NotReady)}

    def reference(self) -> Mapping[str, float] | NotReady:
        """The metrics of the first `baseline_events` usable events, frozen."""
        if self._reference is None:
            return NotReady("the baseline is not complete", self.events, self._baseline_events)
        return self._reference

    def trend(self) -> Trend | NotReady:
        """Slope of the loss over the events' own times since deployment."""
        return self._line.trend()

    def snapshot(self) -> dict[str, Any]:
        """The whole state; equal states give equal snapshots."""
        return {
            "task": self.task,
            "is_declared": self._is_declared,
            "baseline_events": self._baseline_events,
            "unusable": dict(self.unusable),
            "events": self.events,
            "rows": _pack_rows(self._rows),
            "line": asdict(self._line),
            "reference": self._reference,
            "scores": None if self._scores is None else self._scores.snapshot(),
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> "Performance":
        """Go on from a snapshot, exactly."""
        performance = cls(state["task"], state["baseline_events"])
        performance._is_declared = state["is_declared"]
        performance.unusable = dict(state["unusable"])
        performance.events = state["events"]
        performance._rows.extend(_unpack_rows(state["rows"]))
        performance._line = _Line(**state["line"])
        performance._reference = state["reference"]
        if performance._scores is not None:
            performance._scores.restore(state["scores"])
        return performance


def _scores(task: Task) -> "_Scores":
    if task == "regression":
        return _Regression()
    return _Binary() if task == "binary" else _Multiclass()


@dataclass(slots=True)
class _Line:
    """Least squares of loss over days, centred on the running means."""

    events: int = 0
    origin_ms: int = 0
    mean_x: float = 0.0
    mean_y: float = 0.0
    sxx: float = 0.0
    sxy: float = 0.0
    syy: float = 0.0

    def add(self, timestamp_ms: int, loss: float) -> None:
        if not self.events:
            self.origin_ms = timestamp_ms
        self.events += 1
        days = (timestamp_ms - self.origin_ms) / _DAY_MS
        dx, dy = days - self.mean_x, loss - self.mean_y
        self.mean_x += dx / self.events
        self.mean_y += dy / self.events
        rest = loss - self.mean_y
        self.sxx += dx * (days - self.mean_x)
        self.sxy += dx * rest
        self.syy += dy * rest

    def trend(self) -> Trend | NotReady:
        if self.events < TREND_EVENTS:
            return NotReady("too few losses for a trend", self.events, TREND_EVENTS)
        if self.sxx <= 0:
            return NotReady("all losses are of the same moment")
        slope = self.sxy / self.sxx
        freedom = self.events - 2
        rest = max(self.syy - slope * self.sxy, 0.0)
        half = float(stdtrit(freedom, 0.975)) * (rest / freedom / self.sxx) ** 0.5
        return Trend(slope, slope - half, slope + half, self.events)


@dataclass(slots=True)
class _RegressionSums:
    events: int = 0
    errors: float = 0.0
    absolute: float = 0.0
    squared: float = 0.0
    actual_mean: float = 0.0
    actual_m2: float = 0.0


class _Regression:
    """Row: (value, actual)."""

    def __init__(self) -> None:
        self._sums = _RegressionSums()

    def row(self, answer: Answer, actual: Actual) -> _Row | Unusable:
        value = answer.value
        if value is None:
            return Unusable.NO_PREDICTION
        if isinstance(actual, bool) or not isinstance(actual, (int, float)):
            return Unusable.ACTUAL_NOT_NUMERIC
        # NaN compares false.
        if not (-_LARGEST <= value <= _LARGEST and -_LARGEST <= actual <= _LARGEST):
            return Unusable.OUT_OF_RANGE
        return float(value), float(actual)

    def add(self, row: _Row, answer: Answer, actual: Actual) -> None:
        sums = self._sums
        error = row[0] - row[1]
        sums.events += 1
        sums.errors += error
        sums.absolute += abs(error)
        sums.squared += error * error
        delta = row[1] - sums.actual_mean
        sums.actual_mean += delta / sums.events
        sums.actual_m2 += delta * (row[1] - sums.actual_mean)

    def loss(self, row: _Row) -> float:
        return abs(row[0] - row[1])

    def deployment(self) -> dict[str, Metric]:
        sums, n = self._sums, self._sums.events
        return {
            "mse": _mean(sums.squared, n),
            "mae": _mean(sums.absolute, n),
            "bias": _mean(sums.errors, n),
            "r2": _r2(sums.squared, sums.actual_m2),
        }

    def recent(self, rows: Floats) -> dict[str, Metric]:
        errors, actual = rows[:, 0] - rows[:, 1], rows[:, 1]
        squared = float(errors @ errors)
        # The mean of equal numbers may differ from them in the last bit: ask whether they are equal.
        m2 = float(((actual - actual.mean()) ** 2).sum()) if np.ptp(actual) > 0 else 0.0
        return {
            "mse": squared / len(rows),
            "mae": float(np.abs(errors).mean()),
            "bias": float(errors.mean()),
            "r2": _r2(squared, m2),
        }

    def snapshot(self) -> dict[str, Any]:
        return asdict(self._sums)

    def restore(self, state: Mapping[str, Any]) -> None:
        self._sums = _RegressionSums(**state)


class _Reading(StrEnum):
    """What the score of a binary model is the probability of. The first class is the one that was named first."""

    LABEL = "label"
    FIRST = "first"
    OTHER = "other"


def _score_edges() -> list[float]:
    """Edges of the score histogram: even over the middle, ever finer towards 0 and 1, where rare classes have their scores."""
    even = np.arange(1, 128) / 128
    fine = np.geomspace(1e-7, 1 / 128, 65)[:-1]
    return [*fine.tolist(), *even.tolist(), *(1 - fine[::-1]).tolist()]


_SCORE_EDGES = _score_edges()
SCORE_BINS = len(_SCORE_EDGES) + 1
"""256. Of each two events of different classes whose scores share a bin, the sketch counts one half, as for a tie."""


class _Binary:
    """Row: (probability of the first class, score, label is the first class, actual is the first class), NaN where unknown.

    Everything is told relative to the first class: no metric here depends on which of the two is called positive.
    """

    def __init__(self) -> None:
        self._classes: tuple[str, ...] = ()
        self._reading: _Reading | None = None
        self._unread: list[_Row] = []
        """Scored rows whose reading is not settled, at most READING_LIMIT."""
        self._has_probability: bool | None = None
        self._judged = 0
        self._correct = 0
        self._n = 0
        self._log_loss = 0.0
        self._brier = 0.0
        # Lists: adding to one place of a numpy array costs a microsecond.
        self._histogram = [[0] * SCORE_BINS, [0] * SCORE_BINS]
        """Events of the other, of the first class per bin of `_SCORE_EDGES`."""
        self._calibration = [[0.0] * CALIBRATION_BINS for _ in range(3)]
        """Events, sum of probabilities, actual first class: per bin of probability."""

    def conventions(self) -> dict[str, Any] | None:
        """See `Performance.conventions`."""
        if len(self._classes) < 2 or self._reading is None:
            return None
        return {"classes": list(self._classes), "reading": str(self._reading)}

    def adopt(self, conventions: Mapping[str, Any]) -> None:
        self._classes, self._reading = tuple(conventions["classes"]), _Reading(conventions["reading"])

    def row(self, answer: Answer, actual: Actual) -> _Row | Unusable:
        name = _class_name(actual)
        if name is None:
            return Unusable.ACTUAL_NOT_A_CLASS
        classes = self._known(answer, name)
        if len(classes) > 2:
            return Unusable.THIRD_CLASS if _names(answer) else Unusable.UNSEEN_CLASS
        if len(classes) == 2 and name not in classes:
            return Unusable.UNSEEN_CLASS
        first = classes[0]
        probability = _probability_of(first, answer.probabilities)
        score = answer.value if answer.score is None else answer.score
        if score is None or not 0 <= score <= 1:
            score = nan
        if answer.label is not None:
            return probability, float(score), float(answer.label == first), float(name == first)
        if isnan(probability) and isnan(score):
            return Unusable.NO_PREDICTION
        return probability, float(score), nan, float(name == first)

    def _known(self, answer: Answer, actual: str) -> tuple[str, ...]:
        """The classes after this event: those that answers name, or where they name none, those that occur."""
        classes = self._classes
        for name in _names(answer) or (actual,):
            if name not in classes:
                classes = (*classes, name)
        return classes

    def add(self, row: _Row, answer: Answer, actual: Actual) -> None:
        if len(self._classes) < 2:
            self._classes = self._known(answer, str(_class_name(actual)))
        probability, score, label, truth = row
        if self._has_probability is None:
            self._has_probability = not (isnan(probability) and isnan(score))
        if not isnan(label):
            self._judged += 1
            self._correct += label == truth
        if isnan(probability) and not isnan(score) and self._reading is None:
            self._wait_for_reading(row)
        else:
            self._count(row)

    def _wait_for_reading(self, row: _Row) -> None:
        self._unread.append(row)
        if len(self._unread) % READING_EVENTS:
            return
        self._reading = _read(np.array(self._unread), is_last_chance=len(self._unread) >= READING_LIMIT)
        if self._reading is not None:
            for unread in self._unread:
                self._count(unread)
            self._unread = []

    def _probability(self, row: _Row) -> float:
        probability, score, label, _ = row
        if not isnan(probability) or isnan(score) or self._reading is None:
            return probability
        if self._reading is _Reading.LABEL:
            return score if label else 1 - score  # NaN (no label) cannot be: see _read
        return score if self._reading is _Reading.FIRST else 1 - score

    def _count(self, row: _Row) -> None:
        """Add what rests on a probability."""
        p, truth = self._probability(row), row[3]
        if isnan(p):
            return
        if isnan(row[2]):
            self._judged += 1
            self._correct += (p >= 0.5) == truth
        self._n += 1
        self._log_loss += _log_loss(p if truth else 1 - p)
        self._brier += (p - truth) ** 2
        self._histogram[int(truth)][bisect_right(_SCORE_EDGES, p)] += 1
        place = min(int(p * CALIBRATION_BINS), CALIBRATION_BINS - 1)
        events, probabilities, truths = self._calibration
        events[place] += 1
        probabilities[place] += p
        truths[place] += truth

    def loss(self, row: _Row) -> float | None:
        _, score, label, truth = row
        p = self._probability(row)
        has_probability = self._has_probability
        if has_probability is None:
            has_probability = not (isnan(p) and isnan(score))
        if has_probability:
            return None if isnan(p) else _log_loss(p if truth else 1 - p)
        return None if isnan(label) else float(label != truth)

    def deployment(self) -> dict[str, Metric]:
        if not self._n:
            return {"accuracy": _mean(self._correct, self._judged), **self._without_probabilities()}
        return {
            "accuracy": _mean(self._correct, self._judged),
            "log_loss": self._log_loss / self._n,
            "brier": self._brier / self._n,
            "auc": _auc(np.array(self._histogram)),
            "calibration_error": _calibration_error(np.array(self._calibration)),
        }

    def _without_probabilities(self) -> dict[str, Metric]:
        reason = NotReady("the answers have no probabilities")
        if self._unread:
            reason = NotReady("it is not clear yet what the score means", len(self._unread), READING_LIMIT)
        return dict.fromkeys(("log_loss", "brier", "auc", "calibration_error"), reason)

    def recent(self, rows: Floats) -> dict[str, Metric]:
        p = self._probabilities(rows)
        label = np.where(np.isnan(rows[:, 2]) & ~np.isnan(p), p >= 0.5, rows[:, 2])
        judged = ~np.isnan(label)
        accuracy = _mean(int((label == rows[:, 3])[judged].sum()), int(judged.sum()))
        known = ~np.isnan(p)
        if not known.any():
            return {"accuracy": accuracy, **self._without_probabilities()}
        p, truth = p[known], rows[known, 3]
        _, ranks = np.unique(p, return_inverse=True)
        histogram = np.stack([np.bincount(ranks[truth == side], minlength=ranks.max() + 1) for side in (0, 1)])
        places = np.minimum((p * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
        calibration = np.stack([np.bincount(places, weights, CALIBRATION_BINS) for weights in (None, p, truth)])
        return {
            "accuracy": accuracy,
            "log_loss": float(-np.log(np.clip(np.where(truth == 1, p, 1 - p), _CLIP, 1)).mean()),
            "brier": float(((p - truth) ** 2).mean()),
            "auc": _auc(histogram),
            "calibration_error": _calibration_error(calibration.astype(float)),
        }

    def _probabilities(self, rows: Floats) -> Floats:
        """Probability of the first class of each row: (rows,), NaN where unknown. The same as `_probability`, at once."""
        if self._reading is None:
            return rows[:, 0]
        is_as_given = rows[:, 2] == 1 if self._reading is _Reading.LABEL else self._reading is _Reading.FIRST
        read = np.where(is_as_given, rows[:, 1], 1 - rows[:, 1])
        if self._reading is _Reading.LABEL:
            read = np.where(np.isnan(rows[:, 2]), nan, read)
        return np.where(np.isnan(rows[:, 0]), read, rows[:, 0])

    def snapshot(self) -> dict[str, Any]:
        return {
            "classes": list(self._classes),
            "reading": None if self._reading is None else str(self._reading),
            "unread": _pack_rows(self._unread),
            "has_probability": self._has_probability,
            "sums": [self._judged, self._correct, self._n, self._log_loss, self._brier],
            "histogram": np.array(self._histogram),
            "calibration": np.array(self._calibration),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self._classes = tuple(state["classes"])
        self._reading = None if state["reading"] is None else _Reading(state["reading"])
        self._unread = _unpack_rows(state["unread"])
        self._has_probability = state["has_probability"]
        self._judged, self._correct, self._n, self._log_loss, self._brier = state["sums"]
        self._histogram = state["histogram"].tolist()
        self._calibration = state["calibration"].tolist()


def _read(rows: Floats, is_last_chance: bool) -> _Reading | None:
    """What these scores are the probability of; None while no reading leads. rows: (events, 4), as of `_Binary`.

    Ties on the last chance go to the label's probability: with only one label ever given, the two readings agree.
    """
    score, label, truth = rows[:, 1], rows[:, 2], rows[:, 3]
    first, other = score[label == 1], score[label == 0]
    possible = {_Reading.LABEL: np.where(label == 1, score, 1 - score)} if not np.isnan(label).any() else {}
    one_sided = not len(first) or not len(other)
    if one_sided or first.min() >= other.max():
        possible[_Reading.FIRST] = score
    if one_sided or first.max() <= other.min():
        possible[_Reading.OTHER] = 1 - score
    if not possible:
        return _Reading.FIRST if is_last_chance else None  # some labels are missing, and the scores overlap
    likelihood = {reading: _log_likelihood(p, truth) for reading, p in possible.items()}
    ranked = sorted(likelihood, key=lambda reading: -likelihood[reading])  # stable: ties keep the order above
    leads = len(ranked) == 1 or likelihood[ranked[0]] - likelihood[ranked[1]] > _READING_MARGIN
    return ranked[0] if leads or is_last_chance else None


def _log_likelihood(p: Floats, truth: Floats) -> float:
    return float(np.log(np.clip(np.where(truth == 1, p, 1 - p), _READING_CLIP, 1)).sum())


class _Multiclass:
    """Row: (decision is right, probability of the actual, Brier score), NaN where there are no probabilities."""

    def __init__(self) -> None:
        self._has_probability: bool | None = None
        self._judged = 0
        self._correct = 0
        self._n = 0
        self._log_loss = 0.0
        self._brier = 0.0

    def row(self, answer: Answer, actual: Actual) -> _Row | Unusable:
        name = _class_name(actual)
        if name is None:
            return Unusable.ACTUAL_NOT_A_CLASS
        given = answer.probabilities
        label = answer.label
        if label is None and answer.value is not None and not given:
            label = _class_name(answer.value)
        if not given or not _is_distribution(given):
            # The score of a label says nothing about the other classes when it is wrong.
            return Unusable.NO_PREDICTION if label is None else (float(label == name), nan, nan)
        if name not in given:
            return Unusable.UNSEEN_CLASS
        if label is None:
            label = max(given, key=lambda key: (given[key], key))
        p = given[name]
        brier = sum(q * q for q in given.values()) - 2 * p + 1
        return float(label == name), float(p), brier

    def add(self, row: _Row, answer: Answer, actual: Actual) -> None:
        right, p, brier = row
        if self._has_probability is None:
            self._has_probability = not isnan(p)
        self._judged += 1
        self._correct += int(right)
        if not isnan(p):
            self._n += 1
            self._log_loss += _log_loss(p)
            self._brier += brier

    def loss(self, row: _Row) -> float | None:
        right, p, _ = row
        has_probability = not isnan(p) if self._has_probability is None else self._has_probability
        if has_probability:
            return None if isnan(p) else _log_loss(p)
        return 1 - right

    def deployment(self) -> dict[str, Metric]:
        return {
            "accuracy": _mean(self._correct, self._judged),
            "log_loss": _mean(self._log_loss, self._n, "the answers have no probabilities of all classes"),
            "brier": _mean(self._brier, self._n, "the answers have no probabilities of all classes"),
        }

    def recent(self, rows: Floats) -> dict[str, Metric]:
        known = rows[~np.isnan(rows[:, 1])]
        losses = -np.log(np.clip(known[:, 1], _CLIP, 1))
        reason = "the answers have no probabilities of all classes"
        return {
            "accuracy": float(rows[:, 0].mean()),
            "log_loss": _mean(float(losses.sum()), len(known), reason),
            "brier": _mean(float(known[:, 2].sum()), len(known), reason),
        }

    def snapshot(self) -> dict[str, Any]:
        return {
            "has_probability": self._has_probability,
            "sums": [self._judged, self._correct, self._n, self._log_loss, self._brier],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self._has_probability = state["has_probability"]
        self._judged, self._correct, self._n, self._log_loss, self._brier = state["sums"]


def _names(answer: Answer) -> tuple[str, ...]:
    """The classes that an answer names."""
    label, probabilities = answer.label, answer.probabilities
    if probabilities:
        return (*probabilities,) if label is None else (label, *probabilities)
    return () if label is None else (label,)


def _class_name(actual: Actual) -> str | None:
    """An actual as a class: 1 and 1.0 are "1", true is "true"; None for fractions and what is not finite."""
    if isinstance(actual, float) and not actual.is_integer():
        return None
    return class_name(actual)


def _is_distribution(probabilities: Mapping[str, float]) -> bool:
    """Whether these are the probabilities of all classes: a list cut to the likeliest few is not."""
    values = probabilities.values()
    return abs(sum(values) - 1) <= _SUM_TOLERANCE and min(values) >= 0


def _probability_of(first: str, probabilities: Mapping[str, float] | None) -> float:
    """Probability of the first of two classes, from that of one or both; NaN where there is none."""
    if not probabilities:
        return nan
    if len(probabilities) == 1:
        ((name, p),) = probabilities.items()
        if not 0 <= p <= 1:
            return nan
        return float(p) if name == first else 1.0 - p
    return float(min(probabilities[first], 1.0)) if first in probabilities and _is_distribution(probabilities) else nan


def _log_loss(p: float) -> float:
    return -log(min(max(p, _CLIP), 1.0))


def _mean(total: float, n: int, reason: str = "no joined event yet") -> Metric:
    return total / n if n else NotReady(reason, 0, 1)


def _r2(squared: float, actual_m2: float) -> Metric:
    return 1 - squared / actual_m2 if actual_m2 > 0 else NotReady("the actuals do not vary")


def _auc(histogram: NDArray[np.int64]) -> Metric:
    """Area under the ROC curve from counts per rank of score, (2, ranks): probability that an event of row 1 ranks higher."""
    negative, positive = histogram
    pairs = int(negative.sum()) * int(positive.sum())
    if not pairs:
        return NotReady("only one class occurred")
    below = np.cumsum(negative) - negative
    return float((positive * (below + negative / 2)).sum() / pairs)


def _calibration_error(bins: Floats) -> float:
    """Expected calibration error: |share − mean probability| per bin, weighted by events. bins: (3, CALIBRATION_BINS)."""
    events, probabilities, truth = bins
    return float(np.abs(truth - probabilities).sum() / events.sum())


def _finite(value: Metric) -> Metric:
    return value if isinstance(value, NotReady) or isfinite(value) else NotReady("the result is not finite")


def _pack_rows(rows: "deque[_Row] | list[_Row]") -> Floats:
    return np.array(rows, dtype=float).reshape(len(rows), -1) if rows else np.zeros((0, 0))


def _unpack_rows(rows: Floats) -> list[_Row]:
    return [tuple(row) for row in rows.tolist()]
