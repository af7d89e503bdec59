"""The open fault bench: `python tests/bench/faults.py DATA_FOLDER [--tables adult diamonds …] [--faults scale …]`.

Real tables with trained models, rows shuffled; each trouble of `breaks` at three severities. Prints what was found (an incident
opened after the break), how soon, whether its first name was right and whether the right name was among the first three, the same
for the broken inputs, false incidents in health, and whether the stated probabilities hold (expected calibration error), beside
baselines on the same rows: KS and χ² with Bonferroni, PSI, ADWIN on every signal, a random and an always-alarm detector.

Tables are split: `--half tune` may be looked at, `--half look` (weather, late, rwm) seldom. Some are out of packages
(`packaged_tables`).
Belongs here: running and counting. Not here: tables (`real_tables`), troubles (`breaks`), baselines (`baselines`).
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import baselines
import numpy as np
from breaks import REPLICAS, TROUBLES, Draw, Scene, Served, Trouble, confined
from real_tables import Service, service
from scipy import stats

from whydrift.core.diagnose import UNEXAMINED
from whydrift.core.pipeline import Pipeline
from whydrift.core.profile import Profile, read_profile
from whydrift.core.profiler import Profiler
from whydrift.core.records import Emit, Record
from whydrift.core.settings import Settings
from whydrift_schemas import Diagnosis, Fault, Status

HALVES = {
    "tune": (
        *("adult", "diamonds", "bike", "metro", "car_loan", "elec", "insects", "magic", "flights", "movies"),
        *("insured", "doctor", "baseball", "counties", "mothers", "food", "pharmacy", "happiness"),
        *("hotel", "checks", "storms", "crash", "rodents", "wages"),
        *("voters", "stops", "chemistry", "earnings", "incomes", "liver"),
        *("birds", "warmth", "diseases", "pupils", "opinions", "swabs"),
    ),
    "look": ("weather", "late", "rwm"),
}
FAMILIES = ("boosted", "linear", "forest", "neural")
WARMED_UP = 1_500
"""Healthy rows before the break."""
BROKEN = 3_000
START_MS, GAP_MS = 1_795_437_000_000, 1_000
LABEL_DELAY_MS, LABEL_SPREAD = 4 * 60_000, 0.5
MODEL_ID = "bench"
LATER_ROWS = 600
"""After an incident opened, its name is read once more."""
SLICE_ROWS = 900
"""The same where a slice is to be named: an open incident is updated every ten minutes at most, which are 600 rows here."""
SEVERITIES = ("low", "medium", "high")


# -- streams


@dataclass(frozen=True, slots=True)
class Stage:
    """A model in service, its rows as events, and the pipeline's state at the break."""

    table: str
    served: Service
    settings: Settings
    before: Sequence[Served]
    after: Sequence[Served]
    state: dict[str, bytes]
    first_offset: int
    false: Sequence[Diagnosis]
    """Opened in health: before the break, and in its twin, the same rows unbroken."""
    healthy_answers: Sequence[float]
    profiles: Mapping[str, Profile]


def served(
    rows: Sequence[Any], answers: Sequence[float], truth: Sequence[float], first: int, draw: Draw
) -> list[Served]:
    waits = draw.lognormal(np.log(LABEL_DELAY_MS), LABEL_SPREAD, len(rows))
    latencies = draw.lognormal(1.0, 0.3, len(rows))
    gaps = draw.exponential(GAP_MS, len(rows)).cumsum()
    start = START_MS + first * GAP_MS
    return [
        Served(
            event_id=f"e{first + i}",
            row=dict(row),
            answer=float(answers[i]),
            truth=truth[i],
            latency_ms=float(latencies[i]),
            at_ms=start + int(gaps[i]),
            label_ms=start + int(gaps[i] + waits[i]),
            replica=REPLICAS[int(draw.integers(len(REPLICAS)))],
        )
        for i, row in enumerate(rows)
    ]


