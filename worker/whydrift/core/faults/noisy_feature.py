"""Noise on an input: its spread grows while its centre stays where noise leaves it, and what it says of the other inputs fades.

Told apart: health with noise of the missing variance added looks like what is seen; a shift of the whole shape is drift. Where
the input depends on others in health, the dependence weakens as noise makes it, while a world that scatters more keeps it.
"""

import numpy as np
from scipy.special import ndtri

from whydrift.core.case import Case, ColumnView
from whydrift.core.columns import Floats
from whydrift.core.dependence import PREFIX as DEPENDENCE
from whydrift.core.faults.inputs import (
    dragged,
    examined,
    explained,
    finer_share,
    graded,
    has_lost_repeats,
    keeps_digits,
    number,
    rank_correlation,
    without_new_atoms,
)
from whydrift.core.faults.misaligned_feature import noise_by_the_others
from whydrift.core.faults.noise import best_noise, holds_against, leans, map_gain
from whydrift.core.faults.outputs import same_p
from whydrift.core.faults.relations import fisher, unrelated
from whydrift.core.faults.rule import Example, Proposal, Rule, Runbook, Rung
from whydrift.core.faults.sketches import change, scatter
from whydrift_schemas import Fault, RuledOut

FAULT = Fault("noisy_feature")
_MIN_ROWS = 40
_LEAST_FIT = 0.2
_CENTRE = 0.25
"""Standard deviations of health, beyond the sampling error, that the centre may have moved."""
_LEAST_GAIN, _BEYOND_CHANCE = 0.0, 3.0
"""Log-likelihood over health, and standard errors of its variance where an input is quiet, that noise must reach."""
_DEPENDENT, _TELLS = 0.35, 1.5
"""Rank correlation with another input that can tell; log-likelihood by which it must have faded, or held, to tell."""
_REACH, _MIN_FAR = 5.0, 2
"""Standard deviations of the noise that values may lie beyond all of health; so many of them may not."""
_FINER = 0.65
_FREE, _FADED, _HELD, _EITHER = 0.85, 0.93, 0.4, 0.75
"""Fit where no other input can tell, where the dependence faded as it should, where it held; where it is one of two inputs."""
_RANKS = 1.06
"""Standard error of Fisher's transform of a rank correlation, times the root of the rows."""
_LEAST_KEPT, _LOST = 0.5, 0.3
"""Part of what such noise leaves of a dependence that must be there; fit where it is not."""
_LEANING = 2.0
"""Log-likelihood by which chance, and where the rows begin, may make noise lean to one side."""
_SHOWN = 20.0
"""Log-likelihood from which noise shows in an input that is quiet otherwise: by its digits."""


def examine(case: Case) -> list[Proposal | RuledOut]:
    found: list[Proposal | RuledOut] = []
    for view in examined(case, "distribution", "out_of_range", "repeated", "unseen") or unrelated(case):
        if view.reference.kind.is_coded or len(view.current) < _MIN_ROWS or len(view.healthy) < _MIN_ROWS:
            continue
        repetition = _repetition(view)
        # Noise makes values repeat less, never more.
        noise = None if repetition > 0 else _noise(view)
        fit = 0.0 if noise is None else noise[1] * _dependence(case, view, noise[0])
        if noise is not None and fit >= _LEAST_FIT:
            found.append(_proposal(case, view, noise[0], fit))
        elif _are_made_otherwise(view, repetition):
            found.append(_finer(case, view))
    return found or _by_the_others(case)


def _by_the_others(case: Case) -> list[Proposal | RuledOut]:
    """Noise that shows in what the other inputs make expect, before the input's own distribution is wider."""
    names = [] if case.alarmed_features() else noise_by_the_others(case)
    if not names:
        return []
    name, left = " or ".join(names), case.dependence[DEPENDENCE + names[0]]
    was, now = (float(np.subtract(*np.quantile(v, [0.75, 0.25]))) for v in (left.healthy, left.current))
    return [
        Proposal(
            fault=FAULT,
            fit=_FREE if len(names) == 1 else _EITHER,
            explains=frozenset(dragged(case)),
            headline=f"{name} is noisy: it scatters {number(float(f'{now / was:.2g}'))} times as much around what others tell",
            explanation=(
                f"All values of {name} are further from what the other inputs make expect, not some of them, and still go with "
                "the others: noise came on top. Its own distribution is hardly wider yet."
            ),
            action=f"Look at the device, the sampling or the estimate that {name} comes from.",
            features=tuple(names),
            decider=f"{name} measured twice for the same case: do the two agree as they used to?",
        )
    ]


