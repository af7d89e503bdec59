"""One version of a model: what it answers, how that follows from its inputs, how fast, and how well.

Two versions side by side are two of these; what belongs to the world (inputs, labels) is kept once (`inputs`, `model`).

Belongs here: outputs, residual, loss, and the guards on both. Not here: joining labels (`labels`), metrics (`performance`).
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from math import log10, nan
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whydrift.core.bias import BiasWatch
from whydrift.core.case import RESIDUALS, ErrorPicture, SignalEvidence
from whydrift.core.columns import MAX_CATEGORY, Column, Floats, Kind, Presence, Rows, abridged, tame, widen
from whydrift.core.cut import Cut, learn_cut
from whydrift.core.decode import PredictionEvent
from whydrift.core.detectors.adwin import MeanGuard
from whydrift.core.estimate import Answered
from whydrift.core.estimator import Estimator, as_carried
from whydrift.core.history import Means
from whydrift.core.inputs import BinnedRows
from whydrift.core.labelled import MAX_INPUTS
from whydrift.core.labels import Answer
from whydrift.core.learning import MonitorProfile
from whydrift.core.monitor import RETAINED_ROWS, Monitor
from whydrift.core.performance import Performance, Task
from whydrift.core.profile import Profile
from whydrift.core.reference import QUANTILES, Binning, ColumnReference
from whydrift.core.replicas import LATENCY, ReplicaWatch, code_of
from whydrift.core.settings import Settings
from whydrift.core.signals import Aspect
from whydrift.core.stand_in import Trees
from whydrift.core.surrogate import Surrogate, fit_crosswise

_PREDICTION, _DECISION, _RESIDUAL, _LATENCY, _ERRORS, _CONTRADICTION, _STANDARDISED = range(7)
_PLACES = {"residual": _RESIDUAL, "standardised_residual": _STANDARDISED, "latency": _LATENCY}
"""Of what replicas are compared by, among the outputs."""
_LEAST_LATENCY_MS = 1e-3
_MAX_ERRORS = 100
_GUARD_MARGIN = 0.1
"""Distance of the mean rank from the middle that counts: a third of a standard deviation."""
_GUARD_Z = 4.5
_RANK_SD = 0.289
"""Standard deviation of a uniform rank."""
_DERIVED = frozenset((Aspect.OUT_OF_RANGE, Aspect.HOURLY))
_ERRORED = frozenset((Aspect.UNSEEN,))
ASPECTS: Mapping[str, frozenset[Aspect]] = MappingProxyType(
    {
        "residual": _DERIVED,
        "standardised_residual": _DERIVED,
        "latency": _DERIVED,
        "loss": _DERIVED,
        "label_delay": _DERIVED,
        "errors": _ERRORED,
        "contradiction": _ERRORED,
        "actual": frozenset(Aspect) - {Aspect.STEP},
    }
)
"""What a series of our own making can tell: it has no missing values or types, and that it repeats means nothing. From row to
row labels do not tell more than their level does: they come in any order.

