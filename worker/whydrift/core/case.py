"""What diagnosis looks at: one model at the moment its alarms are judged.

Belongs here: the frozen picture, made by `model.py` and read by `faults/`. Not here: any judgement.

Rows are retained ones, bounded in number. `reference` rows come from health; `current` rows begin at the onset of the
change and end with the chunk that completed the evidence. Within a view, row i of every column is the same event.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from whydrift.core.columns import Column, Floats, Presence, Presences
from whydrift.core.detectors.bets import Bets
from whydrift.core.evidence import mixture_log10
from whydrift.core.longest_step import LongestStep
from whydrift.core.reference import BINS, NO_BIN, ColumnReference
from whydrift.core.signals import CONDITIONAL, Aspect
from whydrift.core.stand_in import Trees
from whydrift_schemas import ModelDescription


@dataclass(frozen=True, slots=True)
class SignalEvidence:
    """Evidence on one signal. `aspect` is the part of its name after the column: distribution, missing, repeated ….

    `reference` and `current` are shares for yes-or-no aspects; for distributions the view has everything.
    `is_alarmed`: it crossed its threshold and has not recovered. `onset_row`: running row number in its monitor.
    """

    signal: str
    column: str
    aspect: str
    log10_e: float
    log10_threshold: float
    onset_ms: int
    is_alarmed: bool
    reference_share: float | None = None
    current_share: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Opening:
    """The first rows of all that were judged by a reference from training data: (rows,) each."""

    values: Floats
    presence: Presences
    times_ms: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ColumnView:
    """One column: how it was, how it is. Values are floats (codes for categories), NaN where there is none.

    reference_values: (reference rows,), empty where the reference keeps no sample; current_values: (current rows,).
    position: place among the model's inputs, −1 for outputs.
    """

    column: Column
    reference: ColumnReference
    position: int
    reference_values: Floats
    reference_presence: Presences
    current_values: Floats
    current_presence: Presences
    bets: Bets
    signals: Mapping[str, SignalEvidence]
    """By aspect."""
    given_bets: Mapping[str, Bets] = field(default_factory=dict)
    """On what is left of it given something, by aspect."""
    current_times: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """(current rows,), or none where nobody needs them."""
    opening: Opening | None = None
    """None where the column's reference was learnt from the stream, at first or since."""
    step: LongestStep | None = None
    """The longest since it is alarmed, or among the rows retained then; None where it is not slow, or has no alarm."""

    @property
    def name(self) -> str:
        return self.column.name

    @cached_property
    def current(self) -> Floats:
        """Usable current values only."""
        usable: Floats = self.current_values[self.current_presence == Presence.PRESENT]
        return usable

    @cached_property
    def healthy(self) -> Floats:
        """Usable values of health: the sample where there is one, else the stored quantiles; never codes from quantiles."""
        sample: Floats = self.reference_values[self.reference_presence == Presence.PRESENT]
        if len(sample) or self.reference.kind.is_coded:
            return sample
        return self.reference.quantiles

    def alarms(self, *aspects: str) -> list[SignalEvidence]:
        """Those of these aspects (of all, where none is named) that have crossed their thresholds.

        The distribution given something is the distribution, too.
        """
        wanted = {*aspects, *(CONDITIONAL if Aspect.DISTRIBUTION in aspects else ())}
        return [s for a, s in self.signals.items() if s.is_alarmed and (not aspects or a in wanted)]

    def is_alarmed(self, *aspects: str) -> bool:
        """Whether any of these aspects (any at all, where none is named) has crossed its threshold."""
        return bool(self.alarms(*aspects))

    def left(self, aspect: str, values: Floats) -> Floats:
        """What is left of values that stand in the places of `current`, given something; without those of which nothing is."""
        times_ms = self.current_times[self.current_presence == Presence.PRESENT]
        left = self.reference.given[aspect].left(values, times_ms)
        return left[~np.isnan(left)]

    def share(self, presence: Presence) -> float:
        """Share of the current rows with this presence."""
        return float((self.current_presence == presence).mean()) if len(self.current_presence) else 0.0

    def categories(self) -> dict[str, float]:
        """Current share of each category, most frequent first."""
        codes, counts = np.unique(self.current, return_counts=True)
        shares: dict[str, float] = {}
        for i in np.lexsort((codes, -counts)):
            # All codes beyond the vocabulary have one name.
            name = self.column.category(float(codes[i]))
            shares[name] = shares.get(name, 0.0) + float(counts[i] / counts.sum())
        return dict(sorted(shares.items(), key=lambda pair: -pair[1]))

    def log10_evidence(self, values: Floats) -> float:
        """Evidence that these values differ from the reference, by themselves. Around or below 0: they do not.

        The undo test: transform `current` by a fault's inverse and ask again.
        """
        bins = self.reference.bins(self.column, values)
        counts = np.bincount(bins[bins != NO_BIN], minlength=BINS)[:BINS]
        found = [mixture_log10(self.bets, counts.astype(float))]
        # Rows that were picked stand beside no times.
        for aspect, bets in self.given_bets.items() if len(values) == len(self.current) else ():
            one = self.reference.given[aspect]
            left = np.zeros(BINS)
            left[: len(one.masses)] = one.counts(self.left(aspect, values))
            found.append(mixture_log10(bets, left))
        return max(found)


