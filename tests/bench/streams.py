"""Event streams from real tables: `python tests/bench/streams.py DATA_FOLDER OUTPUT_FOLDER [--only NAME]`.

For each scenario it writes NAME.healthy.jsonl.gz (for `whydrift profile`) and NAME.live.jsonl.gz (for `whydrift replay`): a model
in service whose labels come late, healthy, and then broken in one way, named in truth.json with the line at which it begins.
The same tables give the same bytes. Belongs here: what breaks, and events. Not here: tables and models (`real_tables`), what
whydrift says of the streams (`judge_streams`).
"""

import argparse
import gzip
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from heapq import heappop, heappush
from pathlib import Path
from typing import Any

import numpy as np
from real_tables import SEED, Row, Service, service

START_MS = 1_788_739_200_000
"""A Monday, 00:00 UTC."""
MEAN_GAP_MS = 5_000
LABEL_DELAY_MS, LABEL_DELAY_SPREAD = 30 * 60_000, 0.4
"""Median, and standard deviation of the logarithm."""

Spoil = Callable[[Row, np.random.Generator], Row]


def unspoilt(row: Row, random: np.random.Generator) -> Row:
    return row


def scaled(name: str, factor: float, plus: float = 0.0) -> Spoil:
    return lambda row, random: row | {name: None if row[name] is None else round(row[name] * factor + plus, 4)}


def swapped(one: str, other: str) -> Spoil:
    return lambda row, random: row | {one: row[other], other: row[one]}


def lost(name: str, fraction: float, instead: object = None) -> Spoil:
    return lambda row, random: row | {name: instead} if random.random() < fraction else row


def renamed(name: str, names: Mapping[Any, Any]) -> Spoil:
    return lambda row, random: row | {name: names.get(row[name], row[name])}


def removed(name: str) -> Spoil:
    return lambda row, random: {key: value for key, value in row.items() if key != name}


