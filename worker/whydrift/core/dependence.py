"""What each quantity among the inputs is expected to be, given the others: its residual is watched as a column of its own.

An input that is joined to the wrong rows keeps its distribution; only what it has to do with the others is gone. Each quantity is
predicted from the others by ridge regression on the sample of health; those that can be predicted are watched, as columns
`dependence.<input>`. Residuals of health are those of all rows that inputs were learnt from, in stream order, which shows how
they hang together and what they are given the hour or the row before (`conditioning`). Of the sample itself they are taken
crosswise (each half by the other half's coefficients), so that they are no smaller than those to come. Beside them goes how new
each event's combination of values is (`combinations`).

Of rows that lie apart, as those of the sample do, nobody can tell how neighbours hang together: of hourly temperatures one row in
nine made a time of 8 out of 60, and weather was a false incident.

Limits: references from before they were learnt so, and what is learnt anew after a command, have the sample only.
Belongs here: the fit, and the series. Not here: which input is to blame (`faults.misaligned_feature`).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from whydrift.core.columns import Column, Floats, Kind, Presence, Rows
from whydrift.core.combinations import COMBINATIONS, Combinations, can_combine, learn_combinations
from whydrift.core.combinations import MAX_INPUTS as MAX_COMBINED
from whydrift.core.conditioning import conditioned
from whydrift.core.learning import Bins, MonitorProfile
from whydrift.core.monitor import Monitor
from whydrift.core.reference import ColumnReference, learn_column
from whydrift.core.settings import Settings
from whydrift.core.signals import CONDITIONAL, Aspect

if TYPE_CHECKING:
    from whydrift.core.inputs import BinnedRows

PREFIX = "dependence."
"""Begins the names of these columns; no feature's column begins so."""
MAX_INPUTS = 40
"""Quantities that take part, the first ones."""
_MIN_ROWS = 200
_MIN_DISTINCT = 10
_ODD, _ODD_IN_ALL = 0.004, 0.016
"""Part of health's rows that are beyond each end of a column's limits, at most, and beyond any end of any. Answers to these are
not looked at, while the reference has them: of baseball players it was one in ten, the ones hardest to tell."""
_LEAST_R2 = 0.3
"""Part of an input's variance that the others must explain for its residual to tell anything."""
_RIDGE = 0.02
_FAR = 4.0
"""Standard deviations at which values are cut: one extreme must not bend the fit, nor drag all other residuals along."""