def wire(events: Sequence[Served], classes: tuple[str, str] | None, segment: str | None) -> list[tuple[int, bytes]]:
    """A value or two classes with a score, and what came true, as `on_wire`."""

    def prediction(one: Served) -> dict[str, Any]:
        if classes is None:
            return {"value": round(one.answer, 5)}
        decided = one.answer > 0.5 if one.decision is None else one.decision
        return {"label": classes[0 if decided else 1], "score": round(one.answer, 6)}

    def actual(one: Served) -> Any:
        return one.truth if classes is None else classes[0 if one.truth else 1]

    return on_wire(events, prediction, actual, segment)


def on_wire(
    events: Sequence[Served],
    prediction: Callable[[Served], dict[str, Any]],
    actual: Callable[[Served], Any],
    segment: str | None,
) -> list[tuple[int, bytes]]:
    """Predictions and labels in order of arrival, with the broker's time."""
    found: list[tuple[int, dict[str, Any]]] = []
    for one in events:
        common = {"event_id": one.event_id, "model_id": MODEL_ID}
        said: dict[str, Any] = {"kind": "prediction", **common, "model_version": "1", "timestamp": one.at_ms}
        said |= {"features": one.row, "prediction": None if one.error else prediction(one), "replica": one.replica}
        said |= {"latency_ms": round(one.latency_ms, 3), "error": one.error}
        if segment is not None and one.row.get(segment) is not None:
            said["segment"] = {segment: str(one.row[segment])}
        found.append((one.at_ms, said | one.other))
        if one.label_ms is not None and not one.error:
            found.append((one.label_ms, {"kind": "label", **common, "timestamp": one.label_ms, "actual": actual(one)}))
    found.sort(key=lambda pair: pair[0])
    return [(at_ms, json.dumps(event).encode()) for at_ms, event in found]


def records(values: Sequence[tuple[int, bytes]], first: int) -> list[Record]:
    return [Record("events", 0, first + i, value, timestamp_ms=at_ms) for i, (at_ms, value) in enumerate(values)]


def stage(
    table: str,
    folder: Path,
    family: str,
    seed: int,
    warmed_up: int = WARMED_UP,
    has_reference: bool = True,
    relearnt_at: int | None = None,
    broken_rows: int = BROKEN,
) -> Stage:
    """A model that has served `warmed_up` healthy rows, and what it serves next, `broken_rows`.

    has_reference: of 4,000 rows of health; otherwise it is learnt from the stream. relearnt_at: row before which somebody has
    everything learnt anew.
    """
    it = service(table, folder, family)
    settings = Settings()
    draw = np.random.default_rng([seed, 1])
    order = draw.permutation(it.breaks_at) if table == "car_loan" else draw.permutation(len(it.live))
    chosen = order[: warmed_up + broken_rows].tolist()
    rows, truth = [dict(it.live[place]) for place in chosen], [it.live_truth[place] for place in chosen]
    healthy = [dict(row) for row in it.healthy[:4_000]]
    healthy_answers = it.answers(healthy)
    segment = segment_of(healthy)
    profiler = Profiler(settings)
    reference = served(healthy, healthy_answers, it.healthy_truth[:4_000], -4_500, draw)
    profiler.add(records(wire(reference, it.classes, segment), 0))
    profiles = read_profile(profiler.finish()) if has_reference else {}
    pipeline = Pipeline(settings, "events", 0, profiles)
    live = served(rows, it.answers(rows), truth, 0, draw)
    breaks_ms = live[warmed_up].at_ms
    before = [pair for pair in wire(live[:warmed_up], it.classes, segment) if pair[0] < breaks_ms]
    if relearnt_at is not None:
        before = sorted([*before, relearn(live[relearnt_at].at_ms)], key=lambda pair: pair[0])
    first = len(before)
    false = [one for _, some in said(pipeline, records(before, 0)) for one in some if one.status is Status.OPENED]
    found = Stage(
        table,
        replace(it, healthy=healthy),
        settings,
        live[:warmed_up],
        live[warmed_up:],
        pipeline.snapshot(),
        first,
        false,
        healthy_answers,
        profiles,
    )
    # Labels that come after the last prediction would rightly be heard as predictions that stopped.
    lasting = (some for place, some in heard(found, found.after) if place < len(found.after))
    twin = [one for some in lasting for one in some if one.status is Status.OPENED]
    return replace(found, false=[*false, *twin])