def _are_made_otherwise(view: ColumnView, repetition: float) -> bool:
    """Whether values repeat less because they have other digits, or all differ, rather than because they are spread wider."""
    if repetition <= 0 and view.is_alarmed("unseen") and has_lost_repeats(view):
        return True
    is_finer = has_lost_repeats(view) or (finer_share(view) is not None and not keeps_digits(view))
    return repetition < 0 and is_finer and not view.is_alarmed("distribution", "out_of_range")


def _finer(case: Case, view: ColumnView) -> Proposal:
    name = view.name
    return Proposal(
        fault=FAULT,
        fit=_FINER,
        explains=explained(case, [view]),
        headline=f"{name} may be noisy: its values, which used to repeat, all differ now",
        explanation=(
            f"{name} had {view.reference.distinct} different values in {view.reference.n} rows of health; now hardly any comes "
            "twice. Noise does that, and so does a source that no longer rounds; how wide it scatters is not seen yet."
        ),
        action=f"Look at raw values of {name}: do they have more digits than before?",
        features=(name,),
        decider=f"{name} measured twice for the same case: do the two agree as they used to?",
    )


def _repetition(view: ColumnView) -> float:
    """By how much the share of repeated values has risen, where that is alarmed; below 0 where it fell, 0.0 where it is quiet."""
    found = view.signals.get("repeated")
    if found is None or not found.is_alarmed or found.current_share is None or found.reference_share is None:
        return 0.0
    return found.current_share - found.reference_share


