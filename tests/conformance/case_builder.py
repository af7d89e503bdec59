"""Builds a `Case` straight from rows of the example world, so that rules can be tested without the pipeline.

Belongs here: the shortest way from rows to references, real bets, real evidence and a case. Not here: learning in stages,
recovery, incidents: those are the pipeline's.

Rows are the world's: predictions with their label under "label"; rows of kind "model" give the case its model changes.
"""

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from functools import cache
from itertools import islice
from math import log, log10
from typing import Any

import numpy as np
import world

from whydrift.core.case import (
    ANSWERS,
    RESIDUALS,
    Aligned,
    AlignedRows,
    Case,
    ColumnView,
    Dimension,
    ErrorPicture,
    ModelChange,
    Opening,
    PerformancePicture,
    RatePicture,
    SchemaPicture,
    SignalEvidence,
)
from whydrift.core.columns import ABSENT, Column, Floats, Kind, Presence, Presences, encode_column, infer_kind
from whydrift.core.detectors.bets import Bets, Tolerance
from whydrift.core.detectors.rate import RateGuard
from whydrift.core.evidence import EvidenceProcess
from whydrift.core.faults.rule import Example, Row
from whydrift.core.monitor import OPENING_ROWS
from whydrift.core.reference import NO_BIN, REPEAT_WINDOW, Binning, ColumnReference, learn_column, repeats
from whydrift.core.signals import Aspect, distribution_bets, flag_aspects, flag_bets, flag_share
from whydrift.core.stand_in import Trees
from whydrift.core.surrogate import Surrogate, fit_crosswise
from whydrift_schemas import ModelDescription

CHUNK = 20
LOG10_THRESHOLD = 7.0
REFERENCE_ROWS = 2_000
RETAINED_ROWS = 600
SAMPLE_ROWS = 500
_SIGNALS = 100
SEGMENT = "segment.market"
_MARGIN = 0.2


