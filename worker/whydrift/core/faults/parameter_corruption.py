"""The weights that are served are not those of the version they are served as.

Seen in a model event (digest, norm or non-finite numbers changed under the same version), or in answers that no trained model
gives: saturated, collapsed, exploded, no numbers, while the inputs are as ever. Told apart: a structure that changed too is
another model (`wrong_model`); one constant on cases of all kinds is `fallback_answers`. Without a model event, sane answers that
differ are rather another model's: both are proposed, and the digest decides.
"""

from whydrift.core.case import Case
from whydrift.core.faults.answer_stories import given_to_others
from whydrift.core.faults.inputs import listed
from whydrift.core.faults.model_events import (
    SilentChange,
    moved_threshold,
    odd_replicas,
    parameter_alarm,
    permuted_outputs,
    resembled_version,
    shown_by,
    silent_change,
)
from whydrift.core.faults.outputs import (
    AS_ASKED,
    Sign,
    announced_at,
    answer_is_lost,
    answer_signals,
    constant_answer,
    disturbance,
    is_as_asked,
    score_has_moved,
    shortened,
    sign_of_broken_weights,
)
from whydrift.core.faults.rule import Example, Proposal, Row, Rule, Runbook, Rung
from whydrift.core.faults.sketches import both, change, describe, predict
from whydrift_schemas import Fault, RuledOut

FAULT = Fault("parameter_corruption")
_DIGEST = "compare the digest of the weights served with those registered for this version"
_BROKEN, _CHANGED, _UNSIGNED = 0.97, 0.88, 0.3
"""Fit of weights that no training leaves; of other weights under the same version (a retrained model put in their place does
that, too); of answers that merely differ."""


def examine(case: Case) -> list[Proposal | RuledOut]:
    silent = silent_change(case)
    shown = frozenset() if silent is None else shown_by(case, silent)
    found = _judge_event(case, silent, shown) if silent is not None and shown else []
    if silent is None and parameter_alarm(case):
        found = [
            RuledOut(fault=FAULT, because=f"the model described itself anew, with the same weights{_threshold(case)}")
        ]
    has_changed = score_has_moved(case) or answer_is_lost(case)
    return found + _judge_answers(case) if has_changed and not shown & answer_signals(case) else found


def _threshold(case: Case) -> str:
    return " and structure" if moved_threshold(case) is None else ", and another decision threshold"


def _judge_event(case: Case, silent: SilentChange, shown: frozenset[str]) -> list[Proposal | RuledOut]:
    if earlier := resembled_version(case, silent):
        return [RuledOut(fault=FAULT, because=f"the weights are those of version {shortened(earlier, 40)}")]
    if (pair := odd_replicas(silent)) is not None and not silent.is_broken:
        return [RuledOut(fault=FAULT, because=f"replicas {shortened(pair[0], 40)} and {shortened(pair[1], 40)} differ")]
    if permuted_outputs(silent):
        return [RuledOut(fault=FAULT, because="the outputs have the same weights as before, in another order")]
    if silent.structure and not silent.is_broken:
        return [RuledOut(fault=FAULT, because="the structure changed along with the weights: another model was loaded")]
    return [_from_event(silent, shown)]


def _judge_answers(case: Case) -> list[Proposal | RuledOut]:
    """No model event shows anything: what the answers tell."""
    if because := disturbance(case):
        return [
            RuledOut(
                fault=FAULT, because=f"{because}, which changes the answers too; no model event shows other weights"
            )
        ]
    if is_as_asked(case):
        return [RuledOut(fault=FAULT, because=AS_ASKED)]
    if (new := announced_at(case, case.onset_ms)) is not None:
        return [
            RuledOut(
                fault=FAULT, because=f"version {new.after.model_version} was announced: its weights are other ones"
            )
        ]
    constant = constant_answer(case)
    if (
        constant is not None
        and not constant.may_be_the_model
        and not constant.is_everywhere
        and (constant.freedom or 0.0) > 0.5
    ):
        return [RuledOut(fault=FAULT, because="the changed answers are one constant, given to cases of all kinds")]
    sign = sign_of_broken_weights(case)
    fit = _UNSIGNED if sign is None else sign.fit
    # Weights that are zero make no model faster.
    fit = 0.5 * fit if constant is not None and constant.is_faster else fit
    return [_from_answers(case, sign, fit, rows_decide=constant is None or not constant.is_everywhere)]