def relearn(at_ms: int) -> tuple[int, bytes]:
    command = {"kind": "command", "model_id": MODEL_ID, "timestamp": at_ms, "action": "relearn", "author": "bench"}
    return at_ms, json.dumps(command).encode()


def segment_of(rows: Sequence[Any]) -> str | None:
    """The first column of few categories: declared as a segment, too."""
    for name in rows[0]:
        values = {row[name] for row in rows[:1_000]}
        if all(isinstance(value, str) for value in values) and 2 <= len(values) <= 10:
            return str(name)
    return None


def said(pipeline: Pipeline, values: Sequence[Record]) -> Iterator[tuple[int, list[Diagnosis]]]:
    """Each record's offset, and what is said on it."""
    for value in values:
        found = [one.diagnosis for one in pipeline.process([value]) if isinstance(one, Emit)]
        assert not [no for one in found for no in one.ruled_out if no.because.startswith(UNEXAMINED)], found
        yield value.offset, found


# -- trials


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of one trouble. delay: broken rows until the first incident; None = not found. incidents: opened until then."""

    table: str
    trouble: str
    severity: int
    names: tuple[str, ...]
    features: tuple[str, ...]
    delay: int | None = None
    causes: tuple[tuple[str, float], ...] = ()
    later: tuple[str, ...] = ()
    named_features: tuple[str, ...] = ()
    incidents: int = 0
    slice: tuple[tuple[str, str], ...] = ()
    named_slice: tuple[tuple[str, str], ...] = ()
    later_slice: tuple[tuple[str, str], ...] = ()
    """The slice that was broken, () = everywhere; as the first cause names it when the incident opens, and later."""
    baselines: tuple[tuple[str, int | None], ...] = ()

    @property
    def is_first(self) -> bool:
        return bool(self.causes) and self.causes[0][0] in self.names

    @property
    def is_among_three(self) -> bool:
        return any(name in self.names for name, _ in self.causes[:3])

    @property
    def is_first_later(self) -> bool:
        return bool(self.later) and self.later[0] in self.names

    @property
    def has_features(self) -> bool:
        return set(self.features) <= set(self.named_features)


def scenes(it: Stage, seed: int, number: int) -> Scene:
    draw = np.random.default_rng([seed, number])
    rows = it.served.healthy
    names = [name for name in rows[0] if name != "y_pred_proba"]
    texts = [name for name in names if any(isinstance(row[name], str) for row in rows)]
    # Where one value stands in most rows, a stuck or misjoined column is nearly what it was: such a column is not drawn.
    quantities = [n for n in names if n not in texts and is_spread([row[n] for row in rows])]
    numeric, second = draw.choice(quantities, 2, replace=False).tolist()
    return Scene(
        numeric=numeric,
        second=second,
        category=str(draw.choice(texts)) if texts else None,
        segment=segment_of(rows),
        healthy=rows,
        healthy_answers=it.healthy_answers,
        healthy_truth=it.served.healthy_truth[: len(rows)],
        answers=it.served.answers,
        other_model=it.served.other_model,
        is_binary=it.served.classes is not None,
    )


def is_spread(values: Sequence[Any]) -> bool:
    counts = Counter(values)
    return len(counts) > 20 and counts.most_common(1)[0][1] < 0.5 * len(values)


def can(trouble: Trouble, scene: Scene) -> bool:
    if trouble.needs and getattr(scene, trouble.needs) is None:
        return False
    return trouble.binary is None or trouble.binary == scene.is_binary


def run(it: Stage, name: str, severity: int, scene: Scene, draw: Draw, later_rows: int = LATER_ROWS) -> Trial:
    events, features = broken(it, name, severity, scene, draw)
    where = tuple(sorted(scene.slice(TROUBLES[name].only).items()))
    later_rows = max(later_rows, SLICE_ROWS) if where and later_rows else later_rows
    found = Trial(it.table, name, severity, TROUBLES[name].names, features, slice=where)
    return follow(heard(it, events), len(events), found, later_rows)


def broken(it: Stage, name: str, severity: int, scene: Scene, draw: Draw) -> tuple[list[Served], tuple[str, ...]]:
    """The stage's rows after the break, broken, and the inputs that are."""
    trouble = TROUBLES[name]
    events = [replace(one, row=dict(one.row), other={}) for one in it.after]
    there = confined(events, trouble.only, scene) if trouble.only else events
    features = tuple(trouble.change(there, draw, severity, scene))
    if trouble.answers_anew and scene.other_model is not None:
        for one, answer in zip(events, scene.answers([one.row for one in events]), strict=True):
            one.answer = answer
    return events, features


