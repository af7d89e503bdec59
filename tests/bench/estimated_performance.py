"""Performance without labels, held against the labels that come later.

`python tests/bench/estimated_performance.py DATA_FOLDER [--tables …] [--references N …] [--seeds N] [--drift]`

A stream of predictions runs through the pipeline, its labels some minutes late. After each window of predictions, what the
estimator says of it is put beside what the window's labels show once they are there: coverage of the interval of 95 % (nominal),
mean error, mean half width, beside the error of taking the reference's own performance for today's. Car loans come in order of
time, and change half way (NannyML's designed shift of inputs); the other tables are shuffled.
`--drift`: the truth turns round for a part of the cases; how many labels it takes until the estimates are withdrawn.
Belongs here: running and counting. Not here: tables (`real_tables`), events (`faults`).
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from breaks import Served
from faults import MODEL_ID, interval, records, served, wire
from real_tables import Service, service
from scipy.stats import rankdata

from whydrift.core.estimate import Estimated
from whydrift.core.performance import NotReady
from whydrift.core.pipeline import Pipeline
from whydrift.core.profile import read_profile
from whydrift.core.profiler import Profiler
from whydrift.core.settings import Settings

TABLES = ("car_loan", "adult", "diamonds", "bike", "metro")
WINDOW = 600
LARGE, SMALL = 20_000, 2_000
DRIFTS = (0.1, 0.2, 0.4)
"""Part of the outcomes that turn round, or noise in standard deviations."""


@dataclass(frozen=True, slots=True)
class Window:
    """One window: metric → what was estimated and what its labels show; the reference's metrics."""

    start: int
    estimated: dict[str, Estimated]
    realised: dict[str, float]
    reference: dict[str, float]


def metrics(events: Sequence[Served], is_binary: bool) -> dict[str, float]:
    answer, truth = np.array([one.answer for one in events]), np.array([one.truth for one in events], float)
    if not is_binary:
        return {"mae": float(np.abs(answer - truth).mean())}
    q = np.clip(answer, 1e-6, 1 - 1e-6)
    ranks, yes = rankdata(answer), truth == 1
    auc = (ranks[yes].sum() - yes.sum() * (yes.sum() + 1) / 2) / max(yes.sum() * (~yes).sum(), 1)
    return {
        "accuracy": float(((answer > 0.5) == truth).mean()),
        "log_loss": float(-np.log(np.where(yes, q, 1 - q)).mean()),
        "brier": float(((answer - truth) ** 2).mean()),
        "auc": float(auc),
    }


def learnt(it: Service, size: int, draw: np.random.Generator) -> tuple[Pipeline, list[Served]]:
    """A pipeline with a reference of this many healthy rows, and those."""
    settings = Settings()
    first = int(draw.integers(len(it.healthy) - size + 1))
    rows = [dict(row) for row in it.healthy[first : first + size]]
    healthy = served(rows, it.answers(rows), it.healthy_truth[first : first + size], -size - 500, draw)
    profiler = Profiler(settings)
    profiler.add(records(wire(healthy, it.classes, None), 0))
    return Pipeline(settings, "events", 0, read_profile(profiler.finish())), healthy


def windows(it: Service, size: int, most: int, seed: int) -> Iterator[Window]:
    draw = np.random.default_rng([seed, size])
    pipeline, healthy = learnt(it, size, draw)
    was = metrics(healthy, it.classes is not None)
    rows = [dict(row) for row in it.live[:most]]
    live = served(rows, it.answers(rows), it.live_truth[:most], 0, draw)
    waiting = wire(live, it.classes, None)
    for start in range(0, len(live) - WINDOW + 1, WINDOW):
        end_ms = live[start + WINDOW - 1].at_ms
        now = [pair for pair in waiting if pair[0] <= end_ms]
        waiting = waiting[len(now) :]
        pipeline.process(records(now, start * 3))
        version = pipeline._models[MODEL_ID].versions["1"]
        said = version.estimator.estimate(version.answered())
        if not isinstance(said, NotReady):
            own = live[start : start + WINDOW]
            yield Window(start, said, metrics(own, it.classes is not None), was)


