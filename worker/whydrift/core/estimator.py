"""Learns to estimate the performance of one model version without labels, lets late labels grade it, and withdraws.

    labelled rows of health ──► learnt in stages ──► estimates of rows without labels
    labelled rows afterwards ─► blocks of GRADED_ROWS: is what they show in the interval? ──► withdrawn, or back again

While the world is as it was, labels show what was estimated. Where they do not (concept drift, wrong labels, another model) an
estimate would go on saying that all is well: it is withdrawn until labels agree with it again, and says why.

Belongs here: that life, in bounded memory. Not here: the models themselves (`estimate`), joining (`labels`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from whydrift.core.columns import Column, Floats
from whydrift.core.estimate import (
    LEAST_ROWS,
    Answered,
    CalibratedProbabilities,
    Design,
    Estimated,
    Known,
    Labelled,
    LossModel,
    fit_losses,
    fit_probabilities,
)
from whydrift.core.labelled import LARGEST, OUTCOMES
from whydrift.core.performance import NotReady, Task
from whydrift.core.settings import Settings
from whydrift_schemas import Cause
from whydrift_schemas.names import FAMILY_OF, Family, Fault

GRADED_ROWS = 250
"""Labelled rows that an estimate is graded on at once."""
_FAR, _TWICE_FAR, _NEAR = 4.0, 2.6, 2.0
"""Standard errors between labels and estimate: of one block that withdraws it; of two on the same side in succession that do; of
two in succession that bring it back. Chance withdraws it once in 10,000 blocks."""
_GRADED = ("brier", "mae", "error_rate", "accuracy", "log_loss")
"""By which metric it is graded, the first that it has: a bounded one before one that a single row can turn."""
HOLDS_UNDER = frozenset(
    fault
    for fault, family in FAMILY_OF.items()
    if family in (Family.DATA_DRIFT, Family.INFRASTRUCTURE) and fault is not Fault.FALLBACK_ANSWERS
) | {Fault.DUPLICATE_EVENTS, Fault.LABEL_QUALITY, Fault.THRESHOLD_CHANGE}
"""Faults that leave alone what comes true of such inputs and such a score. Under the others labels show something else than is
estimated: by how much, tests/bench/README.md says."""


def holds_under(causes: Sequence[Cause]) -> bool:
    """Whether labels will more likely than not show what is estimated without them, though one of these happened."""
    return sum(cause.probability for cause in causes if cause.fault not in HOLDS_UNDER) < 0.5


_PREDICTION, _DECISION, _ACTUAL, _LOSS = range(len(OUTCOMES))


@dataclass(frozen=True, slots=True)
class Grade:
    """Of one block of labels: the metric as they show it, as it was estimated, and how many standard errors lie between."""

    metric: str
    realised: float
    estimated: float
    low: float
    high: float
    deviation: float

    @property
    def is_covered(self) -> bool:
        return self.low <= self.realised <= self.high


class Estimator:
    """One version's. `inputs`, `outputs`: the monitors whose columns and references the loss model looks at rows by."""

    def __init__(
        self,
        settings: Settings,
        inputs: Known,
        outputs: Known,
        learns_too: Callable[[Floats, Column], None] = lambda rows, actual: None,
    ) -> None:
        """learns_too: what else is learnt from the same rows, and what came true's column."""
        self._learns_too = learns_too
        self._settings = settings
        self._inputs, self._outputs = inputs, outputs
        self.forget()

    def forget(self) -> None:
        """Learn anew, from rows to come."""
        self._model: CalibratedProbabilities | LossModel | None = None
        self._learning: list[Floats] | None = []
        """Labelled rows to learn from; None when it has learnt. Rows: see `update`."""
        self._target = self._settings.first_stage_events
        self._waiting: list[Floats] = []
        """Labelled rows that wait to make a block."""
        self.blocks = 0
        """Graded so far."""
        self.covered = 0
        """Blocks whose metric was in the interval."""
        self._last: list[Grade] = []
        """The latest two grades."""
        self._withdrawn: Grade | None = None

    # -- labels -------------------------------------------------------------------------------------------------

    def update(self, rows: Floats, actual: Column, task: Task | None, *, is_healthy: bool) -> None:
        """Take labelled rows: OUTCOMES, then inputs (rows, 4 + inputs). actual: the column of what came true.

        is_healthy: nothing is alarmed, so that they may be learnt from.
        """
        if self._model is not None:
            self._waiting.append(rows)
            if sum(map(len, self._waiting)) >= GRADED_ROWS:
                block, self._waiting = _joined(self._waiting), []
                self._grade(self._labelled(block, actual))
        if self._learning is None or not is_healthy:
            return
        self._learning.append(rows)
        seen = sum(map(len, self._learning))
        if seen >= min(self._target, self._settings.baseline_events):
            self.learn(actual, task)
            self._target = max(2 * self._target, seen + 1)
            if seen >= self._settings.baseline_events:
                self._learning = None

    def learn(self, actual: Column, task: Task | None) -> None:
        """Make the model from the rows collected so far; it stays as it was where they tell nothing."""
        if not self._learning:
            return
        self._learning = [_joined(self._learning)]
        self._learns_too(self._learning[0], actual)
        rows = self._labelled(self._learning[0], actual)
        model: CalibratedProbabilities | LossModel | None = None
        if task == "binary":
            model = fit_probabilities(rows, self._first(actual))
        self._model = (
            model or fit_losses(rows, Design.of(self._inputs, self._outputs), _loss_name(rows, task)) or self._model
        )

    def thin_learning(self) -> None:
        """See `Monitor.thin_learning`."""
        if self._learning is not None:
            del self._learning[1::2]

    def _first(self, actual: Column) -> str:
        """One of two classes, always the same one."""
        if isinstance(self._model, CalibratedProbabilities):
            return self._model.first
        return min([*actual.codes, *self._outputs.columns[_DECISION].codes], default="")

    def _labelled(self, rows: Floats, actual: Column) -> Labelled:
        decisions = self._outputs.columns[_DECISION].codes
        answered = Answered(rows[:, _PREDICTION], rows[:, _DECISION], rows[:, len(OUTCOMES) :], decisions)
        outcome, is_coded = rows[:, _ACTUAL], actual.kind.is_coded
        if not is_coded:
            nothing = np.full(len(rows), np.nan)
            return Labelled(answered, nothing, nothing, rows[:, _LOSS])
        known, decided = np.isfinite(outcome), self._meant(answered.decision, actual)
        is_right = np.where(known & np.isfinite(decided), outcome == decided, np.nan)
        is_first = np.where(known, outcome == actual.codes.get(self._first(actual)), np.nan)
        return Labelled(answered, is_first, is_right, rows[:, _LOSS])

    def _meant(self, decisions: Floats, actual: Column) -> Floats:
        """Decisions in the codes of what comes true: −1 for classes that never came, NaN where there is none."""
        names = self._outputs.columns[_DECISION].codes
        table = np.append([actual.codes.get(name, -1.0) for name in names], np.nan)
        places = np.where(decisions < len(names), decisions, len(names))  # NaN compares false
        found: Floats = table[places.astype(int)]
        return found

    # -- grades -------------------------------------------------------------------------------------------------

    def _grade(self, rows: Labelled) -> None:
        assert self._model is not None  # only then rows wait
        estimated, realised = self._model.estimate(rows.answered), self._model.realised(rows)
        metric = next((name for name in _GRADED if name in estimated and name in realised), None)
        if metric is None:
            return
        one, seen = estimated[metric], realised[metric]
        grade = Grade(metric, seen, one.value, one.low, one.high, (seen - one.value) / max(one.error, 1e-12))
        self.blocks += 1
        self.covered += grade.is_covered
        self._last = [*self._last, grade][-2:]
        if _is_refuted(self._last):
            self._withdrawn = grade
        elif len(self._last) == 2 and all(abs(one.deviation) < _NEAR for one in self._last):
            self._withdrawn = None

    @property
    def doubt(self) -> str | None:
        """Why it is withdrawn; None while it holds."""
        one = self._withdrawn
        if one is None:
            return None
        return (
            f"withdrawn: on {GRADED_ROWS} labels {one.metric} was {one.realised:.3g}, "
            f"estimated {one.low:.3g} to {one.high:.3g} without them"
        )

    # -- estimates ----------------------------------------------------------------------------------------------

    def estimate(self, answered: Answered) -> dict[str, Estimated] | NotReady:
        """Metrics of these rows as their labels would show them."""
        if self._model is None:
            seen = sum(map(len, self._learning or []))
            return NotReady("too few labels to learn from", seen, min(self._target, self._settings.baseline_events))
        if (doubt := self.doubt) is not None:
            return NotReady(doubt)
        return self._model.estimate(answered) or NotReady("too few answers to estimate by", len(answered), LEAST_ROWS)

    @property
    def loss(self) -> str:
        """The estimated metric that is the mean loss."""
        return self._model.loss if isinstance(self._model, LossModel) else "log_loss"

    # -- state --------------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        return {
            "learning": None if self._learning is None else _joined(self._learning),
            "target": self._target,
            "waiting": _joined(self._waiting),
            "counts": [self.blocks, self.covered],
            "last": [_grade_state(one) for one in self._last],
            "withdrawn": None if self._withdrawn is None else _grade_state(self._withdrawn),
        }

    def snapshot_references(self) -> dict[str, Any] | None:
        """What was learnt."""
        if isinstance(self._model, LossModel):
            return {"losses": self._model.snapshot(self._inputs, self._outputs)}
        return None if self._model is None else {"probabilities": self._model.snapshot()}

    @classmethod
    def restore(
        cls,
        settings: Settings,
        inputs: Known,
        outputs: Known,
        state: Mapping[str, Any],
        references: Mapping[str, Any] | None,
        learns_too: Callable[[Floats, Column], None] = lambda rows, actual: None,
    ) -> "Estimator":
        estimator = cls(settings, inputs, outputs, learns_too)
        estimator.install(references)
        learning, waiting = state["learning"], state["waiting"]
        estimator._learning = None if learning is None else [learning] if len(learning) else []
        estimator._waiting = [waiting] if len(waiting) else []
        estimator._target = state["target"]
        estimator.blocks, estimator.covered = state["counts"]
        estimator._last = [Grade(*one) for one in state["last"]]
        estimator._withdrawn = None if state["withdrawn"] is None else Grade(*state["withdrawn"])
        return estimator

    def install(self, references: Mapping[str, Any] | None) -> None:
        """Take what was learnt elsewhere, with these monitors' references."""
        if references is None:
            return
        self._learning = None
        if "losses" in references:
            self._model = LossModel.restore(references["losses"], self._inputs, self._outputs)
        else:
            self._model = CalibratedProbabilities.restore(references["probabilities"])


