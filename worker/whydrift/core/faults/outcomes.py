"""What the rules about labels share: how wrong the answers are, row by row, and what the errors follow.

Four stories compete for a loss that rose while inputs and answers did not move. *Noise*: any label may be wrong, as often where
the model is sure as elsewhere. *Source*: the labels of one source are wrong. *Drift*: the outcome follows the inputs in another
way, so errors gather in some group of cases. *Others' values*: one input was looked up for other rows (`others_values`). Each is
a small Bayesian model of the labelled rows, averaged over what it leaves open (a grid of rates, the input that is followed), so
that a story with more freedom pays for it and few rows decide nothing. Beside them all stands that another model answers: answers
that scatter wider around what the inputs make expect tell of it before that is an alarm.

Belongs here: pure helpers of more than one rule on labelled rows. Not here: rules (this file has none, and is passed over).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logsumexp, ndtri

from whydrift.core.case import AlignedRows, Case, Dimension
from whydrift.core.columns import Floats, recoded
from whydrift.core.faults.inputs import spread_of
from whydrift.core.faults.others_values import OthersValues, others_values
from whydrift.core.faults.outputs import (
    alarms_of,
    announced_at,
    disturbance,
    errors_lean,
    has_alarm,
    loss_alarmed,
    loss_change,
    loss_onset_ms,
    scatter,
    score_has_moved,
)
from whydrift.core.faults.relations import goes_with_others
from whydrift.core.faults.selection import selection

Groups = NDArray[np.intp]
"""Group of each row, −1 where it has none."""

LEAST_BEFORE, LEAST_NOW = 60, 20
"""Labelled rows of health and now that it takes to compare them."""
OUTCOME_ASPECTS = ("distribution", "out_of_range", "unseen")
"""In which outcomes show that they are others."""
NOTABLE = 1.15
"""Ratio of mean losses that counts as a rise where the loss itself has no alarm."""
_ANSWER_BINS, _INPUT_BINS, _MOST_CATEGORIES = 6, 4, 7
_PRIOR_ROWS = 5.0
"""Rows by which a group's own error in health must outweigh what its answers make expect."""
_RATES = np.array([0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 0.95])
"""Share of the outcomes that are turned round."""
_MOST_NOISE = 0.5
"""Labels that are wrong more often than right are no noise: a rule has turned round."""
_SHIFTS = np.array([0.0, 0.15, 0.3, 0.6, 1.0, 1.7, 3.0, 5.0, 8.0])
_WIDTHS = np.array([1.0, 1.2, 1.5, 2.0, 3.0])
"""Of numeric outcomes: how far their errors moved, and how much wider they scatter, in standard deviations of health."""
_ADDED = np.array([0.3, 0.6, 1.0, 1.7, 3.0, 5.0])
"""Noise of the same size on all numbers, in parts of what is usually missed: it shows most where the model is surest."""
_LARGEST_SCORE = 12.0
_LEAST_SPREAD = 0.02
_TAILS = 5.0
"""Degrees of freedom of the t-distribution that scores are taken for: some few are far off in health, too."""
_SPIKE = 0.5
"""Chance that a group of cases is untouched by a drift, or a source by errors."""
_DRIFT, _NOISE, _SOURCE, _OTHERS = 0.45, 0.3, 0.15, 0.1
"""Chances before any row is seen; without sources to tell apart, theirs is the noise's."""
_CLEAR = 0.9
"""Chance from which it is said what the errors follow."""
_ANSWERS, _MOST_TOLD = float(np.log(0.1)) - 1.0, 8.0
"""Log odds that another model answers, before its answers are looked at and less what wider ones cost; the most they tell."""
_EVERYWHERE = 0.2
"""Part of the drifts that move all cases alike: errors that follow nothing seen may be such a one."""
_LEAST_OF_SOURCE = 8
FEED = 0.4
"""Fit of what labels tell where their feed is in trouble: those that came may be a selection."""
ODDS = 9.0
"""Odds that a loss risen alone is one of the four rather than something else."""


