"""What others do, on the same rows: windows of 500 against the reference by KS and χ², PSI; ADWIN on every signal; dice; always.

Belongs here: those detectors. Not here: counting (`faults`).
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from breaks import Served
from river.drift import ADWIN
from scipy import stats

WINDOW = 500
ALPHA = 0.05
PSI_LIMIT = 0.2
NAMES = ("KS, χ² (Bonferroni)", "PSI > .2", "ADWIN everywhere", "random, 1 in 1,000", "always")


def delays(before: Sequence[Served], after: Sequence[Served]) -> list[tuple[str, int | None]]:
    """Broken rows until each one's first alarm."""
    return [(name, next(_alarms(name, before, after), None)) for name in NAMES]


def false_alarms(name: str, before: Sequence[Served]) -> int:
    """Alarms in the second half of health, with the first as reference."""
    half = len(before) // 2
    return len(list(_alarms(name, before[:half], before[half:])))


def _alarms(name: str, before: Sequence[Served], after: Sequence[Served]) -> Iterator[int]:
    if name == "always":
        return iter(range(len(after)))
    if name.startswith("random"):
        return iter((np.flatnonzero(np.random.default_rng(0).random(len(after)) < 0.001) + 1).tolist())
    columns = _columns(before, after)
    return _adwin(columns, len(before)) if name.startswith("ADWIN") else _windows(name, columns, len(before))


def _columns(before: Sequence[Served], after: Sequence[Served]) -> dict[str, list[Any]]:
    every = [*before, *after]
    found = {name: [one.row.get(name) for one in every] for name in before[0].row}
    return found | {"answer": [one.answer for one in every], "latency": [one.latency_ms for one in every]}


def _is_number(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int | float) or value is None for value in values)


def _windows(name: str, columns: dict[str, list[Any]], start: int) -> Iterator[int]:
    rows = len(next(iter(columns.values()))) - start
    for end in range(WINDOW, rows + 1, WINDOW):
        window = slice(start + end - WINDOW, start + end)
        if any(_differs(name, values[:start], values[window], len(columns)) for values in columns.values()):
            yield end


def _differs(name: str, old: Sequence[Any], new: Sequence[Any], tests: int) -> bool:
    if _is_number(old) and _is_number(new):
        a, b = (np.array([value for value in part if value is not None], float) for part in (old, new))
        if not len(a) or not len(b):
            return len(a) != len(b)
        if name.startswith("KS"):
            return bool(stats.ks_2samp(a, b).pvalue < ALPHA / tests)
        edges = np.unique(np.quantile(a, np.arange(0.1, 1, 0.1)))
        counts = [np.bincount(np.searchsorted(edges, part), minlength=len(edges) + 1) for part in (a, b)]
    else:
        values = sorted({str(value) for value in (*old, *new)})
        counts = [np.array([[str(v) for v in part].count(value) for value in values]) for part in (old, new)]
        if name.startswith("KS"):
            return len(values) > 1 and bool(stats.chi2_contingency(np.array(counts) + 0.5).pvalue < ALPHA / tests)
    p, q = ((part + 0.5) / (part + 0.5).sum() for part in counts)
    return bool(np.sum((q - p) * np.log(q / p)) > PSI_LIMIT)


def _adwin(columns: dict[str, list[Any]], start: int) -> Iterator[int]:
    detectors = {name: ADWIN() for name in columns}
    codes: dict[str, dict[Any, int]] = {name: {} for name in columns}
    for place in range(len(next(iter(columns.values())))):
        fired = False
        for name, values in columns.items():
            value = values[place]
            if isinstance(value, str):
                value = codes[name].setdefault(value, len(codes[name]))
            if value is not None:
                detectors[name].update(float(value))
                fired |= detectors[name].drift_detected
        if fired and place >= start:
            yield place - start + 1
