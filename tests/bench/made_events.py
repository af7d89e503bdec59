"""Made-up events of healthy models for the bench: 20 features (16 numeric, 3 categorical, 1 boolean), about 600 bytes each.

The same arguments give the same bytes. Belongs here: events as lines of a file. Not here: what is measured (`throughput`).
"""

import json
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import numpy as np

START_MS = 1_790_000_000_000
STEP_MS = 10
"""Between two predictions, whichever models they are of: a hundred a second."""
LABEL_LAG = 300
"""A label comes this many predictions after its own."""
BLOCK = 5_000

NORMAL = ("age", "tenure", "utilisation", "bureau_score", "distance", "temperature", "humidity", "speed")
SKEWED = ("income", "balance", "loan_amount", "last_payment", "session_seconds", "basket_value")
COUNTS = ("open_accounts", "late_payments")
CATEGORIES = {
    "region": ("eu", "us", "asia", "africa"),
    "channel": ("web", "app", "branch"),
    "product": tuple("ABCDEFGH"),
}


def model_ids(models: int) -> list[str]:
    return [f"model-{number:03d}" for number in range(models)]


def write_events(path: Path, predictions: int, models: int = 1, *, labelled: bool = False) -> int:
    """Lines into the file, models in turn; returns how many. With labels there are twice as many as predictions."""
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for event in _events(predictions, model_ids(models), labelled):
            file.write(json.dumps(event, separators=(",", ":")) + "\n")
            count += 1
    return count


def _events(predictions: int, models: list[str], labelled: bool) -> Iterator[dict[str, object]]:
    waiting: deque[dict[str, object]] = deque()
    random = np.random.default_rng(20)
    for first in range(0, predictions, BLOCK):
        rows, chances = _features(random, min(BLOCK, predictions - first))
        came_true = random.random(len(chances)) < chances
        for number, row in enumerate(rows, first):
            chance, time_ms = float(chances[number - first]), START_MS + number * STEP_MS
            model_id = models[number % len(models)]
            yield _prediction(number, model_id, time_ms, row, chance)
            if labelled:
                waiting.append(_label(number, model_id, time_ms, bool(came_true[number - first])))
            if len(waiting) > LABEL_LAG:
                yield waiting.popleft()
    yield from waiting


def _features(random: np.random.Generator, count: int) -> tuple[list[dict[str, object]], np.ndarray]:
    """Rows of features, and what a perfect model of them answers."""
    columns: dict[str, list[object]] = {}
    normal = random.normal(size=(len(NORMAL), count))
    skewed = random.lognormal(8.0, 0.6, size=(len(SKEWED), count))
    for name, values in zip(NORMAL, normal, strict=True):
        columns[name] = (50 + 12 * values).round(2).tolist()
    for name, values in zip(SKEWED, skewed, strict=True):
        columns[name] = values.round(2).tolist()
    for name in COUNTS:
        columns[name] = random.poisson(3.0, count).tolist()
    for name, values in CATEGORIES.items():
        columns[name] = random.choice(values, count).tolist()
    columns["is_new"] = (random.random(count) < 0.2).tolist()
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return rows, 1 / (1 + np.exp(-normal[0] - 0.8 * np.log(skewed[0] / 3_000)))


def _prediction(
    number: int, model_id: str, time_ms: int, features: dict[str, object], chance: float
) -> dict[str, object]:
    return {
        "kind": "prediction",
        "event_id": f"{model_id}-{number:09d}",
        "model_id": model_id,
        "model_version": "2026.11.1",
        "timestamp": time_ms,
        "features": features,
        "prediction": {"label": "approve" if chance > 0.5 else "refuse", "score": round(chance, 4)},
        "latency_ms": 2.0 + number % 7 / 4,
    }


def _label(number: int, model_id: str, time_ms: int, came_true: bool) -> dict[str, object]:
    return {
        "kind": "label",
        "event_id": f"{model_id}-{number:09d}",
        "model_id": model_id,
        "timestamp": time_ms + LABEL_LAG * STEP_MS,
        "actual": "approve" if came_true else "refuse",
    }
