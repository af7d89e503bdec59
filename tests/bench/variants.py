"""Harder than one fault after a long health: `python tests/bench/variants.py DATA_FOLDER [--variants intermittent pairs …]`.

- intermittent: the fault comes and goes, 150 rows each; it should be one incident, not ten.
- pairs: two troubles at once, from unlike parts of the system; both should be named, as causes or in incidents of their own.
- first: broken from the first event on, with a reference of the healthy training data. Inputs that differ from the first event on
  and stay so are `training_serving_skew`, whatever the difference consists of (that comes second); what moves or repeats, and
  what is about answers, outcomes and the service, has the name it always has.
- learning: no reference, and the fault comes after 1,000 of the 2,000 rows that one is learnt from.
- relearnt: a person had everything learnt anew 1,000 rows before the fault, though there was a reference.
- drift: another input drifts by half a standard deviation over the rows before and after the break. That may be told of, too.

Belongs here: such trials, and their count. Not here: the troubles (`breaks`), streams and tables (`faults`).
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

import numpy as np
from breaks import TROUBLES, Served
from faults import (
    BROKEN,
    FAMILIES,
    HALVES,
    SEVERITIES,
    WARMED_UP,
    Scene,
    Stage,
    Trial,
    broken,
    can,
    heard,
    interval,
    lines_of,
    scenes,
    stage,
    trials_of,
)

from whydrift_schemas import FAMILY_OF, Family, Fault, Status

ON_ROWS = 150
"""So long an intermittent fault lasts, and stays away."""
LEARNT_ROWS = 1_000
NOT_INTERMITTENT = ("repeated", "surge", "fall", "ramp", "no labels", "lag")
"""They change when events come, or how many, or are slow by nature."""
PAIRS = (
    ("scale", "category null"),
    ("fill", "latency"),
    ("noise", "errors"),
    ("null", "corrupted"),
    ("swap", "clock"),
    ("recoding", "constant"),
    ("offset", "concept"),
    ("schema", "bias"),
    ("stuck", "null"),
    ("outliers", "scale"),
)
"""Where both are about a quantity, the second one has another."""
NOT_SKEW = ("ramp", "repeated")
"""Of the troubles of inputs those that are no difference between two pipelines: it moves, or is about the feed."""
Draw = np.random.Generator


# -- from the first event on


def from_first(trial: Trial) -> Trial:
    """The trial with the name that is right where training and serving have always differed."""
    is_input = FAMILY_OF[Fault(trial.names[0])] in (Family.DATA_QUALITY, Family.DATA_DRIFT)
    is_skew = is_input and trial.trouble not in NOT_SKEW
    return replace(trial, names=("training_serving_skew",)) if is_skew else trial


# -- intermittent


def flickering(it: Stage, events: Sequence[Served]) -> list[Served]:
    """The same events, healthy again in every other run of rows."""
    return [
        one if place // ON_ROWS % 2 == 0 else replace(healthy, row=dict(healthy.row), other={})
        for place, (one, healthy) in enumerate(zip(events, it.after, strict=True))
    ]


@dataclass(frozen=True, slots=True)
class Flicker:
    """A trial, read to its end: incidents opened, and how many of them were named wrongly at first."""

    trial: Trial
    opened: int


def flickers(it: Stage, seed: int, severities: Sequence[int]) -> Iterator[Flicker]:
    for number, name in enumerate(TROUBLES):
        scene = scenes(it, seed, number)
        if name in NOT_INTERMITTENT or not can(TROUBLES[name], scene):
            continue
        for severity in severities:
            events, features = broken(it, name, severity, scene, np.random.default_rng([seed, number, severity]))
            said = follow_all(it, flickering(it, events))
            trial = Trial(it.table, name, severity, TROUBLES[name].names, features)
            yield Flicker(said.as_trial(trial), len(said.leads))


# -- reading to the end


@dataclass(slots=True)
class Heard:
    """Everything said of a stream. leads: the leading cause of each incident, as it opened; later: of each, as it was last."""

    delay: int | None = None
    causes: tuple[tuple[str, float], ...] = ()
    features: tuple[str, ...] = ()
    leads: dict[str, str] = field(default_factory=dict)
    later: dict[str, str] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)
    """Of all causes of all diagnoses, however improbable."""
    led_features: set[str] = field(default_factory=set)

    def as_trial(self, trial: Trial) -> Trial:
        return replace(
            trial,
            delay=self.delay,
            causes=self.causes,
            later=tuple(self.later.values())[:1],
            named_features=self.features,
            incidents=len(self.leads),
        )


def follow_all(it: Stage, events: Sequence[Served], rows: int = BROKEN) -> Heard:
    found = Heard()
    for place, some in heard(it, events):
        if place > rows:
            break
        for one in some:
            lead = one.causes[0]
            if one.status is Status.OPENED:
                found.leads[one.incident_id] = lead.fault.value
                found.led_features |= set(lead.features)
                if found.delay is None:
                    found.delay, found.features = place, tuple(lead.features)
                    found.causes = tuple((cause.fault.value, cause.probability) for cause in one.causes)
            if one.incident_id in found.leads and one.status is not Status.RESOLVED:
                found.later[one.incident_id] = lead.fault.value
                found.named |= {cause.fault.value for cause in one.causes}
    return found


# -- two at once


@dataclass(frozen=True, slots=True)
class Pair:
    """Two troubles at once, and what was said within LATER_ROWS of the first incident, or ever."""

    table: str
    names: tuple[str, str]
    severity: int
    said: Heard

    def led(self) -> int:
        """Of the two: how many lead an incident, as it opened or as it was last."""
        leads = {*self.said.leads.values(), *self.said.later.values()}
        return sum(any(right in leads for right in TROUBLES[name].names) for name in self.names)

    def named(self) -> int:
        """Of the two: how many are among the causes that were stated."""
        return sum(any(right in self.said.named for right in TROUBLES[name].names) for name in self.names)

    def wrong(self) -> list[str]:
        """Incidents that opened under a name of neither."""
        right = {one for name in self.names for one in TROUBLES[name].names}
        return [lead for lead in self.said.leads.values() if lead not in right]


def pairs(it: Stage, seed: int, severities: Sequence[int]) -> Iterator[Pair]:
    for number, names in enumerate(PAIRS):
        scene = scenes(it, seed, 100 + number)
        other = replace(scene, numeric=scene.second, second=scene.numeric)
        if not all(can(TROUBLES[name], scene) for name in names):
            continue
        for severity in severities:
            draw = np.random.default_rng([seed, 100 + number, severity])
            yield Pair(it.table, names, severity, follow_all(it, both(it, names, severity, (scene, other), draw)))


def both(it: Stage, names: tuple[str, str], severity: int, scene: tuple[Scene, Scene], draw: Draw) -> list[Served]:
    """What goes in is broken first: the model answers to that."""
    events = [replace(one, row=dict(one.row), other={}) for one in it.after]
    order = sorted(zip(names, scene, strict=True), key=lambda one: not TROUBLES[one[0]].answers_anew)
    for place, (name, its) in enumerate(order):
        TROUBLES[name].change(events, draw, severity, its)
        is_last_input = place == 1 or not TROUBLES[order[1][0]].answers_anew
        if TROUBLES[name].answers_anew and is_last_input and its.other_model is not None:
            for one, answer in zip(events, its.answers([one.row for one in events]), strict=True):
                one.answer = answer
    return events


# -- during a drift


def drifting(it: Stage, name: str) -> Stage:
    """The stage with an input that drifts from the break's rows on, by half a standard deviation within all of them."""
    values = np.array([one[name] for one in it.served.healthy if one[name] is not None], float)
    digits = next(n for n in range(7) if n == 6 or np.allclose(values, values.round(n)))
    after = [replace(one, row=dict(one.row)) for one in it.after]
    for place, one in enumerate(after):
        if one.row[name] is not None:
            one.row[name] = round(float(one.row[name] + 0.5 * values.std() * place / BROKEN), digits)
    for one, answer in zip(after, it.served.answers([one.row for one in after]), strict=True):
        one.answer = answer
    return replace(it, after=after)


