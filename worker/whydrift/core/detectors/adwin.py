"""River's ADWIN as a guard on a bounded series: it needs no learnt distribution, only that the mean stays.

Good on bounded residuals and losses, where it finds small lasting changes of the mean that bets with a margin pass over for
long; useless on raw features (detection.md: false alarms on 47 % of healthy lognormal streams). A NaN would silence it for good,
so the series is refused anything that is not in [0, 1].

Source: Bifet and Gavaldà 2007, as implemented by river; its state leaves and enters as bytes.
"""

from collections.abc import Mapping
from math import sqrt
from typing import Any, Final

from river import drift

ADWIN: Final[Any] = drift.ADWIN
"""river publishes no types."""

DELTA = 1e-6
"""Chance of a false cut at one look. Far below river's default of .002: a cut here can page somebody."""


_WATCH = 2_000
"""Values after a cut during which the mean may leave its place. At the cut the window still holds old values, and river then
begins with an empty one: what the new mean is shows only later."""
_LEAST_WIDTH = 30
_ERRORS = 3.0
"""Standard errors of so young a mean by which it must be beyond the margin."""


class MeanGuard:
    """Tells when the mean of a series in [0, 1] left its place in health by more than a margin.

    center: mean in health. margin: smallest distance that counts. upward: whether only an increase counts.
    time: where values hang together, how many in a row tell as much as one (`autocorrelation`).
    """

    def __init__(self, center: float, margin: float, upward: bool, time: float = 1.0) -> None:
        self.center, self.margin, self.upward, self.time = center, margin, upward, time
        self._adwin = ADWIN(delta=DELTA)
        self.is_alarmed = False
        self._watch = 0

    def update(self, value: float) -> None:
        """Take a value in [0, 1]; ValueError otherwise."""
        if not 0.0 <= value <= 1.0:
            raise ValueError(f"the guarded series must lie in [0, 1], not {value!r}")
        self._adwin.update(value)
        self._watch = _WATCH if self._adwin.drift_detected else max(self._watch - 1, 0)
        if self._watch or self.is_alarmed:
            self._judge()

    def _judge(self) -> None:
        distance = self._adwin.estimation - self.center
        beyond = (distance if self.upward else abs(distance)) - self.margin
        # river's variance is the sum of squared distances from the mean.
        error = _ERRORS * sqrt(max(self._adwin.variance, 0.0) * self.time) / max(self.width, 1)
        if self.is_alarmed:
            self.is_alarmed = beyond > 0 or self.width < _LEAST_WIDTH
        else:
            self.is_alarmed = self.width >= _LEAST_WIDTH and beyond > error

    @property
    def width(self) -> int:
        """Values since the last cut: so many ago, the mean changed."""
        return int(self._adwin.width)

    def snapshot(self) -> dict[str, Any]:
        helper = self._adwin._helper.__getstate__()
        return {
            "center": self.center,
            "margin": self.margin,
            "upward": self.upward,
            "time": self.time,
            "is_alarmed": self.is_alarmed,
            "watch": self._watch,
            "helper": helper,
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> "MeanGuard":
        guard = cls(state["center"], state["margin"], state["upward"], state.get("time", 1.0))
        guard.is_alarmed, guard._watch = state["is_alarmed"], state["watch"]
        guard._adwin._helper.__setstate__(state["helper"])
        return guard
