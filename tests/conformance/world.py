"""The example world: a small credit-like stream in which the examples of all faults happen.

Belongs here: its inputs, its model, its labels, and breaking it by an `Example`. Not here: judging (`case_builder`, tests).

One prediction a second on average; `RISK` (the model) answers with the probability that a loan turns "bad"; labels follow after
some minutes. A given seed always makes the same stream, whatever its length: a longer one begins with the shorter one.

What `breaks(row, i)` may do with a row (a prediction on the wire, with its label under "label"):
- change `features`: unless it changes `prediction` too, the model answers anew, on what it was given;
- change `prediction`, `latency_ms`, `error`, `replica`, `model_version`, `timestamp`, or any other field of the wire;
- change `label["actual"]`, `label["timestamp"]`; set `label` to None (it never comes), or `label["actual"]` to None: the world
  itself changed, and the label is drawn anew from the changed features;
- return None (the event never happens), or a list of rows; rows of kind "model" are the model's description but for the fields
  they have; other kinds ("command") pass as they are.
"""

from collections.abc import Iterator
from copy import deepcopy
from math import exp, isfinite, log
from typing import Any

import numpy as np

from whydrift.core.faults.rule import Example, Row

START_MS = 1_795_437_000_000
"""2026-11-23T12:30:00Z."""
MODEL_ID = "credit-risk"
VERSION = "2026.11.1"
REPLICAS = ("pod-1", "pod-2", "pod-3")
FEATURES = {
    "income": "numeric",
    "age": "numeric",
    "tenure_days": "numeric",
    "balance": "numeric",
    "temperature": "numeric",
    "utilisation": "numeric",
    "debt_ratio": "numeric",
    "limit": "numeric",
    "defaults": "numeric",
    "region": "categorical",
    "channel": "categorical",
    "is_new": "boolean",
    "assets": "numeric",
}
"""In the model's input order. `assets` are mostly told by `balance`; `utilisation` and `debt_ratio` have equal marginals; `limit`
is constant, `defaults` nearly so."""

REGIONS = {"eu": 0.5, "us": 0.3, "apac": 0.15, "latam": 0.05}
CHANNELS = {"web": 0.55, "app": 0.33, "branch": 0.1, "phone": 0.02}
MARKETS = {"eu": "europe", "us": "america", "latam": "america", "apac": "asia"}
"""The segment of a row, by the region the customer really comes from."""
_REGION_RISK = {"eu": 0.0, "us": 0.2, "apac": 0.5, "latam": 0.9}
_TYPICAL = {
    "income": 48_000.0,
    "age": 43.0,
    "balance": 2_000.0,
    "utilisation": 0.29,
    "debt_ratio": 0.29,
    "tenure_days": 600.0,
}
"""What the model takes where a feature is null, absent or of a wrong type."""

MODEL_EVENT: Row = {
    "kind": "model",
    "model_id": MODEL_ID,
    "model_version": VERSION,
    "timestamp": START_MS - 60_000,
    "task": "binary",
    "features": [{"name": name, "type": kind} for name, kind in FEATURES.items()],
    "structure": {
        "framework": "numpy",
        "class_name": "LogisticRegression",
        "digest": "sha256:5f1d",
        "layers": [{"name": "linear", "kind": "Dense", "shape": [13, 1]}],
    },
    "parameters": [
        {
            "name": "linear/kernel",
            "count": 13,
            "mean": 0.04,
            "std": 0.9,
            "min": -1.1,
            "max": 2.2,
            "l2_norm": 3.1,
            "zeros": 4,
            "non_finite": 0,
            "digest": "sha256:a0b1",
        }
    ],
    "decision_threshold": 0.5,
}


def healthy(seed: int, n: int) -> list[Row]:
    """The wire's events of n healthy predictions, in order of arrival: the model's description, predictions, labels."""
    return to_wire(healthy_rows(seed, n))


def with_fault(example: Example, onset: int, n: int, seed: int) -> list[Row]:
    """The same world, where the example breaks every prediction from number `onset` on."""
    return to_wire(broken_rows(example, onset, n, seed))


def healthy_rows(seed: int, n: int) -> list[Row]:
    """n predictions, each with its label under "label"."""
    return [_row(seed, i) for i in range(n)]


def broken_rows(example: Example, onset: int, n: int, seed: int) -> list[Row]:
    """Rows as the example leaves them; rows of other kinds than predictions are among them where it adds some."""
    return list(breaking(example, onset, n, seed))


def breaking(example: Example, onset: int, n: int, seed: int) -> Iterator[Row]:
    """The same, one by one, for who needs only the first of them."""
    for i in range(n):
        row = _row(seed, i)
        yield from [row] if i < onset else _break(example, row, i, onset, seed)


def _break(example: Example, row: Row, i: int, onset: int, seed: int) -> list[Row]:
    before = {part: dict(row[part]) for part in ("features", "prediction")}
    result = example.breaks(row, i - onset)
    rows = result if isinstance(result, list) else [] if result is None else [result]
    rows = [deepcopy(MODEL_EVENT) | one if one.get("kind") == "model" else one for one in rows]
    for one in rows:
        _follow(one, before, i, seed)
    return rows


def _follow(row: Row, before: Row, i: int, seed: int) -> None:
    """Let the model, and where asked the world, answer to changed features."""
    if row.get("kind") != "prediction":
        return
    if row["features"] != before["features"] and row["prediction"] == before["prediction"]:
        row["prediction"] = answer(row["features"], _noise(seed, i)[0])
    if row.get("label") and row["label"]["actual"] is None:
        row["label"]["actual"] = outcome(row["features"], _noise(seed, i)[1])


