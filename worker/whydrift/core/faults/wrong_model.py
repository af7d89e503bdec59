"""Another model answers than the one that should: other scores for the same inputs, or a new version that errs more.

Told apart: inputs that changed change the answers too. A model event with other weights under the same version is
`parameter_corruption`, unless its structure changed as well. Answers that no trained model gives point to broken weights; without
a model event both are proposed, and the digest decides. Where a mix-up of the inputs, undone, returns the old answers, it is the
same model (`preprocessing_mismatch`). A decision that moves while the score stays is a changed threshold.
"""

from dataclasses import replace

from whydrift.core.case import RESIDUALS, Case
from whydrift.core.faults.answer_stories import given_to_others, goes_otherwise
from whydrift.core.faults.exchanged_classes import is_models_exchange
from whydrift.core.faults.inputs import number
from whydrift.core.faults.local_concept_drift import errs_more_everywhere
from whydrift.core.faults.model_events import SilentChange, permuted_outputs, resembled_version, shown_by, silent_change
from whydrift.core.faults.outcomes import FEED, attribution, feed_is_troubled, loss_signals, shared
from whydrift.core.faults.outputs import (
    AS_ASKED,
    Agreement,
    Sign,
    agreement,
    alarms_of,
    announced_at,
    answer_signals,
    constant_answer,
    disturbance,
    has_alarm,
    is_as_asked,
    loss_alarmed,
    loss_change,
    loss_onset_ms,
    loss_words,
    residual_has_moved,
    scatter,
    score_has_moved,
    shortened,
    sign_of_broken_weights,
)
from whydrift.core.faults.preprocessing_mismatch import undone_by
from whydrift.core.faults.replica_disagreement import may_be_one_replica
from whydrift.core.faults.rule import Example, Proposal, Row, Rule, Runbook, Rung
from whydrift.core.faults.sketches import both, change, describe, predict, turn
from whydrift_schemas import Fault, ModelDescription, RuledOut

FAULT = Fault("wrong_model")
_DIGEST = "compare the digest of the weights served with those registered for this version and for earlier ones"
_SAME, _WORSE, _CLEAR, _RANKS, _SHIFTS, _LITTLE, _BROKEN, _CHANGED = 0.97, 0.82, 0.85, 0.8, 0.7, 0.5, 0.3, 0.4
"""Fit of another version's weights; of a new version with more loss; of answers that row by row are clearly not those of health;
that rank cases otherwise; that are shifted or stretched (recalibration and changed preprocessing do that, too); of a change too
small for all but the mean; of answers that look broken; of weights."""
_MIXED, _CLEARLY = 0.5, 0.95
"""Greatest fit where a mix-up of the inputs, undone, brings the old answers back; how well, to rule another model out."""
_LEAST_CHANCE = 0.15
"""By labels, below which it is no more than what looks alike."""
_MAX_NAME = 30
"""Letters of a version in a headline: some are digests."""


def examine(case: Case) -> list[Proposal | RuledOut]:
    if (worse := _worse_version(case)) is not None:
        return [worse]
    silent = silent_change(case)
    shown = frozenset() if silent is None else shown_by(case, silent)
    found = _judge_event(case, silent, shown) if silent is not None and shown else []
    return found if shown & answer_signals(case) else found + _judge_answers(case)


def _judge_answers(case: Case) -> list[Proposal | RuledOut]:
    """No model event shows anything: what the answers tell."""
    if not score_has_moved(case):
        if has_alarm(case, "decision", "distribution", "unseen"):
            because = "the score is as ever, only the decision has changed: look at the threshold"
            return [RuledOut(fault=FAULT, because=because)]
        return _by_labels(case)
    if because := disturbance(case):
        return [RuledOut(fault=FAULT, because=f"{because}, which changes the answers too")]
    if is_as_asked(case):
        return [RuledOut(fault=FAULT, because=AS_ASKED)]
    if (new := announced_at(case, case.onset_ms)) is not None:
        version = new.after.model_version
        return [
            RuledOut(
                fault=FAULT,
                because=f"version {version} was announced: it may answer otherwise, and is not seen to err more",
            )
        ]
    constant = constant_answer(case)
    if (
        constant is not None
        and not constant.is_at_bound
        and (constant.is_everywhere or (constant.freedom or 0.0) > 0.5)
    ):
        return [RuledOut(fault=FAULT, because=f"the changed answers are one constant, {number(constant.atom.value)}")]
    if is_models_exchange(case):
        because = "with some classes' names exchanged, the answers are those that such inputs always got"
        return [RuledOut(fault=FAULT, because=because)]
    returned, mixed = undone_by(case)
    if returned >= _CLEARLY:
        return [RuledOut(fault=FAULT, because=f"{mixed}: undone, the old model's answers are back")]
    found = _from_answers(case, agreement(case), sign_of_broken_weights(case))
    return [replace(found, fit=min(found.fit, _MIXED)) if returned else found]


