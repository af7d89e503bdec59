"""Whether the budget of false incidents holds: `python tests/bench/budget.py [--seeds 5] [--events 100000] [KIND …]`.

Twelve kinds of healthy stream through the real pipeline at default settings, labels included: what is said of them is false.
Printed for each kind: incidents and tickets (severity `info`), weeks of stream time, incidents a week with a Poisson interval
(95 %), to be compared with the budget, `Settings.false_incidents_per_week`. A stream of 100,000 events at one a second lasts
28 hours: its share of a weekly budget is a sixth, so the events count as well (last column: per million).

The everyday stream of `tests/conformance/quiet.py` with columns of the kind added (the score depends on x). Two kinds, whose
reference cannot be learnt from 2,000 events (a season, a wandering level), are given one from their first `--reference` events,
as `whydrift profile` makes it; `--bare` leaves it out.

Belongs here: the kinds, and counting. Not here: how such streams are made (`quiet`).
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

sys.path.insert(0, str(Path(__file__).parents[1] / "conformance"))

from quiet import (
    DAY_MS,
    HOUR_MS,
    START_MS,
    Draw,
    Health,
    Values,
    autocorrelated,
    health,
    plus,
    season,
    steady,
    varying,
    with_nulls,
    zipf,
)

from whydrift.core.pipeline import Pipeline
from whydrift.core.profile import read_profile
from whydrift.core.profiler import Profiler
from whydrift.core.records import Emit, Record, Reject
from whydrift.core.settings import Settings
from whydrift_schemas import Diagnosis, Severity, Status

WEEK_MS = 7 * DAY_MS
SETTINGS = Settings()


# --- kinds


def by_season(daily: float, weekly: float) -> Callable[[Draw, NDArray[Any]], Values]:
    """Noise of one, on a level that goes up and down by so much every day, and is lower by so much at weekends."""

    def make(draw: Draw, times_ms: NDArray[Any]) -> Values:
        day = times_ms / DAY_MS
        level = daily * np.sin(2 * np.pi * day) - weekly * ((day + 3) % 7 >= 5)
        return (level + draw.normal(size=len(times_ms))).round(4)

    return make


def wandering(step: float, limit: float = 2.0) -> Callable[[Draw, int], Values]:
    """Noise of one on a random walk that is turned back at the limits."""

    def make(draw: Draw, n: int) -> Values:
        walk = np.cumsum(draw.normal(0, step, n)) + draw.uniform(-limit, limit)
        folded = np.abs((walk + limit) % (4 * limit) - 2 * limit) - limit
        return (folded + draw.normal(size=n)).round(4)

    return make


def in_bursts(per_hour: float, size: float) -> Callable[[Draw, int], NDArray[Any]]:
    """Arrivals in bursts of geometric size, a millisecond apart, that begin at random."""

    def times(draw: Draw, n: int) -> NDArray[Any]:
        sizes = draw.geometric(1 / size, n)
        starts = np.cumsum(draw.exponential(HOUR_MS * size / per_hour, n))
        own = np.repeat(starts, sizes)[:n] + np.concatenate([np.arange(one) for one in sizes[: n + 1]])[:n]
        return START_MS + np.sort(own)

    return times


def of_bursts(share: float, size: int) -> Callable[[Draw, int], Values]:
    """Runs of about `size` events have a part of their variance in common: one customer's, one batch's."""

    def make(draw: Draw, n: int) -> Values:
        common = np.repeat(draw.normal(size=n // size + 2 * size), draw.geometric(1 / size, n // size + 2 * size))
        common = np.resize(common, n)
        return (share**0.5 * common + (1 - share) ** 0.5 * draw.normal(size=n)).round(4)

    return make


def seldom(share: float) -> Callable[[Draw, int], Values]:
    """Zero, but for a few."""
    return lambda draw, n: np.where(draw.random(n) < share, np.exp(draw.normal(2, 1, n)).round(2), 0.0)


@dataclass(frozen=True, slots=True)
class Kind:
    stream: Health
    needs_reference: bool = False


KINDS = {
    "normal": Kind(plus(**{f"x{k}": lambda d, n: d.normal(size=n).round(4) for k in range(3)})),
    "lognormal": Kind(plus(**{f"x{k}": lambda d, n: np.exp(d.normal(size=n)).round(4) for k in range(3)})),
    "Cauchy": Kind(plus(**{f"x{k}": lambda d, n: d.standard_cauchy(n).round(4) for k in range(3)})),
    "AR .5": Kind(plus(x=autocorrelated(0.5), y=autocorrelated(0.5))),
    "AR .9": Kind(plus(x=autocorrelated(0.9), y=autocorrelated(0.9))),
    "daily and weekly season": Kind(
        health(times_ms=varying(season(0.3), 28.0), timed={"x": by_season(1.0, 0.5), "y": by_season(0.3, 0.0)}), True
    ),
    "random walk within its range": Kind(plus(x=wandering(0.05), y=wandering(0.02)), True),
    "bursts": Kind(health(times_ms=in_bursts(3_600, 200), extra={"x": of_bursts(0.3, 50)})),
    "sparse": Kind(plus(a=with_nulls(0.97), b=seldom(0.01), c=with_nulls(0.999), d=seldom(0.2))),
    "constant": Kind(plus(a=lambda d, n: [5.0] * n, b=lambda d, n: ["same"] * n, c=lambda d, n: [False] * n)),
    "Zipf categories": Kind(plus(a=zipf(1.3), b=zipf(1.8), c=zipf(1.1))),
    "ten events an hour": Kind(health(times_ms=steady(10), delays_ms=lambda d, t: d.gamma(2.0, HOUR_MS, len(t)))),
}


# --- runs


@dataclass(frozen=True, slots=True)
class Run:
    weeks: float
    events: int
    said: Sequence[Diagnosis]
    """Incidents as they were opened."""


def run(stream: Health, seed: int, events: int, reference: int) -> Run:
    """Of `reference` + `events` predictions the first are the reference."""
    records = [
        Record("events", 0, place, json.dumps(event).encode())
        for place, event in enumerate(stream.events(seed, reference + events))
    ]
    first = 0
    profile = None
    if reference:
        first = next(r.offset for r in records if b'"e%d"' % reference in r.value)
        profiler = Profiler(SETTINGS)
        profiler.add(records[:first])
        profile = read_profile(profiler.finish())
    pipeline = Pipeline(SETTINGS, "events", 0) if profile is None else Pipeline(SETTINGS, "events", 0, profile)
    begin = json.loads(records[first].value)["timestamp"]
    said = []
    for place in range(first, len(records), 1_000):
        for one in pipeline.process(records[place : place + 1_000]):
            assert not isinstance(one, Reject), one
            if isinstance(one, Emit) and one.diagnosis.status is Status.OPENED:
                said.append(one.diagnosis)
    return Run((json.loads(records[-1].value)["timestamp"] - begin) / WEEK_MS, events, said)


def interval(count: int) -> tuple[float, float]:
    """Poisson, 95 %: of the expected number."""
    low = stats.chi2.ppf(0.025, 2 * count) / 2 if count else 0.0
    return float(low), float(stats.chi2.ppf(0.975, 2 * count + 2) / 2)


def row(name: str, runs: Sequence[Run]) -> str:
    weeks, events = sum(one.weeks for one in runs), sum(one.events for one in runs)
    said = [diagnosis for one in runs for diagnosis in one.said]
    false = sum(one.severity is not Severity.INFO for one in said)
    low, high = interval(false)
    budget = SETTINGS.false_incidents_per_week
    verdict = "no" if low / weeks > budget else "yes" if high / weeks <= budget else "yes, so far"
    if false / weeks > budget and verdict != "no":
        verdict = "not shown"
    rate = f"{false / weeks:.2f} ({low / weeks:.2f}–{high / weeks:.2f})"
    million = f"{1e6 * false / events:.1f} ({1e6 * low / events:.1f}–{1e6 * high / events:.1f})"
    return f"| {name} | {len(runs)} | {weeks:.1f} | {false} | {len(said) - false} | {rate} | {verdict} | {million} |"


HEAD = (
    "| kind | streams | weeks | incidents | tickets | a week | within budget | per million events |\n"
    "|---|--:|--:|--:|--:|--:|---|--:|"
)


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    options.add_argument("kinds", nargs="*", metavar="KIND", help=f"all of: {', '.join(KINDS)}")
    options.add_argument("--events", type=int, default=100_000)
    options.add_argument("--seeds", type=int, default=5)
    options.add_argument("--first-seed", type=int, default=0)
    options.add_argument(
        "--reference", type=int, default=20_000, help="events before those judged, where a kind needs it"
    )
    options.add_argument("--bare", action="store_true", help="no kind is given a reference")
    options.add_argument("--always", action="store_true", help="every kind is given one")
    options.add_argument("--verbose", action="store_true", help="what was said")
    wanted = options.parse_args()
    unknown = set(wanted.kinds) - set(KINDS)
    if unknown:
        options.error(f"KIND: {', '.join(sorted(unknown))}: not one of {', '.join(KINDS)}")
    print(HEAD, flush=True)
    everything: list[Run] = []
    for name in wanted.kinds or KINDS:
        kind = KINDS[name]
        has_reference = (kind.needs_reference or wanted.always) and not wanted.bare
        begin = perf_counter()
        seeds = range(wanted.first_seed, wanted.first_seed + wanted.seeds)
        runs = [run(kind.stream, seed, wanted.events, wanted.reference if has_reference else 0) for seed in seeds]
        print(row(f"{name}{', reference' if has_reference else ''}", runs), flush=True)
        if wanted.verbose:
            print(f"    {perf_counter() - begin:.0f} s")
            for one in (diagnosis for each in runs for diagnosis in each.said):
                signals = " ".join(f"{e.signal}={e.log10_e:.1f}" for e in one.evidence[:3])
                print(
                    f"    {one.severity} {one.detected.offset} {one.causes[0].fault} {one.summary} [{signals}]",
                    flush=True,
                )
        everything += runs
    print(row("**all**", everything))


if __name__ == "__main__":
    main()
