"""What the rules about answers share: what the inputs explain, constant answers, broken weights, announced versions.

Belongs here: pure helpers of more than one rule about outputs and labels. Not here: rules (this file has none, and is passed
over as one), helpers about inputs (`inputs`).
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import kolmogorov

from whydrift.core.bias import SIGNAL as LEANS
from whydrift.core.case import ANSWERS, RESIDUALS, Case, ColumnView, ModelChange, SignalEvidence
from whydrift.core.columns import Floats, Presence
from whydrift.core.faults.answer_stories import OTHERWISE_NATS, expected, goes_otherwise, is_probability, stories
from whydrift.core.faults.exchanged_classes import is_models_exchange
from whydrift.core.faults.inputs import (
    Atom,
    Mask,
    are,
    dragged,
    graded,
    is_bound,
    listed,
    new_atoms,
    number,
    percent,
    rank_correlation,
    spread_of,
)
from whydrift.core.faults.reweighting import has_told_mix

_CONTENT = ("distribution", "out_of_range", "unseen", "repeated", "type")
"""Aspects of what an answer says; `missing` is about whether there is one."""
_LEAST_SCATTERED, _A_LITTLE_WIDER = 40, 1.05
"""Answers that show how wide they scatter; how much less well cases of another hour may be told."""
_EVERYWHERE = 0.97
"""Share of the rows from which an answer counts as given to all of them."""
_VARIED = 0.3
"""Part of the answers' spread in health that the inputs must make expect, to count as different cases."""
_MIN_VARIED = 20
"""Rows with a constant answer in the middle from which their spread tells: six are close together by chance."""
_MIN_OTHERS = 8
"""Rows with other answers that are needed to ask whether the constant one depends on the inputs."""
_FREE = 0.9
"""Freedom from which no weights can be behind a constant that others do not share."""
_MOSTLY = 0.5
"""Share of the answers from which a bound is rather where broken weights lead than what stands in for a few."""
_OTHERS_CHANGED = 0.3
"""Freedom of a constant answer where the other answers have changed as well."""
_CLEAR_LOG10 = 3.0
"""Evidence from which they count as changed."""
_MIN_ROWS = 20
"""Rows needed to speak of a sign of broken weights."""
_TELLING, _UNMOVED_LOG10 = 0.8, 1.0
"""Correlation of answers with what the inputs make expect, in health, from which the inputs tell most of them; evidence on what
they leave below which it is as in health."""
_CAPPED = 0.05
"""Share of the answers at a value beyond which there is none any more, from which it is a sign."""
_FASTER = 0.5
"""Part of the usual latency below which an answer did not come from the model."""
_DEFAULT_DIGITS = 2
"""Significant digits of values that people choose."""
_LIKE_TYPICAL = 0.03
"""Part of the spread within which an answer counts as the mean or median of health, estimated on other rows."""
_EDGE = 1e-3
"""A probability this close to 0 or 1 is saturated."""
_SATURATED, _FEW, _NARROW, _WIDE = 0.25, 3, 0.1, 3.0
"""Rise of the saturated share; number of different answers; part and multiple of the usual spread that are signs."""
AS_ASKED = "the answers are those that such inputs always got: it is the cases that are others"
_ONSET_ROWS, _MIN_SLACK_MS = 300, 10 * 60_000
"""Onsets are estimates: so many events, and at least so much time, a change of the model may be from the onset it caused."""


# -- what else explains the answers ----------------------------------------------------------------------------


def disturbance(case: Case) -> str:
    """What else changes the answers, in words that go on "…, which changes the answers too"; "" where nothing does."""
    names = [view.name for view in case.alarmed_features()]
    if names:
        return f"{listed(names)} {are(names, 'has', 'have')} changed"
    for signal, says in (("duplicates", "events repeat"), ("schema", "the events have other keys")):
        found = case.world.get(signal)
        if found is not None and found.is_alarmed:
            return says
    return "the mix of outcomes has shifted" if has_told_mix(case) else ""


def has_alarm(case: Case, name: str, *aspects: str) -> bool:
    """Whether this output or label has an alarm on one of these aspects (on any, where none is named)."""
    view = case.outputs.get(name) or case.labels.get(name)
    return view is not None and view.is_alarmed(*aspects)