def heard(it: Stage, events: Sequence[Served]) -> Iterator[tuple[int, list[Diagnosis]]]:
    """What the pipeline says of these events after the stage's healthy ones: predictions seen by each record, what is said."""
    pipeline = Pipeline.restore(it.settings, "events", 0, it.profiles, it.state)
    segment = segment_of(it.served.healthy)
    breaks_ms = it.after[0].at_ms
    late = [pair for pair in wire(it.before, it.served.classes, segment) if pair[0] >= breaks_ms]
    values = sorted([*late, *wire(events, it.served.classes, segment)], key=lambda pair: pair[0])
    return counted(pipeline, values, it.first_offset)


def counted(
    pipeline: Pipeline, values: Sequence[tuple[int, bytes]], first_offset: int
) -> Iterator[tuple[int, list[Diagnosis]]]:
    """Predictions seen by each record, and what is said: a delay counts events of the model, not labels."""
    predictions = np.cumsum([b'"kind": "prediction"' in value[:30] for _, value in values])
    for offset, some in said(pipeline, records(values, first_offset)):
        yield int(predictions[offset - first_offset]), some


def follow(told: Iterator[tuple[int, list[Diagnosis]]], rows: int, found: Trial, later_rows: int = LATER_ROWS) -> Trial:
    """What became of a trial of so many rows: its first incident, and what that is called `later_rows` on; no more is read than
    that takes. told: see `heard`.
    """
    first: tuple[int, str] | None = None
    opened = 0
    for place, some in told:
        if first is not None and place > first[0] + later_rows:
            break
        for one in some:
            if place >= rows and one.causes[0].fault is Fault.TRAFFIC_CHANGE:
                continue  # labels still come after the last prediction: rightly heard as predictions that stopped
            opened += one.status is Status.OPENED
            if first is None and one.status is Status.OPENED:
                first = place, one.incident_id
                causes = tuple((cause.fault.value, cause.probability) for cause in one.causes)
                named = tuple(one.causes[0].features)
                found = replace(found, delay=place, causes=causes, named_features=named, named_slice=slice_of(one))
            if first is not None and one.incident_id == first[1]:
                found = replace(found, later=tuple(c.fault.value for c in one.causes), later_slice=slice_of(one))
    return replace(found, incidents=opened)


def slice_of(said: Diagnosis) -> tuple[tuple[str, str], ...]:
    """Where the first cause says that it is confined to."""
    lead = said.causes[0]
    return tuple(sorted({**(lead.segment or {}), **({"replica": lead.replica} if lead.replica else {})}.items()))


# -- counting


def interval(hits: int, trials: int) -> str:
    """Share in percent, with Wilson's interval of 95 %."""
    if not trials:
        return "–"
    low, high = stats.binomtest(hits, trials).proportion_ci(method="wilson")
    return f"{100 * hits / trials:.0f} ({100 * low:.0f}–{100 * high:.0f})"


def row(title: str, trials: Sequence[Trial]) -> str:
    found = [one for one in trials if one.delay is not None]
    delays = [one.delay for one in found if one.delay is not None]
    late = f"{median(delays):.0f} / {np.quantile(delays, 0.9):.0f}" if delays else "–"
    cells = [
        title,
        str(len(trials)),
        interval(len(found), len(trials)),
        late,
        interval(sum(one.is_first for one in found), len(found)),
        interval(sum(one.is_among_three for one in found), len(found)),
        interval(sum(one.is_first_later for one in found), len(found)),
        interval(sum(one.has_features for one in found if one.features), sum(bool(one.features) for one in found)),
    ]
    return f"| {' | '.join(cells)} |"


