"""The same score comes again and again, whatever the inputs, with no error: something answers in the model's place.

Told apart: the score's new atom falls on cases of all kinds, which the inputs make expect quite different scores. Scores that
saturate at 0 or 1 fall on the cases that scored highest or lowest before (`parameter_corruption`), as does an answer to inputs
that are all filled or missing. A fallback is often faster than the model. Where every case gets the one score, weights of zero
look the same.
"""

from whydrift.core.case import Case
from whydrift.core.faults.inputs import number, percent
from whydrift.core.faults.outputs import Constant, alarms_of, answer_signals, constant_answer, disturbance
from whydrift.core.faults.rule import Example, Proposal, Row, Rule, Runbook, Rung
from whydrift.core.faults.sketches import Break, change, predict, scatter
from whydrift_schemas import Fault, RuledOut

FAULT = Fault("fallback_answers")
_DEPENDS = 0.5
"""Freedom (see `Constant`) below which the constant answer belongs to cases of one kind."""

_LIKE_THE_MODEL = 0.6
"""Factor for a constant that broken weights give as well."""


def examine(case: Case) -> list[Proposal | RuledOut]:
    found = constant_answer(case)
    if found is None:
        return []
    value = number(found.atom.value)
    because = disturbance(case)
    if because and (found.is_at_bound or found.freedom is None or found.is_everywhere):
        return [RuledOut(fault=FAULT, because=f"{because}, which may well make the score {value}")]
    if found.freedom is not None and found.freedom < _DEPENDS:
        return [RuledOut(fault=FAULT, because=f"the score is {value} only for cases that the inputs set apart")]
    return [_proposal(case, found, bool(because))]


def _fit(found: Constant, is_disturbed: bool) -> float:
    if found.freedom is None:
        return 0.35 if found.is_at_bound else 0.6
    fit = 0.65 if found.is_everywhere else 0.92 * found.freedom
    # Broken weights answer a bound everywhere just as well.
    fit -= 0.2 if found.is_everywhere and found.is_at_bound else 0.0
    fit += (0.2 if found.is_everywhere else 0.05) if found.is_faster else 0.0
    if found.may_be_the_model:
        fit *= _LIKE_THE_MODEL
    return 0.5 * fit if is_disturbed else fit


def _proposal(case: Case, found: Constant, is_disturbed: bool) -> Proposal:
    value = number(found.atom.value)
    where = "all cases" if found.is_everywhere else f"{percent(found.atom.share)} of the cases"
    fast = f" Such answers take {number(round(found.fast_ms, 2))} ms, others {number(round(found.usual_ms, 2))} ms."
    is_sure = not is_disturbed and not found.is_everywhere and found.freedom is not None
    return Proposal(
        fault=FAULT,
        fit=_fit(found, is_disturbed),
        explains=answer_signals(case) | (alarms_of(case, "latency") if found.is_faster else frozenset()),
        headline=f"{where} get the score {value} whatever the inputs, as a fallback gives it",
        explanation=(
            f"The score is exactly {value} in {percent(found.atom.share)} of the rows, in health in "
            f"{percent(found.atom.reference_share)}; the cases that get it are of all kinds."
            + (fast if found.is_faster else "")
        ),
        action=f"Search the serving code and its configuration for the default {value}, and its log for what makes it answer so.",
        decider=""
        if is_sure
        else "the serving log of one such call (did the model run?) and the digest of the weights served",
        rows_decide=not found.is_everywhere,
    )


def _fallback(value: float, share: float, latency_ms: float | None = None) -> Break:
    def breaks(row: Row, i: int) -> Row:
        if scatter(i, 9) < share:
            row["prediction"] = {"label": "bad" if value >= 0.5 else "good", "score": value}
            row["latency_ms"] = row["latency_ms"] if latency_ms is None else latency_ms
        return row

    return breaks


RULE = Rule(
    fault=FAULT,
    rung=Rung.SCORE,
    examine=examine,
    examples=(
        Example("a tenth of the answers is 0.5", _fallback(0.5, 0.1)),
        Example("5 % of the answers are the base rate, and fast", _fallback(0.2113, 0.05, 0.2)),
        Example("two thirds of the answers are −1", _fallback(-1.0, 0.67)),
        Example("every answer is 0.2, in a fraction of the time", _fallback(0.2, 1.0, 0.2)),
        Example("scores above 0.4 are cut to 0.4", predict(lambda s, f: min(s, 0.4)), named=False),
        Example("high scores have become 1, low ones 0", predict(lambda s, f: float(s > 0.2)), named=False),
        Example("another model answers", predict(lambda s, f: s / (s + 3 * (1 - s))), named=False),
        Example(
            "every input is null", change(lambda v, i: None, "income", "age", "balance", "debt_ratio"), named=False
        ),
    ),
    runbook=Runbook(
        means="The model does not run for these calls; a default stands in, and the status says that all is well.",
        confirm="Take two such calls with quite different inputs: the same score to the last digit, and faster than usual?",
        do="Find what triggers it (time-out, failed look-up, circuit breaker) and repair that; count fallbacks as errors.",
        if_wrong="If this score is the answer to a rule on purpose, accept the incident.",
    ),
    look_alikes=(Fault.PARAMETER_CORRUPTION,),
)