def has_guard(case: Case, column: str) -> bool:
    """Whether the guard of a mean (loss, residual) has an alarm."""
    return any(guard.is_alarmed and guard.column == column for guard in case.guards)


def residual_has_moved(case: Case, *aspects: str) -> bool:
    """Whether the score given the inputs has changed."""
    return has_guard(case, "residual") or any(has_alarm(case, name, *aspects) for name in RESIDUALS)


def score_has_moved(case: Case) -> bool:
    """Whether what the model answers has changed: the score, the score given the inputs, names of classes, or, without a score,
    the decision.
    """
    if residual_has_moved(case, *_CONTENT) or has_alarm(case, "prediction", *_CONTENT):
        return True
    if is_models_exchange(case):
        return True
    return "prediction" not in case.outputs and has_alarm(case, "decision", *_CONTENT)


def scatter(case: Case) -> tuple[float, float]:
    """How many times as wide as in health answers lie around what the inputs make expect, and how many standard errors beyond a
    little wider that is, alarm or not. (1.0, 0.0) where nothing is expected of them.
    """
    found = (1.0, 0.0)
    for name in RESIDUALS:
        view = case.outputs.get(name)
        if view is None:
            continue
        now = view.current[len(view.current) // 4 :]
        if min(len(view.healthy), len(now)) < _LEAST_SCATTERED:
            continue
        was, width = (float(np.subtract(*np.quantile(values, [0.75, 0.25]))) for values in (view.healthy, now))
        if min(was, width) > 0:
            slow = max([1.0, *view.reference.times.values()])
            error = _quartiles_error(view.healthy) * np.sqrt(slow * (1 / len(now) + 1 / len(view.healthy)))
            found = max(
                found, (width / was, float(np.log(width / was / _A_LITTLE_WIDER) / error)), key=lambda one: one[1]
            )
    return found


def _quartiles_error(values: Floats) -> float:
    """Standard error of the logarithm of an interquartile range, times the root of the rows: 1.17 of normals, more if peaked.

    From the density at both quartiles (asymptotic variance of quantiles).
    """
    below, low, above_low, below_high, high, above = np.quantile(values, [0.15, 0.25, 0.35, 0.65, 0.75, 0.85])
    first, last = (max(step, 1e-12) / 0.2 for step in (above_low - below, above - below_high))
    variance = 3 / 16 * (first**2 + last**2) - 1 / 8 * first * last
    return float(np.sqrt(variance) / max(high - low, 1e-12))


def is_as_asked(case: Case) -> bool:
    """Whether the answers have moved only as much as the inputs make expect: the model answers as ever, and is asked other cases.

    Known where the inputs tell most of the answers, and what they leave is as in health. Answers beyond all of health are others.
    """
    if residual_has_moved(case) or has_alarm(case, "prediction", "out_of_range", "unseen", "type"):
        return False
    if not has_alarm(case, "prediction", "distribution", "repeated") or has_alarm(case, "decision", "unseen"):
        return False
    views = [case.outputs[name] for name in RESIDUALS if name in case.outputs]
    found = agreement(case)
    if constant_answer(case) is not None:
        return False
    if (
        found is None
        or found.usual < _TELLING
        or found.is_lost
        or len(views[0].current) < _MIN_ROWS
        or goes_otherwise(case)
    ):
        return False
    return all(view.log10_evidence(view.current) < _UNMOVED_LOG10 for view in views)


def answer_is_lost(case: Case) -> bool:
    """Whether answers are null without a failed call: a score that is no number is written so."""
    return has_alarm(case, "prediction", "missing") and not has_alarm(case, "errors")


def answer_signals(case: Case) -> frozenset[str]:
    """Alarms that a model which answers otherwise leaves: its answers and the loss; not those of failed calls."""
    return frozenset(dragged(case) - (lost_answers(case) if has_alarm(case, "errors") else frozenset()))


def lost_answers(case: Case) -> frozenset[str]:
    """Alarms of answers that are missing, and of the loss that goes with each."""
    return frozenset(s.signal for name in (*ANSWERS, "loss") for s in _alarms(case, name, "missing"))


def alarms_of(case: Case, *names: str) -> frozenset[str]:
    """The alarmed signals of these outputs or labels; of latency, those of replicas beside each other as well."""
    paces = {one.signal for one in case.paces if one.is_alarmed and "latency" in names}
    return frozenset(paces | {s.signal for name in names for s in _alarms(case, name)})


def _alarms(case: Case, name: str, *aspects: str) -> list[SignalEvidence]:
    view = case.outputs.get(name) or case.labels.get(name)
    found = [] if view is None else [s for a, s in view.signals.items() if not aspects or a in aspects]
    return [s for s in found if s.is_alarmed]


# -- answers ---------------------------------------------------------------------------------------------------


def settled(values: Floats) -> Floats:
    """The later half of the current values: the first ones may be from before the onset, which is an estimate."""
    return values[len(values) // 2 :]


@dataclass(frozen=True, slots=True)
class Constant:
    """One answer given again and again. rows: which current rows have it.

    is_default: the mean or median of health, or a short number that is neither.
    freedom: 1 = given to cases of all kinds while the other answers are as ever, 0 = only to cases that the inputs set apart;
    None = not known.
    usual_ms, fast_ms: median latency of the other rows (or of health) and of these, 0.0 where not known.
    """

    atom: Atom
    rows: Mask
    is_at_bound: bool
    is_default: bool
    freedom: float | None
    usual_ms: float
    fast_ms: float

    @property
    def is_everywhere(self) -> bool:
        return self.atom.share > _EVERYWHERE

    @property
    def is_faster(self) -> bool:
        """Whether it comes too fast to be the model's."""
        return 0 < self.fast_ms < _FASTER * self.usual_ms

    @property
    def may_be_the_model(self) -> bool:
        """Whether it took the model's time, and is a bound or everybody's answer: weights of zero or too large do that.

        Not everybody's that is what people choose for a default, nor a bound that a few cases of all kinds got.
        """
        took_its_time = self.fast_ms > 0 and not self.is_faster
        may_depend = self.freedom is None or self.freedom < _FREE or self.atom.share > _MOSTLY
        return took_its_time and (not self.is_default if self.is_everywhere else self.is_at_bound and may_depend)


def constant_answer(case: Case) -> Constant | None:
    """The score that comes far more often than in health; None where there is none."""
    view = case.outputs.get("prediction")
    if view is None or view.reference.kind.is_coded or not (view.is_alarmed(*_CONTENT) or residual_has_moved(case)):
        return None
    for atom in new_atoms(view)[:1]:
        rows = (view.current_values == atom.value) & (view.current_presence == Presence.PRESENT)
        at_bound = is_bound(view, atom) or (is_probability(view) and atom.value in (0.0, 1.0))
        return Constant(
            atom,
            rows,
            at_bound,
            _is_default(view, atom.value),
            _freedom(case, view, rows, 0 if at_bound else _MIN_VARIED),
            *_latencies(case, rows),
        )
    return None


def _is_default(view: ColumnView, value: float) -> bool:
    """Whether people choose such a value: mean or median of health, or few digits; 0, 1 and their middle come of themselves."""
    q = view.reference.quantiles
    typical = (float(q[1:].mean() + q[:-1].mean()) / 2, view.reference.median)
    if any(abs(value - one) <= _LIKE_TYPICAL * view.reference.spread for one in typical):
        return True
    return value not in (0.0, 0.5, 1.0) and float(f"{value:.{_DEFAULT_DIGITS}g}") == value


def _freedom(case: Case, view: ColumnView, rows: Mask, least_varied: int) -> float | None:
    """least_varied: rows from which it tells that they are alike; fewer are by chance."""
    wanted = expected(case)
    if wanted is None:
        return None
    rows = rows & ~np.isnan(wanted)
    here = wanted[rows]
    if not len(here):
        return None
    if len(here) >= least_varied and spread_of(here) < _VARIED * spread_of(view.reference.quantiles):
        return 0.0
    # Before the first such answer the model was in health: those rows would make any answer look free.
    others = ~rows & ~np.isnan(wanted)
    others[: int(np.argmax(rows))] = False
    if others.sum() < _MIN_OTHERS:
        return 1.0 if others.sum() < (1 - _EVERYWHERE) * len(here) else None
    # Next to a fallback the model answers as ever; broken weights spare no case.
    residual = case.outputs["residual"]
    told = stories(case, without=float(view.current_values[rows][0]))
    is_as_ever = residual.log10_evidence(residual.current_values[others]) < _CLEAR_LOG10
    is_as_ever = is_as_ever and (told is None or told.nats < OTHERWISE_NATS)
    return graded(same_p(here, wanted[others])) * (1.0 if is_as_ever else _OTHERS_CHANGED)


def _latencies(case: Case, rows: Mask) -> tuple[float, float]:
    """Median latency in ms of the other rows, and of these."""
    view = case.outputs.get("latency")
    if view is None or len(view.current_values) != len(rows):
        return 0.0, 0.0
    here = view.current_values[rows]
    here = here[~np.isnan(here)]
    return (10**view.reference.median, float(10 ** np.median(here))) if len(here) else (0.0, 0.0)


def same_p(a: Floats, b: Floats) -> float:
    """Chance that two samples of one distribution lie at least this far apart (Kolmogorov-Smirnov)."""
    grid = np.concatenate([a, b])
    shares = [np.searchsorted(np.sort(v), grid, "right") / len(v) for v in (a, b)]
    distance = float(np.abs(shares[0] - shares[1]).max())
    return float(kolmogorov(distance * np.sqrt(len(a) * len(b) / (len(a) + len(b)))))


@dataclass(frozen=True, slots=True)
class Agreement:
    """How the answers go with what the inputs make expect: median difference, rank correlation in health and now."""

    shift: float
    usual: float
    now: float

    @property
    def is_lost(self) -> bool:
        """Whether other cases rank high than used to: no shift or stretch of the old answers does that."""
        return self.now < self.usual - 0.3


def agreement(case: Case) -> Agreement | None:
    """None without a residual."""
    wanted = expected(case)
    if wanted is None:
        return None
    view, residual = case.outputs["prediction"], case.outputs["residual"]
    usable = ~(np.isnan(wanted) | np.isnan(view.current_values))
    answers = settled(view.current_values[usable])
    variance = float(np.var(view.reference.quantiles))
    left = float(np.var(residual.reference.quantiles))
    return Agreement(
        shift=float(np.median(settled(residual.current))) - residual.reference.median if len(answers) else 0.0,
        usual=float(np.sqrt(max(1 - left / variance, 0.0))) if variance > 0 else 0.0,
        now=rank_correlation(settled(wanted[usable]), answers),
    )


@dataclass(frozen=True, slots=True)
class Sign:
    """What broken weights do to answers, in words; fit of `parameter_corruption` where nothing but the answers tells."""

    says: str
    fit: float


def sign_of_broken_weights(case: Case) -> Sign | None:
    """Saturated, collapsed, exploded or lost answers; None where they look like a model's, if another one's."""
    view = case.outputs.get("prediction")
    if view is None or view.reference.kind.is_coded:
        return None
    if answer_is_lost(case):
        share = settled(view.current_presence != Presence.PRESENT).mean()
        return Sign(f"{percent(float(share))} of the scores are no numbers, though no call fails", 0.65)
    values = settled(view.current)
    if len(values) < _MIN_ROWS:
        return None
    return _saturation(view, values) or _collapse(view, values) or _explosion(view, values) or _cap(view, values)


def _saturation(view: ColumnView, values: Floats) -> Sign | None:
    if is_probability(view):
        q = view.reference.quantiles
        usual = float(((q < _EDGE) | (q > 1 - _EDGE)).mean())
        share = float(((values < _EDGE) | (values > 1 - _EDGE)).mean())
        says = f"{percent(share)} of the scores are 0 or 1, {percent(usual)} in health"
        return Sign(says, 0.75) if share - usual > _SATURATED else None
    return None


def _cap(view: ColumnView, values: Floats) -> Sign | None:
    """Mass at a bound. A rule after the model may cap its answers as well: the fit leaves room."""
    for atom in new_atoms(view)[:1]:
        share = float((values == atom.value).mean())
        if share > _CAPPED and is_bound(view, atom):
            return Sign(f"{percent(share)} of the answers are {number(atom.value)} and none is beyond", 0.5)
    return None


def _collapse(view: ColumnView, values: Floats) -> Sign | None:
    different = len(np.unique(values))
    if different <= _FEW and view.reference.distinct > 10 * _FEW:
        return Sign(f"{len(values)} cases got {different} different {'answer' if different == 1 else 'answers'}", 0.6)
    widths = _widths(view, values)
    if widths and max(widths) < _NARROW:
        return Sign(f"the answers hardly differ: they scatter {percent(max(widths))} as widely as in health", 0.65)
    return None


def _explosion(view: ColumnView, values: Floats) -> Sign | None:
    widths = _widths(view, values)
    if len(widths) > 1 and min(widths) > _WIDE:
        return Sign(f"the answers scatter {number(round(min(widths), 1))} times as widely as in health", 0.6)
    return None


def _widths(view: ColumnView, values: Floats) -> list[float]:
    """How widely values scatter, by the middle half and by all, in parts of health: of what health does not scatter by, nothing.

    A model that is sure of most cases has a middle half that is nothing, and is a little wider or narrower by leaps.
    """
    known = view.reference.quantiles
    pairs = [(spread_of(values), spread_of(known)), (float(values.std()), float(known.std()))]
    return [now / was for now, was in pairs if was > 0]


# -- loss ------------------------------------------------------------------------------------------------------


def loss_alarmed(case: Case) -> bool:
    """Whether the loss has an alarm, its distribution's or its mean's."""
    return has_alarm(case, "loss", "distribution", "out_of_range", "unseen") or has_guard(case, "loss")


def errors_lean(case: Case) -> bool:
    """Whether what comes true lies to one side of the answers (`bias`), be the loss greater or not."""
    return any(guard.is_alarmed and guard.signal == LEANS for guard in case.guards)


def loss_change(case: Case) -> tuple[float, float] | None:
    """Mean loss in health and now; None where there is no loss."""
    view = case.labels.get("loss")
    if view is None or not len(view.current) or not len(view.healthy):
        return None
    return float(view.healthy.mean()), float(view.current.mean())


def loss_words(case: Case) -> str:
    """The metric before and now, such as "log_loss 0.31 → 0.55"; where errors lean to one side, where and to which."""
    if errors_lean(case) and case.leaning and not has_alarm(case, "loss", "distribution", "out_of_range"):
        return case.leaning
    if case.performance is not None:
        found = case.performance
        return f"{found.metric} {number(_short(found.reference))} → {number(_short(found.current))}"
    change = loss_change(case)
    return "the loss" if change is None else f"loss {number(_short(change[0]))} → {number(_short(change[1]))}"


def _short(value: float) -> float:
    """Three significant digits."""
    return float(f"{value:.3g}")


def loss_onset_ms(case: Case) -> int:
    """When the loss began to change; the case's onset where it has no alarm."""
    found = [s.onset_ms for s in case.alarmed if s.column == "loss"]
    return min(found, default=case.onset_ms)


# -- announced versions ----------------------------------------------------------------------------------------------


def announced_at(case: Case, onset_ms: int) -> ModelChange | None:
    """The announcement of the version that the case is about, where a change began with it; None where none did."""
    for change in reversed(case.model_changes):
        is_it = change.is_announced and change.after.model_version == case.model_version
        if is_it and change.before is not None and abs(onset_ms - change.at_ms) <= slack_ms(case):
            return change
    return None


def slack_ms(case: Case) -> float:
    """How far an onset may be from what it began with: it is estimated to within some hundred events."""
    per_hour = case.arrivals.expected_per_hour or 0.0
    return max(_ONSET_ROWS * 3_600_000 / per_hour, _MIN_SLACK_MS) if per_hour > 0 else _MIN_SLACK_MS


def shortened(text: str, most: int) -> str:
    """Names come from outside and may be long; their ends tell tensors and versions apart."""
    return text if len(text) <= most else "…" + text[1 - most :]
