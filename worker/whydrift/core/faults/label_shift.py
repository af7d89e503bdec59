"""The mix of outcomes moved, and nothing else: each outcome's cases look as they did, there are more of one and fewer of another.

From the answers and the confusion of health the new mix is estimated before any label comes; with labels it is known. Undone by
weighting cases by outcome: then every input must look as in health.

Told apart: where inputs drift by themselves, no mix of outcomes makes all of them move as they did, and the same answer goes on
to mean the same chances (`covariate_drift`); the labels decide. Where outcomes move and answers do not, the world's rule has
changed (`concept_drift`). Labels that are a selection tell nothing of the mix (`biased_labels`).
"""

from math import exp, log

from whydrift.core.case import RESIDUALS, Case
from whydrift.core.faults.answer_stories import goes_otherwise
from whydrift.core.faults.inputs import are, graded, listed, number, percent, undone
from whydrift.core.faults.outputs import alarms_of, constant_answer, has_alarm, residual_has_moved
from whydrift.core.faults.reweighting import Column, Mix, mix_of_outcomes
from whydrift.core.faults.rule import Example, Proposal, Row, Rule, Runbook, Rung
from whydrift.core.faults.sketches import both, change, scatter, turn
from whydrift_schemas import Fault, RuledOut, Undo

FAULT = Fault("label_shift")
_ODDS, _QUIET_ODDS, _OUTCOMES_ODDS = 1.5, 3.0, 1.0
"""Odds where all agree on a new mix: where inputs moved, these may have drifted by themselves; where only answers did, nothing
else fits; where labels tell that outcomes did, and no input has, the world's rule changes, or labels are wrong, more often."""
_PLAIN_GAIN = 2.0
"""Log-likelihood that answers gain, beyond what any fitted mix does, from which they speak for a new one."""
_DECISIVE, _COARSE = 4.0, 0.5
"""Log-likelihood of labels that counts at most, either way (they may be a selection); of numbers, which count by coarse bins."""
_LEAD, _TIE = 0.5, 5.0
_LEADS = (-4.0, 2.0)
"""Part of a lead over the input that moved most that counts (columns are no independent witnesses), beyond a tie, and its bounds.

An input that nearly is the outcome explains as much: who moved then, nobody can tell, and the higher rung is named first.
"""
_LEAST_FIT, _MOST_FIT = 0.1, 0.95
_TRIGGERS = ("prediction", "decision", "actual")
_FREE = 0.9
"""Freedom (see `outputs.Constant`) of a constant answer from which no mix of cases brings it."""
_ASPECTS = ("distribution", "repeated")
"""Of more cases of one kind, answers repeat more often."""


def examine(case: Case) -> list[Proposal | RuledOut]:
    inputs = [v for v in (*case.features.values(), *case.segments.values()) if v.is_alarmed("distribution")]
    if not inputs and not any(has_alarm(case, name, *_ASPECTS) for name in _TRIGGERS):
        return []
    found = mix_of_outcomes(case)
    # What inputs make expect is a little off for the cases of each outcome, of which there are more now, or fewer.
    is_told = found is not None and found.is_told
    if not is_told and (residual_has_moved(case) or goes_otherwise(case)):
        return [RuledOut(fault=FAULT, because="the same inputs get other answers, which no mix of outcomes explains")]
    constant = constant_answer(case)
    if constant is not None and (constant.freedom or 0.0) >= _FREE:
        because = f"{number(constant.atom.value)} is answered to cases of all kinds, whatever comes true of them"
        return [RuledOut(fault=FAULT, because=because)]
    # Of inputs whose labelled rows are not kept nobody knows what a new mix does to them.
    if found is None or (inputs and not _moved(found)):
        return []
    fit = _fit(found)
    if fit < _LEAST_FIT:
        return [RuledOut(fault=FAULT, because=_why_not(found))]
    return [_proposal(case, found, fit)]


def explains_loss(case: Case) -> bool:
    """Whether this is so likely that a loss which moved with it is its."""
    return any(isinstance(one, Proposal) and one.fit >= 0.5 for one in examine(case))


def _signals(case: Case, moved: list[Column]) -> frozenset[str]:
    """What moves with the mix: inputs, answers, what inputs leave of them, outcomes, and the loss."""
    inputs = {one.view.signals["distribution"].signal for one in moved}
    mix = {name for name in alarms_of(case, *_TRIGGERS) if name.endswith(_ASPECTS)}
    guards = {s.signal for s in case.guards if s.is_alarmed and s.column in ("loss", "residual")}
    return frozenset(inputs | mix | alarms_of(case, "loss", *RESIDUALS) | guards)


def _moved(found: Mix) -> list[Column]:
    """Inputs that are alarmed, most evidence first."""
    alarmed = [one for one in found.columns if one.view.is_alarmed("distribution")]
    return sorted(alarmed, key=lambda one: -one.before)


def _fit(found: Mix) -> float:
    size = len(found.columns) + 2
    worst = size * min(found.answers_p, found.labels_p, *(one.p for one in found.columns))
    moved = _moved(found)
    back = min((undone(one.before, one.after) for one in found.columns if one.has_moved), default=1.0)
    # Each share of the mix is a parameter: fitted to the answers, or to the labels.
    cost = 0.5 * (len(found.outcomes) - 1) * log(max(found.known or found.rows, 2))
    odds = _odds_of_outcomes(found, cost) if found.known and not moved else _odds_of_cases(found, cost, bool(moved))
    return min(odds / (1 + odds), _MOST_FIT) * graded(worst) * back


