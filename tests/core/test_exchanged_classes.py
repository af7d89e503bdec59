"""Names of classes that change places, through the pipeline: the model's, or the world's.

Belongs here: models of several classes, and of labels without scores. Not here: two classes with a score (`test_faults_outputs`).
"""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np
import pytest

from whydrift.core.pipeline import Pipeline
from whydrift.core.records import Emit, Record
from whydrift.core.settings import Settings
from whydrift_schemas import Diagnosis, Status

ANIMALS = ("cat", "cow", "dog", "emu", "fox")
HEALTHY, BROKEN = 1_500, 600
SETTINGS = Settings(baseline_events=500, first_stage_events=125)
START_MS = 1_795_437_000_000
LABEL_DELAY = 40
"""Seconds, and so events, from a prediction to its label."""
EXCHANGED = {"cat": "dog", "dog": "cat"}
IN_A_CIRCLE = dict(zip(ANIMALS, (*ANIMALS[1:], ANIMALS[0]), strict=True))
Names = Mapping[str, str]
Form = Callable[[np.ndarray], dict[str, Any]]


@cache
def animal(i: int) -> tuple[dict[str, float], np.ndarray, str]:
    """What is measured of animal number i, the probabilities that the model gives it, and what it is."""
    draw = np.random.default_rng((11, i))
    middles = np.random.default_rng(3).normal(size=(len(ANIMALS), 4)) * 1.6
    kind = int(draw.integers(len(ANIMALS)))
    found = (middles[kind] + draw.normal(size=4)).round(3)
    logs = -0.5 * ((found - middles) ** 2).sum(axis=1) + 0.1 * draw.normal(size=len(ANIMALS))
    odds = np.exp(logs - logs.max())
    return (
        dict(zip(("size", "weight", "speed", "voice"), found.tolist(), strict=True)),
        odds / odds.sum(),
        ANIMALS[kind],
    )


def with_probabilities(p: np.ndarray) -> dict[str, Any]:
    return {"label": ANIMALS[int(p.argmax())], "probabilities": dict(zip(ANIMALS, p.round(4).tolist(), strict=True))}


def with_score(p: np.ndarray) -> dict[str, Any]:
    return {"label": ANIMALS[int(p.argmax())], "score": round(float(p.max()), 4)}


def label_only(p: np.ndarray) -> dict[str, Any]:
    return {"label": ANIMALS[int(p.argmax())]}


def stream(
    form: Form, called: Names, comes_true: Names, p: Callable[[np.ndarray, int], np.ndarray]
) -> Iterator[dict[str, Any]]:
    """From number HEALTHY on the model calls classes, and the world, by other names; p changes what the model answers."""
    for i in range(HEALTHY + BROKEN):
        features, given, _ = animal(i)
        is_broken = i >= HEALTHY
        if is_broken:
            at = [ANIMALS.index(next((a for a, b in called.items() if b == one), one)) for one in ANIMALS]
            given = p(given, i)[at]
        common = {"model_id": "zoo", "timestamp": START_MS + 1_000 * i}
        event = {"kind": "prediction", "event_id": f"e{i}", "model_version": "1", "features": features}
        yield {**common, **event, "prediction": form(given)}
        if (k := i - LABEL_DELAY) >= 0:
            truth = animal(k)[2]
            yield {
                **common,
                "kind": "label",
                "event_id": f"e{k}",
                "actual": comes_true.get(truth, truth) if k >= HEALTHY else truth,
            }


def said(
    form: Form = with_probabilities,
    called: Names = {},  # noqa: B006  (not changed)
    comes_true: Names = {},  # noqa: B006
    p: Callable[[np.ndarray, int], np.ndarray] = lambda p, i: p,
) -> list[Diagnosis]:
    values = [json.dumps(event).encode() for event in stream(form, called, comes_true, p)]
    outputs = Pipeline(SETTINGS, "events", 0).process([Record("events", 0, n, v) for n, v in enumerate(values)])
    return [one.diagnosis for one in outputs if isinstance(one, Emit)]


def first(diagnoses: list[Diagnosis]) -> Diagnosis:
    return next(one for one in diagnoses if one.status is Status.OPENED)


@pytest.mark.parametrize("form", [with_probabilities, with_score, label_only], ids=lambda form: form.__name__)
@pytest.mark.parametrize("called", [EXCHANGED, IN_A_CIRCLE], ids=["two", "all in a circle"])
def test_classes_that_the_model_calls_by_each_other_s_names_are_permuted_outputs(form: Form, called: Names) -> None:
    one = first(said(form, called))
    lead = one.causes[0]
    assert str(lead.fault) == "output_permutation", one.summary
    assert lead.probability > 0.8
    told = (
        "cat and dog have changed places" if called is EXCHANGED else "what is called cat is fox, fox is emu, and so on"
    )
    assert told in one.summary
    assert lead.undo is not None
    assert lead.undo.transform.startswith("decision: cat → dog" if called is EXCHANGED else "decision: cat → fox")


def test_classes_that_come_true_by_each_other_s_names_are_the_world_s() -> None:
    """The same errors: but cases are called what others like them always were."""
    one = first(said(comes_true=EXCHANGED))
    assert str(one.causes[0].fault) == "concept_drift", one.summary
    assert all(str(cause.fault) != "output_permutation" for cause in one.causes)


def test_one_answer_for_every_third_case_exchanges_nothing() -> None:
    even = np.array([0.3, 0.2, 0.2, 0.2, 0.1])
    one = first(said(p=lambda p, i: even if i % 3 == 0 else p))
    assert str(one.causes[0].fault) == "fallback_answers", one.summary


def test_a_model_that_is_less_sure_of_the_same_classes_exchanges_nothing() -> None:
    one = first(said(p=lambda p, i: np.sqrt(p) / np.sqrt(p).sum()))
    assert "output_permutation" not in [str(cause.fault) for cause in one.causes], one.summary
