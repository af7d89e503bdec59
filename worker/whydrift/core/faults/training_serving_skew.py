"""What serves has never been given what trained: inputs differ from the training data since the first event, and stay so.

Told apart: only a reference from training data can show it (one that is learnt from the stream takes the difference for health);
of the first rows that it judged none are from before the onset, or so few that no health was seen; and the inputs have not moved
since. After a stretch of health the same difference is a fault of its own, or drift. What the difference consists of is what the
other rules find: their names stay possible, for a source that broke just before anybody watched leaves the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whydrift.core.case import Case, ColumnView, Opening, SignalEvidence
from whydrift.core.columns import Floats, Presence, Presences
from whydrift.core.combinations import COMBINATIONS
from whydrift.core.faults import dependence_drift, label_shift, misaligned_feature, segment_mix_shift
from whydrift.core.faults.covariate_drift import SHARPER, moved_words
from whydrift.core.faults.inputs import explained, listed, slowness
from whydrift.core.faults.rule import Example, Proposal, Rule, Runbook, Rung
from whydrift.core.faults.sketches import both, change, fill, scatter
from whydrift.core.reference import BINS, NO_BIN
from whydrift.core.signals import CONDITIONAL, Aspect
from whydrift_schemas import Fault, RuledOut

FAULT = Fault("training_serving_skew")
_RULES = (*SHARPER, dependence_drift, misaligned_feature, segment_mix_shift)
_FIT = 0.95
_FEW_ROWS = 10
"""Rows before the onset that are no stretch of health, whatever they look like."""
_HEALTH_NATS = 3.0
"""How plainly rows must look healthy, or not, to be so: twenty to one."""
_PRIOR_ROWS = 10.0
"""Rows of training that what is seen now is mixed with, or a value that comes for the first time would say everything."""
_PRESENCE = (Aspect.MISSING, Aspect.TYPE)
_LEAST_FIT = 0.7
"""Fit from which another rule's proposal says what the difference consists of; else it is told as it is seen."""
_LEAST_ROWS = 20
_CHANCE = 1.95
"""Kolmogorov's 1 − .001 quantile: how far two samples lie apart by chance, times √(1/n + 1/m)."""
_MOVED = 0.5
"""Part of the distance to training that inputs may have moved since the first rows: the world has its seasons."""


@dataclass(frozen=True, slots=True)
class _Part:
    """One difference: in words, of which inputs, the signals it explains, and the proposal that found it where one did."""

    words: str
    names: tuple[str, ...]
    explains: frozenset[str]
    found: Proposal | None = None


def examine(case: Case) -> list[Proposal | RuledOut]:
    alarmed = {s.signal: view for view in _views(case) for s in view.signals.values() if s.is_alarmed}
    schema = case.world.get("schema")
    if not alarmed and (schema is None or not schema.is_alarmed):
        return []
    opening = next((view.opening for view in case.features.values() if view.opening is not None), None)
    if opening is None:
        because = "cannot be seen: what health is was learnt from this stream, not from training data"
        return [RuledOut(fault=FAULT, because=because)]
    early = {s.signal for s in case.alarmed if s.signal in alarmed and _is_early(alarmed[s.signal], s)}
    if schema is not None and schema.is_alarmed and _rows_before(opening, schema) <= _FEW_ROWS:
        early.add(schema.signal)
    if not early:
        return [RuledOut(fault=FAULT, because="the inputs were as in training before the onset")]
    restless = {name for name in early if name in alarmed and not _is_stable(alarmed[name])}
    parts = list(_parts(case, early - restless))
    if restless and not parts:
        names = list(dict.fromkeys(alarmed[name].name for name in sorted(restless)))
        return [RuledOut(fault=FAULT, because=f"{listed(names)} moved since the first events, too")]
    return [_proposal(case, parts)] if parts else []


def _views(case: Case) -> Iterator[ColumnView]:
    """Everything that is known of what goes in."""
    for group in (case.features, case.segments, case.dependence):
        yield from group.values()


# -- from the first event on -------------------------------------------------------------------------------------


def _rows_before(opening: Opening, signal: SignalEvidence) -> int:
    return int((opening.times_ms < signal.onset_ms).sum())