# -- whether there is anything to explain --------------------------------------------------------------------------


def errs_more(case: Case) -> bool:
    """Whether the loss rose while inputs and answers are as in health, no new version came, and labels are no selection."""
    if not loss_alarmed(case) and not has_alarm(case, "actual", *OUTCOME_ASPECTS):
        return False
    change = loss_change(case)
    if change is None:
        return loss_alarmed(case)
    if change[1] <= change[0] * (1.0 if loss_alarmed(case) else NOTABLE) and not errors_lean(case):
        return False
    is_new = announced_at(case, loss_onset_ms(case)) is not None
    return not (is_new or disturbance(case) or score_has_moved(case) or selection(case) is not None)


def feed_is_troubled(case: Case) -> bool:
    """Whether labels come late or not as often: those that came may be a selection."""
    feed = case.label_arrivals.evidence
    return (feed is not None and feed.is_alarmed) or has_alarm(case, "label_delay")


def loss_signals(case: Case) -> frozenset[str]:
    """The alarms of the loss, and of the outcomes where they moved with it."""
    guards = {s.signal for s in case.guards if s.is_alarmed and s.column == "loss"}
    return alarms_of(case, "loss", "actual") | guards


# -- errors ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Errors:
    """Errors of labelled rows (only those of which one is known), in health and now.

    before, now: 0 or 1 (wrong class), or for numbers what was missed as a normal score: how rare it would be in health among
    rows with such an answer. usual_before, usual_now: what health makes expect, given the answer (0.0 for numbers). spread: how
    far off such numbers (of the current rows) are in health given the answer, in parts of how far they are in general.
    """

    is_numeric: bool
    before: Floats
    now: Floats
    usual_before: Floats
    usual_now: Floats
    spread: Floats
    rows_before: NDArray[np.bool_]
    rows_now: NDArray[np.bool_]
    """Which of the case's labelled rows these are."""


@lru_cache(maxsize=8)
def errors(case: Case) -> Errors | None:
    """None where too few rows have labels, or none that can be compared with the answers."""
    reference, current = case.labelled.reference, case.labelled.current
    if len(reference) < LEAST_BEFORE or len(current) < LEAST_NOW or "actual" not in case.labels:
        return None
    is_numeric = not case.labels["actual"].reference.kind.is_coded
    find = _missed if is_numeric else _wrong
    before, now = find(case, reference), find(case, current)
    have, has = ~np.isnan(before), ~np.isnan(now)
    if have.sum() < LEAST_BEFORE or has.sum() < LEAST_NOW:
        return None
    answers = reference.outputs["prediction"][have], current.outputs["prediction"][has]
    if np.isnan(answers[0]).all():
        answers = reference.outputs["decision"][have], current.outputs["decision"][has]
    first, then = (_group(values, _edges(answers[0], _ANSWER_BINS)) for values in answers)
    before, now = before[have], now[has]
    if is_numeric:
        scored = [_normal_scores(before, first, values, own) for values, own in ((before, first), (now, then))]
        nothing = np.zeros(len(before)), np.zeros(len(now))
        return Errors(True, scored[0], scored[1], *nothing, _spreads(before, first)[then], have, has)
    is_score = not np.isnan(reference.outputs["prediction"][have]).all()
    usual = _usually_wrong(*answers, before, (first, then), is_score=is_score)
    return Errors(False, before, now, *usual, np.ones(len(now)), have, has)


