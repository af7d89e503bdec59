"""Models of several classes, through the pipeline: names that change places, the model's or the world's, and what is none.

Belongs here: models of several classes, and of labels without scores. Not here: two classes with a score (`test_faults_outputs`).
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
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
NEAR, FAR = 1.6, 4.0
"""How far apart kinds are, in spreads of one kind: the model is sure of most cases, or of all but a few."""
EXCHANGED = {"cat": "dog", "dog": "cat"}
IN_A_CIRCLE = dict(zip(ANIMALS, (*ANIMALS[1:], ANIMALS[0]), strict=True))
Names = Mapping[str, str]
Shares = np.ndarray
"""Probabilities of the classes, (classes,)."""


def with_probabilities(p: Shares) -> dict[str, Any]:
    return {"label": ANIMALS[int(p.argmax())], "probabilities": dict(zip(ANIMALS, p.round(4).tolist(), strict=True))}


def with_score(p: Shares) -> dict[str, Any]:
    return {"label": ANIMALS[int(p.argmax())], "score": round(float(p.max()), 4)}


def label_only(p: Shares) -> dict[str, Any]:
    return {"label": ANIMALS[int(p.argmax())]}


@dataclass(frozen=True, slots=True)
class Zoo:
    """From number HEALTHY on the model calls kinds by other names, or they come true by others; answers(p, i) changes what it
    answers.
    """

    apart: float = NEAR
    form: Callable[[Shares], dict[str, Any]] = with_probabilities
    called: Names = field(default_factory=dict)
    comes_true: Names = field(default_factory=dict)
    answers: Callable[[Shares, int], Shares] = lambda p, i: p

    def events(self) -> Iterator[dict[str, Any]]:
        called = [ANIMALS.index({b: a for a, b in self.called.items()}.get(one, one)) for one in ANIMALS]
        for i in range(HEALTHY + BROKEN):
            features, p, _ = animal(i, self.apart)
            p = self.answers(p, i)[called] if i >= HEALTHY else p
            common = {"model_id": "zoo", "timestamp": START_MS + 1_000 * i}
            event = {"kind": "prediction", "event_id": f"e{i}", "model_version": "1", "features": features}
            yield {**common, **event, "prediction": self.form(p)}
            if (k := i - LABEL_DELAY) >= 0:
                kind = animal(k, self.apart)[2]
                actual = self.comes_true.get(kind, kind) if k >= HEALTHY else kind
                yield {**common, "kind": "label", "event_id": f"e{k}", "actual": actual}

    def first(self) -> Diagnosis:
        """What is said when the first incident opens."""
        values = [json.dumps(event).encode() for event in self.events()]
        outputs = Pipeline(SETTINGS, "events", 0).process([Record("events", 0, n, v) for n, v in enumerate(values)])
        said = [one.diagnosis for one in outputs if isinstance(one, Emit)]
        return next(one for one in said if one.status is Status.OPENED)


@cache
def animal(i: int, apart: float) -> tuple[dict[str, float], Shares, str]:
    """What is measured of animal number i, the probabilities that the model gives it, and what it is."""
    draw = np.random.default_rng((11, i))
    middles = np.random.default_rng(3).normal(size=(len(ANIMALS), 4)) * apart
    kind = int(draw.integers(len(ANIMALS)))
    found = (middles[kind] + draw.normal(size=4)).round(3)
    logs = -0.5 * ((found - middles) ** 2).sum(axis=1) + 0.1 * draw.normal(size=len(ANIMALS))
    odds = np.exp(logs - logs.max())
    measured = dict(zip(("size", "weight", "speed", "voice"), found.tolist(), strict=True))
    return measured, odds / odds.sum(), ANIMALS[kind]


def other_weights(p: Shares, i: int) -> Shares:
    odds = np.maximum(p, 1e-6) * np.exp(6.0 * np.random.default_rng((5, i)).normal(size=len(p)))
    return odds / odds.sum()


def base_rates_at_times(p: Shares, i: int) -> Shares:
    return np.array([0.3, 0.2, 0.2, 0.2, 0.1]) if i % 4 == 0 else p


@pytest.mark.parametrize("form", [with_probabilities, with_score, label_only], ids=lambda form: form.__name__)
@pytest.mark.parametrize("called", [EXCHANGED, IN_A_CIRCLE], ids=["two", "all in a circle"])
def test_classes_that_the_model_calls_by_each_other_s_names_are_permuted_outputs(
    form: Callable[[Shares], dict[str, Any]], called: Names
) -> None:
    one = Zoo(form=form, called=called).first()
    lead = one.causes[0]
    assert str(lead.fault) == "output_permutation", one.summary
    assert lead.probability > 0.8
    is_pair = called is EXCHANGED
    told = "cat and dog have changed places" if is_pair else "what is called cat is fox, fox is emu, and so on"
    assert told in one.summary
    assert lead.undo is not None
    assert lead.undo.transform.startswith("decision: cat → dog" if is_pair else "decision: cat → fox")


def test_classes_that_come_true_by_each_other_s_names_are_the_world_s() -> None:
    """The same errors: but cases are called what others like them always were."""
    one = Zoo(comes_true=EXCHANGED).first()
    assert str(one.causes[0].fault) == "concept_drift", one.summary
    assert all(str(cause.fault) != "output_permutation" for cause in one.causes)


@pytest.mark.parametrize("apart", [NEAR, FAR], ids=["near", "far apart"])
def test_one_answer_for_every_fourth_case_is_a_fallback(apart: float) -> None:
    """Also of a model whose scores are 1 or nearly so, by which nothing sets cases apart."""
    one = Zoo(apart, answers=base_rates_at_times).first()
    assert str(one.causes[0].fault) == "fallback_answers", one.summary


def test_other_weights_of_a_sure_model_do_not_make_its_answers_alike() -> None:
    one = Zoo(FAR, answers=other_weights).first()
    assert str(one.causes[0].fault) in ("wrong_model", "parameter_corruption"), one.summary
    assert "hardly differ" not in one.model_dump_json()


def test_a_model_that_is_less_sure_of_the_same_classes_exchanges_nothing() -> None:
    one = Zoo(answers=lambda p, i: np.sqrt(p) / np.sqrt(p).sum()).first()
    assert str(one.causes[0].fault) == "calibration_change", one.summary
    assert "output_permutation" not in [str(cause.fault) for cause in one.causes]
