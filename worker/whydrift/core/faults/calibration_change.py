"""Scores are stretched or shifted on the logit scale, while cases keep their order: another calibration after the model.

Told apart: logit(score) maps affinely onto that of health, undoing it returns the score, and row by row what the inputs leave of
it, to their nulls; the order of cases stays, so what it costs is calibration, not ranking. Another model (`wrong_model`) has an
order of its own: undone, its answers scatter wider around those that are expected (`answer_stories`).
"""

import numpy as np

from whydrift.core.case import Case
from whydrift.core.columns import Floats
from whydrift.core.faults.answer_stories import OTHERWISE_NATS, is_probability, stories
from whydrift.core.faults.exchanged_classes import are_called_otherwise
from whydrift.core.faults.inputs import graded, match_p, number, undone
from whydrift.core.faults.model_events import silent_change
from whydrift.core.faults.outcomes import shared
from whydrift.core.faults.outputs import (
    announced_at,
    answer_signals,
    disturbance,
    score_has_moved,
)
from whydrift.core.faults.rule import Example, Proposal, Rule, Runbook, Rung
from whydrift.core.faults.sketches import predict
from whydrift_schemas import Fault, RuledOut, Undo

FAULT = Fault("calibration_change")
_MIN_ROWS = 40
_EDGE = 1e-5
_LEAST_FIT = 0.2
_LEAST = 0.02
"""Chance, beside other stories, below which it is not proposed."""
_UNTOLD = 0.7
"""Fit where no rows stand beside what is expected of them."""
_SCALES, _SHIFTS = (0.05, 8.0), 6.0
_USUAL_SCALE, _USUAL_SHIFT, _LIKE_ANOTHER_MODEL = 0.25, 1.0, 0.5
"""Logarithm of a scale, and a shift, by which another model trained for the same end differs as well: then either it may be."""


def examine(case: Case) -> list[Proposal | RuledOut]:
    view = case.outputs.get("prediction")
    if view is None or not score_has_moved(case) or not is_probability(view) or not view.reference.n:
        return []
    if silent_change(case) is not None:
        return [RuledOut(fault=FAULT, because="a model event shows other weights under the same version")]
    if disturbance(case) or announced_at(case, case.onset_ms) is not None or len(view.current) < _MIN_ROWS:
        return []
    if are_called_otherwise(case):
        return [RuledOut(fault=FAULT, because="cases are called otherwise, which being more or less sure does not do")]
    told = stories(case)
    if told is not None and (told.stretched < _LEAST or told.nats < OTHERWISE_NATS):
        return [RuledOut(fault=FAULT, because="cases do not keep their order, as they would under another calibration")]
    later = view.current[len(view.current) // 3 :]
    scale, shift = _fit_logits(later, view.healthy) if told is None else (told.scale, told.shift)
    if not _SCALES[0] < scale < _SCALES[1] or abs(shift) > _SHIFTS:
        return []
    restored = _undo(later, scale, shift)
    before, after = view.log10_evidence(later), view.log10_evidence(restored)
    if told is not None:
        fit = shared(told.stretched)
    else:
        is_small = abs(np.log(scale)) < _USUAL_SCALE and abs(shift) < _USUAL_SHIFT
        fit = _UNTOLD * (_LIKE_ANOTHER_MODEL if is_small else 1.0)
        fit *= graded(match_p(restored, view.reference)) * undone(before, after)
    return [_proposal(case, scale, shift, fit, before, after)] if fit >= _LEAST_FIT else []


def _fit_logits(values: Floats, healthy: Floats) -> tuple[float, float]:
    """Scale and shift with logit(now) = scale · logit(health) + shift, by quantiles that are not at the edges."""
    grid = np.linspace(0.05, 0.95, 37)
    now, was = _logit(np.quantile(values, grid)), _logit(np.quantile(healthy, grid))
    inner = (np.abs(now) < -_logit(np.array([10 * _EDGE]))[0]) & (np.abs(was) < -_logit(np.array([10 * _EDGE]))[0])
    if inner.sum() < 5 or np.ptp(was[inner]) <= 0:
        return 0.0, 0.0
    scale, shift = np.polyfit(was[inner], now[inner], 1)
    return float(scale), float(shift)


def _logit(values: Floats) -> Floats:
    inside = np.clip(values, _EDGE, 1 - _EDGE)
    found: Floats = np.log(inside / (1 - inside))
    return found


def _undo(values: Floats, scale: float, shift: float) -> Floats:
    restored: Floats = 1 / (1 + np.exp(-(_logit(values) - shift) / scale))
    return restored


def _proposal(case: Case, scale: float, shift: float, fit: float, before: float, after: float) -> Proposal:
    a, b = number(float(f"{scale:.2g}")), number(float(f"{abs(shift):.2g}"))
    sign = "+" if shift >= 0 else "−"
    how = "sharper" if scale > 1.1 else "flatter" if scale < 0.9 else "higher" if shift > 0 else "lower"
    return Proposal(
        fault=FAULT,
        fit=fit,
        explains=answer_signals(case),
        headline=f"scores are {how}, in the same order: logit × {a} {sign} {b}",
        explanation=(
            f"logit(score) is {a} times what it was, {sign} {b}; undone, the scores and what the inputs make expect agree "
            "as in health. Cases keep their order: decisions at a fixed threshold move, and probabilities mislead."
        ),
        action="Look for a new calibration step, temperature or class weight after the model; restore it, or calibrate anew.",
        undo=Undo(
            transform=f"(logit(score) {'−' if shift >= 0 else '+'} {b}) ÷ {a}",
            evidence_before=before,
            evidence_after=after,
        ),
        decider="rank correlation of the registered model's scores with the served ones on logged cases: 1 = calibration only",
    )


RULE = Rule(
    fault=FAULT,
    rung=Rung.SCORE,
    examine=examine,
    examples=(
        Example("scores are twice as sharp", predict(lambda s, f: s**2 / (s**2 + (1 - s) ** 2))),
        Example("odds are six times what they were", predict(lambda s, f: 6 * s / (6 * s + 1 - s))),
        Example("every score is 1 − score", predict(lambda s, f: 1 - s), named=False),
        Example("all scores are one half", predict(lambda s, f: 0.5), named=False),
    ),
    runbook=Runbook(
        means="A calibration step, temperature or class weight changed: cases keep their order, the odds are wrong.",
        confirm="Plot the served scores against the registered model's on logged cases: one smooth rising line?",
        do="Restore the calibration; review decisions near the threshold since the onset.",
        if_wrong="If cases are ordered otherwise too, another model answers.",
    ),
    look_alikes=(Fault.WRONG_MODEL, Fault.PREPROCESSING_MISMATCH),
)