def _usually_wrong(
    answers: Floats, answers_now: Floats, wrong: Floats, groups: tuple[Groups, Groups], *, is_score: bool
) -> tuple[Floats, Floats]:
    """How often such answers are wrong in health, for the rows of health and of now.

    Of scores between the middles of groups in proportion: by a few steps the surest would be taken to be wrong as often as their
    neighbours.
    """
    size = _ANSWER_BINS + 1
    rates = (np.bincount(groups[0], wrong, size) + 0.5) / (np.bincount(groups[0], minlength=size) + 1.0)
    if not is_score:
        return rates[groups[0]], rates[groups[1]]
    known = np.unique(groups[0][~np.isnan(answers)])
    centres = np.array([np.median(answers[groups[0] == group]) for group in known.tolist()])
    without = float((wrong.sum() + 0.5) / (len(wrong) + 1.0))

    def usual(values: Floats) -> Floats:
        return np.where(np.isnan(values), without, np.interp(values, centres, rates[known]))

    return usual(answers), usual(answers_now)


def _spreads(health: Floats, groups: Groups) -> Floats:
    """Spread of each group in health, in parts of the general one: (groups,)."""
    general = max(spread_of(health), 1e-12)
    found = np.ones(_ANSWER_BINS + 1)
    for group in np.unique(groups).tolist():
        found[group] = max(spread_of(health[groups == group]) / general, _LEAST_SPREAD)
    return found


def _missed(case: Case, rows: AlignedRows) -> Floats:
    found: Floats = rows.outputs["actual"] - rows.outputs["prediction"]
    return found


def _wrong(case: Case, rows: AlignedRows) -> Floats:
    """1.0 where the decision is another class than came true; by the score where there is no decision."""
    actual, decision = rows.outputs["actual"], rows.outputs["decision"]
    if "decision" in case.outputs and not np.isnan(decision).all():
        given = recoded(decision, case.outputs["decision"].column, case.labels["actual"].column)
        given[np.isnan(given) & ~np.isnan(decision)] = -1.0  # never comes true
    else:
        given = _by_score(case, rows.outputs["prediction"])
    found: Floats = (given != actual).astype(float)
    found[np.isnan(given) | np.isnan(actual)] = np.nan
    return found


def _by_score(case: Case, scores: Floats) -> Floats:
    """Actual class that a score stands for: above one half, the class that had the higher scores in health."""
    classes = _two_classes(case.labelled.reference)
    if classes is None:
        return np.full(len(scores), np.nan)
    low, high = classes
    found: Floats = np.where(np.isnan(scores), np.nan, np.where(scores >= 0.5, high, low))
    return found


def _two_classes(health: AlignedRows) -> tuple[float, float] | None:
    """Of two actual classes that which had the lower scores, and the one that scores stand for; None where there are others."""
    scores, actual = health.outputs["prediction"], health.outputs["actual"]
    classes = np.unique(actual[~np.isnan(actual)]).tolist()
    if len(classes) != 2:
        return None
    low, high = sorted(classes, key=lambda c: float(np.nanmean(scores[actual == c])))
    return low, high


def _normal_scores(health: Floats, health_groups: Groups, values: Floats, groups: Groups) -> Floats:
    """Rank of each value among those of health in its group, as a standard normal's value."""
    found = np.zeros(len(values))
    for group in np.unique(groups).tolist():
        known = np.sort(health[health_groups == group])
        if not len(known):
            known = np.sort(health)
        mine = values[groups == group]
        middle = (np.searchsorted(known, mine, "left") + np.searchsorted(known, mine, "right")) / 2
        # Beyond the ends of health a rank says no more: go on as far as its quartiles reach.
        half, spread = np.median(known), max(spread_of(known), _LEAST_SPREAD * spread_of(health), 1e-12)
        beyond = (mine < known[0]) | (mine > known[-1])
        score = ndtri((middle + 0.5) / (len(known) + 1.0))
        found[groups == group] = np.where(beyond, (mine - half) / spread, score)
    return np.clip(found, -_LARGEST_SCORE, _LARGEST_SCORE)


# -- groups of cases -------------------------------------------------------------------------------------------