def lines(title: str, found: Sequence[Window]) -> Iterator[str]:
    for metric in found[0].estimated if found else ():
        pairs = [(one.estimated[metric], one.realised[metric], one.reference[metric]) for one in found]
        covered = sum(estimate.low <= real <= estimate.high for estimate, real, _ in pairs)
        error = float(np.mean([abs(estimate.value - real) for estimate, real, _ in pairs]))
        naive = float(np.mean([abs(before - real) for _, real, before in pairs]))
        width = float(np.mean([(estimate.high - estimate.low) / 2 for estimate, _, _ in pairs]))
        cells = [
            title,
            metric,
            str(len(pairs)),
            interval(covered, len(pairs)),
            *(f"{v:.4g}" for v in (error, naive, width)),
        ]
        yield f"| {' | '.join(cells)} |"


def coverage(wanted: argparse.Namespace) -> None:
    print("| table, reference | metric | windows | covered % | mean error | error of the reference | half width |")
    print("|---|---|--:|--:|--:|--:|--:|")
    for table in wanted.tables:
        for size in wanted.references:
            found: list[Window] = []
            for seed in range(wanted.seeds):
                it = service(table, wanted.data)
                size = min(size, len(it.healthy))
                found += windows(it, size, wanted.rows, seed)
            for half in ("",) if table != "car_loan" else ("before the shift", "after it"):
                own = [one for one in found if not half or (one.start < it.breaks_at) is (half == "before the shift")]
                for line in lines(f"{table}, {size:,} {half}".strip(), own):
                    print(line, flush=True)


def turned(events: list[Served], share: float, is_binary: bool, draw: np.random.Generator) -> None:
    """The truth is another one for a part of the cases, whatever their score."""
    spread = float(np.std([one.truth for one in events]))
    for one in events:
        if is_binary:
            one.truth = 1 - one.truth if draw.random() < share else one.truth
        else:
            one.truth += share * spread * abs(draw.normal())


def withdrawals(wanted: argparse.Namespace) -> None:
    """Labels until withdrawal, by strength of the drift; and whether health is left alone."""
    print("| table | truth that turns | withdrawn | labels until then |\n|---|--:|---|--:|")
    for table in wanted.tables:
        it = service(table, wanted.data)
        rows = [dict(row) for row in it.live[:3_000]]
        answers = it.answers(rows)
        for share in (0.0, *DRIFTS):
            draw = np.random.default_rng([2, int(100 * share)])
            again = learnt(it, min(SMALL, len(it.healthy)), np.random.default_rng([1, 1]))[0]
            live = [replace(one) for one in served(rows, answers, it.live_truth[:3_000], 0, draw)]
            turned(live, share, it.classes is not None, draw)
            print(f"| {table} | {share:.0%} | {until_withdrawn(again, live, it.classes)} |", flush=True)


def until_withdrawn(pipeline: Pipeline, live: Sequence[Served], classes: tuple[str, str] | None) -> str:
    labels = 0
    for pair in records(wire(live, classes, None), 0):
        pipeline.process([pair])
        labels += b'"kind": "label"' in pair.value[:30]
        doubt = pipeline._models[MODEL_ID].versions["1"].estimator.doubt
        if doubt is not None:
            return f"yes | {labels}"
    return "no | –"


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    options.add_argument("data", type=Path, metavar="DATA_FOLDER")
    options.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    options.add_argument("--rows", type=int, default=50_000, help="of the live stream at most")
    options.add_argument("--references", nargs="+", type=int, default=[LARGE, SMALL], help="healthy rows learnt from")
    options.add_argument("--seeds", type=int, default=1, help="drawings of the reference from the healthy rows")
    options.add_argument("--drift", action="store_true", help="when estimates are withdrawn, instead of coverage")
    wanted = options.parse_args()
    (withdrawals if wanted.drift else coverage)(wanted)


if __name__ == "__main__":
    main()
