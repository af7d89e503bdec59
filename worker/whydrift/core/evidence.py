"""The e-process: evidence for each of many signals that it no longer looks like its reference.

Shiryaev-Roberts over chunks, `M ← (M + 1) · e`, for each bet; a signal's evidence is the weighted mean over its bets.
In health E[M] after t chunks is ≤ t, so the chance of reaching H within t chunks is ≤ t / H, whatever the dependence
between signals. Blind to changes within the bets' tolerance.

Belongs here: the recursion, its onset estimate, and whether an alarmed signal has recovered.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whydrift.core.columns import Floats
from whydrift.core.detectors.bets import Bets

_CAP = 1e200
"""Evidence stops growing here: far beyond any threshold, far from overflow."""


class EvidenceProcess:
    """Evidence of S signals with the same number of bins.

    Bets of a signal with fewer than the most are filled up with bets of weight 0.
    """

    def __init__(self, bets: Sequence[Bets]) -> None:
        signals = len(bets)
        most = max((len(one.weights) for one in bets), default=0)
        bins = bets[0].log_f.shape[0] if bets else 0
        self._log_f = np.zeros((signals, bins, most))
        self._weights = np.zeros((signals, most))
        for place, one in enumerate(bets):
            self._log_f[place, :, : len(one.weights)] = one.log_f
            self._weights[place, : len(one.weights)] = one.weights
        self._m = np.zeros((signals, most))
        self._cusum = np.zeros((signals, most))
        self._onset_ms = np.zeros((signals, most), np.int64)
        self._onset_offset = np.zeros((signals, most), np.int64)
        self._onset_row = np.zeros((signals, most), np.int64)
        self._recent = np.zeros((signals, most))

    def update(self, counts: Floats, first_ms: int, first_offset: int, first_row: int = 0) -> None:
        """Take a chunk: `counts` (signals, bins), and where its first row stands: its time, offset and running number."""
        log_e = np.clip(np.matmul(counts[:, None, :], self._log_f)[:, 0, :], -300.0, 300.0)
        factor = np.exp(log_e)
        self._m = np.minimum((self._m + 1.0) * factor, _CAP)
        self._recent = np.minimum((self._recent + 1.0) * factor, _CAP)
        # The onset is where a CUSUM of the same bets last left zero: Shiryaev-Roberts has no such moment.
        starts = self._cusum <= 0.0
        np.copyto(self._onset_ms, first_ms, where=starts)
        np.copyto(self._onset_offset, first_offset, where=starts)
        np.copyto(self._onset_row, first_row, where=starts)
        self._cusum = np.maximum(self._cusum, 0.0) + log_e

    def log10(self) -> Floats:
        """Evidence of each signal now, as decimal logarithm; −∞ before the first chunk."""
        with np.errstate(divide="ignore"):
            result: Floats = np.log10((self._m * self._weights).sum(axis=1))
        return result

    def recent_log10(self, signal: int) -> float:
        """Evidence of one signal since `forget_recent`."""
        total = float((self._recent[signal] * self._weights[signal]).sum())
        return float(np.log10(total)) if total > 0 else -np.inf

    def forget_recent(self, signal: int) -> None:
        """Start the second, restarted evidence of one signal anew: it tells whether a change still lasts."""
        self._recent[signal] = 0.0

    def reset(self, signal: int) -> None:
        """Forget all evidence on one signal, as after recovery."""
        self._m[signal] = self._recent[signal] = self._cusum[signal] = 0.0

    def onset(self, signal: int) -> tuple[int, int]:
        """Time (epoch milliseconds) and offset of the row from which the strongest bet of a signal has been gaining."""
        best = self._best(signal)
        return int(self._onset_ms[signal, best]), int(self._onset_offset[signal, best])

    def onset_row(self, signal: int) -> int:
        """The same row's running number."""
        return int(self._onset_row[signal, self._best(signal)])

    def _best(self, signal: int) -> int:
        return int(np.argmax(self._m[signal] * self._weights[signal]))

    def snapshot(self) -> dict[str, Any]:
        return {name: getattr(self, f"_{name}") for name in _STATE}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a snapshot made with the same bets."""
        for name in _STATE:
            setattr(self, f"_{name}", state[name])

    def carry(self, signal: int, old: "EvidenceProcess", place: int) -> None:
        """Take over one signal's evidence from a process where the same bets stood at `place`."""
        width = int((self._weights[signal] > 0).sum())
        for name in _STATE:
            getattr(self, f"_{name}")[signal, :width] = getattr(old, f"_{name}")[place, :width]


_STATE = ("m", "recent", "cusum", "onset_ms", "onset_offset", "onset_row")


def mixture_log10(bets: Bets, counts: NDArray[Any]) -> float:
    """Evidence of one batch of rows by itself, as decimal logarithm: counts (bins,). Used by undo tests."""
    log_e = counts @ bets.log_f + np.log(np.maximum(bets.weights, 1e-300))
    top = float(log_e.max())
    return float((top + np.log(np.exp(log_e - top).sum())) / np.log(10))