def to_wire(rows: list[Row]) -> list[Row]:
    """Predictions in their order, each label where it arrives among them."""
    events: list[tuple[int, int, Row]] = [(-1, 0, deepcopy(MODEL_EVENT))]
    clock = 0
    for place, row in enumerate(rows):
        event = dict(row)
        label = event.pop("label", None)
        # Predictions keep their order even where their timestamps run backwards: that may be the fault.
        clock = max(clock, int(event["timestamp"]))
        events.append((clock, place, event))
        if label is not None:
            events.append((max(int(label["timestamp"]), clock), place, label))
    return [event for _, _, event in sorted(events, key=lambda item: item[:2])]


def risk(features: dict[str, Any]) -> float:
    """Log-odds of "bad" that these features have; the model knows it exactly."""
    income = _number(features, "income")
    z = -1.6 - 0.9 * log(max(income, 1e-9) / 48_000)
    z -= 0.02 * (_number(features, "age") - 43)
    z -= 0.12 * (_number(features, "balance") - 2_000) / 1_000
    z += 2.5 * (_number(features, "debt_ratio") - 0.29) + 0.8 * (_number(features, "utilisation") - 0.29)
    z -= 0.0003 * (_number(features, "tenure_days") - 600)
    z += _REGION_RISK.get(str(features.get("region")), 0.3)
    z += 0.6 if features.get("is_new") is True else 0.0
    return min(max(z, -30.0), 30.0)


def answer(features: dict[str, Any], noise: float) -> dict[str, Any]:
    """The model's prediction: score = probability of "bad"."""
    score = _sigmoid(risk(features) + 0.15 * noise)
    return {"label": "bad" if score >= 0.5 else "good", "score": round(score, 6)}


def outcome(features: dict[str, Any], uniform: float) -> str:
    """What becomes of the loan."""
    return "bad" if uniform < _sigmoid(risk(features)) else "good"


def _number(features: dict[str, Any], name: str) -> float:
    value = features.get(name)
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    return float(value) if is_number else _TYPICAL[name]


def _sigmoid(z: float) -> float:
    return 1 / (1 + exp(-z))


def _noise(seed: int, i: int) -> tuple[float, float]:
    draw = np.random.default_rng((seed, i, 1))
    return float(draw.normal()), float(draw.random())


_ROWS: dict[int, list[Row]] = {}
"""Rows made so far, by seed: making them anew for each example would take most of the suite's time."""


def _row(seed: int, i: int) -> Row:
    made = _ROWS.setdefault(seed, [])
    while len(made) <= i:
        last_ms = made[-1]["timestamp"] if made else START_MS
        made.append(_new_row(seed, len(made), last_ms))
    row = made[i]
    return row | {part: dict(row[part]) for part in ("features", "prediction", "label")}


def _new_row(seed: int, i: int, last_ms: int) -> Row:
    inputs = np.random.default_rng((seed, i, 0))
    draw = np.random.default_rng((seed, i, 2))
    at_ms = last_ms + 1 + int(inputs.exponential(999.0))
    features = _features(inputs)
    noise, uniform = _noise(seed, i)
    event_id = f"e{seed}-{i:07d}"
    return {
        "kind": "prediction",
        "event_id": event_id,
        "model_id": MODEL_ID,
        "model_version": VERSION,
        "timestamp": at_ms,
        "features": features,
        "prediction": answer(features, noise),
        "latency_ms": round(float(np.exp(draw.normal(1.2, 0.3))), 3),
        "error": None,
        "replica": REPLICAS[int(draw.integers(3))],
        "segment": {"market": MARKETS[features["region"]]},
        "label": {
            "kind": "label",
            "event_id": event_id,
            "model_id": MODEL_ID,
            "timestamp": at_ms + int(np.exp(draw.normal(11.0, 0.5))),
            "actual": outcome(features, uniform),
            "source": "crm",
        },
    }


def _features(draw: np.random.Generator) -> dict[str, Any]:
    # Wealth ties income, age and balance together; use ties utilisation to them. debt_ratio stands by itself.
    wealth, use = draw.normal(size=2)
    age = 18 + 60 * _sigmoid(-0.35 + 0.45 * wealth + 0.6 * draw.normal())
    utilisation = draw.beta(2, 5) if draw.random() < 0.3 else _beta_quantile(0.9 * -wealth + 0.44 * use)
    features = {
        "income": round(48_000 * exp(0.35 * wealth + 0.35 * draw.normal()), 2),
        "age": round(age),
        "tenure_days": int(draw.exponential(300.0 + 14 * (age - 18))),
        "balance": round(float(2_000 + 1_500 * wealth + 2_000 * draw.normal()), 2),
        "temperature": round(float(15 + 5 * use + 4 * draw.normal()), 1),
        "utilisation": round(utilisation, 4),
        "debt_ratio": round(draw.beta(2, 5), 4),
        "limit": 5_000,
        "defaults": int(draw.random() < 0.005),
        "region": _choice(REGIONS, draw),
        "channel": _choice(CHANNELS, draw),
        "is_new": bool(draw.random() < 0.25),
    }
    return features | {"assets": round(9_000 + 3 * features["balance"] + 3_000 * draw.normal())}


_BETA = np.sort(np.random.default_rng(25).beta(2, 5, 4_001))


def _beta_quantile(z: float) -> float:
    """Beta(2, 5) at the rank that z has among standard normals (logistic approximation of it)."""
    return float(np.interp(_sigmoid(1.702 * z), np.linspace(0, 1, len(_BETA)), _BETA))


def _choice(shares: dict[str, float], draw: np.random.Generator) -> str:
    return str(list(shares)[int(np.searchsorted(np.cumsum(list(shares.values())), draw.random() * 0.999999))])