HEAD = """| | trials | found % | delay, median / P90 | right first % | among three % | right first, later % | inputs % |
|---|--:|--:|--:|--:|--:|--:|--:|"""


def calibration(trials: Sequence[Trial]) -> tuple[float, list[str]]:
    """Expected calibration error of the leading cause's probability, in tenths, and the lines of its table."""
    pairs = [(one.causes[0][1], one.is_first) for one in trials if one.causes]
    error, lines = 0.0, ["| stated | trials | right % |", "|---|--:|--:|"]
    for low in np.arange(0, 1, 0.1).tolist():
        mine = [(p, right) for p, right in pairs if low <= p < low + 0.1 or (low > 0.85 and p == 1)]
        if mine:
            stated, right = float(np.mean([p for p, _ in mine])), float(np.mean([r for _, r in mine]))
            error += len(mine) / len(pairs) * abs(stated - right)
            lines.append(f"| {stated:.2f} | {len(mine)} | {100 * right:.0f} |")
    return error, lines


def lines_of(trials: Sequence[Trial]) -> Iterator[str]:
    """The table: by severity, in all, by trouble, by table of data."""
    yield from HEAD.splitlines()
    for severity, title in enumerate(SEVERITIES):
        if of_it := [one for one in trials if one.severity == severity]:
            yield row(f"**{title}**", of_it)
    yield row("**all**", trials)
    for name in dict.fromkeys(one.trouble for one in trials):
        yield row(name, [one for one in trials if one.trouble == name])
    for table in dict.fromkeys(one.table for one in trials):
        yield row(f"*{table}*", [one for one in trials if one.table == table])


SLICES_OF_THEIR_OWN = ("segment", "oversampled", "replica", "clock")
"""Troubles whose names are about a segment or a replica."""


def slice_lines(trials: Sequence[Trial]) -> Iterator[str]:
    """The table of slices: how often the one that is broken is named, how often another one; and where everything is, any."""
    yield "| | found | slice right first % | slice right, later % | wrong slice, later % |"
    yield "|---|--:|--:|--:|--:|"
    found = [one for one in trials if one.delay is not None and one.trouble not in SLICES_OF_THEIR_OWN]
    there = [one for one in found if one.slice]
    groups = {name: [one for one in there if one.trouble == name] for name in dict.fromkeys(o.trouble for o in there)}
    groups |= {f"**{SEVERITIES[s]}**": [one for one in there if one.severity == s] for s in range(3)}
    groups |= {"**confined to a slice**": there, "**everywhere**": [one for one in found if not one.slice]}
    for title, mine in groups.items():
        if mine:
            wrong = sum(bool(one.later_slice) and one.later_slice != one.slice for one in mine)
            right = [
                sum(one.named_slice == one.slice for one in mine),
                sum(one.later_slice == one.slice for one in mine),
            ]
            cells = [title, str(len(mine)), *(interval(hits, len(mine)) for hits in (*right, wrong))]
            yield f"| {' | '.join(cells)} |"