class DependenceWatch:
    """Residuals of inputs given the others. `inputs`: the monitor whose sample of health it learns from."""

    def __init__(self, settings: Settings, inputs: Monitor) -> None:
        self._settings = settings
        self._inputs = inputs
        self._aspects: dict[str, frozenset[Aspect]] = {}
        self.monitor = Monitor(settings, [], aspects=self._aspects)
        self._fitted_on: Rows | None = None
        self._places = np.empty(0, np.intp)
        """Columns of the inputs that take part."""
        self._watched = np.empty(0, np.intp)
        """Places among those of the ones that are predicted."""
        self._centre, self._spread = np.empty(0), np.empty(0)
        self._weights = np.empty((0, 0))
        self._combined = np.empty(0, np.intp)
        """Places of the inputs whose combinations are looked at, among those that have a reference."""
        self._combinations: Combinations | None = None
        self._has_combinations = False
        """Whether there is a column of theirs, though what it is reckoned by may not be known."""
        self._limited: tuple[tuple[int, ...], Floats, Floats] | None = None
        """See `_limits`, and the references it is of."""

    def update(self, rows: "BinnedRows") -> NDArray[np.bool_]:
        """Take a chunk of inputs; returns which of its rows are of a kind that health hardly has: (rows,).

        Nobody knows what a model makes of those: what it answers to them says nothing of the model.

        While some inputs are learnt anew, they are expected to go with the others as they did; of combinations nothing is known.
        """
        is_learning = self._inputs.is_collecting
        if self._inputs.sample is not self._fitted_on and not is_learning:
            self._learn()
        if not self.monitor.columns or (is_learning and self._fitted_on is None):
            return np.zeros(len(rows.rows), bool)
        scores = None if is_learning else self._scores(rows)
        taken = self._rows(rows.rows, self._residuals(rows.rows), scores)
        self.monitor.update(taken)
        self._hold_inputs()
        low, high = self._limits()
        is_beyond: NDArray[np.bool_] = (taken.values < low) | (taken.values > high)
        return np.asarray(is_beyond.any(axis=1), bool)

    def _hold_inputs(self) -> None:
        """Inputs are not learnt from rows in which they do not go with the others."""
        onsets = [alarm.onset_offset for alarm in self.monitor.alarms.values()]
        self._inputs.hold(min(onsets, default=None))

    def _limits(self) -> tuple[Floats, Floats]:
        """Of each column, what hardly any value of health is below, and above."""
        references = self.monitor.references
        key = tuple(map(id, references))
        if self._limited is None or self._limited[0] != key:
            odd = min(_ODD, _ODD_IN_ALL / (2 * len(references)))
            known = [None if one is None else (one.quantile(odd), one.quantile(1 - odd)) for one in references]
            both = np.array([(-np.inf, np.inf) if one is None else one for one in known])
            if self._has_combinations:
                # Most scores are 0, and 0 is no news.
                both[-1] = (-np.inf, max(float(both[-1, 1]), 0.0))
            self._limited = key, both[:, 0], both[:, 1]
        return self._limited[1:]

    def _learn(self) -> None:
        """From health as it is known now; what was watched before begins anew."""
        sample = self._inputs.sample
        crosswise, scores = self._fit(sample)
        health = self._inputs.take_learnt()
        residuals = self._rows(health, self._left(health, sample, crosswise), None)
        sampled = self._rows(sample, crosswise[:, self._watched], None)
        columns = [Column(name, Kind.NUMERIC) for name in self._names()]
        references = {
            column.name: _learn_column(column, residuals, sampled, place)
            for place, column in enumerate(columns[: len(self._watched)])
        }
        if self._has_combinations:
            references[COMBINATIONS] = learn_column(columns[-1], scores, np.zeros(len(scores), np.int8))
        self._watch(MonitorProfile(tuple(columns), references, Rows.concat([], len(columns))))

    def _left(self, health: Rows, sample: Rows, crosswise: Floats) -> Floats:
        """Residuals of rows of health, those of the sample crosswise: (rows, watched)."""
        left = self._residuals(health)
        order = np.argsort(sample.offsets, kind="stable")
        place = order[np.searchsorted(sample.offsets, health.offsets, sorter=order).clip(max=len(order) - 1)]
        is_sample = sample.offsets[place] == health.offsets
        left[is_sample] = crosswise[place[is_sample]][:, self._watched]
        return left

    def _watch(self, learnt: MonitorProfile) -> None:
        """Judge by these references from now on."""
        self.monitor.alarms.clear()
        self._aspects.update(_aspects_of(column.name) for column in learnt.columns)
        self.monitor.install(learnt)
        if not self._inputs.trained.issuperset(column.name for column in self._inputs.columns):
            self.monitor.trained.clear()

    def profile(self, *, keep_sample: bool) -> MonitorProfile:
        """What is learnt of the inputs' health as it is now, for `install`; nothing without the sample of it."""
        if keep_sample and len(self._inputs.sample):
            self._learn()
            return self.monitor.profile(keep_sample=False)
        return MonitorProfile((), {}, Rows.concat([], 0))

    def install(self, profile: MonitorProfile) -> None:
        """Take references from a profile, as far as they are of the inputs that were installed before."""
        if not len(self._inputs.sample):
            return
        self._fit(self._inputs.sample)
        if self._names() == [column.name for column in profile.columns]:
            self._watch(profile)
        else:
            self._fitted_on = None  # from before there were any: learnt with the first rows

    def _names(self) -> list[str]:
        names = [PREFIX + self._inputs.columns[place].name for place in self._places[self._watched].tolist()]
        return [*names, COMBINATIONS] if self._has_combinations else names

    def _fit(self, sample: Rows) -> tuple[Floats, Floats]:
        """Residuals of the sample, each half by the other half's coefficients (rows, taking part); scores of health."""
        self._fitted_on = sample
        return self._fit_residuals(sample), self._fit_combinations(self._inputs.health_bins)

    def _fit_combinations(self, bins: Bins) -> Floats:
        known = [(place, r) for place, r in enumerate(self._inputs.references) if r is not None and can_combine(r)]
        known = [(place, r) for place, r in known if place < bins.shape[1]][:MAX_COMBINED]
        self._combined = np.array([place for place, _ in known], np.intp)
        self._combinations, self._has_combinations, scores = None, False, np.empty(0)
        if len(known) > 1 and len(bins) >= _MIN_ROWS:
            self._combinations, scores = learn_combinations([r for _, r in known], bins[:, self._combined])
            self._has_combinations = True
        return scores

    def _fit_residuals(self, sample: Rows) -> Floats:
        known: list[tuple[int, ColumnReference]] = [
            (place, reference)
            for place, reference in enumerate(self._inputs.references)
            if reference is not None
            and not reference.kind.is_coded
            and reference.spread > 0
            and reference.distinct >= _MIN_DISTINCT
            and place < sample.values.shape[1]
        ][:MAX_INPUTS]
        self._places = np.array([place for place, _ in known], np.intp)
        self._centre = np.array([reference.median for _, reference in known])
        self._spread = np.array([reference.spread for _, reference in known])
        values = self._standard(sample)
        self._watched = np.empty(0, np.intp)
        left = values
        if len(known) > 1 and len(sample) >= _MIN_ROWS:
            self._weights = regressions(values)
            left = values - cross_predicted(values)
            r2 = 1 - left.var(axis=0) / np.maximum(values.var(axis=0), 1e-12)
            self._watched = np.flatnonzero(r2 >= _LEAST_R2)
        return left

    def _residuals(self, rows: Rows) -> Floats:
        if not len(self._watched):
            return np.empty((len(rows), 0))
        values = self._standard(rows)
        left: Floats = values[:, self._watched] - values @ self._weights[:, self._watched]
        return left

    def _scores(self, rows: "BinnedRows") -> Floats | None:
        if self._combinations is None:
            return None
        bins = self._inputs.bins(rows.rows, rows.bins if rows.binning is self._inputs.binning else None)
        return self._combinations.scores(bins[:, self._combined], self.monitor.rows_seen)

    def _rows(self, rows: Rows, left: Floats, scores: Floats | None) -> Rows:
        """As the columns are. scores: of combinations, where these are known."""
        is_there = rows.presence[:, self._places[self._watched]] == Presence.PRESENT
        if self._has_combinations:
            left = np.column_stack([left, np.zeros(len(rows)) if scores is None else scores])
            is_there = np.pad(is_there, ((0, 0), (0, 1)), constant_values=scores is not None)
        return Rows(
            np.where(is_there, left, np.nan),
            np.where(is_there, Presence.PRESENT, Presence.ABSENT).astype(np.int8),
            rows.times_ms,
            rows.offsets,
        )

    def _standard(self, rows: Rows) -> Floats:
        """Values in standard deviations from the middle; 0 where there is none: (rows, taking part)."""
        values = (rows.values[:, self._places] - self._centre) / self._spread
        usable = (rows.presence[:, self._places] == Presence.PRESENT) & np.isfinite(values)
        found: Floats = np.where(usable, np.clip(values, -_FAR, _FAR), 0.0)
        return found

    # -- state ------------------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """With what was fitted only while inputs are learnt anew: else it follows from their sample."""
        is_fitted = self._fitted_on is not None
        fit = self._fit_state() if is_fitted and self._inputs.is_collecting else None
        return {"monitor": self.monitor.snapshot(), "is_fitted": is_fitted, "fit": fit}

    def _fit_state(self) -> dict[str, Any]:
        return {
            "is_of_sample": self._fitted_on is self._inputs.sample,
            "places": self._places.astype(np.int64),
            "watched": self._watched.astype(np.int64),
            "centre": self._centre,
            "spread": self._spread,
            "weights": self._weights,
        }

    def _take_fit(self, state: Mapping[str, Any]) -> None:
        self._fitted_on = self._inputs.sample if state["is_of_sample"] else Rows.concat([], 0)
        self._places, self._watched = state["places"].astype(np.intp), state["watched"].astype(np.intp)
        self._centre, self._spread, self._weights = state["centre"], state["spread"], state["weights"]
        self._has_combinations = any(column.name == COMBINATIONS for column in self.monitor.columns)

    @classmethod
    def restore(
        cls, settings: Settings, inputs: Monitor, state: Mapping[str, Any], references: Mapping[str, Any]
    ) -> "DependenceWatch":
        watch = cls(settings, inputs)
        watch._aspects.update(_aspects_of(column[0]) for column in state["monitor"]["columns"])
        watch.monitor = Monitor.restore(settings, (), state["monitor"], references, aspects=watch._aspects)
        watch._hold_inputs()
        if state.get("fit") is not None:  # a state from before inputs were watched while they are learnt anew has none
            watch._take_fit(state["fit"])
        elif state["is_fitted"] and len(inputs.sample) and not inputs.is_collecting:
            watch._fit(inputs.sample)
            if watch._names() != [column.name for column in watch.monitor.columns]:
                watch._fitted_on = None  # a state from before there were combinations: learnt with the next rows
        return watch


