"""Models of many classes: `python tests/bench/many_classes.py DATA_FOLDER [--tables letter cut …] [--form score] …`.

Troubles of what goes in and of the service are those of the fault bench (`breaks`); those of answers and outcomes are made anew
for classes. Tables: letters, pen strokes and satellite pixels of KEEL, insects by species, diamonds by cut, flights by carrier.
Belongs here: tables, models and troubles of more than two classes, and running them. Not here: counting (`faults`), one number
for each case (`breaks`).
"""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import packaged_tables
import real_tables
from breaks import REPLICAS, TROUBLES, Draw, Scene, Served, confined, some
from faults import (
    BROKEN,
    FAMILIES,
    LATER_ROWS,
    SLICE_ROWS,
    WARMED_UP,
    Trial,
    can,
    counted,
    follow,
    is_spread,
    on_wire,
    records,
    report,
    said,
    segment_of,
    served,
    told,
)

from whydrift.core.pipeline import Pipeline
from whydrift.core.profile import Profile, read_profile
from whydrift.core.profiler import Profiler
from whydrift.core.settings import Settings
from whydrift_schemas import Diagnosis, Status

Shares = dict[str, np.ndarray]
"""What a model answers, by event: probabilities of all classes, (classes,)."""
Answers = Callable[[Sequence[real_tables.Row]], np.ndarray]
"""Rows → (rows, classes)."""
FORMS = ("probabilities", "score", "label")


# -- tables and models


def _insects(folder: Path) -> tuple[list[real_tables.Row], list[str]]:
    rows = real_tables.read_table(folder / "drift/insects_gradual_balanced.csv.gz")[: real_tables.INSECTS_DRIFT_AT]
    kinds = [f"species {row.pop('33')}" for row in rows]
    return [{f"sensor_{name}": value for name, value in row.items()} for row in rows], kinds


def _cut(folder: Path) -> tuple[list[real_tables.Row], list[str]]:
    rows = real_tables.read_table(folder / "tabular/diamonds.csv.gz")
    return rows, [row.pop("cut") for row in rows]


def _carrier(folder: Path) -> tuple[list[real_tables.Row], list[str]]:
    rows, delays = packaged_tables.flights(real_tables.typed)
    for row, delay in zip(rows, delays, strict=True):
        row["arr_delay"] = delay
    return rows, [row.pop("carrier") for row in rows]


def _keel(name: str) -> Callable[[Path], tuple[list[real_tables.Row], list[str]]]:
    return lambda folder: packaged_tables.keel(name, real_tables.typed)


TABLES: Mapping[str, Callable[[Path], tuple[list[real_tables.Row], list[str]]]] = {
    "letter": _keel("letter"),
    "pen": _keel("penbased"),
    "satellite": _keel("satimage"),
    "insects": _insects,
    "cut": _cut,
    "carrier": _carrier,
}


def train(rows: Sequence[real_tables.Row], kinds: Sequence[int], classes: int, family: str) -> Answers:
    trained = real_tables.train(rows, kinds, True, family)

    def answers(asked: Sequence[real_tables.Row]) -> np.ndarray:
        found = np.zeros((len(asked), classes))
        found[:, trained.model.classes_] = trained.model.predict_proba(trained.matrix(asked))
        return found

    return answers


# -- streams


@dataclass(frozen=True, slots=True)
class Stage:
    """A model in service, and the pipeline's state at the break. late: labels of rows before it that come afterwards.

    shares: of `after`. healthy: rows of health, and what they are answered.
    """

    table: str
    classes: Sequence[str]
    form: str
    before: Sequence[Served]
    after: Sequence[Served]
    shares: Shares
    late: Sequence[tuple[int, bytes]]
    first_offset: int
    state: dict[str, bytes]
    profiles: Mapping[str, Profile]
    settings: Settings
    healthy: Sequence[real_tables.Row]
    healthy_shares: np.ndarray
    healthy_truth: Sequence[int]
    answers: Answers
    other_model: Answers
    false: Sequence[Diagnosis] = ()