def _is_early(view: ColumnView, signal: SignalEvidence) -> bool:
    """Whether no healthy row was seen: evidence begins with the first ones, or those before it may be like the latest as well.

    An onset is known to some chunks only, and where the difference is small, to some more. Where all of the first rows are from
    before it, they must plainly be like the latest: a small difference does not show in so few, there or not.
    """
    if view.opening is None:
        return False
    before = view.opening.times_ms < signal.onset_ms
    if int(before.sum()) <= _FEW_ROWS or signal.aspect in CONDITIONAL:
        # What is left given the hour, or the row before, had its own evidence from the first row on.
        return int(before.sum()) <= _FEW_ROWS
    least = -_HEALTH_NATS
    if before.all():
        first_ms, last_ms = int(view.opening.times_ms[0]), int(view.current_times[-1])
        # What is so from the first event on shows from early on, however little it is.
        least = _HEALTH_NATS if signal.onset_ms - first_ms <= (last_ms - first_ms) / 2 else 2 * _HEALTH_NATS
    return _log_odds(view, view.opening, before, is_presence=signal.aspect in _PRESENCE) > least


def _log_odds(view: ColumnView, opening: Opening, which: NDArray[np.bool_], *, is_presence: bool) -> float:
    """How much better these first rows agree with the latest ones than with training, in nats.

    is_presence: only in whether there is a value, which its distribution has no say in. Values that hang together tell once.
    """
    reference, later = view.reference, slice(len(view.current_values) // 2, None)
    counts = np.append(reference.masses * reference.n, (reference.null, reference.absent, reference.foreign)) + 1.0
    trained = counts / counts.sum()
    now = _counts(view, view.current_values[later], view.current_presence[later])
    served = (now + _PRIOR_ROWS * trained) / (now.sum() + _PRIOR_ROWS)
    first = _counts(view, opening.values[which], opening.presence[which])
    if is_presence:
        first, served, trained = (np.append(part[:BINS].sum(), part[BINS:]) for part in (first, served, trained))
    nats = float(first @ np.log(served / trained))
    return nats if is_presence else nats / slowness(view.reference)


def _counts(view: ColumnView, values: Floats, presence: Presences) -> Floats:
    """Rows by bin, then by why they have no value: (BINS + 3,)."""
    bins = view.reference.bins(view.column, values)
    counts = np.bincount(bins[(bins != NO_BIN) & (presence == Presence.PRESENT)], minlength=BINS)[:BINS]
    missing = [(presence == why).sum() for why in (Presence.NULL, Presence.ABSENT, Presence.FOREIGN)]
    found: Floats = np.concatenate([counts, missing]).astype(float)
    return found


# -- stable since ------------------------------------------------------------------------------------------------


def _is_stable(view: ColumnView) -> bool:
    """Whether the first rows look like the latest, but for chance or far less than both differ from training."""
    assert view.opening is not None  # or its onset would not count as early
    first, first_presence = view.opening.values, view.opening.presence
    half = len(view.current_values) // 2
    latest, latest_presence = view.current_values[half:], view.current_presence[half:]
    is_there, was_there = latest_presence == Presence.PRESENT, first_presence == Presence.PRESENT
    if min(len(first), len(latest)) < _LEAST_ROWS:
        return True
    usual = view.reference.n / max(view.reference.rows, 1)
    gap = abs(float(is_there.mean() - was_there.mean()))
    if gap > max(_by_chance(len(first), len(latest)), _MOVED * abs(float(is_there.mean()) - usual)):
        return False
    first, latest = first[was_there], latest[is_there]
    if min(len(first), len(latest)) < _LEAST_ROWS:
        return True
    moved = _distance(first, latest, view.reference.kind.is_coded)
    if moved <= _by_chance(len(first), len(latest)):
        return True
    healthy = view.healthy
    return len(healthy) > 0 and moved <= _MOVED * _distance(healthy, latest, view.reference.kind.is_coded)


def _by_chance(n: int, m: int) -> float:
    return _CHANCE * float(np.sqrt(1 / n + 1 / m))


def _distance(a: Floats, b: Floats, is_coded: bool) -> float:
    """Greatest difference of cumulated shares; of categories, of single shares: 0 to 1."""
    grid = np.unique(np.concatenate([a, b]))
    shares = [np.searchsorted(np.sort(v), grid, "right") / len(v) for v in (a, b)]
    apart = shares[0] - shares[1]
    return float(np.abs(np.diff(apart, prepend=0.0) if is_coded else apart).max())


# -- what it is made of ------------------------------------------------------------------------------------------


def _parts(case: Case, early: set[str]) -> Iterator[_Part]:
    """The differences, those that other rules know by name first, each input once."""
    told: set[str] = set()
    for found in sorted(_proposals(case), key=lambda one: (-round(one.fit, 3), one.fault, one.features)):
        own = _own(case, found)
        if found.fit >= _LEAST_FIT and own and own <= early and not own & told:
            # An input that is otherwise goes together with others otherwise, too.
            told |= own | _of_inputs(case, found.features) | ({f"{COMBINATIONS}.distribution"} & found.explains)
            if found.fault != label_shift.FAULT:
                yield _Part(found.headline, found.features, found.explains, found)
    for view in case.features.values():
        own = {s.signal for s in view.signals.values() if s.is_alarmed}
        if own and own <= early and not own & told:
            words = (
                f"{view.name} is otherwise ({moved_words(view)})" if len(view.current) else f"{view.name} has no values"
            )
            yield _Part(words, (view.name,), explained(case, [view]))


def _proposals(case: Case) -> Iterator[Proposal]:
    """What the rules for inputs say. Another mix of outcomes moves inputs as well, and is that rule's own to tell."""
    for module in _RULES:
        yield from (one for one in module.examine(case) if isinstance(one, Proposal))


def _own(case: Case, found: Proposal) -> set[str]:
    """The alarms about what goes in that a proposal explains: its inputs', else those of segments, keys, dependence."""
    of_inputs = _of_inputs(case, found.features) & found.explains
    others = {
        s.signal for group in (case.segments, case.dependence) for v in group.values() for s in v.signals.values()
    }
    alarmed = {s.signal for s in case.alarmed if s.signal in others or s.signal == "schema"}
    return of_inputs or set(alarmed & found.explains)


def _of_inputs(case: Case, names: tuple[str, ...]) -> set[str]:
    views = [case.features[name] for name in names if name in case.features]
    return {s.signal for view in views for s in view.signals.values() if s.is_alarmed}


# -- words -------------------------------------------------------------------------------------------------------


def _proposal(case: Case, parts: list[_Part]) -> Proposal:
    names = tuple(dict.fromkeys(name for part in parts for name in part.names))
    undo = next((part.found.undo for part in parts if part.found is not None and part.found.undo is not None), None)
    words = parts[0].words + (f", and {len(parts) - 1} more" if len(parts) > 1 else "")
    seen = "; ".join(part.words for part in parts[:4])
    return Proposal(
        fault=FAULT,
        fit=_FIT,
        explains=frozenset().union(*(part.explains for part in parts)),
        headline=f"training and serving differ from the first event on: {words}"[:150],
        explanation=(
            f"{seen}, against the training data. No event was seen in which this was otherwise, and nothing moved since: the "
            "model has been given inputs like these for as long as it is watched."
        ),
        action=(
            f"Compare how training and how serving make {listed(names) or 'the inputs'} from the same raw record; mend the one "
            "that is wrong, or train on what is served."
        ),
        features=names,
        undo=undo,
        decider="training's own code run on a raw record that was served: does it give the same inputs?",
    )


_THOUSANDS = change(lambda v, i: v / 1000, "income")

RULE = Rule(
    fault=FAULT,
    rung=Rung.MARGINAL,
    examine=examine,
    examples=(
        Example("income has always been served in thousands", _THOUSANDS, from_first=True),
        Example(
            "serving fills a missing balance with −1, training left it out",
            fill(-1, "balance", share=0.3),
            from_first=True,
        ),
        Example("serving writes regions in capitals", change(lambda v, i: v.upper(), "region"), from_first=True),
        Example(
            "served customers are younger and poorer than those of the training data",
            both(
                change(lambda v, i: 18 + (v - 18) // 2 if i % 5 < 3 else v, "age", world=True),
                change(lambda v, i: v * 0.55 if i % 5 < 3 else v, "income", world=True),
            ),
            from_first=True,
        ),
        Example("income arrives in thousands after a time of health", _THOUSANDS, named=False),
        Example(
            "income begins to arrive in thousands after 200 events",
            change(lambda v, i: v / 1000 if i >= 200 else v, "income"),
            named=False,
            from_first=True,
        ),
        Example(
            "income drifts down over the first 800 events",
            change(lambda v, i: round(v / (1 + min(i, 800) / 500), 2), "income", world=True),
            named=False,
            from_first=True,
        ),
        Example(
            "the answers have been those of another model from the first event on",
            lambda row, i: row | {"prediction": {"label": "good", "score": round(0.2 + 0.1 * scatter(i), 6)}},
            named=False,
            from_first=True,
        ),
    ),
    runbook=Runbook(
        means="Since the first event the model is given inputs otherwise than it was trained on: two pipelines, two meanings.",
        confirm="Take one served record and make its inputs with training's own code: the named inputs come out otherwise.",
        do="Make both from one definition: mend serving, or train again on what is served. Look for no change of today.",
        if_wrong=(
            "If training's code gives the same inputs, the source changed between training and the first event: treat it as "
            "the second cause."
        ),
    ),
    look_alikes=(Fault.COVARIATE_DRIFT,),
)
