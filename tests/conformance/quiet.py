"""Streams in which nothing is broken: the benign controls of the fault catalogue, and more of their kind.

`python tests/conformance/quiet.py [--events 30000] [--seeds 3] [WORD …]` runs them through the real pipeline and prints what was
said, which should be nothing. `test_quiet` holds a shorter run of each.

Belongs here: making such streams, quickly (columns are drawn at once, events spelled one by one). Not here: faults (`world`).
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent))

from whydrift.core.pipeline import Pipeline
from whydrift.core.records import Emit, Record, Reject
from whydrift.core.settings import Settings
from whydrift_schemas import Diagnosis

START_MS = 1_795_437_000_000
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
MODEL_ID = "quiet"

Draw = np.random.Generator
Values = Sequence[Any]


@dataclass
class Health:
    """One healthy stream. Each part is a function of the draw and of how many predictions there are.

    times_ms: of the predictions, in order. features: columns of values. answers: the wire's predictions, made from the numeric
    columns and a draw. actuals: outcomes, made from the answers; None = no labels. delays_ms: from prediction to label.
    versions: of each prediction. describe: announce versions by model events. again: which predictions are sent a second time.
    """

    times_ms: Callable[[Draw, int], NDArray[Any]]
    features: Callable[[Draw, int], Mapping[str, Values]]
    answers: Callable[[Draw, Mapping[str, Values], int], list[Any]]
    actuals: Callable[[Draw, list[Any]], Values] | None
    delays_ms: Callable[[Draw, NDArray[Any]], NDArray[Any]]
    versions: Callable[[int], list[str]] = lambda n: ["1"] * n
    describes: bool = False
    again: float = 0.0
    labelled: float = 0.9
    extra: dict[str, Callable[[Draw, int], Values]] = field(default_factory=dict)
    """Further columns."""
    timed: dict[str, Callable[[Draw, NDArray[Any]], Values]] = field(default_factory=dict)
    """Further columns that depend on when: functions of the draw and of the times in milliseconds."""

    def events(self, seed: int, n: int) -> list[dict[str, Any]]:
        """The wire's events, in order of arrival."""
        draw = np.random.default_rng(seed)
        times = self.times_ms(draw, n).astype(np.int64)
        columns = dict(self.features(draw, n)) | {name: make(draw, n) for name, make in self.extra.items()}
        columns |= {name: make(draw, times) for name, make in self.timed.items()}
        answers = self.answers(draw, columns, n)
        latencies = np.exp(draw.normal(1.2, 0.3, n)).round(3).tolist()
        versions = self.versions(n)
        names = list(columns)
        lists = [plain(column) for column in columns.values()]
        found: list[tuple[int, int, dict[str, Any]]] = []
        known: set[str] = set()
        for i, row in enumerate(zip(*lists, strict=True)):
            at_ms, version = int(times[i]), versions[i]
            if self.describes and version not in known:
                known.add(version)
                described = {"kind": "model", "model_id": MODEL_ID, "model_version": version, "timestamp": at_ms}
                found.append((at_ms, i, described))
            event = {
                "kind": "prediction",
                "event_id": f"e{i}",
                "model_id": MODEL_ID,
                "model_version": version,
                "timestamp": at_ms,
                "features": dict(zip(names, row, strict=True)),
                "prediction": answers[i],
                "latency_ms": latencies[i],
            }
            found.append((at_ms, i, event))
        for i in np.flatnonzero(draw.random(n) < self.again).tolist():
            # A retry keeps id, payload and timestamp; it arrives a little later.
            event = next(e for _, j, e in found[i : i + 50] if j == i and e["kind"] == "prediction")
            found.append((int(times[i]) + 400, i, event))
        found += self._labels(draw, times, answers)
        found.sort(key=lambda one: one[:2])
        return [event for _, _, event in found]

    def _labels(self, draw: Draw, times: NDArray[Any], answers: list[Any]) -> list[tuple[int, int, dict[str, Any]]]:
        if self.actuals is None:
            return []
        actuals, n = plain(self.actuals(draw, answers)), len(times)
        arrivals = (times + self.delays_ms(draw, times)).astype(np.int64).tolist()
        kept = (draw.random(n) < self.labelled).tolist()
        last = int(times[-1])
        label = {"kind": "label", "model_id": MODEL_ID}
        return [
            (at_ms, i, label | {"event_id": f"e{i}", "timestamp": at_ms, "actual": actuals[i]})
            for i, at_ms in enumerate(arrivals)
            if kept[i] and at_ms <= last
        ]