def prediction(shares: np.ndarray, classes: Sequence[str], form: str) -> dict[str, Any]:
    best = int(shares.argmax())
    found: dict[str, Any] = {"label": classes[best]}
    if form == "probabilities":
        found["probabilities"] = {name: round(float(p), 4) for name, p in zip(classes, shares, strict=True)}
    elif form == "score":
        found["score"] = round(float(shares[best]), 5)
    return found


def wire(
    events: Sequence[Served], shares: Shares, classes: Sequence[str], form: str, segment: str | None
) -> list[tuple[int, bytes]]:
    """As `faults.wire`."""
    return on_wire(
        events,
        lambda one: prediction(shares[one.event_id], classes, form),
        lambda one: classes[int(one.truth)],
        segment,
    )


def stage(table: str, folder: Path, family: str, seed: int, form: str) -> Stage:
    """A model that has served a third of the live rows, at most WARMED_UP, and what it serves next."""
    rows, kinds = TABLES[table](folder)
    order = np.random.default_rng(real_tables.SEED).permutation(len(rows)).tolist()
    classes = sorted(set(kinds))
    coded = [classes.index(kinds[place]) for place in order]
    rows = [rows[place] for place in order]
    trained = int(real_tables.TRAINED_FRACTION * len(rows))
    live = trained + int(real_tables.PROFILED_FRACTION * len(rows))
    answers = train(rows[:trained], coded[:trained], len(classes), family)
    fewer = max(trained // 10, 60)
    other_model = train(rows[:fewer], coded[:fewer], len(classes), family)
    settings, draw = Settings(), np.random.default_rng([seed, 1])
    healthy, truth = rows[trained:live][:4_000], coded[trained:live][:4_000]
    segment, healthy_shares = segment_of(healthy), answers(healthy)
    profiler = Profiler(settings)
    reference = _served(healthy, healthy_shares, truth, -4_500, draw)
    profiler.add(records(wire(*reference, classes, form, segment), 0))
    profiles = read_profile(profiler.finish())
    chosen = (live + draw.permutation(len(rows) - live)[: WARMED_UP + BROKEN]).tolist()
    asked = [dict(rows[place]) for place in chosen]
    events, shares = _served(asked, answers(asked), [coded[place] for place in chosen], 0, draw)
    warmed_up = min(WARMED_UP, len(events) // 3)
    breaks_ms = events[warmed_up].at_ms
    values = wire(events[:warmed_up], shares, classes, form, segment)
    before = [pair for pair in values if pair[0] < breaks_ms]
    pipeline = Pipeline(settings, "events", 0, profiles)
    false = [one for _, what in said(pipeline, records(before, 0)) for one in what if one.status is Status.OPENED]
    found = Stage(
        table=table,
        classes=classes,
        form=form,
        before=events[:warmed_up],
        after=events[warmed_up:],
        shares=shares,
        late=values[len(before) :],
        first_offset=len(before),
        state=pipeline.snapshot(),
        profiles=profiles,
        settings=settings,
        healthy=healthy,
        healthy_shares=healthy_shares,
        healthy_truth=truth,
        answers=answers,
        other_model=other_model,
    )
    twin = [what for place, what in heard(found, found.after, shares) if place < len(found.after)]
    return replace(found, false=[*false, *(one for what in twin for one in what if one.status is Status.OPENED)])


def _served(
    rows: Sequence[real_tables.Row], shares: np.ndarray, truth: Sequence[int], first: int, draw: Draw
) -> tuple[list[Served], Shares]:
    events = served(rows, shares.max(axis=1).tolist(), truth, first, draw)
    return events, {one.event_id: mine for one, mine in zip(events, shares, strict=True)}


def heard(it: Stage, events: Sequence[Served], shares: Shares) -> Iterator[tuple[int, list[Diagnosis]]]:
    """As `faults.heard`."""
    pipeline = Pipeline.restore(it.settings, "events", 0, it.profiles, it.state)
    live = wire(events, shares, it.classes, it.form, segment_of(it.healthy))
    values = sorted([*it.late, *live], key=lambda pair: pair[0])
    return counted(pipeline, values, it.first_offset)


# -- troubles of answers and outcomes

Change = Callable[[list[Served], Shares, Draw, int, Stage], None]
"""(events, shares, draw, severity 0 … 2, stage): changes both in place."""


def _each(share: Sequence[float], new: Callable[[np.ndarray, Draw, int, Stage], np.ndarray]) -> Change:
    """new(shares of one event, draw, severity, stage) in some of the events."""

    def change(events: list[Served], shares: Shares, draw: Draw, severity: int, it: Stage) -> None:
        for one in some(events, draw, share[severity]):
            found = new(shares[one.event_id], draw, severity, it)
            shares[one.event_id] = found / found.sum()

    return change


def _permuted(p: np.ndarray, draw: Draw, severity: int, it: Stage) -> np.ndarray:
    """Two classes, three, or all."""
    moved = (2, 3, len(p))[severity]
    places = np.arange(len(p))
    places[:moved] = np.roll(places[:moved], 1)
    return p[places]


def _noisy(p: np.ndarray, draw: Draw, severity: int, it: Stage) -> np.ndarray:
    return np.maximum(p, 1e-4) * np.exp((0.3, 0.8, 2.0)[severity] * draw.normal(size=len(p)))


def _dead(p: np.ndarray, draw: Draw, severity: int, it: Stage) -> np.ndarray:
    """One class is answered no more: a rare one, a middling one, the most frequent."""
    answered = np.bincount(it.healthy_shares.argmax(axis=1), minlength=len(p))
    found = p + 1e-9
    found[answered.argsort()[(len(p) // 3, len(p) // 2, -1)[severity]]] = 0.0
    return found


def _another(share: Sequence[float], replica: str | None = None) -> Change:
    def change(events: list[Served], shares: Shares, draw: Draw, severity: int, it: Stage) -> None:
        there = [one for one in some(events, draw, share[severity]) if replica in (None, one.replica)]
        for one, new in zip(there, it.other_model([one.row for one in there]), strict=True):
            shares[one.event_id] = new

    return change


def _mislabelled(events: list[Served], shares: Shares, draw: Draw, severity: int, it: Stage) -> None:
    for one in some(events, draw, (0.1, 0.25, 0.6)[severity]):
        one.truth = int(draw.integers(len(it.classes)))


def _turned(events: list[Served], shares: Shares, draw: Draw, severity: int, it: Stage) -> None:
    """What comes true of the two classes most answered is the other one."""
    first, second = np.bincount(it.healthy_shares.argmax(axis=1), minlength=len(it.classes)).argsort()[-2:].tolist()
    for one in some(events, draw, (0.3, 0.6, 1.0)[severity]):
        one.truth = {first: second, second: first}.get(int(one.truth), one.truth)


def _shifted(events: list[Served], shares: Shares, draw: Draw, severity: int, it: Stage) -> None:
    """Every other class comes more often: of the others' cases some are passed over, and what is left comes at the same pace."""
    kept = [one for one in events if one.truth % 2 == 0 or draw.random() < (0.67, 0.4, 0.15)[severity]]
    times = [(one.event_id, one.at_ms, one.label_ms) for one in events[: len(kept)]]
    cases = [(one.row, one.truth, one.latency_ms, one.replica, shares[one.event_id]) for one in kept]
    for one, (_, at_ms, label_ms), (row, truth, latency_ms, replica, mine) in zip(events, times, cases, strict=False):
        one.row, one.truth, one.latency_ms, one.replica = row, truth, latency_ms, replica
        one.at_ms, one.label_ms = at_ms, label_ms
        shares[one.event_id] = mine
    del events[len(kept) :]


ALL = (1.0, 1.0, 1.0)
OF_CLASSES: Mapping[str, tuple[Change, tuple[str, ...]]] = {
    "permuted": (_each(ALL, _permuted), ("output_permutation",)),
    "constant": (_each((0.05, 0.2, 1.0), lambda p, d, s, it: it.healthy_shares.mean(axis=0)), ("fallback_answers",)),
    "calibration": (_each(ALL, lambda p, d, s, it: np.maximum(p, 1e-6) ** (1.3, 2.0, 4.0)[s]), ("calibration_change",)),
    "noisy weights": (_each(ALL, _noisy), ("parameter_corruption", "wrong_model")),
    # What is left of a class whose output died: weights, another model, or a rule put on top.
    "dead class": (
        _each(ALL, _dead),
        ("wrong_model", "parameter_corruption", "output_permutation", "threshold_change"),
    ),
    "other model": (_another((0.1, 0.5, 1.0)), ("wrong_model", "parameter_corruption")),
    "replica": (_another((0.3, 0.6, 1.0), REPLICAS[1]), ("replica_disagreement",)),
    "flips": (_mislabelled, ("label_quality",)),
    "concept": (_turned, ("concept_drift", "local_concept_drift")),
    "label shift": (_shifted, ("label_shift",)),
}
OTHERS = [
    name
    for name, one in TROUBLES.items()
    if one.binary is None and name not in OF_CLASSES and name not in ("bias", "corrupted", "mixed inputs")
]
"""Troubles of the fault bench that are not about one number for each case."""


def scene(it: Stage, draw: Draw) -> Scene:
    texts = [name for name in it.healthy[0] if any(isinstance(row[name], str) for row in it.healthy)]
    numbers = [name for name in it.healthy[0] if name not in texts]
    quantities = [name for name in numbers if is_spread([row[name] for row in it.healthy])]
    numeric, second = draw.choice(quantities if len(quantities) > 1 else numbers, 2, replace=False).tolist()
    return Scene(
        numeric=numeric,
        second=second,
        category=str(draw.choice(texts)) if texts else None,
        segment=segment_of(it.healthy),
        healthy=it.healthy,
        healthy_answers=it.healthy_shares.max(axis=1).tolist(),
        healthy_truth=it.healthy_truth,
        answers=lambda rows: it.answers(rows).max(axis=1).tolist(),
        other_model=None,
        is_binary=True,
    )


def run(it: Stage, name: str, severity: int, where: Scene, draw: Draw) -> Trial | None:
    """None where nothing can be broken so."""
    events, shares = [replace(one, row=dict(one.row), other={}) for one in it.after], dict(it.shares)
    if name in OF_CLASSES:
        change, names = OF_CLASSES[name]
        change(events, shares, draw, severity, it)
        return follow(heard(it, events, shares), len(events), Trial(it.table, name, severity, names, ()), LATER_ROWS)
    trouble = TROUBLES[name]
    if not can(trouble, where):
        return None
    there = confined(events, trouble.only, where) if trouble.only else events
    features = tuple(trouble.change(there, draw, severity, where))
    if events == it.after:
        return None
    # What answers do not depend on gets the same ones again.
    shares |= {one.event_id: mine for one, mine in zip(events, it.answers([e.row for e in events]), strict=True)}
    only = tuple(sorted(where.slice(trouble.only).items()))
    found = Trial(it.table, name, severity, trouble.names, features, slice=only)
    return follow(heard(it, events, shares), len(events), found, SLICE_ROWS if only else LATER_ROWS)


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    options.add_argument("data", type=Path, metavar="DATA_FOLDER")
    options.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    options.add_argument("--families", nargs="+", choices=FAMILIES, default=["boosted"])
    options.add_argument("--form", choices=FORMS, default=FORMS[0])
    options.add_argument("--faults", nargs="+", choices=[*OF_CLASSES, *OTHERS], default=[*OF_CLASSES, *OTHERS])
    options.add_argument("--severities", nargs="+", type=int, choices=range(3), default=[0, 1, 2])
    options.add_argument("--first-seed", type=int, default=0)
    options.add_argument("--seeds", type=int, default=1)
    options.add_argument("--verbose", action="store_true")
    wanted = options.parse_args()
    trials, stages = [], []
    seeds = range(wanted.first_seed, wanted.first_seed + wanted.seeds)
    for table, family, seed in ((t, f, s) for t in wanted.tables for f in wanted.families for s in seeds):
        stages.append(it := stage(table, wanted.data, family, seed, wanted.form))
        for number, name in enumerate([*OF_CLASSES, *OTHERS]):
            where = scene(it, np.random.default_rng([seed, number]))
            for severity in wanted.severities if name in wanted.faults else ():
                trial = run(it, name, severity, where, np.random.default_rng([seed, number, severity]))
                if trial is None:
                    continue
                trials.append(trial)
                if wanted.verbose:
                    print(told(trial, where, seed), flush=True)
    report(trials, stages)


if __name__ == "__main__":
    main()