def _by_labels(case: Case) -> list[Proposal | RuledOut]:
    """It errs more, and its answers scatter wider than in health, though not so much that this is an alarm by itself."""
    told = attribution(case) if errs_more_everywhere(case) else None
    if told is None or told.answers < _LEAST_CHANCE:
        return []
    wider = number(float(f"{scatter(case)[0]:.2g}"))
    return [
        Proposal(
            fault=FAULT,
            fit=min(shared(told.answers), FEED if feed_is_troubled(case) else 1.0),
            explains=loss_signals(case),
            headline=f"another model seems to answer: it errs more, and otherwise on such inputs: {loss_words(case)}"[
                :150
            ],
            explanation=(
                f"{loss_words(case)}. The inputs look as in health; the answers lie {wider} times as widely around what they "
                "make expect. No model event shows other weights or an announced version."
            ),
            action="Look which model file each replica has loaded, and what was deployed at that time.",
            decider=_DIGEST,
        )
    ]


# -- a new version ---------------------------------------------------------------------------------------------


def _worse_version(case: Case) -> Proposal | None:
    """An announced version with which the loss rises, while the inputs are as ever."""
    change = announced_at(case, loss_onset_ms(case))
    loss = loss_change(case)
    if change is None or loss is None or loss[1] <= loss[0] or not loss_alarmed(case) or disturbance(case):
        return None
    old = change.before.model_version if change.before is not None else ""
    new = change.after.model_version
    return Proposal(
        fault=FAULT,
        fit=_WORSE,
        explains=answer_signals(case) | alarms_of(case, "loss"),
        headline=f"version {shortened(new, _MAX_NAME)} errs more than {shortened(old, _MAX_NAME)}: {loss_words(case)}",
        explanation=f"{loss_words(case)} since version {new} took over from {old}; the inputs look as they did before.",
        action=f"Roll back to version {old}, then compare both on the same labelled cases.",
        decider=f"score the cases labelled since with {old} as well: if it errs as much, the world changed, not the model",
    )


# -- the same version ------------------------------------------------------------------------------------------


def _judge_event(case: Case, silent: SilentChange, shown: frozenset[str]) -> list[Proposal | RuledOut]:
    if earlier := resembled_version(case, silent):
        return [_of_version(silent, earlier, shown)]
    if permuted_outputs(silent):
        return [RuledOut(fault=FAULT, because="the outputs have the same weights as before, in another order")]
    if silent.is_broken:
        return [RuledOut(fault=FAULT, because=f"a model event shows broken weights: {silent.tensors[0]}")]
    if silent.structure:
        return [RuledOut(fault=FAULT, because="the structure changed too: it is another kind of model")]
    return [_from_event(silent, silent.change.after, shown)]


def _from_event(silent: SilentChange, after: ModelDescription, shown: frozenset[str]) -> Proposal:
    version = after.model_version
    where = f" on replica {after.replica}" if after.replica else ""
    seen = silent.tensors[0]
    return Proposal(
        fault=FAULT,
        fit=_CHANGED,
        explains=shown,
        headline=f"another model may run as version {shortened(version, _MAX_NAME)}: a model event shows other weights",
        explanation=f"The model described itself anew{where} under the same version, with other weights ({seen}).",
        action=f"Look up in the registry which model these digests belong to, and load the one meant as {version}.",
        replica=after.replica,
        decider=_DIGEST,
    )


def _of_version(silent: SilentChange, earlier: str, shown: frozenset[str]) -> Proposal:
    after = silent.change.after
    where = f" on replica {after.replica}" if after.replica else ""
    meant, runs = shortened(after.model_version, _MAX_NAME), shortened(earlier, _MAX_NAME)
    return Proposal(
        fault=FAULT,
        fit=_SAME,
        explains=shown,
        headline=f"version {runs} runs{where[:40]} under the name of {meant}",
        explanation=f"The weights served{where} as version {meant} are, digest for digest, those of version {runs}.",
        action=f"Load the weights of version {meant}{where}, and see how those of {runs} came in their place.",
        replica=after.replica,
    )