def _joined(parts: list[Floats]) -> Floats:
    """All rows, (rows, columns); of parts with fewer inputs the others are NaN."""
    if not parts:
        return np.empty((0, len(OUTCOMES)))
    width = max(part.shape[1] for part in parts)
    return np.concatenate([np.pad(p, ((0, 0), (0, width - p.shape[1])), constant_values=np.nan) for p in parts])


def as_carried(inputs: Floats) -> Floats:
    """Inputs in the precision in which labelled rows have them: they must fall into the same bins."""
    found: Floats = np.clip(inputs, -LARGEST, LARGEST).astype(np.float32).astype(np.float64)
    return found


def _loss_name(rows: Labelled, task: Task | None) -> str:
    if task == "regression":
        return "mae"
    losses = rows.loss[np.isfinite(rows.loss)]
    return "error_rate" if np.isin(losses, (0.0, 1.0)).all() else "log_loss"


def _is_refuted(last: list[Grade]) -> bool:
    if abs(last[-1].deviation) > _FAR:
        return True
    both = [one.deviation for one in last]
    return len(both) == 2 and (min(both) > _TWICE_FAR or max(both) < -_TWICE_FAR)


def _grade_state(grade: Grade) -> list[Any]:
    return [grade.metric, grade.realised, grade.estimated, grade.low, grade.high, grade.deviation]
