"""How good answers are whose labels have not come: estimated from the answers themselves, by what labels taught in health.

*Calibrated probabilities* (CBPE, NannyML): a binary model's score says how often it is right, once calibrated on labelled rows;
so each score has an expected log loss, Brier score and accuracy, and all of them together an expected AUC. *A loss model* (DLE):
for regressions, and for classifiers whose score is no probability of one of two classes, the loss expected for such inputs and
such an answer, by trees over bins, made monotone on rows it was not fitted on.

Both hold while the world answers to inputs and scores as it did in health: for another mix of cases, not for another truth
(concept drift), nor where inputs are broken or the model is another. An interval is for the metric that labels of these very rows
will show: it holds chance in the outcomes and what is not known of the calibration.

Belongs here: the two models, made from rows, and what they say of rows. Not here: which rows, whether labels agree later, when it
is withdrawn (`estimator`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from whydrift.core.calibration import Calibration, fit_calibration
from whydrift.core.columns import Column, Floats
from whydrift.core.labelled import MAX_INPUTS
from whydrift.core.reference import Binning, ColumnReference
from whydrift.core.surrogate import Surrogate, fit_surrogate, mean_of

_Z = 1.96
"""Intervals are of 95 %."""
_CLIP = 1e-6
"""As in `performance`: no probability counts as less in a log loss."""
_READINGS = ("first", "other", "label")
_AGREES = 0.99
"""Share of labelled rows whose log loss a reading of the score must give for that reading to be the one."""
_TOLERANCE = 1e-3
LEAST_ROWS = 20
"""Rows without which nothing is estimated."""


class Known(Protocol):
    """Columns and what is known of each in health: a monitor, or a profile's part."""

    columns: list[Column]
    references: list[ColumnReference | None]


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """Answers with their inputs: prediction, decision, (rows,), NaN where there is none; inputs (rows, columns).

    codes: of classes, among the decisions.
    """

    prediction: Floats
    decision: Floats
    inputs: Floats
    codes: Mapping[str, float]

    def __len__(self) -> int:
        return len(self.prediction)

    def take(self, which: Any) -> "Answered":
        return Answered(self.prediction[which], self.decision[which], self.inputs[which], self.codes)


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """Answers whose labels have come. is_right: 1, 0, or NaN where nothing was decided; is_first: the actual is the first class
    of two (only of classifiers); loss as `Performance` has it: (rows,)."""

    answered: Answered
    is_first: Floats
    is_right: Floats
    loss: Floats

    def take(self, which: Any) -> "Labelled":
        return Labelled(self.answered.take(which), self.is_first[which], self.is_right[which], self.loss[which])


@dataclass(frozen=True, slots=True)
class Estimated:
    """A metric as labels would show it, with the ends of its interval of 95 %, and its standard error."""

    value: float
    low: float
    high: float
    error: float


def _estimated(value: float, variance: float, most: float = np.inf) -> Estimated:
    error = float(np.sqrt(max(variance, 0.0)))
    value = min(max(value, 0.0), most)
    return Estimated(value, max(value - _Z * error, 0.0), min(value + _Z * error, most), error)


def _means(rows: Labelled, loss: str) -> dict[str, float]:
    """Means of loss and accuracy over the rows that have them."""
    found = {}
    for name, values in ((loss, rows.loss), ("accuracy", rows.is_right)):
        if np.isfinite(values).any():
            found[name] = float(values[np.isfinite(values)].mean())
    return found