def _from_answers(case: Case, found: Agreement | None, sign: Sign | None) -> Proposal:
    return Proposal(
        fault=FAULT,
        fit=given_to_others(case, _fit(case, found, sign)),
        explains=answer_signals(case),
        headline=f"another model seems to answer: {_headline(case, found)}",
        explanation=(
            f"The inputs look as in health, the answers do not: {_headline(case, found)}. {_agreement(found)}"
            "No model event shows other weights or an announced version."
        ),
        action="Look which model file each replica has loaded, and what was deployed at that time.",
        decider=_DIGEST,
    )


def _fit(case: Case, found: Agreement | None, sign: Sign | None) -> float:
    if sign is not None:
        return _BROKEN
    if goes_otherwise(case) and not may_be_one_replica(case):
        return _CLEAR
    if not has_alarm(case, "prediction", "distribution", "out_of_range") and not any(
        has_alarm(case, name) for name in RESIDUALS
    ):
        return _LITTLE
    if "residual" in case.outputs and not residual_has_moved(case):
        # The score moved, but no more than the inputs (within their tolerance) make expect.
        return _LITTLE
    return _RANKS if found is not None and found.is_lost else _SHIFTS


def _headline(case: Case, found: Agreement | None) -> str:
    if found is not None and found.is_lost:
        return "it ranks cases otherwise, though the inputs have not changed"
    prediction = case.outputs.get("prediction")
    if found is None or prediction is None or abs(found.shift) < 0.1 * prediction.reference.spread:
        return "other answers to the same kind of inputs"
    way = "higher" if found.shift > 0 else "lower"
    return f"answers are {number(float(f'{abs(found.shift):.2g}'))} {way} than these inputs used to get"


def _agreement(found: Agreement | None) -> str:
    if found is None:
        return ""
    return (
        f"Correlation of the answers with what the inputs make expect: {number(round(found.usual, 2))} → "
        f"{number(round(found.now, 2))}. "
    )


def _other(score: float, features: Row) -> float:
    """A model that was trained on something else."""
    age = features["age"] if isinstance(features["age"], int | float) else 43
    return float(min(max(0.02 * (age - 18) * (1 - features["utilisation"]), 0.0), 1.0))


def _earlier(score: float, features: Row) -> float:
    """Every year of age makes the odds a twentieth higher than today's model has it."""
    age = features["age"] if isinstance(features["age"], int | float) else 43
    odds = score / (1 - score) * 2 * 1.05 ** (age - 43)
    return float(odds / (1 + odds))


RULE = Rule(
    fault=FAULT,
    rung=Rung.SCORE,
    examine=examine,
    examples=(
        Example("another model answers, which looks at other inputs", predict(_other)),
        Example(
            "an earlier version answers, which sees higher odds, and those of the old higher still", predict(_earlier)
        ),
        Example("half of the answers come from another model", predict(_other, share=0.5)),
        Example(
            "the announced new version errs more",
            both(predict(lambda s, f: 1 - s), describe(model_version="2026.12.0")),
        ),
        Example(
            "an announced new version answers a little otherwise",
            both(predict(lambda s, f: s / (s + 0.75 * (1 - s))), describe(model_version="2026.12.0")),
            named=False,
        ),
        Example("income arrives in thousands", change(lambda v, i: v / 1000, "income"), named=False),
        Example("decisions are cut at another score", lambda row, i: _recut(row), named=False),
        Example("the outcomes turn round", turn(lambda y, f, i: "good" if y == "bad" else "bad"), named=False),
        Example("scores are 0 or 1", predict(lambda s, f: s**20 / (s**20 + (1 - s) ** 20)), named=False),
    ),
    runbook=Runbook(
        means="A roll-back, a wrong path, a mixed-up registry or a worse version: the answers are not those that were approved.",
        confirm="Score ten logged inputs with the registered model: do the answers differ from the logged ones?",
        do="Load the version that is meant on every replica; decide again on what was answered since, where it matters.",
        if_wrong="If the registered model gives the logged answers, look for changed preprocessing after the log.",
    ),
    look_alikes=(Fault.PARAMETER_CORRUPTION, Fault.PREPROCESSING_MISMATCH, Fault.MISALIGNED_FEATURE),
)


def _recut(row: Row) -> Row:
    row["prediction"]["label"] = "bad" if row["prediction"]["score"] >= 0.25 else "good"
    return row