Where no call failed in health a failed one is unseen: the distribution of a constant has nothing to bet on. So it is with a score
that is decided otherwise than it was.
"""
FAMILIES: Mapping[str, str] = MappingProxyType(dict.fromkeys(("prediction", "actual"), "quartered"))
"""Of bets on numbers that are answered, and that come true."""
_RANKS = np.linspace(0, 1, QUANTILES)


class VersionWatch:
    """Monitors of one version. `inputs` is the monitor of the model's inputs, by whose bins the surrogate looks at rows.

    A new version's loss is judged by its predecessor's reference (`losses`), so that a worse one is noticed; what it answers is
    learnt anew.
    """

    def __init__(
        self,
        settings: Settings,
        version: str,
        inputs: Monitor,
        task: Task | None = None,
        losses: MonitorProfile | None = None,
        conventions: Mapping[str, Any] | None = None,
    ) -> None:
        self._settings = settings
        self.version = version
        self.inputs = inputs
        self.outputs = Monitor(settings, _output_columns(), (), self._with_derived, ASPECTS, inputs, families=FAMILIES)
        self.losses = Monitor(settings, [Column("loss", Kind.NUMERIC)], aspects=ASPECTS, follows=inputs)
        if losses is not None:
            self.losses.install(losses)
        self.replicas = ReplicaWatch(settings.margin)
        """How each replica answers beside the others …"""
        self.paces = ReplicaWatch(settings.margin, LATENCY)
        """… and how fast."""
        self.performance = Performance(task, settings.baseline_events, conventions)
        self.bias = BiasWatch(settings.margin)
        self.estimator = Estimator(settings, inputs, self.outputs, self._learn_bias)
        self.loss_means = Means()
        """The loss over time, for people to look at."""
        self.last_ms = -1
        self.events = 0
        self.guards: dict[str, MeanGuard] = {}
        self._guarded: dict[str, ColumnReference] = {}
        """Reference that each guard was made with."""
        self.guard_onsets: dict[str, tuple[int, int]] = {}
        """Of alarmed guards: time and offset."""
        self.errors: dict[str, int] = {}
        """Error classes in the rows learnt from."""
        self._recent_errors: list[tuple[int, str]] = []
        """Where in the latest rows there were errors, and of which class: (offset, class)."""
        self._cut: Cut | None = None
        self._cut_sample: Rows | None = None
        """The sample of health that the cut was learnt from."""
        self._surrogate: Surrogate | None = None
        self._binning: Binning | None = None
        self._compared: Binning | None = None
        self._compared_equal = False
        self._binned: list[tuple[int, ColumnReference]] = []
        """What the surrogate's bins were made of: (column of the inputs, its reference)."""
        self._features: list[Rows] = []
        """Inputs of the rows that the outputs are being learnt from."""
        self._who: list[NDArray[np.int64]] = []
        """Of the same rows, which replica answered (`code_of`)."""
        self._answered = {_PREDICTION: False, _DECISION: False}

    @classmethod
    def from_profile(cls, settings: Settings, profile: Profile, inputs: Monitor) -> "VersionWatch":
        """The profile's own version, with everything learnt."""
        task: Any = profile.task
        version = cls(settings, profile.version, inputs, task, profile.losses, profile.conventions)
        version.outputs.install(profile.outputs)
        version._surrogate = profile.surrogate
        version.replicas.usual, version.paces.usual = profile.replicas, profile.paces
        if profile.surrogate is not None:
            version._freeze_bins()
        version._renew_guards()
        version.estimator.install(profile.estimate)
        version.bias.install(profile.bias)
        return version

    # -- answers ------------------------------------------------------------------------------------------------

    def update(self, events: Sequence[PredictionEvent], inputs: BinnedRows) -> None:
        """Take this version's part of a chunk, with the rows of its inputs."""
        rows = inputs.rows
        outputs = self._rows(events, rows)
        self.events += len(events)
        self.last_ms = max(self.last_ms, int(rows.times_ms.max()))
        if self._surrogate is not None:
            self._fill_residual(outputs, self._surrogate, inputs)
        _fill_contradictions(outputs, self._known_cut())
        replicas = [event.replica for event in events]
        if self.outputs.is_collecting:
            self._features.append(rows)
            self._who.append(np.array([code_of(replica) for replica in replicas], np.int64))
        self._keep_errors(events, rows)
        # As they are before anything is learnt from these rows: the bins are by these.
        known, references = self.outputs.known_columns, list(self.outputs.references)
        bins = self.outputs.update(outputs)
        if not self.outputs.is_collecting:
            self._features, self._who = [], []
        for watch in self.compared:
            self._compare(watch, replicas, bins, known, references, outputs)
        self._renew_guards()
        self._guard("residual", outputs, outputs.values[:, _RESIDUAL])

    @property
    def compared(self) -> tuple[ReplicaWatch, ...]:
        """Replicas beside each other, by everything that they are compared by."""
        return self.replicas, self.paces

    def _compare(
        self,
        watch: ReplicaWatch,
        replicas: Sequence[str | None],
        bins: NDArray[np.intp],
        known: NDArray[np.intp],
        references: Sequence[ColumnReference | None],
        rows: Rows,
    ) -> None:
        """Let each replica's residuals, or latencies, speak beside those of the others."""
        columns = [_PLACES[name] for name in watch.quantity.columns]
        places = np.searchsorted(known, columns)
        mine = tuple(references[c] if c < len(references) else None for c in columns)
        if mine[0] is None:
            return
        both = np.zeros((len(bins), len(mine)), np.intp)
        for place, reference in enumerate(mine):
            if reference is not None:
                both[:, place] = bins[:, places[place]]
        watch.update(replicas, both, mine, (int(rows.times_ms[0]), int(rows.offsets[0])))

    def _rows(self, events: Sequence[PredictionEvent], rows: Rows) -> Rows:
        found = [self._row(event) for event in events]
        # What was learnt before residuals were standardised has no column for them.
        values = np.array(found, dtype=np.float64)[:, : len(self.outputs.columns)]
        tame(values)
        missing = np.isnan(values)
        presence = np.zeros(values.shape, np.int8)
        presence[missing] = Presence.ABSENT
        failed = values[:, _ERRORS] == 1.0
        if failed.any():
            for column, has_answered in self._answered.items():
                presence[failed & missing[:, column] & has_answered, column] = Presence.NULL
        return Rows(values, presence, rows.times_ms, rows.offsets)

    def _row(self, event: PredictionEvent) -> tuple[float, float, float, float, float, float, float]:
        """Prediction, decision, residual, latency, errors, contradiction, standardised one; NaN where there is none (yet)."""
        score, label, latency_ms = score_of(event), label_of(event), event.latency_ms
        if score is not None:
            self._answered[_PREDICTION] = True
        code = nan
        if label is not None:
            self._answered[_DECISION] = True
            code = self._decisions.code(label)
        return (
            nan if score is None else score,
            code,
            nan,
            nan if latency_ms is None else log10(max(latency_ms, _LEAST_LATENCY_MS)),
            0.0 if event.error is None else 1.0,
            nan,
            nan,
        )

    def numbers(self, answer: Answer) -> tuple[float, float]:
        """Prediction and decision of an answer, as the columns of outputs have them; NaN where there is none."""
        score, label = score_of(answer), label_of(answer)
        return nan if score is None else score, nan if label is None else self._decisions.code(label)

    @property
    def _decisions(self) -> Column:
        return self.outputs.columns[_DECISION]

    def _keep_errors(self, events: Sequence[PredictionEvent], rows: Rows) -> None:
        for event, offset in zip(events, rows.offsets.tolist(), strict=True):
            if event.error is None:
                continue
            error = abridged(event.error)
            self._recent_errors.append((offset, error))
            if self.outputs.is_collecting and (error in self.errors or len(self.errors) < _MAX_ERRORS):
                self.errors[error] = self.errors.get(error, 0) + 1
        del self._recent_errors[:-RETAINED_ROWS]

    def error_picture(self, current: Rows) -> ErrorPicture:
        """Shares of error classes in health and in the current rows."""
        learnt = self.outputs.references[_ERRORS]
        since = int(current.offsets[0]) if len(current) else 0
        now = Counter(error for offset, error in self._recent_errors if offset >= since)
        return ErrorPicture(
            {name: min(count / learnt.rows, 1.0) for name, count in sorted(self.errors.items())} if learnt else {},
            {name: min(count / len(current), 1.0) for name, count in sorted(now.items())} if len(current) else {},
        )

    # -- the residual ---------------------------------------------------------------------------------------------

    def _with_derived(self, rows: Rows) -> Rows:
        """Before outputs are learnt: what follows from them and from the inputs, as these very rows show it."""
        self._learn_replicas(self.paces, rows.offsets, rows.values[:, [_LATENCY]])
        rows = self._with_residual(rows)
        rows = Rows(rows.values.copy(), rows.presence.copy(), rows.times_ms, rows.offsets)
        _fill_contradictions(rows, learn_cut(rows.values[:, _PREDICTION], rows.values[:, _DECISION]))
        return rows

    def _known_cut(self) -> Cut | None:
        """As the sample of health shows it; looked for when that changes."""
        sample = self.outputs.sample
        if sample is not self._cut_sample:
            self._cut_sample = sample
            self._cut = learn_cut(sample.values[:, _PREDICTION], sample.values[:, _DECISION])
        return self._cut

    def _with_residual(self, rows: Rows) -> Rows:
        """A surrogate of the rows; their residuals are from what the others make expect (`fit_crosswise`)."""
        inputs = self._features_of(rows.offsets)
        if inputs is None or not len(self.inputs.known_columns):
            return rows
        self._freeze_bins()
        self._surrogate, residuals = fit_crosswise(self._own_bins(inputs), rows.values[:, _PREDICTION])
        self._learn_replicas(self.replicas, rows.offsets, residuals)
        rows = Rows(rows.values.copy(), rows.presence.copy(), rows.times_ms, rows.offsets)
        _fill_residuals(rows, residuals)
        return rows

    def _learn_replicas(self, watch: ReplicaWatch, offsets: NDArray[np.int64], values: Floats) -> None:
        if len(self._who) == len(self._features) > 0:
            held = np.concatenate([part.offsets for part in self._features])
            codes = np.concatenate(self._who)[np.searchsorted(held, offsets)]
            watch.learn(codes, values)

    def _features_of(self, offsets: Any) -> Floats | None:
        """Inputs of the rows with these offsets: (rows, columns); None where some are not there any more."""
        width = len(self.inputs.columns)
        parts = [*self._features] or [self.inputs.recent()]
        held = Rows.concat([widen(part, width) for part in parts], width)
        places = np.searchsorted(held.offsets, offsets)
        if not len(held) or places.max(initial=0) >= len(held) or (held.offsets[places] != offsets).any():
            return None
        found: Floats = held.values[places]
        return found

    def _freeze_bins(self) -> None:
        """The surrogate goes on with today's bins, even when an input is learnt anew: the model has not changed with it."""
        references = self.inputs.references
        self._binned = [(place, reference) for place, reference in enumerate(references) if reference is not None]
        self._compared = None
        self._make_binning()

    def _make_binning(self) -> None:
        columns = [self.inputs.columns[place] for place, _ in self._binned]
        self._binning = Binning(columns, [reference for _, reference in self._binned])

    def _fill_residual(self, rows: Rows, surrogate: Surrogate, inputs: BinnedRows) -> None:
        bins = inputs.bins if self._is_shared(inputs.binning) else self._own_bins(inputs.rows.values)
        both = surrogate.left(rows.values[:, _PREDICTION], bins, rows.times_ms)
        # What health hardly has the like of may be answered as it always would have been: there is nothing to expect.
        both[~surrogate.knows(bins)] = nan
        if inputs.is_odd is not None:
            both[inputs.is_odd] = nan
        _fill_residuals(rows, both)

    def _own_bins(self, inputs: Floats) -> NDArray[np.intp]:
        assert self._binning is not None  # made with the surrogate
        return self._binning.bins(inputs[:, [place for place, _ in self._binned]])

    def _is_shared(self, binning: Binning) -> bool:
        """Whether the inputs are binned now as they were when the surrogate was fitted."""
        if binning is not self._compared:
            self._compared = binning
            known = binning.references
            own = [reference for _, reference in self._binned]
            self._compared_equal = len(known) == len(own) and all(a is b for a, b in zip(known, own, strict=True))
        return self._compared_equal

    def stand_in(self) -> Trees | None:
        """What the surrogate makes expect of any rows; None before one is fitted."""
        residual = self.outputs.references[_RESIDUAL]
        if self._surrogate is None or residual is None or not residual.n:
            return None
        columns = tuple(self.inputs.columns[place] for place, _ in self._binned)
        references = tuple(reference for _, reference in self._binned)
        return Trees(columns, references, self._surrogate, residual.quantiles)

    @property
    def answer_times(self) -> Mapping[str, float]:
        """How many scores in a row tell as much as one, by group of bets (`autocorrelation`)."""
        reference = self.outputs.references[_PREDICTION]
        return {} if reference is None else reference.times

    # -- the loss -----------------------------------------------------------------------------------------------

    def update_losses(self, rows: Rows) -> None:
        """Take a chunk of losses: one column, one row per joined event."""
        self.losses.update(rows, at_ms=middle_ms(rows))
        self._renew_guards()
        self._guard("loss", rows, rows.values[:, 0])
        self.loss_means.add(middle_ms(rows), float(rows.values[:, 0].sum()), len(rows))

    def _learn_bias(self, rows: Floats, actual: Column) -> None:
        self.bias.learn(rows, self.inputs.columns, actual)

    def answered(self, since: Callable[[Rows], Rows] = lambda rows: rows) -> Answered:
        """The latest answers with their inputs, labelled or not; `since` picks the rows that count."""
        said, given = since(self.outputs.recent()), self.inputs.recent()
        said = said.take(np.isfinite(said.values[:, [_PREDICTION, _DECISION]]).any(axis=1))
        mine, its = np.intersect1d(said.offsets, given.offsets, return_indices=True)[1:]
        inputs = as_carried(given.values[its][:, :MAX_INPUTS])
        return Answered(
            said.values[mine, _PREDICTION], said.values[mine, _DECISION], inputs, self.outputs.columns[_DECISION].codes
        )

    # -- guards -------------------------------------------------------------------------------------------------

    def _guardable(self) -> dict[str, ColumnReference | None]:
        """The series that have a guard each, with their references."""
        return {"residual": self.outputs.references[_RESIDUAL], "loss": self.losses.references[0]}

    def _renew_guards(self) -> None:
        for name, reference in self._guardable().items():
            if reference is None or self._guarded.get(name) is reference or reference.distinct < 2:
                continue
            time = reference.times.get("centre", 1.0)
            margin = _GUARD_MARGIN + _GUARD_Z * _RANK_SD / max(reference.n / time, 1) ** 0.5
            self.guards[name] = MeanGuard(_mean_rank(reference), margin, upward=name == "loss", time=time)
            self._guarded[name] = reference
            self.guard_onsets.pop(name, None)

    def _guard(self, name: str, rows: Rows, values: Floats) -> None:
        guard = self.guards.get(name)
        if guard is None:
            return
        usable = ~np.isnan(values)
        for rank in rank_of(self._guarded[name], values[usable]).tolist():
            guard.update(rank)
        if not guard.is_alarmed:
            self.guard_onsets.pop(name, None)
        elif name not in self.guard_onsets:
            self.guard_onsets[name] = self._guard_onset(name, rows, guard.width)

    def _guard_onset(self, name: str, rows: Rows, width: int) -> tuple[int, int]:
        """Where the window that the guard kept begins, as far as rows are retained; or where the bets on it began to gain."""
        monitor = self.outputs if name == "residual" else self.losses
        recent = monitor.recent()
        recent = recent if len(recent) else rows
        first = max(len(recent) - max(width, 1), 0)
        kept = int(recent.times_ms[first]), int(recent.offsets[first])
        # The window begins anew at each cut, so it is late by what the cut took.
        gained = monitor.onset(f"{name}.{Aspect.DISTRIBUTION}")
        return kept if gained is None else min(kept, gained)

    def guard_evidence(self) -> tuple[SignalEvidence, ...]:
        """The alarmed guards. They have no e-value: what they say counts as just enough."""
        level = self.outputs.log10_threshold
        return (
            tuple(
                SignalEvidence(f"{name}.mean", name, "mean", level, level, onset_ms, is_alarmed=True)
                for name, (onset_ms, _) in sorted(self.guard_onsets.items())
            )
            + self.bias.evidence()
        )

    # -- learning again -------------------------------------------------------------------------------------------

    def relearn(self, columns: Sequence[str], since_offset: int | None) -> None:
        """Learn these outputs anew, from retained rows since an offset where given, else from the rows to come."""
        names = set(columns)
        if names & {"prediction", *RESIDUALS}:
            names |= {"prediction", *RESIDUALS}
        if names & {"prediction", "decision"}:
            names.add("contradiction")
        if names & {*RESIDUALS}:
            self.replicas = self.replicas.anew()
        if "latency" in names:
            self.paces = self.paces.anew()
        if not self.outputs.is_collecting:
            self._features, self._who = [self.inputs.recent()] if since_offset is not None else [], []
        self.outputs.relearn(names, since_offset)
        self.losses.relearn(names, since_offset)
        for name in names:
            self.guards.pop(name, None)
            self._guarded.pop(name, None)
            self.guard_onsets.pop(name, None)
        self._renew_guards()
        if names & {"loss", "prediction", "decision"}:
            self.estimator.forget()
            self.bias.install(None)

    # -- state ----------------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        width = len(self.inputs.columns)
        return {
            "version": self.version,
            "outputs": self.outputs.snapshot(),
            "losses": self.losses.snapshot(),
            "performance": self.performance.snapshot(),
            "loss_means": self.loss_means.snapshot(),
            "estimator": self.estimator.snapshot(),
            "counts": [self.last_ms, self.events],
            "guards": {name: guard.snapshot() for name, guard in self.guards.items()},
            "guard_onsets": {name: list(onset) for name, onset in self.guard_onsets.items()},
            "errors": self.errors,
            "recent_errors": [list(error) for error in self._recent_errors],
            "features": Rows.concat([widen(part, width) for part in self._features], width).snapshot(),
            "who": np.concatenate([np.empty(0, np.int64), *self._who]),
            "replicas": self.replicas.snapshot(),
            "paces": self.paces.snapshot(),
            "bias": self.bias.snapshot(),
            "answered": [self._answered[_PREDICTION], self._answered[_DECISION]],
        }

    def snapshot_references(self) -> dict[str, Any]:
        """What changes only when something is learnt. Bins that are those of the inputs are not written a second time."""
        known = self.inputs.references
        return {
            "outputs": self.outputs.snapshot_references(),
            "losses": self.losses.snapshot_references(),
            "estimate": self.estimator.snapshot_references(),
            "bias": self.bias.snapshot_references(),
            "surrogate": None if self._surrogate is None else self._surrogate.snapshot(),
            "binned": [
                [place, None if known[place] is reference else reference.snapshot()]
                for place, reference in self._binned
            ],
        }

    @classmethod
    def restore(
        cls, settings: Settings, inputs: Monitor, state: Mapping[str, Any], references: Mapping[str, Any]
    ) -> "VersionWatch":
        version = cls(settings, state["version"], inputs)
        kept, learnt = state["outputs"], references["outputs"]
        version.outputs = Monitor.restore(
            settings, (), kept, learnt, version._with_derived, ASPECTS, inputs, families=FAMILIES
        )
        kept, learnt = state["losses"], references["losses"]
        version.losses = Monitor.restore(settings, (), kept, learnt, aspects=ASPECTS, follows=inputs)
        version.performance = Performance.restore(state["performance"])
        version.loss_means = Means.restore(state["loss_means"])
        estimator, learnt = state["estimator"], references["estimate"]
        also = version._learn_bias
        version.estimator = Estimator.restore(settings, inputs, version.outputs, estimator, learnt, also)
        version.bias = BiasWatch.restore(settings.margin, state.get("bias"), references.get("bias"))
        version.last_ms, version.events = state["counts"]
        version.errors = dict(state["errors"])
        version._recent_errors = [(offset, error) for offset, error in state["recent_errors"]]
        version._surrogate = None if references["surrogate"] is None else Surrogate.restore(references["surrogate"])
        version._restore_bins(references["binned"])
        features = Rows.restore(state["features"])
        version._features = [features] if len(features) else []
        who = state.get("who", ())  # states from before replicas were compared have none
        version._who = [who] if len(who) == len(features) > 0 else []
        version.replicas = ReplicaWatch.restore(settings.margin, state.get("replicas"))
        version.paces = ReplicaWatch.restore(settings.margin, state.get("paces"), LATENCY)
        version._answered = dict(zip((_PREDICTION, _DECISION), state["answered"], strict=True))
        version._restore_guards(state)
        return version

    def _restore_bins(self, binned: Sequence[Sequence[Any]]) -> None:
        for place, reference in binned:
            own = self.inputs.references[place] if reference is None else ColumnReference.restore(reference)
            assert own is not None  # it was written as "that of the inputs"
            self._binned.append((place, own))
        if self._surrogate is not None:
            self._make_binning()

    def _restore_guards(self, state: Mapping[str, Any]) -> None:
        self.guards = {name: MeanGuard.restore(guard) for name, guard in state["guards"].items()}
        self.guard_onsets = {name: (at_ms, offset) for name, (at_ms, offset) in state["guard_onsets"].items()}
        for name, reference in self._guardable().items():
            if name in self.guards and reference is not None:
                self._guarded[name] = reference

    def thin_learning(self) -> None:
        """See `Monitor.thin_learning`."""
        self.outputs.thin_learning()
        self.losses.thin_learning()
        self.estimator.thin_learning()
        del self._features[1::2], self._who[1::2]

    def profile(self, *, keep_sample: bool) -> tuple[MonitorProfile, MonitorProfile, Surrogate | None]:
        """What was learnt of outputs, of losses, and the surrogate."""
        parts = (self.outputs.profile(keep_sample=keep_sample), self.losses.profile(keep_sample=keep_sample))
        return (*parts, self._surrogate)


