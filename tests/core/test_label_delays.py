"""Whether labels come late, judged in the order in which they come: bursts and batches are not late, what takes longer is."""

import numpy as np
import pytest

from whydrift.core.columns import Column, Floats, Kind, Presence, Rows
from whydrift.core.label_delays import are_late
from whydrift.core.reference import learn_column

RETAINED = 600


def retained(predicted_s: Floats, delays_s: Floats, until_s: float) -> Rows:
    """The latest labels by then, in order of arrival."""
    arrives = predicted_s + delays_s
    order = np.argsort(arrives, kind="stable")
    order = order[arrives[order] <= until_s][-RETAINED:]
    return Rows(
        np.log10(delays_s[order])[:, None],
        np.full((len(order), 1), Presence.PRESENT, np.int8),
        (1_000 * predicted_s[order]).astype(np.int64),
        np.arange(len(order), dtype=np.int64),
    )


def late(predicted_s: Floats, delays_s: Floats, health_s: Floats, until_s: float) -> bool:
    values = np.log10(health_s)
    reference = learn_column(Column("label_delay", Kind.NUMERIC), values, np.zeros(len(values), np.int8))
    return are_late(retained(predicted_s, delays_s, until_s), reference)


@pytest.mark.parametrize("seed", range(5))
def test_steady_labels_are_not_late_and_doubled_delays_are(seed: int) -> None:
    draw = np.random.default_rng(seed)
    predicted, delays = np.arange(4_000.0), draw.gamma(2.0, 60.0, 4_000) + 1
    assert not late(predicted, delays, delays[:2_000], 3_900)
    assert late(predicted, 2 * delays, delays[:2_000], 3_900)


@pytest.mark.parametrize("until_s", [7_210, 7_260, 7_400, 7_600])
def test_the_slow_end_of_a_burst_is_not_late(until_s: float) -> None:
    """Bursts of 300 predictions at once, ten minutes apart: the last labels of each are the slowest."""
    draw = np.random.default_rng(1)
    predicted = np.repeat(np.arange(20) * 600.0, 300)
    delays = draw.gamma(2.0, 60.0, len(predicted)) + 1
    assert not late(predicted, delays, delays[:2_000], until_s)


def test_labels_in_hourly_batches_are_not_late_at_the_old_end_of_a_batch() -> None:
    predicted = np.arange(0, 40_000.0, 4)
    delays = 3_600 - predicted % 3_600 + 60
    for until_s in (36_061, 37_000, 39_000):
        assert not late(predicted, delays, delays[:2_000], until_s)