class Builder:
    """References learnt from `reference_rows`; `build` judges other rows by them.

    kind: "baseline" or "profile", as the case will say; of a profile the case has the first rows that it judged.
    """

    def __init__(self, reference_rows: Sequence[Row], kind: str = "baseline") -> None:
        self.kind = kind
        self._rows = [row for row in reference_rows if row.get("kind") == "prediction"]
        self._names = list(dict.fromkeys(name for row in self._rows for name in row["features"]))
        self._columns = {name: _column(name, [_feature(r, name) for r in self._rows]) for name in self._names}
        self._surrogate: Surrogate | None = None
        self._made_bets: dict[str, Bets] = {}
        features = {name: self._learn(name, [_feature(r, name) for r in self._rows]) for name in self._names}
        numeric = Binning([self._columns[n] for n in self._names], [features[n] for n in self._names])
        self._binning = numeric
        self._fit_surrogate()
        self.references = features | {
            name: self._learn(name, self._values(name, self._learnt_rows(name))) for name in self._derived()
        }

        self._usual_flags = {name: float(flag(self._rows, self).mean()) for name, flag in _WORLD.items()}

    def _learnt_rows(self, name: str) -> list[Row]:
        # The half that the surrogate was fitted on would make the residual look smaller than it is.
        return self._rows[len(self._rows) // 2 :] if name in RESIDUALS else self._rows

    def _derived(self) -> list[str]:
        found = [*ANSWERS, "latency", "errors", "actual", "label_delay", "loss", SEGMENT]
        for name in found:
            values = [v for v in self._values(name, self._rows) if v is not ABSENT and v is not None]
            if values:
                self._columns[name] = _column(name, values)
        return [name for name in found if name in self._columns]

    def _learn(self, name: str, values: list[Any]) -> ColumnReference:
        return learn_column(self._columns[name], *encode_column(self._columns[name], values))

    def _fit_surrogate(self) -> None:
        half = self._rows[: len(self._rows) // 2]
        self._surrogate = fit_crosswise(self._bins(half), np.array([_score(r) for r in half], float))[0]

    def _bins(self, rows: Sequence[Row]) -> Any:
        values = [encode_column(self._columns[n], [_feature(r, n) for r in rows])[0] for n in self._names]
        return self._binning.bins(np.stack(values, axis=1))

    def _values(self, name: str, rows: Sequence[Row]) -> list[Any]:
        if name in self._names:
            return [_feature(row, name) for row in rows]
        if name not in RESIDUALS:
            return [_DERIVED[name](row) for row in rows]
        if self._surrogate is None or not rows:
            return []
        bins = self._bins(rows)
        left = self._surrogate.left(np.array([_score(row) for row in rows], float), bins, np.arange(len(rows)))
        left[~self._surrogate.knows(bins)] = np.nan
        return [ABSENT if np.isnan(one) else one for one in left[:, RESIDUALS.index(name)].tolist()]

    # -- a case ------------------------------------------------------------------------------------------------

    def build(self, current_rows: Sequence[Row], before: Sequence[Row] = (), labels_by_ms: int | None = None) -> Case:
        """The case as it stands after `current_rows`, which begin at the (estimated) onset.

        before: rows between the reference and the onset, which evidence has seen too.
        labels_by_ms: labels that arrive later are not known yet; by default the last row's time.
        """
        # Each case has a vocabulary of its own, or new categories of one would be known to the next.
        own = copy(self)
        own._columns = {name: replace(column, codes=dict(column.codes)) for name, column in self._columns.items()}
        return own._build([*before, *current_rows], current_rows, labels_by_ms)

    def _build(self, rows: Sequence[Row], current_rows: Sequence[Row], labels_by_ms: int | None) -> Case:
        predictions = [row for row in current_rows if row.get("kind") == "prediction"][-RETAINED_ROWS:]
        room = RETAINED_ROWS - len(predictions)
        earlier = [row for row in rows[: len(rows) - len(current_rows)] if row.get("kind") == "prediction"]
        earlier = earlier[max(len(earlier) - room, 0) :]
        now_ms = max(int(row["timestamp"]) for row in rows) if labels_by_ms is None else labels_by_ms
        signals = self._evidence(rows, now_ms)
        views = {name: self._view(name, predictions, now_ms, signals.get(name, {})) for name in self.references}
        if self.kind == "profile":
            first = [row for row in rows if row.get("kind") == "prediction"][:OPENING_ROWS]
            views = {name: replace(view, opening=self._opening(name, first)) for name, view in views.items()}
        model_changes = _model_changes(rows)
        world_signals = {name: signals[name][""] for name in _WORLD} | _parameters(model_changes)
        alarmed = [s for by in signals.values() for s in by.values() if s.is_alarmed]
        alarmed += [s for s in world_signals.values() if s.is_alarmed]
        return Case(
            model_id=predictions[-1]["model_id"],
            model_version=predictions[-1]["model_version"],
            onset_ms=min((s.onset_ms for s in alarmed), default=int(current_rows[0]["timestamp"])),
            detected_ms=now_ms,
            current_rows=len(predictions),
            reference_kind=self.kind,
            features={name: views[name] for name in self._names},
            outputs={n: views[n] for n in (*ANSWERS, "latency", "errors") if n in views},
            labels={n: views[n] for n in ("actual", "label_delay", "loss") if n in views},
            segments={SEGMENT: views[SEGMENT]},
            world=world_signals,
            schema=self._schema(predictions),
            arrivals=self._arrivals(rows, "arrivals", now_ms),
            label_arrivals=self._arrivals(rows, "label_arrivals", now_ms),
            errors=ErrorPicture(_error_shares(self._rows), _error_shares(predictions)),
            model_changes=model_changes,
            performance=self._performance(predictions, now_ms),
            answered=Aligned(self._healthy_answered(), self._answered(predictions)),
            labelled=Aligned(self._labelled(self._rows, SAMPLE_ROWS), self._labelled(_known(predictions, now_ms))),
            stand_in=self._stand_in(),
            earlier={name: self._present(name, earlier) for name in self._names},
        )

    def _present(self, name: str, rows: Sequence[Row]) -> Floats:
        values, presence = encode_column(self._columns[name], self._values(name, rows))
        return values[presence == Presence.PRESENT]

    def _stand_in(self) -> Trees | None:
        if self._surrogate is None or "residual" not in self.references:
            return None
        columns = tuple(self._columns[name] for name in self._names)
        references = tuple(self.references[name] for name in self._names)
        return Trees(columns, references, self._surrogate, self.references["residual"].quantiles)

    def _healthy_answered(self) -> AlignedRows:
        """A sample of health; without residuals of rows that the surrogate was fitted on."""
        found = self._answered(self._rows, SAMPLE_ROWS)
        outputs = dict(found.outputs)
        for name in outputs.keys() & {*RESIDUALS}:
            outputs[name] = np.where(np.arange(len(found)) < len(found) // 2, np.nan, outputs[name])
        return replace(found, outputs=outputs)

    def _answered(self, rows: Sequence[Row], most: int = RETAINED_ROWS) -> AlignedRows:
        """Rows with inputs, answers and who answered, as the pipeline keeps them side by side."""
        rows = rows[:: max(len(rows) // most, 1)][:most]
        given = [name for name in (*ANSWERS, "latency", "errors") if name in self._columns]
        columns = {n: encode_column(self._columns[n], self._values(n, rows))[0] for n in (*self._names, *given)}
        return AlignedRows(
            times_ms=np.array([row["timestamp"] for row in rows], np.int64),
            inputs={name: columns[name] for name in self._names},
            outputs={name: columns[name] for name in given},
            dimensions=self._who(rows),
        )

    def _who(self, rows: Sequence[Row]) -> dict[str, Dimension]:
        """Who answered, and for which segment."""
        replica, market = Column("replica", Kind.CATEGORICAL), self._columns[SEGMENT]
        codes = encode_column(replica, [row.get("replica") for row in rows])[0]
        segments = encode_column(market, self._values(SEGMENT, rows))[0]
        return {
            "replica": Dimension(codes, tuple(replica.categories())),
            SEGMENT: Dimension(segments, tuple(market.categories())),
        }

    def _labelled(self, rows: Sequence[Row], most: int = RETAINED_ROWS) -> AlignedRows:
        """Rows whose label has come, as the pipeline keeps them side by side."""
        rows = [row for row in rows if row.get("label")]
        rows = rows[:: max(len(rows) // most, 1)][:most]

        def column(name: str) -> Floats:
            if name not in self._columns:
                return np.full(len(rows), np.nan)
            return encode_column(self._columns[name], self._values(name, rows))[0]

        source = Column("source", Kind.CATEGORICAL)
        codes = encode_column(source, [row["label"].get("source") for row in rows])[0]
        return AlignedRows(
            times_ms=np.array([row["timestamp"] for row in rows], np.int64),
            inputs={name: column(name) for name in self._names},
            outputs={name: column(name) for name in ("prediction", "decision", "actual", "loss")},
            dimensions={"source": Dimension(codes, tuple(source.categories())), **self._who(rows)},
        )

    def _view(self, name: str, rows: list[Row], now_ms: int, signals: dict[str, SignalEvidence]) -> ColumnView:
        column = self._columns[name]
        learnt = self._learnt_rows(name)
        sample = learnt[:: max(len(learnt) // SAMPLE_ROWS, 1)][:SAMPLE_ROWS]
        shown = _known(rows, now_ms) if name in _LABELS else rows
        before, then = (encode_column(column, self._values(name, part)) for part in (sample, shown))
        return ColumnView(
            column=column,
            reference=self.references[name],
            position=self._names.index(name) if name in self._names else -1,
            reference_values=before[0],
            reference_presence=before[1],
            current_values=then[0],
            current_presence=then[1],
            bets=self._bets(name),
            signals=signals,
        )

    def _opening(self, name: str, rows: Sequence[Row]) -> Opening:
        values, presence = encode_column(self._columns[name], self._values(name, rows))
        return Opening(values, presence, np.array([row["timestamp"] for row in rows], np.int64))

    def _bets(self, name: str) -> Bets:
        made = self._made_bets.get(name)
        if made is None:
            reference = self.references[name]
            made = self._made_bets[name] = distribution_bets(reference, Tolerance(reference.rows, _SIGNALS, _MARGIN))
        return made

    def _flag_bets(self, name: str, ones: float, n: int, aspect: Aspect | None = None) -> Bets:
        made = self._made_bets.get(name)
        if made is None:
            made = self._made_bets[name] = flag_bets(ones, Tolerance(n, _SIGNALS, _MARGIN), aspect)
        return made

    # -- evidence ----------------------------------------------------------------------------------------------

    def _evidence(self, rows: Sequence[Row], now_ms: int) -> dict[str, dict[str, SignalEvidence]]:
        """Every signal's evidence after these rows, by column and aspect; world signals have the aspect ""."""
        rows = [row for row in rows if row.get("kind") == "prediction"]
        found: dict[str, dict[str, SignalEvidence]] = {}
        for name, reference in self.references.items():
            shown = _known(rows, now_ms) if name in _LABELS else rows
            column = self._columns[name]
            before = encode_column(column, self._values(name, self._rows[-REPEAT_WINDOW:]))[0]
            values, presence = encode_column(column, self._values(name, shown))
            found[name] = _column_evidence(self, column, reference, before, values, presence, shown)
        for name, flag in _WORLD.items():
            usual = self._usual_flags[name]
            bets = self._flag_bets(name, usual * len(self._rows), len(self._rows))
            signal = _flag_evidence(name, name, "", bets, flag(rows, self), rows)
            found[name] = {"": replace(signal, reference_share=usual)}
        return found

    def _schema(self, rows: list[Row]) -> SchemaPicture:
        unknown: dict[str, list[object]] = {}
        for row in rows:
            for name in row["features"].keys() - set(self._names):
                unknown.setdefault(name, []).append(row["features"][name])
        foreign: dict[str, tuple[object, ...]] = {}
        for name in self._names:
            values = [_feature(row, name) for row in rows]
            presence = encode_column(self._columns[name], values)[1]
            odd = [value for value, p in zip(values, presence, strict=True) if p == Presence.FOREIGN]
            if odd:
                foreign[name] = tuple(odd[-200:])
        return SchemaPicture({n: (len(v) / len(rows), tuple(v[-200:])) for n, v in sorted(unknown.items())}, foreign)

    def _arrivals(self, rows: Sequence[Row], name: str, now_ms: int) -> RatePicture:
        guard = RateGuard(downward_only=name == "label_arrivals")
        for at_ms in sorted(_arrival_times([*self._rows, *rows], name, now_ms)):
            guard.advance(at_ms, LOG10_THRESHOLD)
            guard.count()
        guard.advance(now_ms, LOG10_THRESHOLD)
        evidence = SignalEvidence(
            name, name, "", guard.log10_e, LOG10_THRESHOLD, max(guard.onset_ms, 0), guard.is_alarmed
        )
        return RatePicture(guard.expected_per_hour(), guard.observed_per_hour(), evidence if guard.is_ready else None)

    def _performance(self, rows: list[Row], now_ms: int) -> PerformancePicture | None:
        now = [loss for loss in (_loss(row) for row in _known(rows, now_ms)) if loss is not ABSENT]
        health = [loss for loss in map(_loss, self._rows) if loss is not ABSENT]
        if not now or not health:
            return None
        return PerformancePicture("log_loss", float(np.mean(health)), float(np.mean(now)))


@cache
def case_of(
    example: Example,
    seed: int = 1,
    *,
    settle_rows: int = 2 * CHUNK,
    limit_rows: int = 3_000,
    before_rows: int = 2 * CHUNK,
    late_labels_ms: int = 0,
    builder: Builder | None = None,
    is_awaited: Callable[[Case], bool] | None = None,
) -> Case | None:
    """The example's case shortly after its first alarm; None where none came within `limit_rows`.

    settle_rows: rows after the alarm that are in the case too. before_rows: healthy rows that the onset estimate takes in.
    late_labels_ms: let the labels of the last rows arrive within this time, as if diagnosis had waited.
    is_awaited: judge the case when this holds; by default when any signal is alarmed.
    """
    onset = REFERENCE_ROWS + (0 if example.from_first else 4 * CHUNK)
    before_rows = 0 if example.from_first else before_rows
    builder = builder or builder_of(seed, "profile" if example.from_first else "baseline")
    stream = islice(world.breaking(example, onset, onset + limit_rows, seed), REFERENCE_ROWS, None)
    quiet = list(islice(stream, onset - before_rows - REFERENCE_ROWS))
    broken: list[Row] = []
    ready = is_awaited or (lambda case: bool(case.alarmed))
    # Looking every few chunks is enough, and the further from the onset the less often.
    size = before_rows + CHUNK
    while len(broken) < size:
        broken += islice(stream, size - len(broken))
        if len(broken) < size:
            return None
        case = _at(builder, quiet, broken, late_labels_ms)
        if ready(case):
            broken += islice(stream, settle_rows)
            return _at(builder, quiet, broken, late_labels_ms)
        size += max(CHUNK, size // 3 // CHUNK * CHUNK)
    return None


@cache
def builder_of(seed: int, kind: str = "baseline") -> Builder:
    """The builder that has learnt the world of this seed."""
    return Builder(world.healthy_rows(seed, REFERENCE_ROWS), kind)


def _at(builder: Builder, quiet: Sequence[Row], broken: Sequence[Row], late_labels_ms: int) -> Case:
    now_ms = max(int(row["timestamp"]) for row in broken) + late_labels_ms
    return builder.build(broken, before=quiet, labels_by_ms=now_ms)


def _column_evidence(
    builder: Builder,
    column: Column,
    reference: ColumnReference,
    before: Floats,
    values: Floats,
    presence: Presences,
    rows: Sequence[Row],
) -> dict[str, SignalEvidence]:
    bins = reference.bins(column, values)
    bets = builder._bets(column.name)
    signal = _process(f"{column.name}.distribution", column.name, "distribution", bets, bins, rows)
    found = {"distribution": signal}
    flags = _flags(column, reference, before, values, presence, bins)
    for aspect in flag_aspects(reference):
        ones, n = flag_share(reference, aspect)
        yes, trials = flags[aspect]
        made = builder._flag_bets(f"{column.name}.{aspect}", ones, n, aspect)
        chosen = [row for row, is_trial in zip(rows, trials, strict=True) if is_trial]
        evidence = _flag_evidence(f"{column.name}.{aspect}", column.name, str(aspect), made, yes[trials], chosen)
        found[str(aspect)] = replace(evidence, reference_share=ones / max(n, 1))
    return found


def _flags(
    column: Column, reference: ColumnReference, before: Floats, values: Floats, presence: Presences, bins: Any
) -> dict[Aspect, tuple[Any, Any]]:
    """Yes-or-no of each row and whether the row counts, for each aspect."""
    everywhere = np.ones(len(values), bool)
    present = presence == Presence.PRESENT
    one = Binning([column], [reference])
    matrix = values[:, None]
    return {
        Aspect.MISSING: ((presence == Presence.NULL) | (presence == Presence.ABSENT), everywhere),
        Aspect.TYPE: (presence == Presence.FOREIGN, everywhere),
        Aspect.OUT_OF_RANGE: (one.out_of_range(matrix)[:, 0], present),
        Aspect.UNSEEN: (one.unseen(matrix, bins[:, None])[:, 0], present),
        Aspect.REPEATED: (repeats(before[:, None], matrix)[:, 0] if len(values) else present, present),
    }


def _flag_evidence(signal: str, column: str, aspect: str, bets: Bets, yes: Any, rows: Sequence[Row]) -> SignalEvidence:
    found = _process(signal, column, aspect, bets, yes.astype(np.intp), rows)
    return replace(found, current_share=float(yes.mean()) if len(yes) else 0.0)


def _process(signal: str, column: str, aspect: str, bets: Bets, bins: Any, rows: Sequence[Row]) -> SignalEvidence:
    """Run one signal's e-process over chunks; the alarm stays once raised."""
    process = EvidenceProcess([bets])
    width = bets.log_f.shape[0]
    is_alarmed, level, onset_ms = False, -np.inf, 0
    for start in range(0, len(bins), CHUNK):
        chunk = bins[start : start + CHUNK]
        counts = np.bincount(chunk[chunk != NO_BIN], minlength=width)[:width].astype(float)
        process.update(counts[None, :], int(rows[start]["timestamp"]), start)
        level = float(process.log10()[0])
        if level >= LOG10_THRESHOLD and not is_alarmed:
            is_alarmed, onset_ms = True, process.onset(0)[0]
    if not is_alarmed and len(bins):
        onset_ms = process.onset(0)[0]
    return SignalEvidence(signal, column, aspect, level, LOG10_THRESHOLD, onset_ms, is_alarmed)


# -- what a row says -------------------------------------------------------------------------------------------


def _column(name: str, values: list[Any]) -> Column:
    declared = {"numeric": Kind.NUMERIC, "categorical": Kind.CATEGORICAL, "boolean": Kind.BOOLEAN}
    kind = declared.get(world.FEATURES.get(name, "")) or infer_kind(v for v in values if v is not ABSENT)
    return Column(name, kind or Kind.NUMERIC)


def _feature(row: Row, name: str) -> Any:
    return row["features"].get(name, ABSENT)


def _score(row: Row) -> Any:
    return (row.get("prediction") or {}).get("score")


def _decision(row: Row) -> Any:
    return (row.get("prediction") or {}).get("label")


def _latency(row: Row) -> Any:
    latency_ms = row.get("latency_ms")
    return ABSENT if latency_ms is None else log10(max(latency_ms, 1e-3))


def _error(row: Row) -> Any:
    return 0.0 if row.get("error") is None else 1.0


def _actual(row: Row) -> Any:
    return row["label"]["actual"] if row.get("label") else ABSENT


def _label_delay(row: Row) -> Any:
    if not row.get("label"):
        return ABSENT
    return log10(max(row["label"]["timestamp"] - row["timestamp"], 1) / 1_000)


def _loss(row: Row) -> Any:
    score, actual = _score(row), _actual(row)
    if score is None or actual is ABSENT:
        return ABSENT
    p = min(max(score, 1e-6), 1 - 1e-6)
    return -log(p if actual == "bad" else 1 - p)


_DERIVED: dict[str, Callable[[Row], Any]] = {
    "prediction": _score,
    "decision": _decision,
    "latency": _latency,
    "errors": _error,
    "actual": _actual,
    "label_delay": _label_delay,
    "loss": _loss,
    SEGMENT: lambda row: row["segment"]["market"],
}
_LABELS = ("actual", "label_delay", "loss")


def _known(rows: Sequence[Row], now_ms: int) -> list[Row]:
    """Rows whose label has arrived, in order of arrival."""
    found = [row for row in rows if row.get("label") and row["label"]["timestamp"] <= now_ms]
    return sorted(found, key=lambda row: int(row["label"]["timestamp"]))


def _duplicates(rows: Sequence[Row], builder: Builder) -> Any:
    """Whether a row's id, or everything in it but id and time, was there before."""
    seen: set[str] = set()
    found = []
    for row in rows:
        keys = {f"id {row['event_id']}", f"features {sorted(row['features'].items())!r}"}
        found.append(bool(keys & seen))
        seen |= keys
    return np.array(found, bool)


def _unknown_keys(rows: Sequence[Row], builder: Builder) -> Any:
    known = set(builder._names)
    return np.array([bool(row["features"].keys() - known) for row in rows], bool)


def _backwards(rows: Sequence[Row], builder: Builder) -> Any:
    times = np.array([row["timestamp"] for row in rows], np.int64)
    return times < np.concatenate([times[:1], np.maximum.accumulate(times)[:-1]])


_WORLD: dict[str, Callable[[Sequence[Row], Builder], Any]] = {
    "duplicates": _duplicates,
    "schema": _unknown_keys,
    "backwards": _backwards,
}


def _arrival_times(rows: Sequence[Row], name: str, now_ms: int) -> list[int]:
    rows = [row for row in rows if row.get("kind") == "prediction"]
    if name == "arrivals":
        return [int(row["timestamp"]) for row in rows]
    return [int(row["label"]["timestamp"]) for row in _known(rows, now_ms)]


def _error_shares(rows: Sequence[Row]) -> dict[str, float]:
    errors = [row["error"] for row in rows if row.get("error") is not None]
    return {name: errors.count(name) / len(rows) for name in sorted(set(errors))}


def _model_changes(rows: Sequence[Row]) -> tuple[ModelChange, ...]:
    found = []
    before = world.MODEL_EVENT
    for row in rows:
        if row.get("kind") == "model":
            pair = (ModelDescription.model_validate(before), ModelDescription.model_validate(row))
            is_announced = before["model_version"] != row["model_version"]
            found.append(ModelChange(*pair, int(row["timestamp"]), is_announced))
            before = row
    return tuple(found)


def _parameters(changes: Sequence[ModelChange]) -> dict[str, SignalEvidence]:
    """The flag of a model that changed under an unchanged version: there, and alarmed at once, when one did."""
    for change in changes:
        if change.is_announced or change.before is None:
            continue
        before, after = change.before, change.after
        if before.structure != after.structure or before.parameters != after.parameters:
            level = 2 * LOG10_THRESHOLD
            signal = SignalEvidence("parameters", "parameters", "", level, LOG10_THRESHOLD, change.at_ms, True)
            return {"parameters": signal}
    return {}