def groupings(case: Case, found: Errors) -> Iterator[tuple[str, Groups, Groups]]:
    """Ways to divide the rows by what is known of a case: (name, groups of health, groups now)."""
    reference, current = case.labelled.reference, case.labelled.current
    for name, values in reference.inputs.items():
        view = case.features.get(name)
        if view is not None:
            yield _divided(
                name, values[found.rows_before], current.inputs[name][found.rows_now], view.reference.kind.is_coded
            )
    for name in reference.dimensions:
        if name.startswith("segment.") and name in current.dimensions:
            codes = (reference.dimensions[name].codes, current.dimensions[name].codes)
            yield _divided(name, codes[0][found.rows_before], codes[1][found.rows_now], True)
    for name in ("prediction", "decision"):
        pair = (reference.outputs[name][found.rows_before], current.outputs[name][found.rows_now])
        if not np.isnan(pair[0]).all():
            yield _divided(name, *pair, name == "decision")


def _divided(name: str, before: Floats, now: Floats, is_coded: bool) -> tuple[str, Groups, Groups]:
    if not is_coded:
        edges = _edges(before, _INPUT_BINS)
        return name, _group(before, edges), _group(now, edges)
    codes, counts = np.unique(before[~np.isnan(before)], return_counts=True)
    kept = codes[np.argsort(-counts, kind="stable")[:_MOST_CATEGORIES]]
    return name, _coded(before, kept), _coded(now, kept)


def _edges(values: Floats, bins: int) -> Floats:
    known = values[~np.isnan(values)]
    return np.unique(np.quantile(known, np.linspace(0, 1, bins + 1)[1:-1])) if len(known) else np.empty(0)


def _group(values: Floats, edges: Floats) -> Groups:
    """Numbers by bin; those that are missing are a group too."""
    return np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values, "right")).astype(np.intp)


def _coded(codes: Floats, kept: Floats) -> Groups:
    """Frequent categories by number, all others together."""
    found = np.full(len(codes), len(kept), np.intp)
    for place, code in enumerate(kept.tolist()):
        found[codes == code] = place
    return found


# -- the stories -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Attribution:
    """What the errors follow: the chance of each story, and of another model's answers, which sum to 1.

    source: the one with the most errors beyond health where that story leads, else "". input: what errors follow if they follow
    any. stories: of each thing that divides the rows, the logarithm of how much likelier errors that follow it are than such as
    follow nothing. place: the input that has others' values, if one has. sure: share of wrong answers (or mean size of what is
    missed) in the half where health errs less, before and now; unsure: in the other half. rows: labelled rows now.
    """

    noise: float
    by_source: float
    drift: float
    others: float
    answers: float
    place: str
    source: str
    input: str
    stories: Mapping[str, float]
    sure: tuple[float, float]
    unsure: tuple[float, float]
    rows: int

    @property
    def quality(self) -> float:
        return self.noise + self.by_source


