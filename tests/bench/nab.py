"""The Numenta Anomaly Benchmark: `python tests/bench/nab.py DATA_FOLDER [--verbose]`.

Real series of aggregates (loads, latencies, rates, prices) with labelled anomalies, one value an interval, which is what
`RateGuard` has of arrivals. Every detector sees each file once, value by value; the threshold is the benchmark's: the best for
the corpus, one for all files (`nab_score`). `--at` adds lines with thresholds that were given, not chosen.

Belongs here: files, detectors to compare, the table. Not here: the score's arithmetic.
"""

import argparse
import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import log
from pathlib import Path

import numpy as np
from nab_score import PROFILES, Labelled, Result, scored

from whydrift.core.detectors.novelty import Novelty
from whydrift.core.detectors.rate import RateGuard
from whydrift.core.interval_news import is_news

Scores = Sequence[float]
_LOG10_THRESHOLD = 3.0
"""Of RateGuard here: half of what a model's budget usually comes to."""


@dataclass(frozen=True, slots=True)
class Series:
    """One file: times in epoch milliseconds, values, and what is labelled."""

    times_ms: Sequence[int]
    values: Sequence[float]
    labelled: Labelled


Detector = Callable[[Series], Scores]


def read_corpus(folder: Path) -> dict[str, Series]:
    """All labelled series of `folder`, by name."""
    labels = json.loads((folder / "labels/combined_windows.json").read_text("utf-8"))
    return {name: _read(folder / "data" / name, windows) for name, windows in labels.items()}


def _read(path: Path, windows: Sequence[Sequence[str]]) -> Series:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    times = [_ms(row["timestamp"]) for row in rows]
    places = [(times.index(_ms(first)), times.index(_ms(last))) for first, last in windows]
    return Series(times, [float(row["value"]) for row in rows], Labelled(len(rows), places))


def _ms(text: str) -> int:
    return int(datetime.fromisoformat(text + "+00:00").timestamp() * 1_000)


# --- detectors


def novelty(series: Series) -> Scores:
    """The detector in the core, at every threshold."""
    guard = Novelty()
    return [guard.update(value) or 0.0 for value in series.values]


def interval_news(series: Series) -> Scores:
    """What the worker tells of its intervals: yes or no, at the threshold it comes with."""
    guard = Novelty()
    return [float(is_news(guard, value)) for value in series.values]