def middle_ms(rows: Rows) -> int:
    """Time of a chunk whose rows come in another order than they were made."""
    return int(np.median(rows.times_ms))


def _fill_residuals(rows: Rows, both: Floats) -> None:
    """Plain and standardised ones: (rows, 2). What was learnt before there were standardised ones has no column for them."""
    is_there = ~np.isnan(both) | (rows.presence[:, [_PREDICTION]] != Presence.PRESENT)
    places = [place for place in (_RESIDUAL, _STANDARDISED) if place < rows.values.shape[1]]
    for place, found, presence in zip(places, both.T, is_there.T, strict=False):
        rows.values[:, place] = found
        rows.presence[:, place] = np.where(presence, rows.presence[:, _PREDICTION], Presence.ABSENT)


def _fill_contradictions(rows: Rows, cut: Cut | None) -> None:
    """Which rows are decided otherwise than their scores were in health."""
    scores, decisions = rows.values[:, _PREDICTION], rows.values[:, _DECISION]
    found = np.full(len(rows), nan) if cut is None else cut.contradictions(scores, decisions)
    rows.values[:, _CONTRADICTION] = found
    rows.presence[:, _CONTRADICTION] = np.where(np.isnan(found), Presence.ABSENT, Presence.PRESENT)


def _output_columns() -> list[Column]:
    kinds = {"prediction": Kind.NUMERIC, "decision": Kind.CATEGORICAL, "residual": Kind.NUMERIC}
    kinds |= {"latency": Kind.NUMERIC, "errors": Kind.NUMERIC, "contradiction": Kind.NUMERIC}
    kinds |= {"standardised_residual": Kind.NUMERIC}
    return [Column(name, kind) for name, kind in kinds.items()]


