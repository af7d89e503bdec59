"""The e-process: evidence for each of many signals that it no longer looks like its reference.

Shiryaev-Roberts over chunks, `M ← (M + 1) · e`, for each bet; a signal's evidence is the weighted mean over its bets,
or the least such mean of its tiers.
In health E[M] after t chunks is ≤ t, so the chance of reaching H within t chunks is ≤ t / H, whatever the dependence
between signals. Blind to changes within the bets' tolerance.

Belongs here: the recursion, its onset estimate, and whether an alarmed signal has recovered.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whydrift.core.columns import Floats
from whydrift.core.detectors.bets import Bets

_CAP = 1e200
"""Evidence stops growing here: far beyond any threshold, far from overflow."""
_MOST = 200.0
"""A chunk's log e-value counts as this at most, or its exponential would overflow."""


class EvidenceProcess:
    """Evidence of many signals, numbered through all groups. The signals of a group have the same number of bins.

    All bets of all signals lie in one vector, so that a chunk costs one matrix product a group and a few steps over the vector.
    """

    def __init__(self, *groups: Sequence[Bets]) -> None:
        self._log_f: list[Floats] = []
        """Per group (signals, bins, bets); signals with fewer bets than the most are filled up with bets of weight 0."""
        weights: list[Floats] = []
        starts, place = [], 0
        self._tiers: list[list[slice]] = []
        """Of each signal, the bets of its tiers, counted from its first one; those that fill up belong to the last."""
        for group in groups:
            most = max((len(one.weights) for one in group), default=0)
            bins = group[0].log_f.shape[0] if group else 0
            log_f, weight = np.zeros((len(group), bins, most)), np.zeros((len(group), most))
            for row, one in enumerate(group):
                log_f[row, :, : len(one.weights)], weight[row, : len(one.weights)] = one.log_f, one.weights
                starts.append(place + row * most)
                firsts = [tier * (len(one.weights) // one.tiers) for tier in range(one.tiers)]
                self._tiers.append([slice(*ends) for ends in pairwise([*firsts, most])])
            place += len(group) * most
            self._log_f.append(log_f)
            weights.append(weight.ravel())
        self._starts = np.array(starts, np.intp)
        self._ends = np.append(self._starts[1:], place)
        self._weights = np.concatenate(weights) if weights else np.zeros(0)
        own = zip(starts, self._tiers, strict=True)
        self._tier_starts = np.array([start + tier.start for start, tiers in own for tier in tiers], np.intp)
        self._first_tiers = np.cumsum([0, *(len(tiers) for tiers in self._tiers[:-1])], dtype=np.intp)
        for name in _STATE:
            setattr(self, f"_{name}", np.zeros(place, _STATE[name]))
        self._recent: dict[int, Floats] = {}
        """The second, restarted evidence of the signals that have one: (bets,)."""
        self._fall: dict[int, Floats] = {}
        """Of the same signals, how far each bet's log evidence lies below its greatest, and from which row on: (2, bets)."""

    _m: Floats
    _cusum: Floats
    _onset_ms: NDArray[np.int64]
    _onset_offset: NDArray[np.int64]
    _onset_row: NDArray[np.int64]

    def update(
        self,
        counts: Sequence[Floats] | Floats,
        first_ms: int,
        first_offset: int,
        first_row: int = 0,
        told: NDArray[np.bool_] | None = None,
    ) -> None:
        """Take a chunk: `counts` per group (signals, bins), and where its first row stands: time, offset, running number.

        told: the signals of which the chunk says something at all, where that is not all of them; the others stay as they are.
        """
        groups = (counts,) if isinstance(counts, np.ndarray) else counts
        parts = [np.matmul(c[:, None, :], f).ravel() for c, f in zip(groups, self._log_f, strict=True) if len(c)]
        if not parts:
            return
        log_e = parts[0] if len(parts) == 1 else np.concatenate(parts)
        np.minimum(log_e, _MOST, out=log_e)
        # The onset is where a CUSUM of the same bets last left zero: Shiryaev-Roberts has no such moment.
        cusum = self._cusum
        starts = cusum <= 0.0
        self._onset_ms[starts] = first_ms
        self._onset_offset[starts] = first_offset
        self._onset_row[starts] = first_row
        np.maximum(cusum, 0.0, out=cusum)
        cusum += log_e
        for signal, (fall, since) in self._fall.items():
            np.maximum(fall - log_e[self._bets_of(signal)], 0.0, out=fall)
            since[fall == 0.0] = first_row
        factor = np.exp(log_e, out=log_e)
        self._m += 1.0 if told is None else np.repeat(told, self._ends - self._starts)
        self._m *= factor
        np.minimum(self._m, _CAP, out=self._m)
        for signal, recent in self._recent.items():
            one = 1.0 if told is None else float(told[signal])
            self._recent[signal] = np.minimum((recent + one) * factor[self._bets_of(signal)], _CAP)

    def _bets_of(self, signal: int) -> slice:
        return slice(int(self._starts[signal]), int(self._ends[signal]))

    def values(self) -> Floats:
        """Evidence of each signal now, as e-values; 0 before the first chunk."""
        if not len(self._starts):
            return np.zeros(0)
        means = np.add.reduceat(self._m * self._weights, self._tier_starts)
        return means if len(means) == len(self._starts) else np.minimum.reduceat(means, self._first_tiers)

    def log10(self) -> Floats:
        """The same as decimal logarithms; −∞ before the first chunk."""
        with np.errstate(divide="ignore"):
            result: Floats = np.log10(self.values())
        return result

    def batch_log10(self, signal: int, counts: Floats) -> float:
        """Evidence of one batch of rows by itself on one signal: counts (bins,)."""
        place = signal
        for log_f in self._log_f:
            if place < len(log_f):
                return min(
                    mixture_log10(Bets(log_f[place][:, own], self._weights[self._bets_of(signal)][own]), counts)
                    for own in self._tiers[signal]
                )
            place -= len(log_f)
        raise IndexError(signal)

    def recent_log10(self, signal: int) -> float:
        """Evidence of one signal since `forget_recent`, or since the beginning."""
        bets = self._bets_of(signal)
        weighted = self._recent.get(signal, self._m[bets]) * self._weights[bets]
        total = min(float(weighted[own].sum()) for own in self._tiers[signal])
        return float(np.log10(total)) if total > 0 else -np.inf

    def fallen(self, signal: int) -> tuple[float, int]:
        """How far (natural logarithm) the strongest bet has come down from its highest since `follow`, and from which row on.

        Strongest is the bet that gained most since its onset. While a change lasts it gains on average, and seldom comes down
        by much: by a threshold's worth as seldom as it crosses one in health.
        """
        fall, since = self._fall[signal]
        last = self._tiers[signal][-1]
        best = last.start + int(np.argmax(self._cusum[self._bets_of(signal)][last]))
        return float(fall[best]), int(since[best])

    def follow(self, signal: int, row: int) -> None:
        """From this row on, watch whether the change of one signal still lasts."""
        self.forget_recent(signal)
        bets = len(self._recent[signal])
        self._fall[signal] = np.array([np.zeros(bets), np.full(bets, row)])

    def is_followed(self, signal: int) -> bool:
        return signal in self._fall

    def forget_recent(self, signal: int) -> None:
        """Start the second, restarted evidence of one signal anew: it tells whether a change still lasts."""
        self._recent[signal] = np.zeros(self._ends[signal] - self._starts[signal])

    def reset(self, signal: int) -> None:
        """Forget all evidence on one signal, as after recovery."""
        bets = self._bets_of(signal)
        self._m[bets] = self._cusum[bets] = 0.0
        self._recent.pop(signal, None)
        self._fall.pop(signal, None)

    def onset(self, signal: int) -> tuple[int, int]:
        """Time (epoch milliseconds) and offset of the row from which the strongest bet of a signal has been gaining."""
        best = self._best(signal)
        return int(self._onset_ms[best]), int(self._onset_offset[best])

    def onset_row(self, signal: int) -> int:
        """The same row's running number."""
        return int(self._onset_row[self._best(signal)])

    def _best(self, signal: int) -> int:
        bets = self._bets_of(signal)
        weighted = self._m[bets] * self._weights[bets]
        least = min(self._tiers[signal], key=lambda own: float(weighted[own].sum()))
        return int(bets.start + least.start + np.argmax(weighted[least]))

    def snapshot(self) -> dict[str, Any]:
        state: dict[str, Any] = {name: getattr(self, f"_{name}") for name in _STATE}
        followed = {"recent": self._recent, "fall": self._fall}
        return state | {name: [[signal, one] for signal, one in kept.items()] for name, kept in followed.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a snapshot made with the same bets; of one with others nothing can be taken, and evidence begins anew."""
        if len(state["m"]) != len(self._m):
            return
        for name in _STATE:
            setattr(self, f"_{name}", state[name])
        self._recent = dict(state["recent"])
        self._fall = dict(state.get("fall", ()))
        for signal in self._recent.keys() - self._fall.keys():  # states from before it was kept: from here on
            self._fall[signal] = np.zeros((2, len(self._recent[signal])))

    def carry(self, signal: int, old: "EvidenceProcess", place: int) -> None:
        """Take over one signal's evidence from a process where the same bets stood at `place`."""
        mine, its = self._bets_of(signal), old._bets_of(place)
        width = min(int((self._weights[mine] > 0).sum()), its.stop - its.start)
        for name in _STATE:
            getattr(self, f"_{name}")[mine.start : mine.start + width] = getattr(old, f"_{name}")[
                its.start : its.start + width
            ]
        if place in old._recent:
            self.follow(signal, 0)
            self._recent[signal][:width] = old._recent[place][:width]
            self._fall[signal][:, :width] = old._fall[place][:, :width]


_STATE = {"m": np.float64, "cusum": np.float64, "onset_ms": np.int64, "onset_offset": np.int64, "onset_row": np.int64}


def mixture_log10(bets: Bets, counts: NDArray[Any]) -> float:
    """Evidence of one batch of rows by itself, as decimal logarithm: counts (bins,). Used by undo tests."""
    log_e = (counts @ bets.log_f + np.log(np.maximum(bets.weights, 1e-300))).reshape(bets.tiers, -1)
    top = log_e.max(axis=1, keepdims=True)
    means = top[:, 0] + np.log(np.exp(log_e - top).sum(axis=1))
    return float(means.min() / np.log(10))