# -- calibrated probabilities --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class CalibratedProbabilities:
    """`first`: one of the two classes. reading: what the prediction is the probability of: the first class, the other one, or the
    label given with it. calibration: of the first class's probability."""

    first: str
    reading: str
    calibration: Calibration

    def probabilities(self, answered: Answered) -> Floats:
        """The model's own probability of the first class: (rows,), NaN where it gave none."""
        return _read(self.reading, answered, self.first)

    def estimate(self, answered: Answered) -> dict[str, Estimated]:
        """Accuracy, log_loss, brier and auc of these rows."""
        q = self.probabilities(answered)
        is_known = np.isfinite(q)
        if is_known.sum() < LEAST_ROWS:
            return {}
        q, decision = q[is_known], answered.decision[is_known]
        decided_first = np.where(np.isnan(decision), q >= 0.5, decision == answered.codes.get(self.first))
        steps = self.calibration.steps(q)
        p = self.calibration.means[steps]
        clipped = np.clip(q, _CLIP, 1 - _CLIP)
        # Each metric is linear in the outcomes: what a row adds when the first class comes, and when the other one does.
        sides = {
            "accuracy": (decided_first.astype(float), 1.0 - decided_first),
            "log_loss": (-np.log(clipped), -np.log(1 - clipped)),
            "brier": ((1 - q) ** 2, q**2),
        }
        found = {
            name: self._mean(steps, p, yes, no, 1.0 if name != "log_loss" else np.inf)
            for name, (yes, no) in sides.items()
        }
        return found | self._auc(steps, p, q)

    def _mean(self, steps: NDArray[np.intp], p: Floats, yes: Floats, no: Floats, most: float) -> Estimated:
        slopes = (yes - no) / len(p)
        return _estimated(float((p * yes + (1 - p) * no).mean()), self._variance(steps, slopes), most)

    def _variance(self, steps: NDArray[np.intp], slopes: Floats) -> float:
        """Of a metric that changes by `slopes` with each outcome: from the outcomes' chance, and from the calibration's."""
        chance = float((slopes**2 * self.calibration.variances[steps]).sum())
        return chance + self.calibration.doubt(steps, slopes)

    def _auc(self, steps: NDArray[np.intp], p: Floats, q: Floats) -> dict[str, Estimated]:
        """Expected pairs in the right order over expected pairs; its slopes by the delta method."""
        _, rank = np.unique(q, return_inverse=True)
        first, other = np.bincount(rank, p), np.bincount(rank, 1 - p)
        firsts, others = float(first.sum()), float(other.sum())
        if min(firsts, others) < 1:
            return {}
        below = np.cumsum(other) - other / 2
        above = firsts - np.cumsum(first) + first / 2
        pairs = firsts * others
        value = float((first * below).sum()) / pairs
        # An outcome of the first class instead of the other: one more of the one, one less of the other.
        slopes = ((below - above) - value * (others - firsts)) / pairs
        return {"auc": _estimated(value, self._variance(steps, slopes[rank]), 1.0)}

    def realised(self, rows: Labelled) -> dict[str, float]:
        """What labels show of the metrics that are sums over rows; {} without any."""
        q = self.probabilities(rows.answered)
        known = np.isfinite(q) & np.isfinite(rows.is_first)
        if not known.any():
            return {}
        return {"brier": float(((q - rows.is_first)[known] ** 2).mean())} | _means(rows, "log_loss")

    def snapshot(self) -> dict[str, Any]:
        return {"first": self.first, "reading": self.reading, "calibration": self.calibration.snapshot()}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> "CalibratedProbabilities":
        return cls(state["first"], state["reading"], Calibration.restore(state["calibration"]))


def _read(reading: str, answered: Answered, first: str) -> Floats:
    prediction = answered.prediction
    if reading == "label":
        found: Floats = np.where(answered.decision == answered.codes.get(first), prediction, 1 - prediction)
        return np.where(np.isnan(answered.decision), np.nan, found)
    return prediction if reading == "first" else 1 - prediction


def fit_probabilities(rows: Labelled, first: str) -> CalibratedProbabilities | None:
    """Learn from labelled rows of a binary model; None where no reading of the predictions gives the losses that it had."""
    answered = rows.answered
    known = np.isfinite(rows.loss) & np.isfinite(rows.is_first) & np.isfinite(answered.prediction)
    if known.sum() < LEAST_ROWS:
        return None
    had = np.exp(-rows.loss[known])  # the probability that the model gave to what came
    for reading in _READINGS:
        q = _read(reading, answered, first)[known]
        meant = np.where(rows.is_first[known] == 1, q, 1 - q)
        if (np.abs(np.clip(meant, _CLIP, 1) - had) <= _TOLERANCE).mean() >= _AGREES:
            return CalibratedProbabilities(first, reading, fit_calibration(q, rows.is_first[known]))
    return None


