"""The mean guard: finds small lasting changes of a bounded series, and is silenced by nothing."""

import numpy as np
import pytest

from whydrift.core.columns import Floats
from whydrift.core.detectors.adwin import MeanGuard
from whydrift.core.state import pack, unpack


def series(mean: float, rows: int, seed: int = 1) -> Floats:
    """In [0, 1], with this mean, skewed."""
    return np.random.default_rng(seed).beta(mean * 4, (1 - mean) * 4, rows)


def fed(guard: MeanGuard, values: Floats) -> MeanGuard:
    for value in values.tolist():
        guard.update(value)
    return guard


def first_alarm(guard: MeanGuard, values: Floats) -> int | None:
    for number, value in enumerate(values.tolist()):
        guard.update(value)
        if guard.is_alarmed:
            return number
    return None


@pytest.mark.parametrize("seed", range(5))
def test_a_steady_series_raises_no_alarm(seed: int) -> None:
    assert first_alarm(MeanGuard(0.3, 0.02, upward=False), series(0.3, 20_000, seed)) is None


def test_a_change_of_the_mean_is_found_and_ends_with_it() -> None:
    guard = fed(MeanGuard(0.3, 0.05, upward=True), series(0.3, 3_000))
    found = first_alarm(guard, series(0.45, 1_000))
    assert found is not None
    assert found < 300
    fed(guard, series(0.3, 6_000))
    assert not guard.is_alarmed


def test_a_change_within_the_margin_or_to_the_other_side_is_none() -> None:
    small = fed(MeanGuard(0.3, 0.1, upward=False), series(0.3, 2_000))
    assert first_alarm(small, series(0.35, 5_000)) is None
    lower = fed(MeanGuard(0.3, 0.05, upward=True), series(0.3, 2_000))
    assert first_alarm(lower, series(0.1, 2_000)) is None
    both = fed(MeanGuard(0.3, 0.05, upward=False), series(0.3, 2_000))
    assert first_alarm(both, series(0.1, 2_000)) is not None


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.01, 1.01])
def test_what_would_silence_it_is_refused_and_leaves_no_trace(value: float) -> None:
    guard = fed(MeanGuard(0.3, 0.05, upward=True), series(0.3, 1_000))
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        guard.update(value)
    assert first_alarm(guard, series(0.6, 500)) is not None


def test_a_snapshot_through_bytes_goes_on_as_if_nothing_had_happened() -> None:
    kept = fed(MeanGuard(0.3, 0.05, upward=True), series(0.3, 2_500))
    other = MeanGuard.restore(unpack("guard", pack("guard", kept.snapshot())))
    later = series(0.4, 2_000)
    assert first_alarm(other, later) == first_alarm(kept, later) is not None
    assert pack("guard", other.snapshot()) == pack("guard", kept.snapshot())


def test_the_ends_of_the_scale_are_values_like_others() -> None:
    guard = fed(MeanGuard(0.0, 0.2, upward=True), np.zeros(1_000))
    assert first_alarm(guard, np.ones(200)) is not None