def _from_event(silent: SilentChange, explains: frozenset[str]) -> Proposal:
    after = silent.change.after
    count = len(silent.tensors)
    where = f" on replica {after.replica}" if after.replica else ""
    how = "are broken" if silent.is_broken else "changed"
    others = f" and {count - 1} more" if count > 1 else ""
    return Proposal(
        fault=FAULT,
        fit=_BROKEN if silent.is_broken else _CHANGED,
        explains=explains,
        headline=f"weights {how} under the same version{where[:40]}: {silent.tensors[0][:75]}{others}",
        explanation=f"The model's own description changed without a new version. {listed(silent.tensors)}.",
        action=f"Reload the registered weights of version {after.model_version}{where}, and see who wrote the ones served now.",
        replica=after.replica,
        decider="" if silent.is_broken else f"{_DIGEST}: registered under another one, it is the wrong model",
    )


def _from_answers(case: Case, sign: Sign | None, fit: float, *, rows_decide: bool) -> Proposal:
    seen = "the answers changed while the inputs did not" if sign is None else sign.says
    return Proposal(
        fault=FAULT,
        fit=given_to_others(case, fit),
        explains=answer_signals(case),
        headline=f"the model's weights may be broken: {seen}",
        explanation=f"The inputs look as in health, but {seen}." + (" No trained model answers so." if sign else ""),
        action="Compare the digest of the weights served with the registered one, and reload them if it differs.",
        decider=_DIGEST,
        rows_decide=rows_decide,
    )


_KERNEL = {"name": "linear/kernel", "count": 13, "zeros": 4, "non_finite": 0}

RULE = Rule(
    fault=FAULT,
    rung=Rung.SCORE,
    examine=examine,
    examples=(
        Example(
            "a tensor changes its digest under the same version, and the answers change",
            both(
                predict(lambda s, f: s / (s + 2.5 * (1 - s))),
                describe(parameters=[_KERNEL | {"l2_norm": 3.4, "digest": "sha256:ffff"}]),
            ),
        ),
        Example(
            "a tensor has numbers that are not finite",
            describe(parameters=[_KERNEL | {"non_finite": 3, "digest": "sha256:ffff"}]),
        ),
        Example("weights are far too large: scores are 0 or 1", predict(lambda s, f: s**20 / (s**20 + (1 - s) ** 20))),
        Example("weights are nearly zero: scores hardly differ", predict(lambda s, f: 0.5 + 0.02 * (s - 0.5))),
        Example(
            "a third of the scores are null though no call fails",
            lambda row, i: _lost(row) if i % 3 == 0 else row,
        ),
        Example("the answers are another model's", predict(lambda s, f: s / (s + 2.5 * (1 - s))), named=False),
        Example(
            "weights change with the version",
            both(
                predict(lambda s, f: s / (s + 2.5 * (1 - s))),
                describe(model_version="2026.12.0", parameters=[_KERNEL | {"l2_norm": 9.0, "digest": "sha256:ffff"}]),
            ),
            named=False,
        ),
        Example(
            "income is a hundred times too small: scores are 1", change(lambda v, i: v / 100, "income"), named=False
        ),
    ),
    runbook=Runbook(
        means="Memory, a transfer or a write went wrong, or a file was replaced: the version's name no longer says what runs.",
        confirm="Compute the digest of the loaded weights on each replica and compare it with the registry's.",
        do="Reload from the registry; take replicas out that differ; then find the writer (disk, transfer, hand).",
        if_wrong="If the registry has these weights under this version, look for another model or changed preprocessing.",
    ),
    look_alikes=(Fault.WRONG_MODEL, Fault.PREPROCESSING_MISMATCH),
)


def _lost(row: Row) -> Row:
    row["prediction"] = {"label": "good", "score": None}
    return row
