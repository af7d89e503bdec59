"""The scoring of the Numenta Anomaly Benchmark, version 1.1: what a detector's scores are worth against the labelled windows.

A detection in a window earns more the earlier it comes (a sigmoid from the window's left edge to its right one), only the best of
a window counts, and a window without any costs; a detection outside costs, less shortly after a window. The first 15 % of a
file (750 rows at most) are for learning and count for nothing. One threshold serves all files: the one that is best for the
detector over the whole corpus, for each profile. A score is then 0 for the detector that says nothing and 100 for the one
that finds every window at once and says nothing else.

Source: Lavin and Ahmad 2015 (arXiv 1510.03336); github.com/numenta/NAB, nab/sweeper.py, nab/optimizer.py, nab/runner.py.
Belongs here: the arithmetic. Not here: files and detectors (`nab`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp

import numpy as np

PROBATION, PROBATION_ROWS = 0.15, 5_000
"""Share of a file that is for learning, and the length from which files count as no longer."""
_FAR = 3.0
"""So many widths behind a window its nearness is no excuse any more."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What a window found, a detection outside one, and a window missed weigh."""

    name: str
    tp: float
    fp: float
    fn: float


PROFILES = (
    Profile("standard", 1.0, 0.11, 1.0),
    Profile("reward_low_FP_rate", 1.0, 0.22, 1.0),
    Profile("reward_low_FN_rate", 1.0, 0.11, 2.0),
)
"""As published (config/profiles.json)."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """One file: so many rows, and the first and last row of each anomalous window, in order."""

    rows: int
    windows: Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Result:
    """The score of a corpus, normalised, at the threshold that is best for it; windows found of all, detections outside one."""

    score: float
    threshold: float
    found: int
    windows: int
    outside: int


def sigmoid(position: float) -> float:
    """Worth of a detection by its place: −1 the window's left edge, 0 its right one, more: behind it."""
    return -1.0 if position > _FAR else 2 / (1 + exp(5 * position)) - 1


def probation(rows: int) -> int:
    """Rows at the beginning of a file that count for nothing."""
    limit = min(int(PROBATION * rows), PROBATION * PROBATION_ROWS)
    return int(limit)


def worths(file: Labelled, profile: Profile) -> tuple[np.ndarray, np.ndarray]:
    """Of a detection at each row: (what it is worth, which window it is in; −1 outside)."""
    worth, window = np.empty(file.rows), np.full(file.rows, -1)
    best, left, before = sigmoid(-1.0), list(enumerate(file.windows)), None
    for row in range(file.rows):
        if left and row > left[0][1][1]:
            before = left.pop(0)[1]
        if left and row >= left[0][1][0]:
            number, (first, last) = left[0]
            window[row] = number
            worth[row] = sigmoid(-(last - row + 1) / (last - first + 1)) * profile.tp / best
        else:
            behind = _FAR + 1 if before is None else (row - before[1]) / (before[1] - before[0])
            worth[row] = sigmoid(behind) * profile.fp
    return worth, window


def scored(files: Mapping[str, Labelled], scores: Mapping[str, Sequence[float]], profile: Profile) -> Result:
    """The corpus at its best threshold; `scores`, by file, of each row: the greater, the more anomalous."""
    parts = [_judged(file, np.asarray(scores[name], float), profile) for name, file in files.items()]
    score, worth = np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
    counts = [int(part[2].max(initial=-1)) + 1 for part in parts]
    firsts = np.cumsum([0, *counts[:-1]])
    window = np.concatenate([np.where(w >= 0, w + first, -1) for (_, _, w), first in zip(parts, firsts, strict=True)])
    order = np.argsort(-score, kind="stable")
    score, worth, window = score[order], worth[order], window[order]
    ends = np.append(np.flatnonzero(np.diff(score)), len(score) - 1)
    """A threshold lets all rows of equal score through, or none."""
    missed = -profile.fn * len(np.unique(window[window >= 0]))
    total = missed + np.cumsum(np.where(window < 0, worth, 0.0) + _gains(worth, window, profile.fn))
    at = int(np.argmax(total[ends]))
    null, perfect = missed, profile.tp * sum(len(file.windows) for file in files.values())
    best, threshold, passed = max(total[ends][at], null), score[ends][at], window[: ends[at] + 1]
    if best == null:
        passed, threshold = passed[:0], np.inf
    found = len(np.unique(passed[passed >= 0]))
    normalised = 100 * (best - null) / (perfect - null) if perfect > null else 0.0
    return Result(
        normalised, float(threshold), found, sum(len(f.windows) for f in files.values()), int((passed < 0).sum())
    )


def _judged(file: Labelled, score: np.ndarray, profile: Profile) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Score, worth and window of the rows that count."""
    if len(score) != file.rows:
        raise ValueError(f"{len(score)} scores for {file.rows} rows")
    if np.isnan(score).any():
        raise ValueError("a score must be a number")
    worth, window = worths(file, profile)
    first = probation(file.rows)
    return score[first:], worth[first:], window[first:]


def _gains(worth: np.ndarray, window: np.ndarray, fn: float) -> np.ndarray:
    """What each row in a window adds to what the window is worth so far, rows from the highest score down."""
    gain = np.zeros(len(worth))
    for number in np.unique(window[window >= 0]):
        rows = np.flatnonzero(window == number)
        gain[rows] = np.diff(np.maximum.accumulate(np.append(-fn, worth[rows])))
    return gain