def plain(values: Values) -> list[Any]:
    return values.tolist() if isinstance(values, np.ndarray) else list(values)


# -- parts -------------------------------------------------------------------------------------------------------


def steady(per_hour: float) -> Callable[[Draw, int], NDArray[Any]]:
    """Poisson arrivals."""
    return lambda draw, n: START_MS + np.cumsum(draw.exponential(HOUR_MS / per_hour, n) + 1)


def varying(per_hour: Callable[[NDArray[Any]], NDArray[Any]], days: float) -> Callable[[Draw, int], NDArray[Any]]:
    """Poisson arrivals at a rate that depends on the day since the start, scaled to fill these days with n events."""

    def times(draw: Draw, n: int) -> NDArray[Any]:
        grid = np.linspace(0, days, 20_000)
        mass = np.cumsum(per_hour(grid))
        at = np.cumsum(draw.exponential(1.0, n + 1))[:-1]
        return START_MS + np.interp(at / at[-1] * mass[-1] * 0.999, mass, grid) * DAY_MS

    return times


def mixed(draw: Draw, n: int) -> dict[str, Values]:
    """Everyday columns: a few quantities that hang together, counts, categories, a flag."""
    z = draw.normal(size=(n, 4))
    return {
        "income": np.exp(10.8 + 0.35 * z[:, 0] + 0.2 * z[:, 1]).round(2),
        "age": np.clip(43 + 12 * z[:, 1], 18, 95).round(),
        "balance": (2_000 + 1_500 * z[:, 0] + 2_000 * z[:, 2]).round(2),
        "ratio": draw.beta(2, 5, n).round(4),
        "visits": draw.poisson(3, n),
        "region": draw.choice(["eu", "us", "apac", "latam"], n, p=[0.5, 0.3, 0.15, 0.05]),
        "is_new": draw.random(n) < 0.25,
    }


def one_feature(draw: Draw, n: int) -> dict[str, Values]:
    return {"x": draw.normal(size=n)}


def score_of(draw: Draw, columns: Mapping[str, Values], n: int, noise: float = 0.3) -> NDArray[Any]:
    z = -1.0 + noise * draw.normal(size=n)
    if "income" in columns:
        z = z - 1.5 * (np.log(columns["income"]) - 10.8) + 2.5 * (np.asarray(columns["ratio"]) - 0.29)
    if "x" in columns:
        z = z + np.asarray(columns["x"], float)
    return 1 / (1 + np.exp(-z))


def binary(draw: Draw, columns: Mapping[str, Values], n: int) -> list[Any]:
    scores = score_of(draw, columns, n).round(6).tolist()
    return [{"label": "bad" if score >= 0.5 else "good", "score": score} for score in scores]


def constant_score(draw: Draw, columns: Mapping[str, Values], n: int) -> list[Any]:
    return [{"label": "good", "score": 0.2}] * n


def regression(draw: Draw, columns: Mapping[str, Values], n: int) -> list[Any]:
    values = 100 * score_of(draw, columns, n) + 20
    return [{"value": value} for value in values.round(3).tolist()]


def multiclass(draw: Draw, columns: Mapping[str, Values], n: int) -> list[Any]:
    z = np.stack([score_of(draw, columns, n), draw.random(n), 0.5 * draw.random(n)], axis=1) + 0.05
    p = (z / z.sum(axis=1, keepdims=True)).round(6)
    p[:, 2] = 1 - p[:, 0] - p[:, 1]
    names = ("apple", "pear", "plum")
    return [
        {"label": names[max(range(3), key=row.__getitem__)], "probabilities": dict(zip(names, row, strict=True))}
        for row in p.round(6).tolist()
    ]


def label_only(draw: Draw, columns: Mapping[str, Values], n: int) -> list[Any]:
    return ["yes" if score >= 0.3 else "no" for score in score_of(draw, columns, n).tolist()]


def outcomes(draw: Draw, answers: list[Any]) -> list[str]:
    uniform = draw.random(len(answers)).tolist()
    return ["bad" if u < answer["score"] else "good" for u, answer in zip(uniform, answers, strict=True)]


