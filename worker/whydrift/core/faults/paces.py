"""Whose calls take longer than those of the other replicas, where replicas beside each other have an alarm.

Of two replicas each differs from the other, and of three the others differ from a rest that has the odd one among them. So the
latest calls of each are held against its own of health: of three and more the odd one is who moved otherwise than most did (load
moves all), of two who moved more. Failed calls are left out: they take what the failure takes.

Belongs here: who it is, and medians to tell of. Not here: what it is called (`latency_degradation`).
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whydrift.core.case import AlignedRows, Case
from whydrift.core.columns import Floats
from whydrift.core.replicas import PREFIX

_LEAST_NOW, _LEAST_BEFORE = 10, 12
"""Calls of a replica, now and in health, that it takes to hold them against each other."""
_CLEAR_Z = 3.3
"""Standard errors from which a replica has moved: one in a thousand by chance."""
_NEAR = 0.5
"""Part of the greatest distance from most from which a replica may be the odd one."""
_TAIL = 0.05
_PRIOR_ROWS = 20.0
"""Calls of health, with as many slow ones as all have, that are added to those of a replica."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The odd replicas; latencies in milliseconds. names: mostly one.

    is_slower: than the others, and than in health where that is needed to tell who moved. is_clear: the latest calls alone show
    it. is_tail: it is their slowest calls. are_all: the others have become slower as well.
    median: of the others, and theirs. limit: what 99 % of the others' calls take at most. slow: share of theirs beyond it.
    """

    names: tuple[str, ...]
    is_slower: bool
    is_clear: bool
    is_tail: bool
    are_all: bool
    median: tuple[float, float]
    limit: float
    slow: float


def odd_pace(case: Case) -> Pace | None:
    """None without an alarm, or where no calls are at hand to tell by."""
    alarms = {one.column.removeprefix(PREFIX): one.log10_e for one in case.paces if one.is_alarmed}
    view = case.outputs.get("latency")
    if not alarms or view is None:
        return None
    now, before = _latencies(case.answered.current, skip=1 / 3), _latencies(case.answered.reference)
    now = {name: values for name, values in now.items() if len(values) >= _LEAST_NOW}
    if len(now) < 2 or not alarms.keys() & now.keys():
        return None
    centre, tail = (_moves(now, before, view.reference.quantiles, is_tail=is_tail) for is_tail in (False, True))
    known = alarms.keys() & now.keys()
    is_tail = _CLEAR_Z > centre.furthest(known) < tail.furthest(known)
    return _pace(tail if is_tail else centre, alarms, now, is_tail=is_tail)


def medians(case: Case, name: str) -> tuple[float, float] | None:
    """Median latency of the other replicas' latest calls, and of this one's, in milliseconds; None where there are too few."""
    now = _latencies(case.answered.current, skip=1 / 3)
    others = [values for other, values in now.items() if other != name]
    if len(now.get(name, ())) < _LEAST_NOW or sum(map(len, others)) < _LEAST_NOW:
        return None
    return 10 ** float(np.median(np.concatenate(others))), 10 ** float(np.median(now[name]))


def _latencies(rows: AlignedRows, skip: float = 0.0) -> dict[str, Floats]:
    """Decimal logarithms of each replica's latencies; skip: part of the rows, the first, which may be from before an onset."""
    dimension, values = rows.dimensions.get("replica"), rows.outputs.get("latency")
    if dimension is None or values is None:
        return {}
    usable: NDArray[np.bool_] = ~np.isnan(values)
    usable[: int(skip * len(values))] = False
    if (errors := rows.outputs.get("errors")) is not None:
        usable &= errors != 1.0
    return {name: values[mask & usable] for name, mask in dimension.groups().items()}


# -- who has moved -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Moves:
    """Of each replica, in standard errors: how far it is from its own health, and from the move that most have made."""

    own: Mapping[str, float]
    apart: Mapping[str, float]

    def furthest(self, names: Iterable[str]) -> float:
        return max(abs(self.apart[name]) for name in names)


def _moves(now: Mapping[str, Floats], before: Mapping[str, Floats], health: Floats, *, is_tail: bool) -> _Moves:
    """health: values of all, for replicas that it has too few of."""
    effects, errors = {}, {}
    for name, values in now.items():
        own = before.get(name, np.empty(0))
        own = own if len(own) >= _LEAST_BEFORE else health
        effects[name], errors[name] = _tail(values, own, health) if is_tail else _centre(values, own)
    return _Moves(
        {name: effect / errors[name] for name, effect in effects.items()},
        {name: (effect - _common(effects, name)) / errors[name] for name, effect in effects.items()},
    )


def _common(effects: Mapping[str, float], name: str) -> float:
    """The move that most have made; of two, that of the other one."""
    return float(np.median([effect for other, effect in effects.items() if len(effects) > 2 or other != name]))


def _centre(now: Floats, before: Floats) -> tuple[float, float]:
    """Chance that a call of now takes longer than one of health, less a half; and its standard error (Mann and Whitney)."""
    ordered, n, m = np.sort(before), len(now), len(before)
    places = np.searchsorted(ordered, now, "left") + np.searchsorted(ordered, now, "right")
    return float(places.mean()) / (2 * m) - 0.5, float(np.sqrt((n + m + 1) / (12 * n * m)))


def _tail(now: Floats, before: Floats, health: Floats) -> tuple[float, float]:
    """Rise of the share of calls slower than nearly all of health, and its standard error."""
    limit = float(np.quantile(health, 1 - _TAIL))
    usual = float((before > limit).sum() + _PRIOR_ROWS * _TAIL) / (len(before) + _PRIOR_ROWS)
    error = np.sqrt(usual * (1 - usual) * (1 / len(now) + 1 / len(before)))
    return float((now > limit).mean()) - usual, float(error)


def _pace(moves: _Moves, alarms: Mapping[str, float], now: Mapping[str, Floats], *, is_tail: bool) -> Pace:
    known = sorted(alarms.keys() & now.keys())
    furthest = moves.furthest(known)
    if furthest >= _CLEAR_Z:
        near = [name for name in known if abs(moves.apart[name]) >= _NEAR * furthest]
        worst = max(near, key=lambda name: (abs(moves.own[name]), alarms[name], name))
        is_slower = moves.apart[worst] > 0 and (moves.own[worst] > 0 or len(now) > 2)
    else:
        # The calls at hand do not tell: all that were compared do. Of two both have the same evidence.
        worst = max(known, key=lambda name: (round(alarms[name], 1), abs(moves.own[name]), name))
        is_slower = _middle(now, {worst}) > _middle(now, now.keys() - {worst})
    slow = [name for name in known if min(moves.own[name], moves.apart[name]) >= _CLEAR_Z]
    names = {worst, *slow} if is_slower and len({worst, *slow}) < len(now) else {worst}
    others = np.concatenate([values for name, values in now.items() if name not in names])
    limit = float(np.quantile(others, 0.99))
    return Pace(
        names=tuple(sorted(names)),
        is_slower=is_slower,
        is_clear=min(moves.own[worst], moves.apart[worst]) >= _CLEAR_Z,
        is_tail=is_tail,
        are_all=all(moves.own[name] >= _CLEAR_Z for name in now),
        median=(10 ** _middle(now, now.keys() - names), 10 ** _middle(now, names)),
        limit=10**limit,
        slow=float(np.mean(np.concatenate([now[name] for name in sorted(names)]) > limit)),
    )


def _middle(now: Mapping[str, Floats], names: Collection[str]) -> float:
    return float(np.median(np.concatenate([now[name] for name in sorted(names)])))
