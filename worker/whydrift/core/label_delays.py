"""Whether labels come late: their delays against those of health, seen in the order in which labels come.

That order is no fair one. Of a burst of predictions the quick labels come first and the slow ones last; a batch of labels takes
long at its beginning and little at its end. But of predictions made since the oldest label that is retained, all labels that
came are seen, so that what is missing are slow ones: delays of those look too short, never too long, and if they look late
they are. Where traffic is steady, the order of arrival is fair.

Belongs here: that judgement of rows. Not here: evidence on delays (`monitor`), what late labels mean (`faults`).
"""

import numpy as np

from whydrift.core.columns import Floats, Rows
from whydrift.core.reference import ColumnReference

_ROWS = 200
_LATER, _LATE_SHARE = float(np.log10(1.5)), 0.05
"""Growth of the median delay, and share of labels beyond the slowest of health by as much, from which late ones are news."""
_PARTS, _MOST = 10, 0.2
"""Traffic is steady where of so many parts of its time none has more than this share of the predictions."""
_SLOW = 0.99
"""Quantile of delays by which labels count as complete: a heavy tail's slowest would never be over."""
_LEAST = 40
"""Rows that such a share or median is taken of."""


def are_late(rows: Rows, reference: ColumnReference) -> bool:
    """Whether delays have grown by what matters. rows: the latest joined labels in order of arrival, their times those of the
    predictions; column 0 and reference: decimal logarithm of seconds.
    """
    delays = rows.values[:, 0]
    arrivals_ms, slowest_ms = rows.times_ms + 1_000 * 10**delays, usually_there_ms(reference)
    if _is_steady(rows, slowest_ms):
        # As long as the slowest label takes: of labels that come in batches, a whole one at least.
        latest = arrivals_ms >= arrivals_ms[-1] - slowest_ms
        return _are_slow(delays[-max(_ROWS, int(latest.sum())) :], reference)
    places = np.argsort(rows.times_ms, kind="stable")
    places = places[rows.times_ms[places] >= arrivals_ms[0]]
    complete = places[rows.times_ms[places] <= arrivals_ms[-1] - slowest_ms]
    chosen = (places[-_ROWS:], complete[-_ROWS:], complete)
    return any(_are_slow(delays[some], reference) for some in chosen if len(some) >= _LEAST)


def usually_there_ms(reference: ColumnReference) -> float:
    """The time after which labels count as complete, by the delays of health (decimal logarithm of seconds)."""
    return float(1_000 * 10 ** reference.quantile(_SLOW))


def _is_steady(rows: Rows, slowest_ms: float) -> bool:
    """Whether as many labels of old predictions come as of young ones: then the order of arrival is fair."""
    first_ms, last_ms = int(rows.times_ms.min()), int(rows.times_ms.max())
    if last_ms - first_ms < slowest_ms or len(rows) < _ROWS:
        return False
    counts, _ = np.histogram(rows.times_ms, _PARTS)
    return bool(counts.max() <= _MOST * len(rows))


def _are_slow(delays: Floats, reference: ColumnReference) -> bool:
    """By their median, or by the share of those that are slower than any was."""
    # The median of health may be wrong by what so few independent delays leave open.
    independent = reference.n / reference.times.get("centre", 1.0)
    usual = reference.quantile(min(0.5 + 1 / independent**0.5, 1.0))
    return bool((delays > reference.high + _LATER).mean() >= _LATE_SHARE or np.median(delays) > usual + _LATER)