def rate_guard(series: Series) -> Scores:
    """Alarms of the guard on arrivals, by their evidence. Its values are counts: scaled to a median of a hundred at first."""
    early = np.abs(series.values[: max(len(series.values) // 10, 50)])
    scale = 100 / max(float(np.median(early)), 1e-9)
    guard, scores = RateGuard(downward_only=False), []
    guard.advance(0, _LOG10_THRESHOLD)
    for minute, value in enumerate(series.values, 1):
        was_alarmed = guard.is_alarmed
        guard.here += max(int(value * scale), 0)
        guard.advance(minute * 60_000, _LOG10_THRESHOLD)
        scores.append(guard.log10_e if guard.is_alarmed and not was_alarmed else 0.0)
    return scores


def record(series: Series) -> Scores:
    """Beyond all that was: by how much of the range."""
    low = high = series.values[0]
    scores = []
    for value in series.values:
        beyond = max(low - value, value - high, 0.0)
        low, high = min(low, value), max(high, value)
        scores.append(beyond / (high - low) if high > low else 0.0)
    return scores


def gaussian(series: Series, window: int = 288) -> Scores:
    """Surprise under a normal distribution of the last values."""
    values, scores = np.asarray(series.values), [0.0]
    for place in range(1, len(values)):
        past = values[max(place - window, 0) : place]
        z = abs(values[place] - past.mean()) / max(past.std(), 1e-9 * max(abs(past).max(), 1e-9))
        scores.append(min(float(z), 1e9))
    return scores


def random(series: Series) -> Scores:
    draw = np.random.default_rng(len(series.values))
    return [-log(1 - one) for one in draw.random(len(series.values))]


def silent(series: Series) -> Scores:
    return [0.0] * len(series.values)


DETECTORS: Mapping[str, Detector] = {
    "news of intervals (as applied, no incidents)": interval_news,
    "novelty, at its best threshold": novelty,
    "RateGuard's alarms (incidents of arrivals)": rate_guard,
    "new maximum or minimum": record,
    "normal distribution of the last 288": gaussian,
    "random": random,
    "silent": silent,
}


# --- what it tells of nothing but noise

_WEEK = 2_016
"""Intervals of five minutes."""


def noises(draw: np.random.Generator, values: int) -> dict[str, Sequence[float]]:
    """Healthy series, a value each five minutes: counts, counts with a day's season, bursts, a quantile of latencies."""
    day = 1 + 0.6 * np.sin(2 * np.pi * np.arange(values) / 288)
    return {
        "arrivals, Poisson of 50": draw.poisson(50, values).tolist(),
        "… with a daily season": draw.poisson(50 * day).tolist(),
        "… in bursts": draw.poisson(50 * draw.gamma(1, 1, values)).tolist(),
        "latency, 99 % of 200": np.quantile(draw.lognormal(1, 0.5, (values, 200)), 0.99, axis=1).tolist(),
    }


def show_noise(streams: int, weeks: int = 4) -> None:
    told: dict[str, list[int]] = {}
    for seed in range(streams):
        for name, values in noises(np.random.default_rng(seed), weeks * _WEEK).items():
            guard, counts = Novelty(), told.setdefault(name, [0] * weeks)
            for place, value in enumerate(values):
                counts[place // _WEEK] += is_news(guard, value)
    print("\n| told of noise, a week | " + " | ".join(f"week {week + 1}" for week in range(weeks)) + " |")
    print("|---|" + "--:|" * weeks)
    for name, counts in told.items():
        print(f"| {name} | " + " | ".join(f"{count / streams:.1f}" for count in counts) + " |")


# --- the table


def _line(name: str, results: Sequence[Result]) -> str:
    first = results[0]
    scores = " | ".join(f"{result.score:.1f}" for result in results)
    return f"| {name} | {scores} | {first.threshold:.4g} | {first.found} of {first.windows} | {first.outside} |"


def _at(scores: Mapping[str, Scores], threshold: float) -> dict[str, Scores]:
    """Yes or no at a threshold that was given: below it nothing is a detection."""
    return {name: [threshold if one >= threshold else 0.0 for one in own] for name, own in scores.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("data", type=Path)
    parser.add_argument("--at", type=float, nargs="*", default=[0.01, 0.02, 0.03, 0.05, 0.07])
    parser.add_argument("--noise", type=int, default=0, help="series of noise of each kind, of four weeks")
    parser.add_argument("--verbose", action="store_true", help="what novelty finds in each file at the best threshold")
    asked = parser.parse_args()
    corpus = read_corpus(asked.data / "nab")
    labelled = {name: series.labelled for name, series in corpus.items()}
    days = sum(series.times_ms[-1] - series.times_ms[0] for series in corpus.values()) / 86_400_000
    print(f"{len(corpus)} files, {sum(file.rows for file in labelled.values()):,} values, {days:.0f} days\n")
    print(
        "| detector | " + " | ".join(profile.name for profile in PROFILES) + " | threshold | windows found | outside |"
    )
    print("|---|" + "--:|" * (len(PROFILES) + 3))
    for name, detector in DETECTORS.items():
        scores = {file: detector(series) for file, series in corpus.items()}
        results = [scored(labelled, scores, profile) for profile in PROFILES]
        print(_line(name, results), flush=True)
        for threshold in asked.at if detector is novelty else ():
            given = [scored(labelled, _at(scores, threshold), profile) for profile in PROFILES]
            print(_line(f"… at {threshold:g}, given", given))
        if asked.verbose and detector is novelty:
            for file, own in scores.items():
                hits = [place for place, one in enumerate(own) if one >= results[0].threshold]
                print(f"    {file}: {hits}, windows {list(labelled[file].windows)}")
    if asked.noise:
        show_noise(asked.noise)


if __name__ == "__main__":
    main()
