"""Lines of events for tests of commands: a model in health, and the same with income in thousands."""

import json
import random
from collections.abc import Iterator

START_MS = 1_790_000_000_000


def healthy(count: int, model_id: str = "credit-risk", first: int = 0) -> Iterator[str]:
    return _events(count, model_id, first, income_factor=1.0)


def in_thousands(count: int, model_id: str = "credit-risk", first: int = 0) -> Iterator[str]:
    """From event `first` on the unit of `income` is another one."""
    return _events(count, model_id, first, income_factor=0.001)


def _events(count: int, model_id: str, first: int, income_factor: float) -> Iterator[str]:
    chance = random.Random(f"{model_id} {first}")
    for number in range(first, first + count):
        income, age = chance.lognormvariate(10.8, 0.5), chance.gauss(45, 12)
        score = min(0.999, max(0.001, 0.5 + (income * income_factor - 50_000) / 200_000 + chance.gauss(0, 0.05)))
        event = {
            "kind": "prediction",
            "event_id": f"{model_id}-{number}",
            "model_id": model_id,
            "model_version": "1",
            "timestamp": START_MS + number * 1_000,
            "features": {
                "income": round(income * income_factor, 3),
                "age": round(age, 1),
                "region": chance.choice(["eu", "us", "asia"]),
            },
            "prediction": {"label": "approve" if score > 0.5 else "refuse", "score": round(score, 4)},
        }
        yield json.dumps(event) + "\n"