def _noise(view: ColumnView) -> tuple[float, float] | None:
    """Standard deviation of the noise, and how well health with such noise looks like the later rows."""
    # Single values that come too often (a fill) are no noise, however far away they are.
    values, healthy = without_new_atoms(view, view.current[len(view.current) // 3 :]), view.healthy
    if len(values) < _MIN_ROWS // 2:
        return None
    spread = max(view.reference.spread, float(healthy.std()) * 0.3, 1e-12)
    likeliest = best_noise(view)
    if likeliest is None or likeliest.gain < _LEAST_GAIN:
        return None
    normal = _normal(len(healthy))
    # The centre of what leans to one side moves with noise: incomes' towards their mean.
    centre = float(np.median(healthy + likeliest.sd * normal))
    error = 1.25 * (np.sqrt(_trimmed_variance(values) / len(values)) + spread / np.sqrt(len(healthy)))
    if abs(float(np.median(values)) - centre) > _CENTRE * spread + 3 * error:
        return None
    # Where the input itself is quiet, it must be wider by more than chance.
    chance = 1 + _BEYOND_CHANCE * np.sqrt(2 / len(values))
    if (
        not view.is_alarmed()
        and likeliest.gain < _SHOWN
        and _trimmed_variance(values) < chance * _trimmed_variance(healthy)
    ):
        return None
    best = (0.0, 0.0)
    for factor in (0.8, 1.0, 1.25):
        sd = factor * likeliest.sd
        p = same_p(values, healthy + sd * normal)
        best = max(best, (p, sd))
    p, sd = best
    # No noise reaches so far: those are single extremes, whatever they do to the variance.
    far = (values < view.reference.low - _REACH * sd) | (values > view.reference.high + _REACH * sd)
    if int(far.sum()) >= _MIN_FAR:
        return None
    two_sided = holds_against(_LEANING, leans(view, sd))
    return sd, graded(p) * holds_against(likeliest.gain, map_gain(view)) * two_sided


def _normal(n: int) -> Floats:
    """A grid of the normal's quantiles in scattered order: the same for every run."""
    found: Floats = ndtri((np.arange(n) + 0.5) / n)[np.argsort([scatter(i, 23) for i in range(n)])]
    return found


def _trimmed_variance(values: Floats) -> float:
    """Of the middle 98 %: a few extremes are outliers, not noise."""
    low, high = np.quantile(values, [0.01, 0.99])
    return float(values[(values >= low) & (values <= high)].var())


def _dependence(case: Case, view: ColumnView, sd: float) -> float:
    """What the other inputs say: the strongest of those that depend on this one in health."""
    noisy = view.reference_values + sd * _normal(len(view.reference_values))
    told = []
    for other in case.features.values():
        if other is view or other.reference.kind.is_coded or other.is_alarmed("distribution"):
            continue
        usual = rank_correlation(view.reference_values, other.reference_values)
        if abs(usual) >= _DEPENDENT and len(other.current_values) == len(view.current_values):
            now = rank_correlation(view.current_values, other.current_values)
            sign = np.sign(usual)
            told.append((abs(usual), now * sign, rank_correlation(noisy, other.reference_values) * sign))
    if not told:
        return _FREE
    usual, now, left = max(told)
    rows = len(view.current_values)
    if now < _LEAST_KEPT * left - 2 / np.sqrt(rows):
        return _LOST
    # What noise leaves of it, against all of it: of few rows it may be either.
    seen, faded, held = fisher(np.array([now, left, usual])).tolist()
    faded_lead = 0.5 * rows / _RANKS**2 * ((seen - held) ** 2 - (seen - faded) ** 2)
    if abs(faded_lead) < _TELLS:
        return _FREE
    return _FADED if faded_lead > 0 else _HELD


def _proposal(case: Case, view: ColumnView, sd: float, fit: float) -> Proposal:
    name, spread = view.name, max(view.reference.spread, 1e-12)
    ratio = float(f"{sd / spread:.2g}")
    return Proposal(
        fault=FAULT,
        fit=fit,
        explains=explained(case, [view]),
        headline=f"{name} is noisy: noise of {number(float(f'{sd:.2g}'))} ({number(ratio)} of its spread) came on top",
        explanation=(
            f"The centre of {name} stays at {number(view.reference.median)}, its spread grows as if noise with a standard "
            f"deviation of {number(float(f'{sd:.3g}'))} were added to every value."
        ),
        action=f"Look at the device, the sampling or the estimate that {name} comes from.",
        features=(name,),
        decider=f"{name} measured twice for the same case: do the two agree as they used to?",
    )


RULE = Rule(
    fault=FAULT,
    rung=Rung.MARGINAL,
    examine=examine,
    examples=(
        Example(
            "noise on the temperature",
            change(
                lambda v, i: round(v + 24 * (scatter(i, 3) + scatter(i, 4) + scatter(i, 5) - 1.5), 1), "temperature"
            ),
        ),
        Example(
            "temperatures scatter twice as much",
            change(lambda v, i: round(v + 12 * (scatter(i, 3) + scatter(i, 4) - 1) * 2, 1), "temperature"),
        ),
        Example(
            "the temperature is 8 degrees higher", change(lambda v, i: round(v + 8, 1), "temperature"), named=False
        ),
        Example("temperature × 2.54", change(lambda v, i: v * 2.54, "temperature"), named=False),
        Example(
            "spikes of temperature in 5 % of the rows",
            change(lambda v, i: v + 400 * (scatter(i, 5) - 0.5), "temperature", share=0.05),
            named=False,
        ),
    ),
    runbook=Runbook(
        means="A feature is measured or estimated less exactly than it was: a worn sensor, too small a sample, jitter.",
        confirm="Compare two measurements of the same case, before and after the onset.",
        do="Mend the measurement; until then the model does better without the feature (its training mean in its place).",
        if_wrong="If the world itself scatters more, related features scatter with it: then it is drift.",
    ),
    look_alikes=(Fault.COVARIATE_DRIFT, Fault.MISALIGNED_FEATURE),
)