# -- the loss model ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """How rows become bins: inputs by their places and references, then prediction and decision where they have a reference.

    Bins are as they were when the loss model was fitted, whatever is learnt anew since.
    """

    inputs: Sequence[tuple[int, ColumnReference]]
    outputs: Sequence[tuple[int, ColumnReference]]
    """Place 0: the prediction, 1: the decision."""
    binning: Binning

    @classmethod
    def of(cls, inputs: Known, outputs: Known) -> "Design":
        """With what the two monitors know now of the inputs that are carried to labels, of prediction and decision."""
        known = [(place, one) for place, one in enumerate(inputs.references[:MAX_INPUTS]) if one is not None]
        said = [(place, one) for place, one in enumerate(outputs.references[:2]) if one is not None]
        return cls._made(known, said, inputs, outputs)

    @classmethod
    def _made(
        cls,
        known: Sequence[tuple[int, ColumnReference]],
        said: Sequence[tuple[int, ColumnReference]],
        inputs: Known,
        outputs: Known,
    ) -> "Design":
        columns = [inputs.columns[place] for place, _ in known] + [outputs.columns[place] for place, _ in said]
        return cls(known, said, Binning(columns, [reference for _, reference in (*known, *said)]))

    def bins(self, rows: Answered) -> NDArray[np.intp]:
        width = rows.inputs.shape[1]
        given = [rows.inputs[:, p] if p < width else np.full(len(rows), np.nan) for p, _ in self.inputs]
        said = [(rows.prediction, rows.decision)[place] for place, _ in self.outputs]
        if not given and not said:
            return np.empty((len(rows), 0), np.intp)
        return self.binning.bins(np.stack([*given, *said], axis=1))

    def snapshot(self, inputs: Known, outputs: Known) -> list[list[list[Any]]]:
        return [
            [[place, None if monitor.references[place] is one else one.snapshot()] for place, one in chosen]
            for monitor, chosen in ((inputs, self.inputs), (outputs, self.outputs))
        ]

    @classmethod
    def restore(cls, state: Sequence[Any], inputs: Known, outputs: Known) -> "Design":
        known = [_reference_of(place, one, inputs) for place, one in state[0]]
        said = [_reference_of(place, one, outputs) for place, one in state[1]]
        return cls._made(known, said, inputs, outputs)


def _reference_of(place: int, state: Mapping[str, Any] | None, monitor: Known) -> tuple[int, ColumnReference]:
    found = monitor.references[place] if state is None else ColumnReference.restore(state)
    if found is None:
        raise ValueError(f"no reference of {monitor.columns[place].name}, though the loss model was fitted with one")
    return place, found


@dataclass(frozen=True, slots=True, eq=False)
class LossModel:
    """Of each metric: what rows like these make expect, and what came of such expectations."""

    design: Design
    loss: str
    """Name of the metric that the mean loss is: mae, log_loss or error_rate."""
    metrics: Mapping[str, tuple[Surrogate, Calibration]]

    def estimate(self, answered: Answered) -> dict[str, Estimated]:
        """The mean of each metric over these rows."""
        if len(answered) < LEAST_ROWS:
            return {}
        bins = self.design.bins(answered)
        found = {}
        for name, (surrogate, calibration) in self.metrics.items():
            steps = calibration.steps(surrogate.expect(bins))
            each = np.full(len(steps), 1 / len(steps))
            chance = float(calibration.variances[steps].sum()) / len(steps) ** 2
            value = float(calibration.means[steps].mean())
            most = 1.0 if name == "accuracy" else np.inf
            found[name] = _estimated(value, chance + calibration.doubt(steps, each), most)
        return found

    def realised(self, rows: Labelled) -> dict[str, float]:
        """What labels show of these rows."""
        return _means(rows, self.loss)

    def snapshot(self, inputs: Known, outputs: Known) -> dict[str, Any]:
        """References that are those of the parts are not written a second time."""
        metrics = {name: [one.snapshot(), other.snapshot()] for name, (one, other) in self.metrics.items()}
        return {"design": self.design.snapshot(inputs, outputs), "loss": self.loss, "metrics": metrics}

    @classmethod
    def restore(cls, state: Mapping[str, Any], inputs: Known, outputs: Known) -> "LossModel":
        metrics = {n: (Surrogate.restore(one), Calibration.restore(two)) for n, (one, two) in state["metrics"].items()}
        return cls(Design.restore(state["design"], inputs, outputs), state["loss"], metrics)


def fit_losses(rows: Labelled, design: Design, loss: str) -> LossModel | None:
    """Learn from labelled rows; `loss`: the metric that their loss is. None where too few rows have one."""
    bins = design.bins(rows.answered)
    targets = {loss: rows.loss, "accuracy": rows.is_right}
    found = {}
    for name, target in targets.items():
        known = np.isfinite(target)
        if known.sum() >= LEAST_ROWS and (name == loss or np.isfinite(rows.is_right).any()):
            found[name] = _fit_loss(bins[known], target[known])
    return LossModel(design, loss, found) if loss in found else None


def _fit_loss(bins: NDArray[np.intp], target: Floats) -> tuple[Surrogate, Calibration]:
    """Each half of the rows (they alternate) is promised by the other half's surrogate; both halves' are averaged in the end."""
    halves = [fit_surrogate(bins[place::2], target[place::2]) for place in (0, 1)]
    promised = np.empty(len(target))
    for place, other in ((0, 1), (1, 0)):
        promised[place::2] = halves[other].expect(bins[place::2])
    return mean_of(halves), fit_calibration(promised, target)