@dataclass(frozen=True, slots=True)
class SchemaPicture:
    """What the current rows' keys and types are that the reference does not have.

    unknown: keys, name → (share of rows, retained values as they came). foreign: values of a type that their column does not
    have, name → some of them as they came; optional, for words only.
    """

    unknown: Mapping[str, tuple[float, tuple[object, ...]]] = field(default_factory=dict)
    foreign: Mapping[str, tuple[object, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RatePicture:
    """Arrivals of something against what was expected, as counts an hour of stream time. None = not known yet."""

    expected_per_hour: float | None
    observed_per_hour: float | None
    evidence: SignalEvidence | None


@dataclass(frozen=True, slots=True)
class ErrorPicture:
    """Error classes of the current rows, by share of all rows; in health likewise."""

    reference: Mapping[str, float]
    current: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class ModelChange:
    """Two model events that follow each other; `before` is None for the first one. `at_ms` is the later one's time.

    is_announced: the version changed with the model.
    """

    before: ModelDescription | None
    after: ModelDescription
    at_ms: int
    is_announced: bool


@dataclass(frozen=True, slots=True)
class PerformancePicture:
    """One metric before and now, with where it was measured. `metric` is mae, log_loss, error_rate …: higher is worse."""

    metric: str
    reference: float
    current: float


@dataclass(frozen=True, slots=True)
class EstimatePicture:
    """The loss of the current rows as estimated without their labels: `metric` and `reference` as in `PerformancePicture`.

    low, high: interval of 95 % for what labels will show. It holds as long as the world's answers to such inputs and scores have
    not changed, which only labels can tell.
    """

    metric: str
    reference: float
    current: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, eq=False)
class Dimension:
    """What divides rows into groups: replica, version, label source, a segment key.

    codes: (rows,), NaN where a row has none; names: the group behind each code.
    """

    codes: Floats
    names: tuple[str, ...]

    def groups(self) -> dict[str, NDArray[np.bool_]]:
        """Which rows are in each group that has any: name → (rows,), in order of codes."""
        known = np.unique(self.codes[~np.isnan(self.codes)]).tolist()
        return {self.names[int(code)]: self.codes == code for code in known if code < len(self.names)}


@dataclass(frozen=True, slots=True, eq=False)
class AlignedRows:
    """Rows in which everything that is known of an event stands side by side: each array is (rows,), NaN where nothing is.

    inputs: by feature. outputs: `prediction`, `decision` (codes), `residual`, `latency`, `errors`; of labelled rows `prediction`,
    `decision`, `actual` (codes, of the columns `decision` and `actual`) and `loss`. dimensions: `replica`, `version`,
    `segment.<key>`, and `source` of labelled rows.
    """

    times_ms: NDArray[np.int64]
    inputs: Mapping[str, Floats]
    outputs: Mapping[str, Floats]
    dimensions: Mapping[str, Dimension]

    def __len__(self) -> int:
        return len(self.times_ms)

    def only(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> "AlignedRows":
        """Those of the rows that the mask, (rows,), has, or those at these places."""
        return AlignedRows(
            self.times_ms[rows],
            {name: values[rows] for name, values in self.inputs.items()},
            {name: values[rows] for name, values in self.outputs.items()},
            {name: replace(one, codes=one.codes[rows]) for name, one in self.dimensions.items()},
        )


@dataclass(frozen=True, slots=True, eq=False)
class Aligned:
    """Aligned rows of health (few or none where no sample is kept) and current ones."""

    reference: AlignedRows
    current: AlignedRows


RESIDUALS = ("residual", "standardised_residual")
ANSWERS = ("prediction", "decision", *RESIDUALS)
"""Outputs that say what a model answers, and how that goes with what it was asked."""
OUTCOMES = ("loss", "actual")
FOLLOWERS = frozenset((*ANSWERS, *OUTCOMES))
"""Columns whose alarms can follow from another fault."""
_NOTHING = AlignedRows(np.empty(0, np.int64), {}, {}, {})
NOT_ALIGNED = Aligned(_NOTHING, _NOTHING)


@dataclass(frozen=True, eq=False)
class Case:
    """Everything there is to judge by.

    features: inputs in the model's order. outputs: `prediction` (score or value, numeric), `decision` (label),
    `residual` (prediction minus what the inputs make expect), `standardised_residual` (the same over its size that is usual for
    such inputs), `latency` (log10 of milliseconds), `errors` (1 = failed),
    `contradiction` (1 = decided otherwise than such a score was in health), for the version that most current rows have; a
    missing key means that the model has no such output.
    labels: `actual`, `label_delay` (log10 of seconds), `loss`; each present once learnt.
    world: yes-or-no signals of the stream itself: `duplicates`, `schema`, `backwards` (event time runs backwards).
    segments: the mix of segments, a column `segment.<key>` each. dependence: what is left of each quantity given the other
    inputs, a column `dependence.<input>` each. answered: events with their inputs, answers and dimensions.
    labelled: predictions whose labels have come, with the inputs they were made from (the first 24).
    reference_kind: "profile" (training data) or "baseline" (the stream's own first events).
    """

    model_id: str
    model_version: str
    onset_ms: int
    detected_ms: int
    current_rows: int
    reference_kind: str
    features: Mapping[str, ColumnView]
    outputs: Mapping[str, ColumnView]
    labels: Mapping[str, ColumnView]
    world: Mapping[str, SignalEvidence]
    schema: SchemaPicture
    arrivals: RatePicture
    label_arrivals: RatePicture
    errors: ErrorPicture
    model_changes: tuple[ModelChange, ...]
    performance: PerformancePicture | None
    estimate: EstimatePicture | None = None
    """None where nothing is estimated, and where labels have refuted the estimates."""
    segments: Mapping[str, ColumnView] = field(default_factory=dict)
    dependence: Mapping[str, ColumnView] = field(default_factory=dict)
    answered: Aligned = NOT_ALIGNED
    labelled: Aligned = NOT_ALIGNED
    stand_in: Trees | None = None
    """What health's answers make expect of any inputs; None where there is no surrogate."""
    guards: tuple[SignalEvidence, ...] = ()
    """Alarms of guards that need no reference (ADWIN on loss and residual), and of signed errors."""
    leaning: str = ""
    """While what comes true lies to one side of the answers (`loss.bias` among the guards): where, and to which."""
    earlier: Mapping[str, Floats] = field(default_factory=dict)
    """Usable values of retained rows from before the onset, of each column of `features` and `dependence`: whether a change came
    by a step shows in what was just before it."""
    replicas: tuple[SignalEvidence, ...] = ()
    """Alarms of replicas whose answers, given the inputs, are not those of the others: `replica.<name>.residual`."""
    paces: tuple[SignalEvidence, ...] = ()
    """Alarms of replicas whose calls take another time than those of the others: `replica.<name>.latency`."""

    @cached_property
    def evidence(self) -> tuple[SignalEvidence, ...]:
        """Every signal, most evidence first; ties by name."""
        found = [
            s
            for views in (self.features, self.segments, self.dependence, self.outputs, self.labels)
            for v in views.values()
            for s in v.signals.values()
        ]
        found += [*self.world.values(), *self.guards, *self.replicas, *self.paces]
        found += [rate.evidence for rate in (self.arrivals, self.label_arrivals) if rate.evidence is not None]
        return tuple(sorted(found, key=lambda s: (-s.log10_e, s.signal)))

    @cached_property
    def alarmed(self) -> tuple[SignalEvidence, ...]:
        """The signals that crossed their thresholds, most evidence first."""
        return tuple(s for s in self.evidence if s.is_alarmed)

    def alarmed_features(self, *aspects: str) -> list[ColumnView]:
        """Inputs with an alarm on one of these aspects (on any, where none is named), in the model's order."""
        return [view for view in self.features.values() if view.is_alarmed(*aspects)]

    @cached_property
    def onset_dates(self) -> dict[str, int]:
        """Onset of each alarmed signal in epoch milliseconds."""
        return {s.signal: s.onset_ms for s in self.alarmed}


def correlations(columns: list[Floats]) -> Floats:
    """Rank correlations between aligned columns (rows where both are there): (columns, columns); NaN where undefined."""
    size = len(columns)
    result = np.full((size, size), np.nan)
    ranked = {i: _ranks(column) for i, column in enumerate(columns) if not np.isnan(column).any()}
    for i in range(size):
        for j in range(i, size):
            is_whole = i in ranked and j in ranked
            found = _product(ranked[i], ranked[j]) if is_whole else correlation(columns[i], columns[j])
            result[i, j] = result[j, i] = found
    return result


def correlation(a: Floats, b: Floats) -> float:
    """The same of two."""
    both = ~(np.isnan(a) | np.isnan(b))
    return _product(_ranks(a[both]), _ranks(b[both]))


def _ranks(values: Floats) -> Floats:
    """Twice the middle ranks, around 0."""
    in_order = np.sort(values)
    ranks = np.searchsorted(in_order, values, "left") + np.searchsorted(in_order, values, "right")
    found: Floats = ranks - ranks.mean() if len(ranks) else ranks.astype(float)
    return found


def _product(x: Floats, y: Floats) -> float:
    """Correlation of what lies around 0."""
    if len(x) < 8:
        return float("nan")
    scale = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / scale if scale > 0 else float("nan")