def values(draw: Draw, answers: list[Any]) -> NDArray[Any]:
    return (np.array([answer["value"] for answer in answers]) + draw.standard_t(4, len(answers)) * 8).round(3)


def classes(draw: Draw, answers: list[Any]) -> list[str]:
    uniform = draw.random(len(answers)).tolist()
    found = []
    for u, answer in zip(uniform, answers, strict=True):
        names, p = zip(*answer["probabilities"].items(), strict=True)
        found.append(names[min(int(np.searchsorted(np.cumsum(p), u)), len(names) - 1)])
    return found


def yes_or_no(draw: Draw, answers: list[Any]) -> list[str]:
    wrong = (draw.random(len(answers)) < 0.2).tolist()
    return [("no" if answer == "yes" else "yes") if w else answer for w, answer in zip(wrong, answers, strict=True)]


def minutes(draw: Draw, times_ms: NDArray[Any]) -> NDArray[Any]:
    return np.exp(draw.normal(11.0, 0.5, len(times_ms)))


def in_batches(span_ms: int) -> Callable[[Draw, NDArray[Any]], NDArray[Any]]:
    """Labels of a span come together, soon after its end."""

    def delays(draw: Draw, times_ms: NDArray[Any]) -> NDArray[Any]:
        ends = (times_ms // span_ms + 1) * span_ms
        return ends - times_ms + np.sort(draw.random(len(times_ms))) * 60_000

    return delays


def backlog(draw: Draw, times_ms: NDArray[Any]) -> NDArray[Any]:
    """No label comes during the first tenth of the stream; then those come quickly, and the others as ever."""
    begin = times_ms[len(times_ms) // 10]
    late: NDArray[Any] = np.maximum(begin - times_ms, 0) + minutes(draw, times_ms)
    return late


def season(depth: float) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """By day and night: between 1 and `depth`, smoothly."""
    return lambda day: np.exp(np.log(depth) * 0.5 * (1 - np.cos(2 * np.pi * day)))


def autocorrelated(phi: float) -> Callable[[Draw, int], Values]:
    def make(draw: Draw, n: int) -> Values:
        noise = draw.normal(size=n) * (1 - phi * phi) ** 0.5
        found = np.empty(n)
        last = 0.0
        for i, one in enumerate(noise.tolist()):
            last = phi * last + one
            found[i] = last
        return found.round(4)

    return make


def with_nulls(share: float) -> Callable[[Draw, int], Values]:
    def make(draw: Draw, n: int) -> Values:
        drawn = zip(draw.normal(size=n).round(4).tolist(), (draw.random(n) < share).tolist(), strict=True)
        return [None if is_null else value for value, is_null in drawn]

    return make


def zipf(exponent: float) -> Callable[[Draw, int], Values]:
    return lambda draw, n: [f"w{k}" for k in draw.zipf(exponent, n).tolist()]


BASE: dict[str, Any] = {
    "times_ms": steady(3_600),
    "features": mixed,
    "answers": binary,
    "actuals": outcomes,
    "delays_ms": minutes,
}


def health(**parts: Any) -> Health:
    """The everyday stream, but for these parts."""
    return Health(**(BASE | parts))


def plus(**columns: Callable[[Draw, int], Values]) -> Health:
    """The everyday stream with further columns."""
    return health(extra=columns)


CONTROLS: dict[str, Health] = {
    "everyday": health(),
    "daily season, a tenth by night": health(times_ms=varying(season(0.1), 5.0)),
    "traffic grows tenfold over three days": health(times_ms=varying(lambda day: 10 ** (day / 3), 3.0)),
    "traffic grows threefold within an afternoon": health(times_ms=varying(lambda day: 3 ** (8 * day), 0.125)),
    "one event in twelve is retried": health(again=0.08),
    "labels come in hourly batches": health(times_ms=steady(600), delays_ms=in_batches(HOUR_MS)),
    "labels come once a day": health(times_ms=steady(120), delays_ms=in_batches(DAY_MS)),
    "a backlog of labels catches up": health(delays_ms=backlog),
    "labels take days": health(times_ms=steady(60), delays_ms=lambda d, t: d.gamma(2.0, 1.5 * DAY_MS, len(t))),
    "an announced version, equally good": health(
        versions=lambda n: ["1"] * (n // 2) + ["2"] * (n - n // 2), describes=True
    ),
    "two versions side by side": health(versions=lambda n: ["1" if i * 7919 % 10 < 7 else "2" for i in range(n)]),
    "constant and nearly constant features": plus(
        constant=lambda d, n: [5_000] * n,
        word=lambda d, n: ["same"] * n,
        flag=lambda d, n: [False] * n,
        rare=lambda d, n: (d.random(n) < 0.002).astype(int),
        rarer=lambda d, n: d.random(n) < 0.0004,
        rare_word=lambda d, n: np.where(d.random(n) < 0.001, "odd", "usual"),
    ),
    "heavy tails": plus(
        lognormal=lambda d, n: np.exp(2 * d.normal(size=n)),
        cauchy=lambda d, n: d.standard_cauchy(n),
        pareto=lambda d, n: d.pareto(1.1, n),
        amount=lambda d, n: np.where(d.random(n) < 0.6, 0.0, np.exp(3 * d.normal(size=n)).round(2)),
    ),
    "Zipf categories": plus(
        zipf=zipf(1.3), steeper=zipf(1.8), flat=lambda d, n: [f"c{k}" for k in d.integers(0, 800, n)]
    ),
    "ten events an hour": health(times_ms=steady(10), delays_ms=lambda d, t: d.gamma(2.0, HOUR_MS, len(t))),
    "a feature with 30 % nulls": plus(often=with_nulls(0.3), seldom=with_nulls(0.01), mostly=with_nulls(0.97)),
    "ids as features": plus(
        uuid=lambda d, n: [f"{k:016x}" for k in d.integers(0, 2**62, n).tolist()],
        number=lambda d, n: d.integers(0, 10**9, n),
        customer=lambda d, n: [f"k{k}" for k in (20_000 * d.random(n) ** 2).astype(int).tolist()],
    ),
    "autocorrelated features": plus(slow=autocorrelated(0.5), slower=autocorrelated(0.5)),
    "a feature that is all null": plus(nothing=lambda d, n: [None] * n),
    "constant scores": health(answers=constant_score),
    "regression": health(answers=regression, actuals=values),
    "multiclass": health(answers=multiclass, actuals=classes),
    "labels only, no scores": health(answers=label_only, actuals=yes_or_no),
    "no labels ever": health(actuals=None),
    "one feature": health(features=one_feature),
    "sixty features": health(extra={f"f{k}": lambda d, n: d.normal(size=n).round(3) for k in range(53)}),
    "few labels": health(labelled=0.02),
    "integers, halves and tenths": plus(
        stars=lambda d, n: d.integers(1, 6, n),
        halves=lambda d, n: d.integers(0, 60, n) / 2,
        counts=lambda d, n: d.geometric(0.02, n),
        sold=lambda d, n: d.negative_binomial(1, 0.01, n),
    ),
}


def said_of(events: Sequence[dict[str, Any]], restart_every: int = 0) -> list[Diagnosis]:
    """What the pipeline says of a stream; restart_every: go on from a snapshot after so many records."""
    settings = Settings()
    pipeline = Pipeline(settings, "events", 0)
    found: list[Diagnosis] = []
    size = restart_every or 1_000
    for start in range(0, len(events), size):
        part = [
            Record("events", 0, start + i, json.dumps(event).encode())
            for i, event in enumerate(events[start : start + size])
        ]
        for output in pipeline.process(part):
            assert not isinstance(output, Reject), output
            if isinstance(output, Emit):
                found.append(output.diagnosis)
        if restart_every:
            pipeline = Pipeline.restore(settings, "events", 0, {}, pipeline.snapshot())
    return found


def chosen(words: Sequence[str]) -> Iterator[tuple[str, Health]]:
    for name, control in CONTROLS.items():
        if not words or any(word in name for word in words):
            yield name, control


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--events", type=int, default=30_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("words", nargs="*")
    asked = parser.parse_args()
    for name, control in chosen(asked.words):
        for seed in range(asked.seeds):
            begin = time.perf_counter()
            events = control.events(seed, asked.events)
            said = said_of(events)
            opened = [one for one in said if one.status == "opened"]
            print(
                f"{name[:50]:50} seed {seed}: {len(opened)} incidents ({time.perf_counter() - begin:.1f} s)", flush=True
            )
            for one in said:
                print(f"    {one.detected.offset:6} {one.status:8} {one.causes[0].fault:20} {one.summary}", flush=True)


if __name__ == "__main__":
    main()
