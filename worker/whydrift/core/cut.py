"""Where the score divides two decisions, as rows of health show it; and which rows are decided otherwise.

Belongs here: learning the cut, and asking it. Not here: the signal (`version`), the fault (`faults.threshold_change`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whydrift.core.columns import Floats

_CLEAN = 0.99
"""Share of the rows of health that the cut must decide as they were; below, something else than the score decides."""
_MIN_ROWS = 40


@dataclass(frozen=True, slots=True)
class Cut:
    """Scores of `high` and more are decided as `above`, those of `low` and less as `below` (codes); between them nobody knows.

    clean: share of the rows it was learnt from that it decides as they were.
    """

    low: float
    high: float
    above: float
    below: float
    clean: float

    @property
    def score(self) -> float:
        """The middle of what is not known."""
        return (self.low + self.high) / 2

    def contradictions(self, scores: Floats, decisions: Floats) -> Floats:
        """1.0 where a row is decided otherwise than such a score was in health, 0.0 where alike, NaN where one cannot say."""
        wrong = np.where(scores >= self.high, decisions == self.below, decisions == self.above)
        is_known = ((scores >= self.high) | (scores <= self.low)) & np.isin(decisions, (self.above, self.below))
        found: Floats = np.where(is_known, wrong.astype(float), np.nan)
        return found

    def decides_otherwise(self, scores: Floats, decisions: Floats) -> NDArray[np.bool_]:
        """Which rows a cut in the middle would decide otherwise."""
        otherwise: NDArray[np.bool_] = (scores >= self.score) != (decisions == self.above)
        return otherwise


def learn_cut(scores: Floats, decisions: Floats, least_clean: float = _CLEAN) -> Cut | None:
    """The cut that decides most rows as they were; None where that are too few, or not just two decisions."""
    known = ~(np.isnan(scores) | np.isnan(decisions))
    order = np.argsort(scores[known], kind="stable")
    ordered, codes = scores[known][order], decisions[known][order]
    both = np.unique(codes).tolist()
    if len(both) != 2 or len(ordered) < _MIN_ROWS:
        return None
    best = max((_best_place(codes, above) for above in both), key=lambda found: found[0])
    hits, place, above = best
    clean = hits / len(codes)
    if clean < least_clean or not 0 < place < len(codes):
        return None
    (below,) = (code for code in both if code != above)
    return Cut(float(ordered[place - 1]), float(ordered[place]), above, below, clean)


def _best_place(codes: Floats, above: float) -> tuple[int, int, float]:
    """Rows decided as they were by the best cut, and the first place that it decides as `above`."""
    is_above = codes == above
    hits = np.append(0, np.cumsum(~is_above)) + is_above.sum() - np.append(0, np.cumsum(is_above))
    place = int(np.argmax(hits))
    return int(hits[place]), place, above