def score_of(event: PredictionEvent | Answer) -> float | None:
    """The number a prediction comes down to: score, value, or from probabilities that of the class last in the alphabet where
    there are two, and the greatest where there are more."""
    if event.score is not None:
        return float(event.score)
    if event.value is not None:
        return float(event.value)
    if not event.probabilities:
        return None
    if len(event.probabilities) == 2:
        return float(event.probabilities[max(event.probabilities)])
    return float(max(event.probabilities.values()))


def label_of(event: PredictionEvent | Answer) -> str | None:
    """The decision: the label, or the likeliest class."""
    if event.label is not None or not event.probabilities:
        return event.label
    return max(event.probabilities, key=lambda name: (event.probabilities[name], name))  # type: ignore[index]


def answer_of(event: PredictionEvent) -> Answer:
    """What the join keeps of a prediction; classes are spelled as columns spell them."""
    label, probabilities = event.label, event.probabilities
    if label is not None:
        label = abridged(label)
    if probabilities is not None and max(map(len, probabilities)) > MAX_CATEGORY:
        probabilities = {abridged(name): p for name, p in probabilities.items()}
    return Answer(event.model_version, label, event.score, event.value, probabilities)


def rank_of(reference: ColumnReference, values: Floats) -> Floats:
    """Rank of values in the reference, in [0, 1]; those that tie with many get the middle of their ranks."""
    low = np.searchsorted(reference.quantiles, values, "left")
    high = np.searchsorted(reference.quantiles, values, "right")
    smooth = np.interp(values, reference.quantiles, _RANKS)
    found: Floats = np.where(high - low > 1, (low + high) / 2 / QUANTILES, smooth)
    return np.clip(found, 0.0, 1.0)


def _mean_rank(reference: ColumnReference) -> float:
    return float(rank_of(reference, reference.quantiles).mean())