def _odds_of_outcomes(found: Mix, cost: float) -> float:
    """Where labels tell that outcomes moved, and no input did."""
    # A number that comes out otherwise is called its neighbour, not any other: only the answers tell.
    told = found.answers if found.is_numeric else min(found.changed, found.answers + _PLAIN_GAIN)
    most = _COARSE if found.is_numeric else _DECISIVE
    return _OUTCOMES_ODDS * exp(min(found.mix - cost, 0.0) + min(told, _DECISIVE) + _within(found.labels, -most, 0.0))


def _odds_of_cases(found: Mix, cost: float, has_moved: bool) -> float:
    """Where inputs moved, or answers only."""
    gain = min(found.answers - _PLAIN_GAIN, found.mix - cost) if found.known else found.answers - _PLAIN_GAIN - cost
    most = _COARSE if found.is_numeric else _DECISIVE
    lead = _LEAD * (max(found.lead - _TIE, 0.0) + min(found.lead, 0.0))
    odds = _ODDS if has_moved else _QUIET_ODDS
    return odds * exp(min(gain, 0.0) + _within(found.labels, -most, most) + _within(lead, *_LEADS))


def _within(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def _why_not(found: Mix) -> str:
    size = len(found.columns) + 2
    left = [one for one in found.columns if graded(one.p * size) < 0.5]
    if left:
        names = listed([one.view.name for one in sorted(left, key=lambda one: one.p)])
        return f"no mix of outcomes makes {names} look as now"
    if graded(found.labels_p * size) < 0.5:
        return "cases of the same outcome get other answers than they did"
    if found.driver and found.lead < 0:
        return f"what else moved follows {found.driver} better than any mix of outcomes"
    if still := [one.view.name for one in found.columns if one.has_moved and undone(one.before, one.after) < 0.5]:
        return (
            f"with cases weighted back by outcome, {listed(still)} {are(still, 'still looks', 'still look')} otherwise"
        )
    if found.labels < 0:
        return "the same answers go on to mean the same chances, as labels show"
    return "the answers are those of the old mix of outcomes"


def _proposal(case: Case, found: Mix, fit: float) -> Proposal:
    moved = _moved(found)
    place = found.moved
    before, now = percent(float(found.before[place])), percent(float(found.now[place]))
    known = f"{found.known} labels" if found.known else "answers and the confusion of health, before labels"
    names = tuple(one.view.name for one in moved if one.view.name in case.features)
    return Proposal(
        fault=FAULT,
        fit=fit,
        explains=_signals(case, moved),
        headline=f'the mix of outcomes has shifted: "{found.outcomes[place]}" {before} → {now}',
        explanation=(f'"{found.outcomes[place]}" {before} → {now} by {known}. {_inputs(found, moved)}'),
        action="Ask what brings other cases (season, campaign, fraud); correct scores by the class weights, or retrain.",
        features=names,
        undo=_undo(found, moved),
        decider="labels: does the same score go on to mean the same chance (then inputs drifted), or another one?",
    )


def _inputs(found: Mix, moved: list[Column]) -> str:
    if not moved:
        return "Inputs agree with it; none moved much by itself."
    names = listed([one.view.name for one in moved])
    return f"Weighted by outcome ({_weights(found)}), the rows of health look as {names} now."


def _weights(found: Mix) -> str:
    pairs = sorted(zip(found.outcomes, found.weights.tolist(), strict=True), key=lambda pair: -abs(pair[1] - 1))
    return ", ".join(f'"{name}" × {number(round(weight, 2))}' for name, weight in pairs[:4])


def _undo(found: Mix, moved: list[Column]) -> Undo | None:
    if not moved:
        return None
    first = moved[0]
    return Undo(
        transform=f"cases weighted by outcome: {_weights(found)}",
        evidence_before=first.before,
        evidence_after=first.after,
    )


class _Fewer:
    """Most cases of one outcome stay away; the next ones come in their place, so that as many come as ever."""

    def __init__(self, outcome: str, share: float) -> None:
        self.outcome = outcome
        self.share = share

    def __call__(self, row: Row, i: int) -> Row | None:
        if i == 0:
            self._last_ms, self._sooner_ms = row["timestamp"], 0
        gap_ms, self._last_ms = row["timestamp"] - self._last_ms, row["timestamp"]
        if row["label"]["actual"] == self.outcome and scatter(i, 12) < self.share:
            self._sooner_ms += gap_ms
            return None
        row["timestamp"] -= self._sooner_ms
        row["label"]["timestamp"] -= self._sooner_ms
        return row


_POORER = both(
    change(lambda v, i: v * 0.6, "income", world=True),
    change(lambda v, i: v - 1_500, "balance", world=True),
)

RULE = Rule(
    fault=FAULT,
    rung=Rung.LABELS,
    examine=examine,
    examples=(
        Example("two in three good cases stay away, others come", _Fewer("good", 0.65)),
        Example("most bad cases stay away, others come", _Fewer("bad", 0.8)),
        Example("a poorer public comes", _POORER, named=False),
        Example("income arrives in thousands", change(lambda v, i: v / 1000, "income"), named=False),
        Example(
            "those with a high income default now",
            turn(lambda y, f, i: "bad" if f["income"] > 50_000 else "good"),
            named=False,
        ),
        Example(
            "the temperature is half a standard deviation higher",
            change(lambda v, i: round(v + 3.2, 1), "temperature", world=True),
            named=False,
        ),
    ),
    runbook=Runbook(
        means="More cases of one outcome come than the model has learnt: its scores rank as before, but promise the old odds.",
        confirm="When labels come, compare the share of each outcome, and the outcome's rate at a given score, with before.",
        do="Correct scores by the class weights, or move the decision's cut; retrain on the new mix if it stays.",
        if_wrong="If a score goes on to mean the same chance, the inputs drifted by themselves: treat it as a covariate drift.",
    ),
    look_alikes=(Fault.COVARIATE_DRIFT, Fault.CONCEPT_DRIFT),
)