@lru_cache(maxsize=8)
def attribution(case: Case) -> Attribution | None:
    """None where labelled rows cannot tell."""
    found = errors(case)
    if found is None:
        return None
    together = np.zeros(len(found.now), np.intp)
    stories, names = [], []
    for name, before, now in groupings(case, found):
        usual = _adjusted(found, before, now)
        stories.append(
            _evidence(found, usual, now, _SPIKE, np.inf) - _evidence(found, usual, together, 0.0, _MOST_NOISE)
        )
        names.append(name)
    if not stories:
        return None
    drift = float(logsumexp(stories)) - float(np.log(len(stories)))
    plain = found.usual_now
    # Moved alike everywhere: where labels are numbers, the world's level rather than noise.
    in_noise = _evidence(found, plain, together, 0.0, _MOST_NOISE)
    everywhere = _evidence(found, plain, together, 0.0, np.inf) - in_noise
    drift = float(np.logaddexp(drift + np.log(1 - _EVERYWHERE), everywhere + np.log(_EVERYWHERE)))
    sources = case.labelled.current.dimensions.get("source")
    groups = np.full(len(found.now), -1, np.intp) if sources is None else _source_groups(sources, found.rows_now)
    source = -np.inf
    if len(np.unique(groups)) > 1:
        source = _evidence(found, plain, groups, _SPIKE, np.inf) - in_noise
    has_sources = np.isfinite(source)
    other = _others(case, found)
    others = -np.inf
    if other is not None:
        # Densities of numbers are of other scales there and here: what counts is how much likelier than in health.
        in_health = (
            float(_likelihoods(found, plain, is_noise=False)[:, 0].sum()) if found.is_numeric else other.in_health
        )
        others = other.log_odds + in_health - in_noise
    priors = np.log([_NOISE if has_sources else _NOISE + _SOURCE, _SOURCE, _DRIFT, _OTHERS])
    chances = priors + np.array([0.0, source, drift, others])
    if found.is_numeric and errors_lean(case):
        # Noise scatters wider, to both sides.
        chances[0] = -np.inf
    answers = _other_answers(case)
    noise, by_source, drifted, of_others = ((1 - answers) * np.exp(chances - logsumexp(chances))).tolist()
    sure, unsure = _halves(found)
    return Attribution(
        noise=noise,
        by_source=by_source,
        drift=drifted,
        others=of_others,
        answers=answers,
        place="" if other is None else other.name,
        source=_worst(found, sources, groups) if sources is not None and by_source > noise else "",
        input=names[int(np.argmax(stories))],
        stories=dict(zip(names, stories, strict=True)),
        sure=sure,
        unsure=unsure,
        rows=len(found.now),
    )


def _other_answers(case: Case) -> float:
    """Chance that another model answers, by how much wider its answers scatter."""
    z = scatter(case)[1]
    return float(expit(_ANSWERS + min(z * z / 2, _MOST_TOLD))) if z > 1 else 0.0


def _others(case: Case, found: Errors) -> OthersValues | None:
    """How likely one input with others' values makes the outcomes; None where that input is seen to be the case's own."""
    rows = case.labelled.reference.only(found.rows_before), case.labelled.current.only(found.rows_now)
    if case.stand_in is None or any(np.isnan(one.outputs["prediction"]).any() for one in rows):
        return None
    true = [one.outputs["actual"] for one in rows]
    if not found.is_numeric:
        classes = _two_classes(rows[0])
        if classes is None:
            return None
        true = [(one == classes[1]).astype(float) for one in true]
    other = others_values(case.stand_in, *rows, *true, is_numeric=found.is_numeric)
    return None if other is not None and goes_with_others(case, other.name) else other


def follows_else(found: Attribution) -> str:
    """Why errors follow neither inputs nor labels: in words, where that is clear; else ""."""
    if found.answers > _CLEAR:
        return "answers scatter wider around what the inputs make expect: another model errs more, too"
    return others_words(found) if found.others > _CLEAR else ""


def others_words(found: Attribution) -> str:
    """That outcomes follow what others' values of an input are."""
    return f"outcomes are such as cases with other values of {found.place} get"


def _adjusted(found: Errors, before: Groups, now: Groups) -> Floats:
    """What health makes expect of the current rows, given the answer and how far the row's group erred otherwise."""
    size = int(max(before.max(initial=0), now.max(initial=0))) + 1
    seen = np.bincount(before, found.before, size)
    if found.is_numeric:
        result: Floats = (seen / (np.bincount(before, minlength=size) + 4 * _PRIOR_ROWS))[now]
        return result
    usual = np.bincount(before, found.usual_before, size)
    factor = (seen + _PRIOR_ROWS) / (usual + _PRIOR_ROWS)
    return np.asarray(np.clip(found.usual_now * factor[now], 1e-3, 0.95))