def _aspects_of(name: str) -> tuple[str, frozenset[Aspect]]:
    """Beside their distribution residuals are looked at given something; how new combinations are is not."""
    return name, frozenset(() if name == COMBINATIONS else CONDITIONAL)


def _learn_column(column: Column, residuals: Rows, sampled: Rows, place: int) -> ColumnReference:
    """From the sample where rows do not hang together: by all, a ramp of an input is told before its shape can be seen."""
    values, presence = residuals.values[:, place], residuals.presence[:, place]
    reference = learn_column(column, values, presence)
    if not reference.times:
        return learn_column(column, sampled.values[:, place], sampled.presence[:, place])
    return conditioned(reference, column, values, presence, residuals.times_ms, _aspects_of(column.name)[1])


def regressions(values: Floats) -> Floats:
    """Column j: coefficients by which the others predict input j, from the inverse of the ridged covariance: (inputs, inputs)."""
    centred = values - values.mean(axis=0)
    covariance = centred.T @ centred / len(values) + _RIDGE * np.eye(values.shape[1])
    precision = np.linalg.inv(covariance)
    weights: Floats = -precision / np.diag(precision)[None, :]
    np.fill_diagonal(weights, 0.0)
    return weights


def cross_predicted(values: Floats) -> Floats:
    """Each half of the rows (every other one) predicted by the other half."""
    even: NDArray[np.bool_] = np.arange(len(values)) % 2 == 0
    found = np.empty_like(values)
    found[even] = values[even] @ regressions(values[~even])
    found[~even] = values[~even] @ regressions(values[even])
    return found
