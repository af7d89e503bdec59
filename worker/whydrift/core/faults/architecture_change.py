"""Another kind of model answers: its structure changed, and with it how fast it answers, and what.

Seen in a model event (structure digest, class, layers, inputs) under an unchanged version; without one, in latency and answers
given the inputs that moved at the same moment. Told apart: another model of the same structure (`wrong_model`) keeps its latency.
"""

import numpy as np

from whydrift.core.case import Case
from whydrift.core.faults.inputs import number
from whydrift.core.faults.model_events import SilentChange, shown_by, silent_change
from whydrift.core.faults.outputs import (
    alarms_of,
    announced_at,
    answer_signals,
    constant_answer,
    disturbance,
    has_alarm,
    score_has_moved,
)
from whydrift.core.faults.rule import Example, Proposal, Rule, Runbook, Rung
from whydrift.core.faults.sketches import both, describe, predict
from whydrift_schemas import Fault, ModelDescription, RuledOut

FAULT = Fault("architecture_change")
_SURE, _JOINT = 0.95, 0.85
_TOGETHER_ROWS = 200.0
"""Events by which the onsets of latency and answers may differ: they are estimates."""


def examine(case: Case) -> list[Proposal | RuledOut]:
    silent = silent_change(case)
    if silent is not None and not silent.structure:
        return [RuledOut(fault=FAULT, because="a model event shows the same structure, with other weights")]
    if silent is not None:
        shown = shown_by(case, silent)
        return [_from_event(silent, shown | _latency(case))] if shown else []
    if not has_alarm(case, "latency") or not score_has_moved(case) or disturbance(case) or has_alarm(case, "errors"):
        return []
    if constant_answer(case) is not None:
        return [RuledOut(fault=FAULT, because="the changed answers are one constant")]
    if announced_at(case, case.onset_ms) is not None or not _is_together(case):
        return []
    return [_from_answers(case)]


def _latency(case: Case) -> frozenset[str]:
    return alarms_of(case, "latency")


def _is_together(case: Case) -> bool:
    onsets = case.onset_dates
    slow = min(onsets[name] for name in _latency(case))
    answers = [onsets[name] for name in answer_signals(case) if not name.startswith("loss")]
    per_hour = case.arrivals.expected_per_hour or 3_600.0
    return bool(answers) and abs(min(answers) - slow) * per_hour / 3_600_000 <= _TOGETHER_ROWS


def _from_event(silent: SilentChange, explains: frozenset[str]) -> Proposal:
    before, after = silent.change.before, silent.change.after
    assert before is not None  # else nothing could differ
    seen = _difference(before, after)
    return Proposal(
        fault=FAULT,
        fit=_SURE,
        explains=explains,
        headline=f"another architecture runs as version {after.model_version[:40]}: {seen}"[:150],
        explanation=f"The model described itself anew under the same version, with another structure: {seen}.",
        action=f"Look up in the registry which model this structure belongs to, and load the one meant as {after.model_version}.",
        replica=after.replica,
    )


def _difference(before: ModelDescription, after: ModelDescription) -> str:
    """What differs, in words: inputs, class, layers, or only the digest."""
    if before.features and after.features and before.features != after.features:
        was, now = [f.name for f in before.features], [f.name for f in after.features]
        if len(was) != len(now):
            return f"{len(was)} → {len(now)} inputs"
        return "its inputs are in another order" if sorted(was) == sorted(now) else "it has other inputs"
    old, new = before.structure, after.structure
    if old is not None and new is not None:
        if old.class_name != new.class_name:
            return f"{old.class_name} → {new.class_name}"
        if len(old.layers or ()) != len(new.layers or ()):
            return f"{len(old.layers or ())} → {len(new.layers or ())} layers"
    return "its structure has another digest"


def _from_answers(case: Case) -> Proposal:
    view = case.outputs["latency"]
    later = view.current[len(view.current) // 3 :]
    ratio = 10 ** (float(np.median(later)) - view.reference.median)
    times = (
        f"{number(float(f'{ratio:.2g}'))} times as long"
        if ratio > 1
        else f"{number(float(f'{ratio:.2g}'))} of the time"
    )
    return Proposal(
        fault=FAULT,
        fit=_JOINT,
        explains=answer_signals(case) | _latency(case),
        headline=f"another kind of model may answer: calls take {times}, and the same inputs get other answers",
        explanation=(
            "Latency and the answers given the inputs changed at the same moment, while the inputs did not. Another file of the "
            "same model would be as fast. No model event shows the structure."
        ),
        action="Look which model file, and of what kind, each replica has loaded, and what was deployed at that time.",
        decider="the structure digest of the model served, beside the registered one's",
    )


_OTHER = {"framework": "numpy", "class_name": "Perceptron", "digest": "sha256:77aa"}


def _other_answers(score: float, features: dict[str, object]) -> float:
    return 0.8 - 0.6 * score if features["is_new"] else 0.2 + 0.3 * score


RULE = Rule(
    fault=FAULT,
    rung=Rung.IDENTITY,
    examine=examine,
    examples=(
        Example(
            "another structure is loaded under the same version",
            both(predict(lambda s, f: s / (s + 2.5 * (1 - s))), describe(structure=_OTHER)),
        ),
        Example(
            "calls take three times as long, and the answers are others",
            both(predict(_other_answers), lambda row, i: row | {"latency_ms": row["latency_ms"] * 3}),
        ),
        Example("the answers are others, as fast as ever", predict(_other_answers), named=False),
        Example(
            "calls take three times as long", lambda row, i: row | {"latency_ms": row["latency_ms"] * 3}, named=False
        ),
    ),
    runbook=Runbook(
        means="A model of another kind or shape runs under the version's name: other layers, other inputs, another speed.",
        confirm="Compare the structure digest of the model that is loaded with the registered one's.",
        do="Load the registered model on every replica; release the other one under a version of its own.",
        if_wrong="If the structure is the registered one, look at the host (latency) and at the weights (answers) apart.",
    ),
    look_alikes=(Fault.WRONG_MODEL, Fault.PARAMETER_CORRUPTION),
)