def _evidence(found: Errors, usual: Floats, groups: Groups, spike: float, most: float) -> float:
    """Log of the chance of these errors when each group has a rate of its own.

    spike: chance that a group is as in health. most: greatest rate (classes); finite for numbers: they scatter wider, unmoved.
    """
    chances = _likelihoods(found, usual, is_noise=bool(np.isfinite(most)))
    if not found.is_numeric:
        chances = chances[:, np.append(True, most >= _RATES)]
    rest = chances.shape[1] - 1
    weights = np.log(np.append(max(spike, 1e-12), np.full(rest, (1 - spike) / max(rest, 1))))
    size = int(groups.max(initial=0)) + 1
    sums = np.stack([np.bincount(groups, chances[:, place], size) for place in range(chances.shape[1])], axis=1)
    return float(logsumexp(sums + weights, axis=1).sum())


def _likelihoods(found: Errors, usual: Floats, *, is_noise: bool) -> Floats:
    """Log likelihood of each row, as in health and under each setting of a story: (rows, 1 + settings)."""
    if not found.is_numeric:
        rates = np.append(0.0, _RATES)
        p = np.clip(usual[:, None] + rates * (1 - 2 * usual[:, None]), 1e-3, 1 - 1e-3)
        is_wrong = found.now[:, None]
        result: Floats = is_wrong * np.log(p) + (1 - is_wrong) * np.log(1 - p)
        return result
    score = (found.now - usual)[:, None]
    if is_noise:
        added = np.sqrt(1 + (_ADDED / found.spread[:, None]) ** 2)
        wide = np.concatenate([np.ones((len(score), 1)), np.tile(_WIDTHS[1:], (len(score), 1)), added], axis=1)
        return _log_t(score, wide)
    moved, wide = (grid.ravel() for grid in np.meshgrid(np.concatenate([-_SHIFTS[:0:-1], _SHIFTS]), _WIDTHS))
    is_health = (moved == 0) & (wide == 1)
    moved, wide = np.append(0.0, moved[~is_health]), np.append(1.0, wide[~is_health])
    return _log_t(score - moved, wide)


def _log_t(score: Floats, wide: Floats) -> Floats:
    found: Floats = -(_TAILS + 1) / 2 * np.log1p((score / wide) ** 2 / _TAILS) - np.log(wide)
    return found


def _source_groups(sources: Dimension, rows: NDArray[np.bool_]) -> Groups:
    """Sources with enough rows are groups of their own; the others, and rows without one, are one group."""
    codes = sources.codes[rows]
    known, counts = np.unique(codes[~np.isnan(codes)], return_counts=True)
    return _coded(codes, known[counts >= _LEAST_OF_SOURCE])


def _worst(found: Errors, sources: Dimension, groups: Groups) -> str:
    """Name of the source that errs most beyond health."""
    codes = sources.codes[found.rows_now]
    excess = found.now**2 - 1.0 if found.is_numeric else found.now - found.usual_now
    rates: Mapping[float, float] = {
        float(code): float(excess[codes == code].mean())
        for code in np.unique(codes[~np.isnan(codes)])
        if (codes == code).sum() >= _LEAST_OF_SOURCE
    }
    best = max(rates, key=lambda code: rates[code], default=None)
    return "" if best is None or best >= len(sources.names) else sources.names[int(best)]


def _halves(found: Errors) -> tuple[tuple[float, float], tuple[float, float]]:
    """Errors in the half of the rows where health errs less, and in the other: (before, now) each.

    For numbers the mean size of scores, in both places: health's scores are alike everywhere.
    """
    if found.is_numeric:
        whole = (float(np.abs(found.before).mean()), float(np.abs(found.now).mean()))
        return whole, whole
    cut = float(np.median(found.usual_before))
    sure = (_mean(found.before, found.usual_before <= cut), _mean(found.now, found.usual_now <= cut))
    return sure, (_mean(found.before, found.usual_before > cut), _mean(found.now, found.usual_now > cut))


def _mean(values: Floats, chosen: NDArray[np.bool_]) -> float:
    return float(values[chosen].mean()) if chosen.any() else 0.0


def shared(chance: float) -> float:
    """Fit of a story with this chance among the four: fits are read as odds, and share ODDS."""
    return ODDS * chance / (1 + ODDS * chance)