def stuck(name: str, value: object) -> Spoil:
    return lambda row, random: row | {name: value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """`fault` is what it would be right to call it, None where nothing breaks; `features` are those it is in."""

    name: str
    table: str
    fault: str | None
    what: str
    features: tuple[str, ...] = ()
    spoil: Spoil = unspoilt
    other_model: bool = False
    truth_factor: float = 1.0
    labels_stop: bool = False


SCENARIOS = (
    Scenario(name="adult_healthy", table="adult", fault=None, what="nothing breaks"),
    Scenario(name="diamonds_healthy", table="diamonds", fault=None, what="nothing breaks"),
    Scenario(name="metro_healthy", table="metro", fault=None, what="nothing breaks"),
    Scenario(
        name="adult_hours_in_minutes",
        table="adult",
        fault="unit_change",
        what="hours_per_week in minutes",
        features=("hours_per_week",),
        spoil=scaled("hours_per_week", 60),
    ),
    Scenario(
        name="adult_occupation_lost",
        table="adult",
        fault="missing_values",
        what="occupation missing in 30 % of the rows",
        features=("occupation",),
        spoil=lost("occupation", 0.3),
    ),
    Scenario(
        name="adult_sex_recoded",
        table="adult",
        fault="category_recoding",
        what="sex as M and F",
        features=("sex",),
        spoil=renamed("sex", {"Male": "M", "Female": "F"}),
    ),
    Scenario(
        name="adult_labels_stop", table="adult", fault="label_feed_stopped", what="no more labels", labels_stop=True
    ),
    Scenario(
        name="diamonds_x_in_inches",
        table="diamonds",
        fault="unit_change",
        what="x in inches instead of millimetres",
        features=("x",),
        spoil=scaled("x", 1 / 25.4),
    ),
    Scenario(
        name="diamonds_swapped",
        table="diamonds",
        fault="feature_swap",
        what="depth and table exchanged",
        features=("depth", "table"),
        spoil=swapped("depth", "table"),
    ),
    Scenario(
        name="diamonds_carat_filled",
        table="diamonds",
        fault="default_fill",
        what="carat is -1 in a quarter of the rows",
        features=("carat",),
        spoil=lost("carat", 0.25, -1.0),
    ),
    Scenario(
        name="diamonds_other_model",
        table="diamonds",
        fault="wrong_model",
        what="another model file is served",
        other_model=True,
    ),
    Scenario(
        name="bike_temp_stuck",
        table="bike",
        fault="stale_feature",
        what="temp stands still",
        features=("temp",),
        spoil=stuck("temp", 0.52),
    ),
    Scenario(
        name="bike_demand_falls",
        table="bike",
        fault="concept_drift",
        what="a third fewer bikes are rented, everything else equal",
        truth_factor=0.67,
    ),
    Scenario(
        name="metro_temp_in_celsius",
        table="metro",
        fault="unit_change",
        what="temp in °C instead of K",
        features=("temp",),
        spoil=scaled("temp", 1, -273.15),
    ),
    Scenario(
        name="metro_clouds_gone",
        table="metro",
        fault="schema_change",
        what="the key clouds_all is gone",
        features=("clouds_all",),
        spoil=removed("clouds_all"),
    ),
    Scenario(
        name="car_loan",
        table="car_loan",
        fault="covariate_drift",
        what="NannyML's designed shift of car_value and others",
        features=("car_value",),
    ),
    Scenario(
        name="car_loan_dq",
        table="car_loan_dq",
        fault="missing_values",
        what="the same, and missing cells double; 0.8 % unseen categories from the first row on",
        features=("driver_tenure", "salary_range"),
    ),
)


# --- events


def write_streams(scenario: Scenario, source: Service, folder: Path) -> int:
    """Both files; returns the line of the live one at which the fault begins."""
    random = np.random.default_rng(SEED)
    healthy = _events(source, source.healthy, source.answers(source.healthy), source.healthy_truth, random)
    last_ms, _ = _write(folder / f"{scenario.name}.healthy.jsonl.gz", healthy, START_MS, "")
    truth, breaks_at = list(source.live_truth), source.breaks_at
    before = source.live[:breaks_at]
    after = [scenario.spoil(row, random) for row in source.live[breaks_at:]]
    truth[breaks_at:] = [value * scenario.truth_factor for value in truth[breaks_at:]]
    answer = source.other_model if scenario.other_model else source.answers
    assert answer is not None, f"{scenario.table} has no other model"
    answers = [*source.answers(before), *answer(after)]
    live = _events(source, [*before, *after], answers, truth, random, scenario.labels_stop)
    first_broken = f"{scenario.name}-live-{breaks_at}"
    _, line = _write(folder / f"{scenario.name}.live.jsonl.gz", live, last_ms, first_broken)
    return line


def _events(
    source: Service,
    rows: Sequence[Row],
    answers: Sequence[float],
    truth: Sequence[float],
    random: np.random.Generator,
    labels_stop: bool = False,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Milliseconds from the start, and the event, in the order of time."""
    yield 0, _description(source)
    waiting: list[tuple[int, int]] = []
    gaps = random.exponential(MEAN_GAP_MS, len(rows)).round().astype(int)
    delays = random.lognormal(np.log(LABEL_DELAY_MS), LABEL_DELAY_SPREAD, len(rows)).round().astype(int)
    now_ms = 0
    for number, row in enumerate(rows):
        now_ms += int(gaps[number])
        while waiting and waiting[0][0] <= now_ms:
            label_ms, labelled = heappop(waiting)
            yield label_ms, {"kind": "label", "event_id": labelled, "actual": _actual(source, truth[labelled])}
        answer = _answer(source, float(answers[number]))
        latency_ms = round(float(random.lognormal(1.0, 0.3)), 2)
        yield (
            now_ms,
            {
                "kind": "prediction",
                "event_id": number,
                "model_version": "1",
                "features": row,
                "prediction": answer,
                "latency_ms": latency_ms,
            },
        )
        if not (labels_stop and number >= source.breaks_at):
            heappush(waiting, (now_ms + int(delays[number]), number))


def _description(source: Service) -> dict[str, Any]:
    def type_of(name: str) -> str:
        (kind, *_) = [type(row[name]) for row in source.healthy if row[name] is not None]
        return {str: "categorical", bool: "boolean"}.get(kind, "numeric")

    features = [{"name": name, "type": type_of(name)} for name in source.healthy[0] if name != "y_pred_proba"]
    task = "regression" if source.classes is None else "binary"
    return {"kind": "model", "model_version": "1", "task": task, "features": features}


def _answer(source: Service, answer: float) -> dict[str, Any]:
    if source.classes is None:
        return {"value": round(answer, 4)}
    return {"label": source.classes[0 if answer > 0.5 else 1], "score": round(answer, 6)}


def _actual(source: Service, truth: float) -> str | float:
    return truth if source.classes is None else source.classes[0 if truth else 1]


def _write(
    path: Path, events: Iterator[tuple[int, dict[str, Any]]], start_ms: int, first_broken: str
) -> tuple[int, int]:
    """Time of the last event, and the line of the event with that id."""
    stem, at_ms, found = path.name.removesuffix(".jsonl.gz").replace(".", "-"), start_ms, 0
    with path.open("wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) as file:
        for line, (after_ms, event) in enumerate(events):
            at_ms = start_ms + after_ms
            event |= {"model_id": stem.rpartition("-")[0], "timestamp": at_ms}
            if "event_id" in event:
                event["event_id"] = f"{stem}-{event['event_id']}"
            if event.get("event_id") == first_broken and event["kind"] == "prediction":
                found = line
            file.write(json.dumps(event, separators=(",", ":")).encode() + b"\n")
    return at_ms, found


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    options.add_argument("data", type=Path, metavar="DATA_FOLDER", help="with tabular/ and nannyml/")
    options.add_argument("output", type=Path, metavar="OUTPUT_FOLDER")
    options.add_argument("--only", metavar="NAME", help=", ".join(scenario.name for scenario in SCENARIOS))
    wanted = options.parse_args()
    wanted.output.mkdir(parents=True, exist_ok=True)
    source = cache(service)
    truth = {}
    for scenario in SCENARIOS:
        if wanted.only in (None, scenario.name):
            line = write_streams(scenario, source(scenario.table, wanted.data), wanted.output)
            facts = {"fault": scenario.fault, "features": scenario.features, "line": line, "what": scenario.what}
            truth[scenario.name] = facts
            print(f"{scenario.name}: from line {line:,} on, {scenario.what}", flush=True)
    (wanted.output / "truth.json").write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
