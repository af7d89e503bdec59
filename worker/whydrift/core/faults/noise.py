"""Noise on top of a quantity: how likely its values are then, to compare with maps, extremes, and health as it was.

A test of fit by sixty rows lets several explanations of a column pass that differ much in how likely they make what is seen:
a shift leaves one side of the range, noise both.

Belongs here: that likelihood, and how far one explanation gives way to another. Not here: rules (this file has none, and is
passed over as one), maps (`transforms`).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from whydrift.core.case import ColumnView
from whydrift.core.columns import Floats
from whydrift.core.faults.inputs import digits_of, has_lost_repeats, without_new_atoms
from whydrift.core.faults.transforms import best_map, density_of, parameter_cost, scattered_gain

_ALLOWED, _BLURRED = 2.0, 0.05
"""Log-likelihood, and part of one, by which another explanation may be likelier before this one gives way."""
_SIZES = np.geomspace(0.1, 5.0, 18)
"""Standard deviations of the noise that are tried, in those of health."""


@dataclass(frozen=True, slots=True)
class Noise:
    """sd: of the likeliest noise. gain: its log-likelihood over "all rows are healthy", less what its one number costs."""

    sd: float
    gain: float


@lru_cache(maxsize=128)
def best_noise(view: ColumnView) -> Noise | None:
    """On all rows since some row; None where nothing can be compared."""
    reference, values = view.reference, view.current
    # Single values that come too often (a fill, a bound) are no noise, however far away they are.
    values = without_new_atoms(view, values)
    if reference.kind.is_coded or not len(values) or reference.high <= reference.low or reference.spread <= 0:
        return None
    density, digits = density_of(reference), digits_of(view)
    health = density(values)
    # Noise leaves any digits, but where it comes before these are cut off.
    extra = [np.ones(len(values))]
    if digits is not None:
        extra.append(np.where(digits.finer(values), digits.odds, 1 / digits.odds))
    found = [
        Noise(sd, _since_some_row(density.with_noise(values, sd) / health * more) - parameter_cost(len(values)))
        for sd in (_SIZES * reference.spread).tolist()
        for more in extra
    ]
    return max(found, key=lambda one: one.gain)


def leans(view: ColumnView, sd: float) -> float:
    """Log-likelihood by which noise with a shift beats it alone, of this width or less: noise goes both ways."""
    values = without_new_atoms(view, view.current[len(view.current) // 3 :])
    density = density_of(view.reference)
    alone, shifted = -np.inf, -np.inf
    for width in (sd, sd / 2, sd / 3):
        for shift in (0.0, 0.5, -0.5, 1.0, -1.0, 2.0, -2.0):
            found = float(np.log(density.with_noise(values - shift * width, width)).sum())
            alone, shifted = (max(alone, found), shifted) if shift == 0 else (alone, max(shifted, found))
    return max(shifted - alone, 0.0)


def _since_some_row(ratio: Floats) -> float:
    """Log-likelihood of all rows since the likeliest one: noise on some rows only would explain whatever lies beyond one end."""
    return float(np.cumsum(np.log(ratio)[::-1]).max())


def noise_gain(view: ColumnView) -> float:
    """Of the likeliest noise; 0 where health is as likely."""
    found = best_noise(view)
    return 0.0 if found is None else max(found.gain, 0.0)


def map_gain(view: ColumnView) -> float:
    """The same of the best map; 0 where values no longer come twice, as they would under any."""
    found = None if has_lost_repeats(view) else best_map(view)
    return 0.0 if found is None else max(found.gain, 0.0)


def extremes_gain(view: ColumnView) -> float:
    """The same of values anywhere outside in some rows."""
    return max(scattered_gain(view), 0.0)


def holds_against(mine: float, *others: float) -> float:
    """Factor on a fit, from the log-likelihoods of rival explanations: near 1 where mine is about as likely as any, else near 0.

    Densities are histograms: of likelihoods that differ by a twentieth nobody knows which is greater.
    """
    other = max(others)
    allowed = _ALLOWED + _BLURRED * max(mine, other, 0.0)
    return float(1 / (1 + np.exp(np.clip(other - mine - allowed, -30, 30))))