def drifts(it: Stage, seed: int, severities: Sequence[int]) -> Iterator[Trial]:
    """Right: any incident that is not about the drift is opened under the trouble's name."""
    for number, name in enumerate(TROUBLES):
        scene = scenes(it, seed, number)
        if not can(TROUBLES[name], scene) or it.served.other_model is None:
            continue
        moved = drifting(it, scene.second)
        for severity in severities:
            events, features = broken(moved, name, severity, scene, np.random.default_rng([seed, number, severity]))
            said = follow_all(moved, events)
            trial = said.as_trial(Trial(it.table, name, severity, TROUBLES[name].names, features))
            right = next((lead for lead in said.leads.values() if lead in trial.names), None)
            yield replace(trial, causes=((right, 1.0),)) if right is not None else trial


# -- counting


def show_pairs(found: Sequence[Pair]) -> None:
    print(
        "| two at once | trials | found % | both lead % | both named % | one or both lead % | incidents | of neither |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    groups = [(" + ".join(names), [one for one in found if one.names == names]) for names in PAIRS]
    for title, these in [("**all**", list(found)), *groups]:
        if not these:
            continue
        n = len(these)
        cells = [
            title,
            str(n),
            interval(sum(one.said.delay is not None for one in these), n),
            interval(sum(one.led() == 2 for one in these), n),
            interval(sum(one.named() == 2 for one in these), n),
            interval(sum(one.led() >= 1 for one in these), n),
            f"{np.mean([len(one.said.leads) for one in these]):.1f}",
            f"{np.mean([len(one.wrong()) for one in these]):.1f}",
        ]
        print(f"| {' | '.join(cells)} |")


def show_flickers(found: Sequence[Flicker]) -> None:
    print("\n".join(lines_of([one.trial for one in found])))
    opened = [one.opened for one in found if one.opened]
    once = interval(sum(count == 1 for count in opened), len(opened))
    print(
        f"\nIncidents of a fault that comes and goes: median {median(opened):.0f}, at most {max(opened)}; one in {once} %"
    )


STAGED: dict[str, Callable[[str, Path, str, int], Stage]] = {
    "first": lambda table, data, family, seed: stage(table, data, family, seed, warmed_up=0),
    "learning": lambda table, data, family, seed: stage(
        table, data, family, seed, warmed_up=LEARNT_ROWS, has_reference=False
    ),
    "relearnt": lambda table, data, family, seed: stage(table, data, family, seed, relearnt_at=WARMED_UP - LEARNT_ROWS),
}
VARIANTS = ("intermittent", "pairs", "drift", *STAGED)


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    options.add_argument("data", type=Path, metavar="DATA_FOLDER")
    options.add_argument("--half", choices=HALVES, default="tune")
    options.add_argument("--tables", nargs="+", choices=[name for half in HALVES.values() for name in half])
    options.add_argument("--family", choices=FAMILIES, default="boosted")
    options.add_argument("--variants", nargs="+", choices=VARIANTS, default=VARIANTS)
    options.add_argument("--severities", nargs="+", choices=SEVERITIES, default=["medium", "high"])
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--verbose", action="store_true")
    wanted = options.parse_args()
    tables = wanted.tables or HALVES[wanted.half]
    severities = [SEVERITIES.index(one) for one in wanted.severities]
    plain: list[Stage] = []
    if set(wanted.variants) - STAGED.keys():
        plain = [stage(table, wanted.data, wanted.family, wanted.seed) for table in tables]
    for variant in wanted.variants:
        print(f"\n{variant}\n", flush=True)
        if variant == "pairs":
            both_of = [one for it in plain for one in pairs(it, wanted.seed, severities)]
            show_pairs(both_of)
            for one in both_of if wanted.verbose else ():
                print(f"{one.table} {one.names}/{SEVERITIES[one.severity]}: {one.said.leads} later {one.said.later}")
            continue
        if variant == "intermittent":
            seen = [one for it in plain for one in flickers(it, wanted.seed, severities)]
            show_flickers(seen)
            trials = [one.trial for one in seen]
        elif variant == "drift":
            trials = [one for it in plain for one in drifts(it, wanted.seed, severities)]
            print("\n".join(lines_of(trials)))
        else:
            stages = [STAGED[variant](table, wanted.data, wanted.family, wanted.seed) for table in tables]
            trials = [trial for it in stages for _, trial in trials_of(it, wanted.seed, severities=severities)]
            trials = [from_first(trial) for trial in trials] if variant == "first" else trials
            print("\n".join(lines_of(trials)))
            rows = sum(len(it.before) + len(it.after) for it in stages)
            print(f"\nFalse incidents: {sum(len(it.false) for it in stages)} in {rows:,} healthy events")
        for one in trials if wanted.verbose else ():
            if not one.is_first:
                print(f"{one.table} {one.trouble}/{SEVERITIES[one.severity]}: {one.delay} {one.causes}")


if __name__ == "__main__":
    main()