def report(trials: Sequence[Trial], stages: Sequence[Stage]) -> None:
    print("\n".join(lines_of(trials)))
    print("\n".join(["", *slice_lines(trials)]))
    wrong = Counter(
        (one.trouble, SEVERITIES[one.severity], one.causes[0][0] if one.causes else "not found")
        for one in trials
        if not one.is_first
    )
    print("\nNot named rightly at first:")
    for (name, severity, instead), count in sorted(wrong.items()):
        print(f"  {name}, {severity}: {instead} × {count}")
    error, lines = calibration(trials)
    print(f"\nExpected calibration error {error:.3f}\n")
    print("\n".join(lines))
    rows, false = sum(len(one.before) + len(one.after) for one in stages), sum(len(one.false) for one in stages)
    low, high = stats.chi2.ppf(0.025, 2 * false) / 2 if false else 0.0, stats.chi2.ppf(0.975, 2 * false + 2) / 2
    each = 1e5 / rows
    rate = f"{false * each:.2f} per 100,000 ({low * each:.2f}–{high * each:.2f})"
    print(f"\nFalse incidents: {false} in {rows:,} healthy events, {rate}")
    for one in stages:
        for diagnosis in one.false:
            print(f"  {one.table}: {diagnosis.summary}")
    if trials and trials[0].baselines:
        print("\n| baseline | found % | delay, median | false per 100,000 |\n|---|--:|--:|--:|")
        for name in dict(trials[0].baselines):
            delays = [dict(one.baselines)[name] for one in trials]
            there = [delay for delay in delays if delay is not None]
            alarms = sum(baselines.false_alarms(name, one.before) for one in stages)
            late = f"{median(there):.0f}" if there else "–"
            print(f"| {name} | {interval(len(there), len(delays))} | {late} | {alarms * each:.1f} |")


def trials_of(
    it: Stage,
    seed: int,
    faults: Collection[str] = TROUBLES,
    severities: Sequence[int] = (0, 1, 2),
    later_rows: int = LATER_ROWS,
    with_baselines: bool = False,
) -> Iterator[tuple[Scene, Trial]]:
    """Each trouble that can be made of the stage, at each severity, and on which columns."""
    for number, name in enumerate(TROUBLES):
        scene = scenes(it, seed, number)
        if name not in faults or not can(TROUBLES[name], scene):
            continue
        for severity in severities:
            if broken(it, name, severity, scene, np.random.default_rng([seed, number, severity]))[0] == it.after:
                continue  # capitals of what has no letters: nothing is broken
            trial = run(it, name, severity, scene, np.random.default_rng([seed, number, severity]), later_rows)
            if with_baselines:
                events, _ = broken(it, name, severity, scene, np.random.default_rng([seed, number, severity]))
                trial = replace(trial, baselines=tuple(baselines.delays(it.before, events)))
            yield scene, trial


def told(trial: Trial, scene: Scene, seed: int) -> str:
    causes = " ".join(f"{cause} {p:.2f}" for cause, p in trial.causes)
    slices = f"{dict(trial.named_slice)} {dict(trial.later_slice)} of {dict(trial.slice)}"
    what = f"{trial.table} {seed} {trial.trouble}/{SEVERITIES[trial.severity]} {scene.numeric}/{scene.category}"
    return f"{what}: {trial.delay} {causes} {list(trial.named_features)} ×{trial.incidents} {slices}"


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    options.add_argument("data", type=Path, metavar="DATA_FOLDER")
    options.add_argument("--half", choices=HALVES, default="tune")
    options.add_argument("--tables", nargs="+", choices=[name for half in HALVES.values() for name in half])
    options.add_argument("--families", nargs="+", choices=FAMILIES, default=["boosted"])
    options.add_argument("--faults", nargs="+", choices=TROUBLES, default=list(TROUBLES))
    options.add_argument("--severities", nargs="+", type=int, choices=range(len(SEVERITIES)), default=[0, 1, 2])
    options.add_argument("--seeds", type=int, default=1)
    options.add_argument("--first-seed", type=int, default=0)
    options.add_argument("--baselines", action="store_true")
    options.add_argument("--verbose", action="store_true")
    wanted = options.parse_args()
    trials: list[Trial] = []
    stages: list[Stage] = []
    for table in wanted.tables or HALVES[wanted.half]:
        for family in wanted.families if table != "car_loan" else ["boosted"]:
            for seed in range(wanted.first_seed, wanted.first_seed + wanted.seeds):
                it = stage(table, wanted.data, family, seed)
                stages.append(it)
                found = trials_of(it, seed, wanted.faults, wanted.severities, with_baselines=wanted.baselines)
                for scene, trial in found:
                    trials.append(trial)
                    if wanted.verbose:
                        print(told(trial, scene, seed), flush=True)
    report(trials, stages)


if __name__ == "__main__":
    main()
